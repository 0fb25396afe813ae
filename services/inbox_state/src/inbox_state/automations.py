"""An inbox's automations: how unread turns into read by itself (I8 to I10)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

DEFAULT_AFTER_HOURS: Final = 30 * 24
LEAST_AFTER_HOURS: Final = 1
MOST_AFTER_HOURS: Final = 365 * 24


@dataclass(frozen=True, slots=True)
class Automations:
    """Both settings of an inbox, independent of each other (I10)."""

    auto_mark_enabled: bool = False
    auto_mark_after_hours: int = DEFAULT_AFTER_HOURS
    manual_mark_as_read_only: bool = False

    def reads_through(self, now: datetime) -> datetime | None:
        """What became unread no later than this is read by now; None while auto-mark is off (I9)."""
        return now - timedelta(hours=self.auto_mark_after_hours) if self.auto_mark_enabled else None


def changed_at(now: datetime, last: datetime | None) -> datetime:
    """When a setting comes into force: later than the one before it, whatever the clocks of replicas say."""
    return now if last is None else max(now, last + timedelta(microseconds=1))
