"""A plain model of threads: everything worked out from all communications, each time, without any cleverness."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from contracts.communications import ACTIVE_CALL, CommunicationChanged
from contracts.threads import thread_id

Place = tuple[datetime, datetime, str, bool]
"""Received, happened, id; the last tells a place itself (True) from the gap just before it (False)."""


@dataclass
class Marks:
    """What people did to one thread by hand, and auto-read."""

    settled: Place | None = None
    unread: list[tuple[datetime, Place]] = field(default_factory=list)
    auto_through: datetime | None = None


@dataclass(frozen=True)
class Figures:
    """What a thread must show."""

    unread: frozenset[str]
    active_calls: int
    latest: str
    last_activity_at: datetime
    send_failed: bool
    contact_name: str | None = None


@dataclass
class PlainInbox:
    """All that is known: the highest version of each communication, and the marks."""

    account_id: str
    connected: frozenset[str]
    manual_only: dict[str, list[tuple[datetime, bool]]] = field(default_factory=dict)
    known: dict[str, CommunicationChanged] = field(default_factory=dict)
    marks: dict[str, Marks] = field(default_factory=dict)
    reads: dict[str, Place | None] = field(default_factory=dict)
    """How far what was sent over HTTP reads its thread: as far as it went when it was sent."""
    auto_through: dict[str, datetime] = field(default_factory=dict)
    """Through which time auto-mark has read each inbox."""

    def deliver(self, snapshots: Iterable[CommunicationChanged]) -> None:
        """Keep the highest versions."""
        for one in snapshots:
            held = self.known.get(one.communication_id)
            if held is None or held.version < one.version:
                self.known[one.communication_id] = one

    def send(self, queued: CommunicationChanged) -> None:
        """Somebody sends something over HTTP: he has all of its thread before him."""
        thread = self.thread_of(queued)
        held = [place_of(one) for one in self.known.values() if one.unread_at and self.thread_of(one) == thread]
        self.reads[queued.communication_id] = max(held, default=None)
        self.known[queued.communication_id] = queued

    def tick(self, inbox_id: str, through: datetime) -> None:
        """Auto-mark comes by."""
        self.auto_through[inbox_id] = max(through, self.auto_through.get(inbox_id, through))

    def in_order(self) -> list[tuple[str, int]]:
        """The threaded list: each thread and how much is unread in it."""
        figures = self.threads()
        order = sorted(
            figures, key=lambda thread: (figures[thread].active_calls > 0, figures[thread].last_activity_at, thread)
        )
        return [(id, len(figures[id].unread)) for id in reversed(order)]

    def unthreaded(self) -> list[tuple[str, bool]]:
        """The unthreaded list: each communication and whether it is unread."""
        unread = {id for figures in self.threads().values() for id in figures.unread}

        def place(one: CommunicationChanged) -> tuple[bool, datetime, str]:
            return (one.kind == "call" and one.status in ACTIVE_CALL, one.activity_at, one.communication_id)

        order = sorted(self.known.values(), key=place, reverse=True)
        return [(one.communication_id, one.communication_id in unread) for one in order]

    def thread_of(self, one: CommunicationChanged) -> str:
        """Its thread."""
        return thread_id(self.account_id, one.inbox_id, one.contact_number, one.communication_id)

    def threads(self) -> dict[str, Figures]:
        """Every thread that holds something."""
        grouped: dict[str, list[CommunicationChanged]] = {}
        for one in self.known.values():
            grouped.setdefault(self.thread_of(one), []).append(one)
        return {id: self._figures(id, members) for id, members in grouped.items()}

    def read(self, thread: str, through: Place | None) -> None:
        """A manual read; None: of all that is there."""
        marks = self.marks.setdefault(thread, Marks())
        members = [one for one in self.known.values() if self.thread_of(one) == thread]
        place = through or max((place_of(one) for one in members if one.unread_at), default=None)
        if place is not None:
            marks.settled = max(place, marks.settled) if marks.settled else place

    def unread(self, thread: str, from_: Place, now: datetime) -> None:
        """A manual unread."""
        marks = self.marks.setdefault(thread, Marks())
        before = (*from_[:3], False)
        marks.settled = min(marks.settled, before) if marks.settled is not None else None
        marks.unread.append((now, from_))

    def auto(self, thread: str, through: datetime) -> None:
        """Auto-read takes what became unread by then."""
        marks = self.marks.setdefault(thread, Marks())
        marks.auto_through = max(through, marks.auto_through or through)

    def _mark(self, marks: Marks, members: Iterable[CommunicationChanged]) -> Place | None:
        places = [marks.settled] if marks.settled else []
        for one in members:
            acted_at = self._acted_at(one)
            if acted_at is None:
                continue
            place = (one.received_at, acted_at, one.communication_id, True)
            if one.communication_id in self.reads:
                held = self.reads[one.communication_id]
                if held is None:
                    continue
                place = held
            # What was marked unread since is not read by what was done before.
            places.append(min([place, *((*from_[:3], False) for at, from_ in marks.unread if acted_at < at)]))
        return max(places, default=None)

    def _acted_at(self, one: CommunicationChanged) -> datetime | None:
        acted_at = None
        if one.direction == "outbound":
            acted_at = one.requested_at or (one.started_at if one.kind == "call" else one.activity_at)
        elif one.kind == "call":
            acted_at = one.answered_at
        if acted_at is None or one.user_id not in self.connected:
            return None
        settings = [on for at, on in self.manual_only.get(one.inbox_id, []) if at <= acted_at]
        return None if settings and settings[-1] else acted_at

    def _figures(self, id: str, members: list[CommunicationChanged]) -> Figures:
        marks = self.marks.get(id, Marks())
        mark = self._mark(marks, members)
        unread = set()
        taken = [one for one in (marks.auto_through, self.auto_through.get(members[0].inbox_id)) if one is not None]
        for one in members:
            if one.unread_at is None:
                continue
            place = place_of(one)
            since = max([one.received_at, *(at for at, from_ in marks.unread if place >= from_)])
            if (mark is None or place > mark) and all(since > through for through in taken):
                unread.add(one.communication_id)
        named = [one for one in members if one.contact_name is not None]
        name = max(named, key=lambda one: (one.activity_at, one.communication_id), default=None)
        latest = max(members, key=lambda one: (one.activity_at, one.communication_id))
        ended = [
            one
            for one in members
            if one.kind == "message"
            and one.direction == "outbound"
            and one.user_id is not None
            and one.status in ("sent", "delivered", "failed", "undelivered")
        ]
        last = max(ended, key=lambda one: (one.activity_at, one.communication_id), default=None)
        return Figures(
            unread=frozenset(unread),
            active_calls=sum(one.kind == "call" and one.status in ACTIVE_CALL for one in members),
            latest=latest.communication_id,
            last_activity_at=latest.activity_at,
            send_failed=last is not None and last.status in ("failed", "undelivered"),
            contact_name=name.contact_name if name else None,
        )


def place_of(one: CommunicationChanged) -> Place:
    """Where a communication stands."""
    return (one.received_at, one.unread_at or one.activity_at, one.communication_id, True)
