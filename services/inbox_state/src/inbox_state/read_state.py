"""What is unread, and what makes it read (I6 to I12; architecture §1, "Read state").

A communication is unread when it wants attention, stands beyond its thread's read mark, and auto-read has not
taken it. Everything here is a value; who holds the locks is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, NewType, Protocol

from contracts.communications import CommunicationChanged

Position = NewType("Position", str)
"""Where a communication stands among what reached us: text that compares byte by byte, in Postgres as here."""

BEGINNING: Final = Position("")
"""Before every position."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = "\t"
_MOST_UNREAD_MARKS: Final = 8


def in_utc(instant: datetime) -> datetime:
    """The same instant in UTC; one that UTC has no date for stays as it is, for Postgres to refuse.

    A parsed time has a zone object of its own, which whatever compares, subtracts or encodes it asks again each time.
    """
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return instant


def microseconds(instant: datetime) -> int:
    """An instant as whole microseconds since 1970."""
    since = instant - _EPOCH
    # A division of two timedeltas says the same at three times the cost.
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def position_of(received_at: datetime, occurred_at: datetime, communication_id: str) -> Position:
    """The position of what reached us at `received_at` (I11).

    All records of one produced batch carry the same append time: among those, what happened first stands
    first, and the id settles the rest. `occurred_at` is `unread_at`, else the activity's time.
    """
    # The tab sorts before every character of an id: see just_before.
    received, occurred = max(microseconds(received_at), 0), max(microseconds(occurred_at), 0)
    return Position(f"{received:016d}{occurred:016d}{communication_id}{_END}")


def just_before(position: Position) -> Position:
    """The mark that leaves exactly `position` and what comes after it unread."""
    return Position(position.removesuffix(_END))


class Attention(Protocol):
    """What has to be known of a communication to tell whether it is unread."""

    wants_attention: bool
    position: Position
    received_at: datetime


class UnreadMark(NamedTuple):
    """Somebody marked the thread unread at `at`, from position `from_` on (I11)."""

    at: datetime
    from_: Position


class ReadState(NamedTuple):
    """The marks of one thread.

    `settled_through` is the mark as people set it by hand, `read_through` the one in force: the later of
    that and of what agents' activity reads. `unread_marks` are the manual unreads that still matter, oldest
    first: each begins later in the thread than the one before. `auto_read_through` is the time through which
    auto-read has taken what became unread (I9).
    """

    read_through: Position = BEGINNING
    settled_through: Position = BEGINNING
    unread_marks: tuple[UnreadMark, ...] = ()
    auto_read_through: datetime | None = None


def unread_since(communication: Attention, state: ReadState) -> datetime:
    """When it last became unread: when it reached us, or when somebody marked it unread after that (I9)."""
    since = communication.received_at
    for mark in state.unread_marks:
        if mark.from_ <= communication.position and mark.at > since:
            since = mark.at
    return since


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
    mark = just_before(from_)
    # An earlier mark that begins no earlier in the thread says nothing that this one does not say.
    kept = [one for one in state.unread_marks if one.from_ < from_]
    at = max(now, kept[-1].at) if kept else now
    if len(kept) == _MOST_UNREAD_MARKS:
        # The two oldest become one that covers both: rather unread for too long than read unseen.
        kept[:2] = [UnreadMark(kept[1].at, kept[0].from_)]
    return state._replace(
        settled_through=min(state.settled_through, mark),
        read_through=min(state.read_through, mark),
        unread_marks=(*kept, UnreadMark(at, from_)),
    )


def auto_read(state: ReadState, through: datetime | None) -> ReadState:
    """What became unread by `through` is read; the mark never goes back (I9)."""
    held = state.auto_read_through
    if through is None or (held is not None and held >= through):
        return state
    return state._replace(auto_read_through=through)


def reads_through(position: Position, acted_at: datetime, state: ReadState) -> Position:
    """How far an activity of that time raises the thread's mark: never into what was marked unread since (I7).

    So an activity counts the same whether its record comes before the manual unread or after it (M3, decision 16).
    """
    for mark in state.unread_marks:
        if acted_at < mark.at:
            # Marks begin later and later: the first one that is newer than the activity bounds it the most.
            return min(position, just_before(mark.from_))
    return position


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
