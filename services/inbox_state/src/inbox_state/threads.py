"""Threads: what the list shows of each, kept right communication by communication (I3, I4, I6).

`fold` brings a thread up to date with what changed in it. It never has to read the thread's other
communications: where only they can tell, it says so, and the caller counts the thread anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from contracts import threads
from contracts.communications import ACTIVE_CALL, CommunicationChanged
from contracts.numbers import ANONYMOUS
from inbox_state.read_state import (
    BEGINNING,
    Position,
    ReadState,
    activity_in,
    auto_read,
    is_unread,
    microseconds,
    position_of,
    still_counts,
    unread_since,
)

_SENT = frozenset({"sent", "delivered"})
_NOT_SENT = frozenset({"failed", "undelivered"})

Key = tuple[str, str]
"""The account, and the id of a thread or communication in it."""


@dataclass(slots=True)
class Communication:
    """One call or message as its thread sees it; the columns of its row.

    `reads_through` says how far its agent's activity reads the thread, decided once per activity.
    `delivered` is how an agent's text ended, None while that is open. `document` is the snapshot as JSON,
    None where it was not loaded.
    """

    account_id: str
    communication_id: str
    version: int
    thread_id: str
    left_thread_id: str | None
    inbox_id: str
    line_number: str
    kind: str
    active: bool
    activity_at: datetime
    received_at: datetime
    wants_attention: bool
    position: Position
    actor_id: str | None
    acted_at: datetime | None
    reads_through: Position | None
    delivered: bool | None
    document: str | None = None


@dataclass(slots=True)
class Thread:
    """One contact in one inbox; the columns of its row. `latest_id` is None while it holds nothing.

    `is_new` as long as it was never saved.
    """

    account_id: str
    thread_id: str
    inbox_id: str
    contact_number: str
    version: int = 0
    unread: int = 0
    active_calls: int = 0
    last_activity_at: datetime | None = None
    latest_id: str | None = None
    send_failed: bool = False
    state: ReadState = field(default_factory=ReadState)
    newest_attention: Position = BEGINNING
    unread_since: datetime | None = None
    is_new: bool = True


class Change(NamedTuple):
    """What became of one communication in one thread: None where it was not, or is no longer, in it."""

    old: Communication | None
    new: Communication | None


@dataclass(frozen=True, slots=True)
class Counted:
    """A thread's figures as its communications give them, without any history."""

    read_through: Position
    unread: int
    unread_since: datetime | None
    newest_attention: Position
    active_calls: int
    last_activity_at: datetime | None
    latest_id: str | None
    send_failed: bool


@lru_cache(maxsize=50_000)
def _thread_of_contact(account_id: str, inbox_id: str, contact_number: str) -> str:
    return threads.thread_id(account_id, inbox_id, contact_number, "")


def thread_of(account_id: str, inbox_id: str, contact_number: str, communication_id: str) -> str:
    """The thread of a communication; each withheld number is a thread of its own."""
    if contact_number == ANONYMOUS:
        return threads.thread_id(account_id, inbox_id, contact_number, communication_id)
    return _thread_of_contact(account_id, inbox_id, contact_number)


def communication_of(
    account_id: str, snapshot: CommunicationChanged, document: str, known: Communication | None
) -> Communication:
    """A snapshot as the row that takes the place of `known`. What its activity reads is left to be decided."""
    kind = snapshot.kind
    activity = activity_in(snapshot)
    communication_id = snapshot.communication_id
    thread_id = thread_of(account_id, snapshot.inbox_id, snapshot.contact_number, communication_id)
    left = None
    if known is not None:
        left = known.left_thread_id if known.thread_id == thread_id else known.thread_id
    delivered = None
    if kind == "message" and activity is not None:
        status = snapshot.status
        delivered = True if status in _SENT else False if status in _NOT_SENT else None
    unread_at = snapshot.unread_at
    return Communication(
        account_id,
        communication_id,
        snapshot.version,
        thread_id,
        left,
        snapshot.inbox_id,
        snapshot.line_number,
        kind,
        kind == "call" and snapshot.status in ACTIVE_CALL,
        snapshot.activity_at,
        snapshot.received_at,
        unread_at is not None,
        position_of(snapshot.received_at, unread_at or snapshot.activity_at, communication_id),
        activity.user_id if activity else None,
        activity.acted_at if activity else None,
        None,
        delivered,
        document,
    )


def same_activity(snapshot: CommunicationChanged, old: Communication, new: Communication) -> bool:
    """Whether a newer snapshot shows the activity that was decided already: receipts change nothing (I7)."""
    if (old.inbox_id, old.actor_id, old.acted_at) != (new.inbox_id, new.actor_id, new.acted_at):
        return False
    # What began over HTTP was decided by its request, and reached us by it.
    return snapshot.requested_at is not None or old.received_at == new.received_at


