"""Every administrative change, in one transaction: decided, versioned, recorded, and put in the outbox (A4, A6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from contracts.directory import Account, Line, Snapshot
from routing.administration import Change, InUse, Refused, changes
from routing.directory import Directory, with_snapshots
from routing.http_api.callers import Viewer
from routing.publication import directory_record
from routing.storage import communications as communications_storage
from routing.storage.directory import Directories, next_revision, save_changes
from service_kit import audit, outbox, tracing
from service_kit.clock import Clock, Identify
from service_kit.database import Database, is_transient
from service_kit.http import conflict, invalid
from service_kit.preconditions import Preconditions, entity_tag
from service_kit.publishing import Outgoing

_NOT_SETTINGS = {"version", "deleted", "connected"}
_AT_ONCE: Final = 50
"""How many changes share a transaction at most: a batch holds up whatever else the account's lock is wanted for."""


@dataclass(frozen=True, slots=True)
class OnlyIf:
    """A change that was made for one state of an entity, which `of` finds in the directory."""

    preconditions: Preconditions
    of: Callable[[Directory], Snapshot | None]


@dataclass(slots=True, eq=False)
class _Asked:
    """A change that somebody asked for, and what became of it once that is known."""

    by: str
    decide: Callable[[Directory], Directory]
    only_if: OnlyIf | None
    traceparent: str | None
    outcome: Directory | Exception | None = None


@dataclass(slots=True)
class _Turn:
    """The changes of one account that this process was asked for, in their order; one batch is made at a time."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: list[_Asked] = field(default_factory=list)


class Administration:
    """Changes an account's directory. What would change nothing changes nothing: no version, no event.

    Changes of an account come one after another. Those that wait for their turn share a transaction: each is decided
    on what the one before it left, and is refused or made by itself.
    """

    def __init__(self, database: Database, directories: Directories, clock: Clock, identify: Identify) -> None:
        self._database = database
        self._directories = directories
        self._clock = clock
        self._identify = identify
        self._turns: dict[str, _Turn] = {}

    async def apply(
        self, viewer: Viewer, decide: Callable[[Directory], Directory], only_if: OnlyIf | None = None
    ) -> Directory:
        """Make the directory what `decide` says, and return it with its new versions.

        422 that names the field, or 409, when the decision refuses; 412 when `only_if` does not hold, which is
        looked at last and under the same lock (RFC 9110 §13.2.1).
        """
        account_id = viewer.account_id
        asked = _Asked(viewer.caller.user_id, decide, only_if, tracing.current())
        turn = self._turns.setdefault(account_id, _Turn())
        turn.asked.append(asked)
        try:
            async with turn.lock:
                if asked.outcome is None:
                    await self._make_waiting(account_id, turn, asked)
        finally:
            turn.asked.remove(asked)
            if not turn.asked:
                self._turns.pop(account_id, None)
        if isinstance(asked.outcome, Directory):
            return asked.outcome
        raise asked.outcome or RuntimeError("a change was neither made nor refused")

    async def _make_waiting(self, account_id: str, turn: _Turn, first: _Asked) -> None:
        waiting = [asked for asked in turn.asked if asked.outcome is None][:_AT_ONCE]
        try:
            await self._make(account_id, waiting)
        except Exception as error:
            if len(waiting) == 1 or is_transient(error):
                raise
            # One of them can't be written: it shall fail alone.
            await self._make(account_id, [first])

    async def _make(self, account_id: str, waiting: Sequence[_Asked]) -> None:
        now = self._clock()
        outcomes: list[Directory | Exception] = []
        made: list[tuple[_Asked, Change, Snapshot]] = []
        revision: int | None = None
        async with self._database.transaction() as connection:
            held = await self._directories.locked(connection, account_id)
            for asked in waiting:
                try:
                    after = _decided(held, asked)
                except Exception as refused:
                    outcomes.append(refused)
                    continue
                found = changes(held, after)
                if found:
                    saved = await save_changes(connection, account_id, found, now)
                    made += [(asked, change, snapshot) for change, snapshot in saved]
                    after = with_snapshots(after, (snapshot for _, snapshot in saved if not snapshot.deleted))
                held = after
                outcomes.append(after)
            if made:
                revision = await next_revision(connection, account_id)
                await audit.record(connection, account_id, list(self._entries(made, now)))
                mapped = newly_mapped([change for _, change, _ in made])
                await communications_storage.ask_for_reroute(connection, account_id, mapped)
                records = (
                    directory_record(account_id, change.entity, change.id, snapshot, now, asked.traceparent)
                    for asked, change, snapshot in made
                )
                await outbox.add(connection, [Outgoing(*record) for record in records])
        if revision is not None:
            self._directories.keep(held, revision)
        for asked, outcome in zip(waiting, outcomes, strict=True):
            asked.outcome = outcome

    def _entries(self, made: Iterable[tuple[_Asked, Change, Snapshot]], now: datetime) -> Iterator[audit.Entry]:
        for asked, change, _ in made:
            before, after = _settings(change.before), _settings(change.after)
            if before != after:
                action: audit.Action = "deleted" if after is None else "created" if before is None else "changed"
                yield audit.Entry(self._identify(), now, asked.by, action, change.entity, change.id, before, after)


def _decided(held: Directory, asked: _Asked) -> Directory:
    try:
        after = asked.decide(held)
    except Refused as refused:
        raise invalid(refused.field, refused.message) from None
    except InUse as used:
        raise conflict(str(used)) from None
    if asked.only_if is not None:
        seen = asked.only_if.of(held)
        asked.only_if.preconditions.require(None if seen is None else entity_tag(seen.version))
    return after


def newly_mapped(found: Sequence[Change]) -> set[str]:
    """The lines whose unrouted communications may have found an inbox; '' where it may be any line's (R3)."""
    lines: set[str] = set()
    for change in found:
        match change.after:
            case Line(inbox_id=str()):
                lines.add(change.id)
            case Account(fallback_inbox_id=str()):
                lines.add("")
            case _ if change.entity == "inbox" and change.before is None:
                lines.add("")
    return lines


def _settings(snapshot: Snapshot | None) -> dict[str, Any] | None:
    return None if snapshot is None else snapshot.model_dump(mode="json", exclude=_NOT_SETTINGS)
