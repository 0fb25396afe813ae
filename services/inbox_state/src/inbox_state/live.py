"""What open streams have to be told: what changed, whom it concerns, and since when (I15, decision 9).

Whoever changes what people see notes it in the journal, in the same transaction. A note names rows; what they hold
is read when it is sent, so that notes may be merged, repeated and read late.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

import orjson

from contracts.directory import Account, Inbox, Snapshot, User
from inbox_state.read_state import Position
from inbox_state.threads import Change, Key, Thread

_MOMENT: Final = re.compile(r"(\d{1,18}):(\d{1,18}):((?:\d{1,18}(?:,\d{1,18})*)?)", re.ASCII)
_MOST_RUNNING: Final = 20


class Moment(NamedTuple):
    """What was committed at a moment, as Postgres says it (`pg_snapshot`), and the id of what a stream sends.

    Committed is every transaction before `xmin`, none from `xmax` on, and between them all that are not `running`.
    """

    xmin: int
    xmax: int
    running: tuple[int, ...] = ()

    def __str__(self) -> str:
        if len(self.running) > _MOST_RUNNING:
            # An earlier moment is as good to resume from: what is sent twice does no harm.
            return f"{self.xmin}:{self.xmin}:"
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, self.running))}"


def moment_of(text: str) -> Moment | None:
    """A moment from its text; None for what is none."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    running = tuple(int(one) for one in match[3].split(",")) if match[3] else ()
    moment = Moment(int(match[1]), int(match[2]), running)
    in_range = moment.xmin <= moment.xmax and all(moment.xmin <= one < moment.xmax for one in running)
    return moment if in_range else None


@dataclass(slots=True)
class InboxChanged:
    """What changed in one inbox.

    `threads` are to be shown as they are now; a position says from where on their communications may have become
    read or unread. `left` are threads that lost a communication to another: all that is left is to be shown again.
    `whole` are threads all of whose communications look different.
    """

    threads: dict[str, Position | None] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    communications: set[str] = field(default_factory=set)

    def add(self, other: InboxChanged) -> None:
        """Take in what another note of the same inbox says."""
        for thread_id, since in other.threads.items():
            held = self.threads.get(thread_id)
            self.threads[thread_id] = held if since is None else since if held is None else min(held, since)
        self.left |= other.left
        self.whole |= other.whole
        self.communications |= other.communications

    @property
    def rows(self) -> int:
        """How many rows have to be shown, at least."""
        return len(self.threads) + len(self.communications)


@dataclass(frozen=True, slots=True)
class InboxRenamed:
    """Every row of an inbox shows another name."""


@dataclass(frozen=True, slots=True)
class ContactNamed:
    """Every row of a contact, in whatever inbox, shows another name."""

    number: str


@dataclass(frozen=True, slots=True)
class AccessChanged:
    """Who may see what has changed, for these users or (None) for anybody in the account."""

    users: frozenset[str] | None


Noted: TypeAlias = InboxChanged | InboxRenamed | ContactNamed | AccessChanged


class Note(NamedTuple):
    """One entry of the journal. `inbox_id` is None where the whole account is concerned."""

    account_id: str
    inbox_id: str | None
    noted: Noted


def written(noted: Noted) -> str:
    """What a note says, as the journal keeps it."""
    match noted:
        case InboxChanged():
            document: dict[str, object] = {"threads": noted.threads, "communications": list(noted.communications)}
            if noted.left:
                document["left"] = list(noted.left)
        case InboxRenamed():
            document = {"renamed": True}
        case ContactNamed(number):
            document = {"contact": number}
        case AccessChanged(users):
            document = {"access": None if users is None else sorted(users)}
    return orjson.dumps(document).decode()


def read(text: str) -> Noted:
    """What the journal keeps, as a note says it."""
    document = orjson.loads(text)
    if "threads" in document:
        return InboxChanged(
            threads=document["threads"],
            left=set(document.get("left", ())),
            communications=set(document["communications"]),
        )
    if "contact" in document:
        return ContactNamed(document["contact"])
    if "access" in document:
        users = document["access"]
        return AccessChanged(None if users is None else frozenset(users))
    return InboxRenamed()


class Before(NamedTuple):
    """What of a thread decides which of its communications are unread, before it is changed."""

    read_through: Position
    marks: object
    unread: int


def before(thread: Thread) -> Before:
    """A thread that is about to be changed."""
    return Before(thread.state.read_through, thread.state, thread.unread)


def unread_changed_from(was: Before, thread: Thread) -> Position | None:
    """From which position on communications of a changed thread may have become read or unread; None: none has."""
    if was.marks == thread.state or not (was.unread or thread.unread):
        return None
    return min(was.read_through, thread.state.read_through)


def notes_of(
    changed: Iterable[tuple[Thread, Before]], changes: Mapping[Key, Sequence[Change]] | None = None
) -> list[Note]:
    """The notes of changed threads, one for each inbox. `changes` are what became of their communications."""
    inboxes: dict[tuple[str, str], InboxChanged] = {}
    for thread, was in changed:
        note = inboxes.setdefault((thread.account_id, thread.inbox_id), InboxChanged())
        note.threads[thread.thread_id] = unread_changed_from(was, thread)
        for change in changes[thread.account_id, thread.thread_id] if changes else ():
            if change.new is None:
                note.left.add(thread.thread_id)
            else:
                note.communications.add(change.new.communication_id)
    return [Note(account_id, inbox_id, note) for (account_id, inbox_id), note in inboxes.items()]


def notes_of_directory(account_id: str, was: Snapshot | None, now: Snapshot) -> list[Note]:
    """The notes of a changed snapshot: who may see what follows from inboxes, users and the account itself (I2)."""
    match now:
        case Inbox():
            held = was if isinstance(was, Inbox) and not was.deleted else None
            living = None if now.deleted else now
            if held is None or living is None:
                # Admins who see all have no tie that could tell that it concerns them.
                return [] if held is living else [Note(account_id, None, AccessChanged(None))]
            notes: list[Note] = []
            if concerned := tied(held) ^ tied(living):
                notes.append(Note(account_id, None, AccessChanged(frozenset(concerned))))
            if held.name != living.name:
                notes.append(Note(account_id, living.inbox_id, InboxRenamed()))
            return notes
        case User():
            known = was if isinstance(was, User) else None
            if known and (known.active, known.role, known.deleted) == (now.active, now.role, now.deleted):
                return []
            return [Note(account_id, None, AccessChanged(frozenset({now.user_id})))]
        case Account():
            before_it = was if isinstance(was, Account) else None
            if before_it and (before_it.admins_see_all, before_it.deleted) == (now.admins_see_all, now.deleted):
                return []
            return [Note(account_id, None, AccessChanged(None))]
        case _:
            return []


def tied(inbox: Inbox) -> set[str]:
    """Who is connected to an inbox or watches it."""
    return {*inbox.connected, *(watcher.user_id for watcher in inbox.watchers)}