def reads(communication: Communication, *, connected: bool, manual_only: bool) -> Position | None:
    """How far a communication's agent, at a telephone of his own, reads the thread; None when he reads nothing.

    Only what a connected user did counts (I7), and only while the inbox was not set to manual-only (I8).
    """
    if communication.acted_at is None or not connected or manual_only:
        return None
    return position_of(communication.received_at, communication.acted_at, communication.communication_id)


def fold(thread: Thread, changes: Sequence[Change], auto_read_through: datetime | None) -> bool:
    """Bring a thread up to date with the changes in it; each communication may stand in one of them.

    Returns whether the figures are certain. When they are not, only the thread's other communications can
    tell (its latest one moved away, say), and it must be counted anew before it is saved.
    """
    held = thread.state
    marks = auto_read(held, auto_read_through)
    mark = marks.read_through
    certain = True
    newest = thread.newest_attention
    latest = (thread.last_activity_at, thread.latest_id)
    latest_has_sunk = False
    for change in changes:
        old, new = change.old, change.new
        if old is not None:
            thread.active_calls -= old.active
            if old.communication_id == latest[1]:
                latest_has_sunk = True
            if old.wants_attention and old.position == thread.newest_attention and not _stands_as_far(new, old):
                certain = False
            if (
                old.reads_through is not None
                and old.reads_through == held.read_through > held.settled_through
                and not _reads_as_far(new, old.reads_through, marks)
            ):
                # The activity that read the furthest is gone or reads less: others decide now.
                certain = False
        if new is not None:
            thread.active_calls += new.active
            if new.wants_attention and new.position > newest:
                newest = new.position
            reads_through = new.reads_through
            if reads_through is not None and reads_through > mark and _reads_as_far(new, mark, marks):
                mark = reads_through
            at = thread.last_activity_at
            if (
                at is None
                or thread.latest_id is None
                or (new.activity_at, new.communication_id) >= (at, thread.latest_id)
            ):
                thread.last_activity_at, thread.latest_id = new.activity_at, new.communication_id
        was, now = old and old.delivered, new and new.delivered
        # A success can't raise a flag that is down, so only the rest needs the other texts.
        if was is not now and (thread.send_failed or now is not True):
            certain = False
    if latest_has_sunk and (thread.last_activity_at, thread.latest_id) == latest:
        stands_as_before = any(
            change.new is not None and (change.new.activity_at, change.new.communication_id) == latest
            for change in changes
        )
        certain = certain and stands_as_before
    thread.newest_attention = newest
    if mark != marks.read_through:
        marks = marks._replace(read_through=mark)
    thread.state = marks
    return certain and _recount(thread, changes, held)


def _stands_as_far(new: Communication | None, old: Communication) -> bool:
    return new is not None and new.wants_attention and new.position >= old.position


def _reads_as_far(communication: Communication | None, position: Position, marks: ReadState) -> bool:
    return (
        communication is not None
        and communication.reads_through is not None
        and communication.reads_through >= position
        and communication.acted_at is not None
        and still_counts(communication.acted_at, marks)
    )


def _recount(thread: Thread, changes: Sequence[Change], held: ReadState) -> bool:
    """Count what is unread from what was; False when the marks moved past communications that are not at hand."""
    state = thread.state
    if state == held:
        unread = thread.unread
    elif thread.unread == 0:
        # Marks only rose: what was read is read, so only what changed can be unread.
        unread = 0
    elif state.read_through >= thread.newest_attention:
        thread.unread, thread.unread_since = 0, None
        return True
    else:
        return False
    counted_before = thread.unread > 0
    since = thread.unread_since
    for change in changes:
        if counted_before and change.old is not None:
            unread -= is_unread(change.old, held)
        new = change.new
        if new is not None and is_unread(new, state):
            unread += 1
            became = unread_since(new, state)
            since = became if since is None or became < since else since
    thread.unread, thread.unread_since = unread, since if unread else None
    return True


def counted(thread: Thread, figures: Counted) -> None:
    """Take over figures that were counted from all of the thread's communications."""
    thread.state = thread.state._replace(read_through=figures.read_through)
    thread.unread = figures.unread
    thread.unread_since = figures.unread_since
    thread.newest_attention = figures.newest_attention
    thread.active_calls = figures.active_calls
    thread.last_activity_at = figures.last_activity_at
    thread.latest_id = figures.latest_id
    thread.send_failed = figures.send_failed


def content_of(thread: Thread) -> tuple[object, ...]:
    """What a reader of the thread can see: its version grows when this changes."""
    return (
        thread.unread,
        thread.active_calls,
        thread.last_activity_at,
        thread.latest_id,
        thread.send_failed,
    )


def next_version(version: int, now: datetime) -> int:
    """A version that only grows, and goes on growing when a schema is rebuilt from nothing."""
    return max(version + 1, microseconds(now))
