"""What comes of an attempt to send: done, again later, or never (N4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, assert_never

GIVE_UP_AFTER: Final = timedelta(days=5)
LONGEST_PAUSE: Final = timedelta(hours=4)

FinalOutcome = Literal["sent", "refused", "expired", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server took the e-mail over."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now: a 4xx answer, or no server to talk to."""

    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Never: a 5xx answer to this e-mail, or an address that no server could take."""

    detail: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Not any more: its reader is no longer to have it."""

    detail: str


Result = Accepted | Deferred | Refused | Withdrawn


@dataclass(frozen=True, slots=True)
class Over:
    """There will be no further attempt."""

    outcome: FinalOutcome
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """The next attempt is made `at` then."""

    at: datetime
    detail: str


def after(result: Result, *, attempts: int, due_at: datetime, now: datetime, first_pause: timedelta) -> Over | Again:
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
        case Deferred(detail):
            if now - due_at >= GIVE_UP_AFTER:
                return Over("expired", detail)
            pause = min(first_pause * 2 ** min(max(attempts - 1, 0), 20), LONGEST_PAUSE)
            return Again(min(now + pause, due_at + GIVE_UP_AFTER), detail)
        case unknown:
            assert_never(unknown)
