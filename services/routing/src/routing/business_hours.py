"""When an inbox is open: spans of wall-clock time by weekday, and dates on which it is closed (R6)."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from contracts.fields import Data

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Span(Data):
    """Open from `opens` until just before `closes`; over midnight where `closes` is not later."""

    opens: time
    closes: time


class BusinessHours(Data):
    """The spans that begin on each weekday, and the local dates on which nobody works."""

    mon: tuple[Span, ...] = ()
    tue: tuple[Span, ...] = ()
    wed: tuple[Span, ...] = ()
    thu: tuple[Span, ...] = ()
    fri: tuple[Span, ...] = ()
    sat: tuple[Span, ...] = ()
    sun: tuple[Span, ...] = ()
    closures: tuple[date, ...] = ()

    def spans_of(self, day: date) -> tuple[Span, ...]:
        """The spans that begin on a local date; none on a closure."""
        if day in self.closures:
            return ()
        spans: tuple[Span, ...] = getattr(self, WEEKDAYS[day.weekday()])
        return spans


def is_open(hours: BusinessHours | None, zone: str, at: datetime) -> bool:
    """Whether `at` (aware) lies in the business hours, read on a clock on the wall of `zone` (IANA).

    The wall clock makes it DST-safe: a repeated hour is open twice, a skipped one never. A closed date is
    closed as a whole, what began the evening before included. Without hours it is always open.
    """
    if hours is None:
        return True
    local = at.astimezone(ZoneInfo(zone))
    today, now = local.date(), local.time()
    if today in hours.closures:
        return False
    if any(_covers_first_day(span, now) for span in hours.spans_of(today)):
        return True
    yesterday = hours.spans_of(today - timedelta(days=1))
    return any(span.closes <= span.opens and now < span.closes for span in yesterday)


def _covers_first_day(span: Span, now: time) -> bool:
    return span.opens <= now and (now < span.closes or span.closes <= span.opens)
