"""What is unread, and what makes it read (I6 to I12; architecture §1, "Read state").

A communication is unread when it wants attention, stands beyond its thread's read mark, and auto-read has not
taken it. Everything here is a value; who holds the locks is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, NewType, Protocol

from contracts.communications import CommunicationChanged

Position = NewType("Position", str)
"""Where a communication stands among what reached us: text that compares byte by byte, in Postgres as here."""

BEGINNING: Final = Position("")
"""Before every position."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_END: Final = "\t"
_DIGITS: Final = 16


def microseconds(instant: datetime) -> int:
    """An instant as whole microseconds since 1970."""
    return (instant - _EPOCH) // _MICROSECOND


def position_of(received_at: datetime, occurred_at: datetime, communication_id: str) -> Position:
    """The position of what reached us at `received_at` (I11).

    All records of one produced batch carry the same append time: among those, what happened first stands
    first, and the id settles the rest. `occurred_at` is `unread_at`, else the activity's time.
    """
    # The tab sorts before every character of an id: see just_before.
    received = str(max(microseconds(received_at), 0)).zfill(_DIGITS)
    occurred = str(max(microseconds(occurred_at), 0)).zfill(_DIGITS)
    return Position(received + occurred + communication_id + _END)


def just_before(position: Position) -> Position:
    """The mark that leaves exactly `position` and what comes after it unread."""
    return Position(position.removesuffix(_END))


class Attention(Protocol):
    """What has to be known of a communication to tell whether it is unread."""

    wants_attention: bool
    position: Position
    received_at: datetime


class ReadState(NamedTuple):
    """The marks of one thread.

    `settled_through` is the mark as people set it by hand, `read_through` the one in force: the later of
    that and of what agents' activity reads. `marked_unread_at` and `marked_unread_from` are the last manual
    unread; `auto_read_through` is the time through which auto-read has taken what became unread (I9).
    """

    read_through: Position = BEGINNING
    settled_through: Position = BEGINNING
    marked_unread_at: datetime | None = None
    marked_unread_from: Position | None = None
    auto_read_through: datetime | None = None


def unread_since(communication: Attention, state: ReadState) -> datetime:
    """When it last became unread: when it reached us, or when somebody marked it unread after that (I9)."""
    marked_at, marked_from = state.marked_unread_at, state.marked_unread_from
    if marked_at is None or marked_from is None or communication.position < marked_from:
        return communication.received_at
    return max(communication.received_at, marked_at)


def is_unread(communication: Attention, state: ReadState) -> bool:
    """Whether a communication is unread for everybody in the inbox (I6)."""
    if not communication.wants_attention or communication.position <= state.read_through:
        return False
    taken_through = state.auto_read_through
    return taken_through is None or unread_since(communication, state) > taken_through


def marked_read(state: ReadState, through: Position) -> ReadState:
    """Read through what the user has seen; never back (I11)."""
    return state._replace(
        settled_through=max(state.settled_through, through),
        read_through=max(state.read_through, through),
    )


def marked_unread(state: ReadState, from_: Position, now: datetime) -> ReadState:
    """Unread from one communication on; what agents did before `now` no longer reads what stands there (I11)."""
    mark = min(state.read_through, just_before(from_))
    earlier = state.marked_unread_from
    # An earlier mark that nobody has read since still holds for what it covers.
    still_unread = earlier is not None and earlier > state.read_through
    return state._replace(
        settled_through=mark,
        read_through=mark,
        marked_unread_at=now,
        marked_unread_from=min(earlier, from_) if earlier is not None and still_unread else from_,
    )


def auto_read(state: ReadState, through: datetime | None) -> ReadState:
    """What became unread by `through` is read; the mark never goes back (I9)."""
    held = state.auto_read_through
    if through is None or (held is not None and held >= through):
        return state
    return state._replace(auto_read_through=through)


def still_counts(acted_at: datetime, state: ReadState) -> bool:
    """Whether an activity of that time may raise the thread's mark: not when it was marked unread since (I7)."""
    return state.marked_unread_at is None or acted_at >= state.marked_unread_at


class Activity(NamedTuple):
    """A user of ours replied, called, or answered the contact's call."""

    user_id: str
    acted_at: datetime


def activity_in(snapshot: CommunicationChanged) -> Activity | None:
    """The agent's activity that a communication shows; None for what nobody did, such as an automatic text (I7)."""
    user_id = snapshot.user_id
    if user_id is None:
        return None
    if snapshot.direction == "outbound":
        began_at = snapshot.started_at if snapshot.kind == "call" else snapshot.activity_at
        return Activity(user_id, snapshot.requested_at or began_at)
    if snapshot.kind == "call" and snapshot.answered_at is not None:
        return Activity(user_id, snapshot.answered_at)
    return None


class ManualOnly(NamedTuple):
    """From `changed_at` on, agent activity clears nothing (`on`), or does so again (I8)."""

    changed_at: datetime
    on: bool


def manual_only_at(history: Sequence[ManualOnly], instant: datetime) -> bool:
    """Whether *manual mark as read only* was in force; off until somebody set it. `history` is oldest first."""
    for setting in reversed(history):
        if setting.changed_at <= instant:
            return setting.on
    return False
