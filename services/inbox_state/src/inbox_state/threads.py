"""Threads: what the list shows of each, kept right communication by communication (I3, I4, I6).

`fold` brings a thread up to date with what changed in it. It never has to read the thread's other
communications: where only they can tell, it says so, and the caller counts the thread anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
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
    in_utc,
    is_unread,
    microseconds,
    position_of,
    reads_through,
    unread_since,
)
from inbox_state.searching import text_of

_SENT = frozenset({"sent", "delivered"})
_NOT_SENT = frozenset({"failed", "undelivered"})

Key = tuple[str, str]
"""The account, and the id of a thread or communication in it."""


@dataclass(slots=True)
class Communication:
    """One call or message as its thread sees it; the columns of its row.

    `reads_through` says how far its agent's activity reads the thread, decided once per activity.
    `delivered` is how an agent's text ended, None while that is open. `document` is the snapshot as JSON;
    `contact_name` and `text` (what search finds it by) are parts of it that are not columns. All three are None
    where they were not loaded.
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
    failed: bool
    document: str | None = None
    contact_name: str | None = None
    text: str | None = None


@dataclass(slots=True)
class Thread:
    """One contact in one inbox; the columns of its row. `latest_id` is None while it holds nothing.

    `contact_name` is what telephony calls the contact: the name in the latest communication that has one, which
    is `named_id` of `named_at` (I17). `is_new` as long as the thread was never saved; `name_is_lost` where only its
    other communications can tell the name, `renamed` where it was not saved yet.
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
    contact_name: str | None = None
    named_at: datetime | None = None
    named_id: str | None = None
    is_new: bool = True
    name_is_lost: bool = False
    renamed: bool = False


class Name(NamedTuple):
    """What telephony calls a contact, and the communication that says so."""

    contact_name: str
    named_at: datetime
    named_id: str


class Change(NamedTuple):
    """What became of one communication in one thread: None where it was not, or is no longer, in it."""

    old: Communication | None
    new: Communication | None


@dataclass(frozen=True, slots=True)
class Counted:
    """A thread's figures as its communications give them, without any history; the name only where it was lost."""

    read_through: Position
    unread: int
    unread_since: datetime | None
    newest_attention: Position
    active_calls: int
    last_activity_at: datetime | None
    latest_id: str | None
    send_failed: bool
    name: Name | None = None


def thread_of(account_id: str, inbox_id: str, contact_number: str, communication_id: str) -> str:
    """The thread of a communication; each withheld number is a thread of its own."""
    return threads.thread_id(
        account_id, inbox_id, contact_number, communication_id if contact_number == ANONYMOUS else ""
    )


class Seen(NamedTuple):
    """A snapshot as far as threads need it. What its agent's activity reads is left to be decided."""

    communication: Communication
    contact_number: str
    was_requested: bool


def seen_in(account_id: str, snapshot: CommunicationChanged, document: str) -> Seen:
    """A snapshot, with its JSON, as far as threads need it."""
    communication = communication_of(account_id, snapshot, document)
    return Seen(communication, snapshot.contact_number, snapshot.requested_at is not None)


def take_the_place(new: Communication, known: Communication) -> None:
    """Let a newer row of a communication remember the thread that it leaves, or once left."""
    new.left_thread_id = known.left_thread_id if known.thread_id == new.thread_id else known.thread_id


