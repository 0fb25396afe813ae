"""Kafka in: telephony's events, and what people asked for over HTTP, become routed communications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from contracts import inbox_events, telephony
from contracts.envelope import Reason
from contracts.inbox_events import CallRequested, MessageRequested
from contracts.telephony import CALL_FACTS, MESSAGE_FACTS, CommandRejected, UserPresence
from contracts.topics import INBOX_EVENTS, MAX_TELEPHONY_VALUE_BYTES, TELEPHONY_EVENTS, Topic
from routing.communications import Communication, KindChanged, Standing, merge, merge_request
from routing.consumer.settling import merge_refusals, settle
from routing.directory import Directory
from routing.facts import Fact, Instant, instant
from routing.metrics import LastEvents, PlansUnderWay
from routing.ring_plan import Presence
from routing.storage import communications as storage
from routing.storage.communications import Key
from routing.storage.directory import Directories
from service_kit.clock import Clock
from service_kit.consuming import Handling, Outcome, Received, Rejected
from service_kit.database import Database, until_not_raced

_REQUESTS: Final[Mapping[str, Any]] = {
    inbox_events.MESSAGE_REQUESTED: MessageRequested,
    inbox_events.CALL_REQUESTED: CallRequested,
}


@dataclass(slots=True)
class Batch:
    """A batch sorted by what it is about."""

    communications: dict[Key, list[Received[Any]]] = field(default_factory=dict)
    presences: list[Received[UserPresence]] = field(default_factory=list)
    refusals: dict[Key, Fact[str]] = field(default_factory=dict)

    @property
    def account_ids(self) -> set[str]:
        """Every account that the batch speaks of."""
        return {key[0] for key in (*self.communications, *self.refusals)} | {
            received.event.account_id for received in self.presences
        }


def sort_out(received: Sequence[Received[Any]]) -> Batch:
    """Sort a batch: facts by communication, refusals by command, presence as it came."""
    batch = Batch()
    for one in received:
        event = one.event
        account_id, data = event.account_id, event.data
        if event.type in CALL_FACTS:
            batch.communications.setdefault((account_id, data.call_id), []).append(one)
        elif event.type in MESSAGE_FACTS:
            batch.communications.setdefault((account_id, data.message_id), []).append(one)
        elif isinstance(data, UserPresence):
            batch.presences.append(one)
        elif isinstance(data, CommandRejected):
            fact = Fact(instant(event.time), event.id, instant(one.appended_at), data.reason)
            held = batch.refusals.get((account_id, data.command_id))
            batch.refusals[account_id, data.command_id] = fact if held is None else min(held, fact)
        elif isinstance(data, MessageRequested | CallRequested):
            requested_id = data.message_id if isinstance(data, MessageRequested) else data.call_id
            batch.communications.setdefault((account_id, requested_id), []).append(one)
    return batch


class Routing:
    """Handles batches: lock and load, merge, decide, save, and name what is to be published."""

    def __init__(
        self, database: Database, directories: Directories, clock: Clock, last_events: LastEvents, max_call_hours: float
    ) -> None:
        self._database = database
        self._directories = directories
        self._clock = clock
        self._last_events = last_events
        self._max_call_hours = max_call_hours
        self._plans = PlansUnderWay(clock)

    def handlers(self) -> dict[Topic, Handling]:
        """What the consumer listens to."""
        return {
            INBOX_EVENTS: Handling(_REQUESTS, self.handle),
            TELEPHONY_EVENTS: Handling(telephony.EVENTS, self.handle, MAX_TELEPHONY_VALUE_BYTES),
        }

    async def handle(self, received: Sequence[Received[Any]]) -> Outcome:
        """Merge a batch into its communications, in one transaction."""
        batch = sort_out(received)
        return await until_not_raced(lambda: self._route(batch))

    async def _route(self, batch: Batch) -> Outcome:
        now = self._clock()
        async with self._database.transaction() as connection:
            known = await self._directories.current(connection, batch.account_ids)
            await storage.save_refusals(connection, batch.refusals)
            commanded = await storage.requested_by(connection, batch.refusals) if batch.refusals else []
            touched = await storage.lock_communications(connection, {*batch.communications, *commanded})
            rejected = merge_batch(batch, touched, known)
            await merge_refusals(connection, touched)
            presences = newest_presences(batch.presences, known)
            settled = await settle(
                connection,
                _with_facts(touched),
                self._directories,
                known,
                _origins(batch),
                now,
                self._max_call_hours,
                presences,
            )
            # Last of all: presence rows are locked for the shortest time.
            await storage.save_presences(connection, presences)
        self._observe(batch, settled.standings, known)
        self._plans.decided(settled.planned)
        return Outcome(settled.publish, rejected, [partial(self._plans.acknowledged, settled.rung)])

    def _observe(
        self,
        batch: Batch,
        standings: Mapping[Key, Standing],
        known: Mapping[str, Directory],
    ) -> None:
        heard: dict[tuple[str, str], datetime] = {}
        for key, received in batch.communications.items():
            place = standings[key].place if key in standings else None
            if place is not None and received[-1].topic == TELEPHONY_EVENTS.name:
                line = (key[0], place.line_number)
                heard[line] = max(heard.get(line, received[-1].appended_at), received[-1].appended_at)
        for (account_id, line_number), appended_at in heard.items():
            found = known[account_id].lines.get(line_number)
            self._last_events.heard("default" if found is None else found.telephony_system, appended_at)


def merge_batch(batch: Batch, touched: Mapping[Key, Communication], known: Mapping[str, Directory]) -> list[Rejected]:
    """Merge every fact into its communication; what is of another kind than its id is rejected (contract §2)."""
    rejected: list[Rejected] = []
    for key, facts in batch.communications.items():
        communication, directory = touched[key], known[key[0]]
        for received in facts:
            try:
                if received.event.type in _REQUESTS:
                    merge_request(communication, received.event.data)
                else:
                    merge(communication, received.event, received.appended_at, directory)
                communication.traceparent = received.event.traceparent
            except KindChanged:
                detail = "data: the id belongs to a communication of the other kind"
                rejected.append(Rejected(received, Reason.KIND_CHANGED, detail))
    return rejected


def newest_presences(received: Sequence[Received[UserPresence]], known: Mapping[str, Directory]) -> dict[Key, Presence]:
    """The newest presence of each user in a batch; an endpoint that nobody has says nothing of anybody."""
    newest: dict[Key, Presence] = {}
    for one in received:
        event = one.event
        user_id = event.data.user_id
        if user_id is None and event.data.endpoint is not None:
            user_id = known[event.account_id].user_at(event.data.endpoint)
        if user_id is None:
            continue
        presence = Presence(event.data.status, event.time, event.id)
        if presence.beats(newest.get((event.account_id, user_id))):
            newest[event.account_id, user_id] = presence
    return newest


def _with_facts(touched: Mapping[Key, Communication]) -> dict[Key, Communication]:
    # A row whose only facts were rejected stays a bare key.
    return {key: communication for key, communication in touched.items() if communication.facts is not None}


def _origins(batch: Batch) -> dict[Key, Instant]:
    origins: dict[Key, Instant] = {}
    for key, received in batch.communications.items():
        data = received[-1].event.data
        requested = type(data) in (MessageRequested, CallRequested)
        origins[key] = instant(data.requested_at if requested else max(one.appended_at for one in received))
    return origins
