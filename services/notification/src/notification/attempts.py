"""What comes of an attempt to send: done, again later, or never (N4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, assert_never

from notification.preferences import SilencedAs

GIVE_UP_AFTER: Final = timedelta(days=5)
LONGEST_PAUSE: Final = timedelta(hours=4)

FinalOutcome = Literal["sent", "refused", "expired", "withdrawn", "muted", "unsubscribed"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server took the e-mail over."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now. `slow`: for what the server said or did about this e-mail, not for want of a server."""

    detail: str
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Never: a 5xx answer to this e-mail, or an address that no server could take."""

    detail: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Not any more: its reader is no longer to have it."""

    detail: str


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Its reader has asked not to have it (N6)."""

    outcome: SilencedAs


@dataclass(frozen=True, slots=True)
class Postponed:
    """Its reader's quiet hours hold until then: this was no attempt (N6)."""

    until: datetime


Result = Accepted | Deferred | Refused | Withdrawn | Unwanted | Postponed


@dataclass(frozen=True, slots=True)
class Over:
    """There will be no further attempt."""

    outcome: FinalOutcome
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """The next attempt is made `at` then. `slow`: it must not hold up others."""

    at: datetime
    detail: str
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing was attempted: it is due `at` then, as if it had been queued for that time."""

    at: datetime


Comes = Over | Again | Later


def after(result: Result, *, attempts: int, due_at: datetime, now: datetime, first_pause: timedelta) -> Comes:
    """What comes of the `attempts`-th attempt. Pauses double from `first_pause` up to four hours, for five
    days from `due_at`.
    """
    match result:
        case Accepted():
            return Over("sent")
        case Refused(detail):
            return Over("refused", detail)
        case Withdrawn(detail):
            return Over("withdrawn", detail)
        case Unwanted(outcome):
            return Over(outcome)
        case Postponed(until):
            return Later(until)
        case Deferred(detail, slow):
            if now - due_at >= GIVE_UP_AFTER:
                return Over("expired", detail)
            pause = min(first_pause * 2 ** min(max(attempts - 1, 0), 20), LONGEST_PAUSE)
            return Again(min(now + pause, due_at + GIVE_UP_AFTER), detail, slow)
        case unknown:
            assert_never(unknown)
