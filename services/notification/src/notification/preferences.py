"""What a reader has asked for: muted inboxes, quiet hours, and what he no longer wants at all (N6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from notification.quiet_hours import QuietHours

Topic = Literal["watcher_emails", "daily_activity", "voice_analytics"]
"""What one unsubscribes from, for one inbox: the e-mails to its watchers, or one of its reports."""

TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)

SilencedAs = Literal["muted", "unsubscribed"]
"""Why a reader is not told of what he would be told of."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a watcher set for himself. Muting and quiet hours concern watcher e-mails, never reports (N8)."""

    muted_inbox_ids: tuple[str, ...] = ()
    quiet_hours: QuietHours | None = None


DEFAULT: Final = Preferences()


@dataclass(frozen=True, slots=True, order=True)
class Subscription:
    """What one reader gets of one inbox: what an unsubscribe link names."""

    account_id: str
    inbox_id: str
    user_id: str
    topic: Topic


def silenced_as(*, muted: bool, unsubscribed: bool) -> SilencedAs | None:
    """How a delivery is recorded that its reader does not want; None where he wants it."""
    if unsubscribed:
        return "unsubscribed"
    return "muted" if muted else None