def communication_of(account_id: str, snapshot: CommunicationChanged, document: str) -> Communication:
    """A snapshot as a new row. What its activity reads is left to be decided."""
    kind = snapshot.kind
    activity = activity_in(snapshot)
    communication_id = snapshot.communication_id
    thread_id = thread_of(account_id, snapshot.inbox_id, snapshot.contact_number, communication_id)
    delivered = None
    if kind == "message" and activity is not None:
        status = snapshot.status
        delivered = True if status in _SENT else False if status in _NOT_SENT else None
    unread_at = snapshot.unread_at
    activity_at, received_at = in_utc(snapshot.activity_at), in_utc(snapshot.received_at)
    return Communication(
        account_id,
        communication_id,
        snapshot.version,
        thread_id,
        None,
        snapshot.inbox_id,
        snapshot.line_number,
        kind,
        kind == "call" and snapshot.status in ACTIVE_CALL,
        activity_at,
        received_at,
        unread_at is not None,
        position_of(received_at, in_utc(unread_at) if unread_at else activity_at, communication_id),
        activity.user_id if activity else None,
        in_utc(activity.acted_at) if activity else None,
        None,
        delivered,
        snapshot.status in _NOT_SENT,
        document,
        snapshot.contact_name,
        text_of(snapshot),
    )


class KeptReading(NamedTuple):
    """What was decided of an agent's activity, and which activity that was: as a communication has it."""

    inbox_id: str
    actor_id: str | None
    acted_at: datetime | None
    received_at: datetime | None
    reads_through: Position | None


def same_activity(old: Communication | KeptReading, new: Communication, *, was_requested: bool) -> bool:
    """Whether a newer snapshot shows the activity that was decided already: receipts change nothing (I7)."""
    if (old.inbox_id, old.actor_id, old.acted_at) != (new.inbox_id, new.actor_id, new.acted_at):
        return False
    # What began over HTTP was decided by its request, and reached us by it.
    return was_requested or old.received_at == new.received_at


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
                and held.read_through > held.settled_through
                and _raises(old, held) == held.read_through
                and _raises(new, marks) < held.read_through
            ):
                # The activity that read the furthest is gone or reads less: others decide now.
                certain = False
        if new is not None:
            thread.active_calls += new.active
            if new.wants_attention and new.position > newest:
                newest = new.position
            if new.reads_through is not None:
                mark = max(mark, _raises(new, marks))
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
    thread.name_is_lost = not _rename(thread, changes)
    return certain and not thread.name_is_lost and _recount(thread, changes, held)


def _stands_as_far(new: Communication | None, old: Communication) -> bool:
    return new is not None and new.wants_attention and new.position >= old.position


def _raises(communication: Communication | None, marks: ReadState) -> Position:
    if communication is None or communication.reads_through is None or communication.acted_at is None:
        return BEGINNING
    return reads_through(communication.reads_through, communication.acted_at, marks)


def _rename(thread: Thread, changes: Sequence[Change]) -> bool:
    """Take over the contact's name from what changed; False when the one that gave it no longer does."""
    held = _place_of_name(thread)
    lost = False
    for old, new in changes:
        stands = new is not None and new.contact_name is not None
        if old is not None and held is not None and old.communication_id == held[1]:
            lost = not (new is not None and stands and (new.activity_at, new.communication_id) >= held)
        if new is not None and stands:
            place = _place_of_name(thread)
            if place is None or (new.activity_at, new.communication_id) >= place:
                thread.renamed = thread.renamed or thread.contact_name != new.contact_name
                thread.contact_name, thread.named_at = new.contact_name, new.activity_at
                thread.named_id = new.communication_id
    return not lost


def _place_of_name(thread: Thread) -> tuple[datetime, str] | None:
    if thread.named_at is None or thread.named_id is None:
        return None
    return (thread.named_at, thread.named_id)


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
    if thread.name_is_lost:
        name = figures.name
        thread.renamed = True
        thread.contact_name, thread.named_at, thread.named_id = name or (None, None, None)
        thread.name_is_lost = False


def content_of(thread: Thread) -> tuple[object, ...]:
    """What a reader of the thread can see: its version grows when this changes."""
    return (
        thread.unread,
        thread.active_calls,
        thread.last_activity_at,
        thread.latest_id,
        thread.send_failed,
        thread.contact_name,
    )


def next_version(version: int, now: datetime) -> int:
    """A version that only grows, and goes on growing when a schema is rebuilt from nothing."""
    return max(version + 1, microseconds(now))
