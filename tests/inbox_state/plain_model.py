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
    unread_at: datetime | None = None
    unread_from: Place | None = None
    auto_through: datetime | None = None


@dataclass(frozen=True)
class Figures:
    """What a thread must show."""

    unread: frozenset[str]
    active_calls: int
    latest: str
    last_activity_at: datetime
    send_failed: bool


@dataclass
class PlainInbox:
    """All that is known: the highest version of each communication, and the marks."""

    account_id: str
    connected: frozenset[str]
    manual_only_from: datetime | None = None
    known: dict[str, CommunicationChanged] = field(default_factory=dict)
    marks: dict[str, Marks] = field(default_factory=dict)

    def deliver(self, snapshots: Iterable[CommunicationChanged]) -> None:
        """Keep the highest versions."""
        for one in snapshots:
            held = self.known.get(one.communication_id)
            if held is None or held.version < one.version:
                self.known[one.communication_id] = one

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
        members = [one for one in self.known.values() if self.thread_of(one) == thread]
        mark = self._mark(marks, members)
        before = (*from_[:3], False)
        if marks.unread_from is not None and (mark is None or marks.unread_from > mark):
            marks.unread_from = min(marks.unread_from, from_)
        else:
            marks.unread_from = from_
        marks.settled = min(mark, before) if mark is not None else None
        marks.unread_at = now

    def auto(self, thread: str, through: datetime) -> None:
        """Auto-read takes what became unread by then."""
        marks = self.marks.setdefault(thread, Marks())
        marks.auto_through = max(through, marks.auto_through or through)

    def _mark(self, marks: Marks, members: Iterable[CommunicationChanged]) -> Place | None:
        places = [marks.settled] if marks.settled else []
        for one in members:
            acted_at = self._acted_at(one)
            if acted_at is None or (marks.unread_at is not None and acted_at < marks.unread_at):
                continue
            places.append((one.received_at, acted_at, one.communication_id, True))
        return max(places, default=None)

    def _acted_at(self, one: CommunicationChanged) -> datetime | None:
        acted_at = None
        if one.direction == "outbound":
            acted_at = one.requested_at or (one.started_at if one.kind == "call" else one.activity_at)
        elif one.kind == "call":
            acted_at = one.answered_at
        if acted_at is None or one.user_id not in self.connected:
            return None
        manual_only = self.manual_only_from is not None and acted_at >= self.manual_only_from
        return None if manual_only else acted_at

    def _figures(self, id: str, members: list[CommunicationChanged]) -> Figures:
        marks = self.marks.get(id, Marks())
        mark = self._mark(marks, members)
        unread = set()
        for one in members:
            if one.unread_at is None:
                continue
            place = place_of(one)
            since = one.received_at
            if marks.unread_at is not None and marks.unread_from is not None and place >= marks.unread_from:
                since = max(since, marks.unread_at)
            if (mark is None or place > mark) and (marks.auto_through is None or since > marks.auto_through):
                unread.add(one.communication_id)
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
        )


def place_of(one: CommunicationChanged) -> Place:
    """Where a communication stands."""
    return (one.received_at, one.unread_at or one.activity_at, one.communication_id, True)
