"""When an inbox is open: spans of wall-clock time by weekday, and dates on which it is closed (R6)."""

from __future__ import annotations

from datetime import date, time
from typing import Final

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
