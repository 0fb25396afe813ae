"""Whether and of what an inbox's watchers are told by e-mail, and since when (N1, N3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

EmailKind = Literal["missed_call", "voicemail", "abandoned_call", "inbound_message"]

KINDS: Final[tuple[EmailKind, ...]] = ("missed_call", "voicemail", "abandoned_call", "inbound_message")
DEFAULT_DIGEST_MINUTES: Final = 5
MAX_DIGEST_MINUTES: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class WatcherSettings:
    """One inbox's watcher e-mails. `turned_on` has an instant for each kind that is on now, and no other."""

    enabled: bool = False
    events: tuple[EmailKind, ...] = KINDS
    digest_minutes: int = DEFAULT_DIGEST_MINUTES
    turned_on: Mapping[EmailKind, datetime] = field(default_factory=dict)

    @property
    def window(self) -> timedelta:
        """How long after an e-mail further ones are gathered (N5); zero turns that off."""
        return timedelta(minutes=self.digest_minutes)


DEFAULT: Final = WatcherSettings()


def put(
    before: WatcherSettings,
    *,
    enabled: bool,
    events: Collection[EmailKind],
    digest_minutes: int,
    now: datetime,
) -> WatcherSettings:
    """The settings that an administrator asks for; a kind that stays on keeps the instant it was turned on.

    The same request again changes nothing (A4).
    """
    chosen = tuple(kind for kind in KINDS if kind in events)
    turned_on = {kind: before.turned_on.get(kind, now) for kind in chosen} if enabled else {}
    return WatcherSettings(enabled=enabled, events=chosen, digest_minutes=digest_minutes, turned_on=turned_on)
