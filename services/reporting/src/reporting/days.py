"""Local calendar days, exactly as long as their zone makes them (P4).

A day is the half-open span of UTC between the first instant of its date and the first instant of the next.
That holds for days without a midnight (America/Santiago), for the hour that comes twice, and for a date that
was skipped (Pacific/Apia, 2011-12-30), which has no span at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

WEEK: Final = timedelta(days=7)

_DAY: Final = timedelta(days=1)
_TICK: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_WIDEST_OFFSET: Final = timedelta(hours=26)
_STEP: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` up to, not including, `end`; both in UTC."""

    start: datetime
    end: datetime

    @property
    def is_empty(self) -> bool:
        """Whether no instant lies in it, as with a date that the zone skipped."""
        return self.start >= self.end


@lru_cache(maxsize=4_096)
def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The first instant, in UTC, at which the local date is `day` or later."""
    midnight = datetime.combine(day, time.min, zone).astimezone(UTC)
    if _date_at(midnight, zone) >= day > _date_at(midnight - _TICK, zone):
        return midnight
    # The clock jumped over midnight from before it: walk up to the jump, then close in on its second.
    before = datetime.combine(day, time.min, UTC) - _WIDEST_OFFSET
    while _date_at(before + _STEP, zone) < day:
        before += _STEP
    after = before + _STEP
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        before, after = (middle, after) if _date_at(middle, zone) < day else (before, middle)
    return after


def exists(day: date, zone: ZoneInfo) -> bool:
    """Whether the zone has this date: a skipped one has no report."""
    return _date_at(start_of(day, zone), zone) == day


def span_of(first: date, last: date, zone: ZoneInfo) -> Span:
    """The span of the dates `first` to `last`, both included."""
    return Span(start_of(first, zone), start_of(last + _DAY, zone))


def local_date(instant: datetime, zone: ZoneInfo) -> date:
    """The date of the day that `instant` belongs to: the one whose span holds it."""
    day = _date_at(instant, zone)
    # Where a clock is set back over midnight a date comes, goes and comes again; its day began the first time.
    return day + _DAY if start_of(day + _DAY, zone) <= instant else day


def day_after(day: date, zone: ZoneInfo) -> date:
    """The next date that the zone has."""
    following = day + _DAY
    while not exists(following, zone):
        following += _DAY
    return following


def day_before(day: date, zone: ZoneInfo) -> date:
    """The last date before `day` that the zone has."""
    previous = day - _DAY
    while not exists(previous, zone):
        previous -= _DAY
    return previous


def instant_at(day: date, at: time, zone: ZoneInfo) -> datetime:
    """When the clock first shows `at` on `day`, in UTC; where it jumps over `at`, as much later as it jumps."""
    return datetime.combine(day, at, zone).astimezone(UTC)


def _date_at(instant: datetime, zone: ZoneInfo) -> date:
    return instant.astimezone(zone).date()
