"""Whether an inbox is open at a moment (R6)."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from contracts.business_hours import BusinessHours, Span


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
