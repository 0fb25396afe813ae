"""When an inbox's reports are due (P1, P4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from reporting import days
from reporting.recipients import RecipientClass

DAYS_BACK: Final = 3
"""A service that was down sends what it missed, but no day further back than this."""


class ReportKind(StrEnum):
    """The reports there are, as they are called in settings and events."""

    DAILY_ACTIVITY = "daily_activity"
    VOICE_ANALYTICS = "voice_analytics"


@dataclass(frozen=True, slots=True)
class ReportNotifications:
    """An inbox's report settings. A filter of None lets everything pass (P3)."""

    enabled: bool = False
    reports: tuple[ReportKind, ...] = tuple(ReportKind)
    recipients: tuple[RecipientClass, ...] = tuple(RecipientClass)
    lines: tuple[str, ...] | None = None
    users: tuple[str, ...] | None = None
    teams: tuple[str, ...] | None = None
    send_at: time = time(7)

    def sends(self, kind: ReportKind) -> bool:
        """Whether this report is sent daily."""
        return self.enabled and kind in self.reports


@dataclass(frozen=True, slots=True)
class Due:
    """The next daily report: of which date, when it may go out, and how far the input must have been read."""

    date: date
    at: datetime
    read_through: datetime


def due(day: date, send_at: time, zone: ZoneInfo, grace: timedelta) -> Due:
    """When the report of `day` goes out: at `send_at` of the next date, but not before the grace has passed."""
    end = days.span_of(day, day, zone).end
    at = days.instant_at(days.day_after(day, zone), send_at, zone)
    return Due(day, max(at, end + grace), end)


def first_date(turned_on_at: datetime, zone: ZoneInfo) -> date:
    """The first date reported after reports are turned on: that of the first day which ends afterwards."""
    return days.local_date(turned_on_at, zone)


def caught_up(next_date: date, now: datetime, zone: ZoneInfo) -> date:
    """The date to report now: `next_date`, or after a long absence the earliest that is still worth sending."""
    earliest = days.local_date(now, zone)
    for _ in range(DAYS_BACK):
        earliest = days.day_before(earliest, zone)
    day = max(next_date, earliest)
    return day if days.exists(day, zone) else days.day_after(day, zone)


def is_past(day: date, now: datetime, zone: ZoneInfo) -> bool:
    """Whether the day is over, so that its report can be asked for by hand."""
    return days.span_of(day, day, zone).end <= now


def replanned(
    before: ReportNotifications,
    after: ReportNotifications,
    kind: ReportKind,
    next_date: date | None,
    now: datetime,
    zone: ZoneInfo,
) -> date | None:
    """The next date of a report after its settings changed; None where it is off.

    What was on goes on where it stood, so that changing `send_at` repeats and skips no day.
    """
    if not after.sends(kind):
        return None
    if before.sends(kind) and next_date is not None:
        return next_date
    return first_date(now, zone)
