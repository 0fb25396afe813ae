"""When a watcher wants to be left alone, on the clock on his wall (N6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """From an instant until just before another."""

    begins_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `begins` until just before `ends` every day, on the wall clock; over midnight where `ends` is not later.

    Where both are the same, all of the day is quiet: everything comes once a day, at that time.
    """

    begins: time
    ends: time

    def span(self, at: datetime, zone: ZoneInfo) -> Span | None:
        """The stretch of quiet that an instant lies in, in UTC; None where it lies in none.

        An hour that the clock repeats is quiet from its first beginning to its last end, so that no night has
        two ends. A time that the clock skips is read with the offset from before (RFC 5545 §3.3.5).
        """
        today = at.astimezone(zone).date()
        for day in (today - _DAY, today):
            begins_at = min(_readings(day, self.begins, zone))
            last_day = day if self.ends > self.begins else day + _DAY
            ends_at = max(_readings(last_day, self.ends, zone))
            if begins_at <= at < ends_at:
                return Span(begins_at, ends_at)
        return None


@dataclass(frozen=True, slots=True)
class Quiet:
    """Somebody's quiet hours, in his zone."""

    hours: QuietHours
    zone: ZoneInfo

    def until(self, at: datetime) -> datetime | None:
        """When the quiet hours that hold at an instant end; None where none hold then."""
        span = self.hours.span(at, self.zone)
        return span.ends_at if span else None

    def postponed(self, now: datetime, *scheduled: datetime) -> datetime | None:
        """Until when an e-mail that was scheduled for then has to wait; None where it may go now.

        What waited for the end of one stretch goes, though another one begins at once: where all day is quiet,
        that is the one moment of the day when anything goes.
        """
        span = self.hours.span(now, self.zone)
        return span.ends_at if span and span.begins_at not in scheduled else None


def _readings(day: date, at: time, zone: ZoneInfo) -> tuple[datetime, ...]:
    """The instants at which the wall clock shows a time: two in a repeated hour, one otherwise."""
    first, second = (datetime.combine(day, at.replace(fold=fold), zone).astimezone(UTC) for fold in (0, 1))
    return (first, second) if first < second else (first,)
