"""Kafka in: the directory, and communications that become threads (architecture §2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any, Final, NamedTuple

from contracts import communications
from contracts.communications import CommunicationChanged
from contracts.envelope import Event
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, Topic
from inbox_state import events, live, threads
from inbox_state.keeping import changes_in, fold_and_save
from inbox_state.metrics import EVENT_TO_VIEW_SECONDS
from inbox_state.read_state import manual_only_at
from inbox_state.storage import live as live_storage
from inbox_state.storage import rebuilding as rebuilding_storage
from inbox_state.storage import rules as rules_storage
from inbox_state.storage import threads as storage
from inbox_state.storage.rules import InboxKey, Rules
from inbox_state.threads import Communication, KeptReading, Key, Seen, Thread
from service_kit import directory_copy
from service_kit.clock import Clock
from service_kit.consuming import Handling, Outcome, Received
from service_kit.database import Database, until_not_raced

_REPLAY_AFTER: Final = timedelta(hours=1)
_NOTHING_KEPT: Final[Mapping[Key, KeptReading]] = {}


class Arrival(NamedTuple):
    """A communication that changed: its row as it was (None: new here), and as its newest snapshot has it."""

    known: Communication | None
    seen: Seen

    @property
    def now(self) -> Communication:
        """Its row as it is now."""
        return self.seen.communication

    @property
    def is_new_activity(self) -> bool:
        """Whether it is here for the first time, or again after a rebuild, and shows what an agent did."""
        return self.known is None and self.now.acted_at is not None


def handlers(database: Database, clock: Clock) -> Mapping[Topic, Handling]:
    """What inbox_state consumes: the directory first, since it says who may do what."""

    async def keep_directory(received: Sequence[Received[Any]]) -> Outcome:
        async with database.transaction() as connection:
            changed = await directory_copy.save(connection, received)
            notes = (live.notes_of_directory(one.account_id, one.before, one.after) for one in changed)
            await live_storage.note(connection, list(chain.from_iterable(notes)))
        return Outcome()

    async def keep_communications(received: Sequence[Received[Any]]) -> Outcome:
        newest = newest_of(received)

        async def keep() -> tuple[dict[Key, Thread], dict[Key, str]]:
            async with database.transaction() as connection:
                known = await storage.lock_known_communications(connection, sorted(newest))
                arrivals = arrivals_of(newest, known)
                rules = await rules_storage.rules_of(connection, inboxes_of(arrivals))
                new = {(one.now.account_id, one.now.communication_id) for one in arrivals if one.is_new_activity}
                decide_reading(arrivals, rules, await rebuilding_storage.kept_readings(connection, new))
                await storage.insert_communications(connection, [one.now for one in arrivals if one.known is None])
                touched = await storage.lock_threads(connection, threads_of(known.values()), opened_by(arrivals))
                await storage.save_communications(connection, [one.now for one in arrivals if one.known is not None])
                changes = changes_in(touched, ((one.known, one.now) for one in arrivals))
                await fold_and_save(connection, touched, changes, rules, clock())
            return touched, traces_of(arrivals, newest)

        touched, traces = await until_not_raced(keep)
        observe_latency(newest.values(), clock)
        return Outcome(publish=[events.thread_changed(thread, traces.get(key)) for key, thread in touched.items()])

    return {
        DIRECTORY_EVENTS: Handling(directory_copy.EVENTS, keep_directory),
        COMMUNICATION_EVENTS: Handling(
            {communications.CHANGED: CommunicationChanged}, keep_communications, condense=condensed
        ),
    }


def condensed(event: Event[CommunicationChanged]) -> Seen:
    """What is kept of a snapshot while its batch is at work."""
    document = event.json.decode() if event.json else event.data.model_dump_json(exclude_none=True)
    return threads.seen_in(event.account_id, event.data, document)


def newest_of(received: Iterable[Received[Any]]) -> dict[Key, Received[Any]]:
    """The snapshot with the highest version of each communication in the batch, by what `condensed` made of them."""
    newest: dict[Key, Received[Any]] = {}
    for one in received:
        communication = one.event.data.communication
        key = (communication.account_id, communication.communication_id)
        held = newest.get(key)
        if held is None or held.event.data.communication.version < communication.version:
            newest[key] = one
    return newest


def arrivals_of(newest: Mapping[Key, Received[Any]], known: Mapping[Key, Communication]) -> list[Arrival]:
    """What is newer than what is known; the rest is an old or repeated snapshot and changes nothing."""
    arrivals: list[Arrival] = []
    for key, one in newest.items():
        seen: Seen = one.event.data
        row = known.get(key)
        if row is None:
            arrivals.append(Arrival(None, seen))
        elif seen.communication.version > row.version:
            threads.take_the_place(seen.communication, row)
            arrivals.append(Arrival(row, seen))
    return arrivals


def inboxes_of(arrivals: Iterable[Arrival]) -> set[InboxKey]:
    """The inboxes whose rules decide."""
    return {(arrival.now.account_id, arrival.now.inbox_id) for arrival in arrivals}


def decide_reading(
    arrivals: Iterable[Arrival], rules: Mapping[InboxKey, Rules], kept: Mapping[Key, KeptReading] = _NOTHING_KEPT
) -> None:
    """Say of each communication how far its agent's activity reads the thread: once per activity (I7, I8).

    `kept` is what was decided of those that were emptied to be rebuilt.
    """
    for known, (now, _, was_requested) in arrivals:
        if now.acted_at is None:
            continue
        decided = known or kept.get((now.account_id, now.communication_id))
        if decided is not None and threads.same_activity(decided, now, was_requested=was_requested):
            now.reads_through = decided.reads_through
            continue
        inbox = rules[now.account_id, now.inbox_id]
        now.reads_through = threads.reads(
            now,
            connected=now.actor_id in inbox.connected,
            manual_only=manual_only_at(inbox.history, now.acted_at),
        )


def threads_of(known: Iterable[Communication]) -> set[Key]:
    """The threads of known communications, and those they left: they are published again with them."""
    keys: set[Key] = set()
    for row in known:
        keys.add((row.account_id, row.thread_id))
        if row.left_thread_id is not None:
            keys.add((row.account_id, row.left_thread_id))
    return keys


def opened_by(arrivals: Iterable[Arrival]) -> set[tuple[str, str, str, str]]:
    """The threads that arrivals come into, and that may not be there yet."""
    return {
        (now.account_id, now.thread_id, now.inbox_id, contact_number)
        for known, (now, contact_number, _) in arrivals
        if known is None or known.thread_id != now.thread_id
    }


def traces_of(arrivals: Iterable[Arrival], newest: Mapping[Key, Received[Any]]) -> dict[Key, str]:
    """The trace that each thread's change belongs to, where what brought it about is traced at all."""
    traces: dict[Key, str] = {}
    # Mostly nothing is.
    if all(one.event.traceparent is None for one in newest.values()):
        return traces
    for _, (now, _, _) in arrivals:
        traceparent = newest[now.account_id, now.communication_id].event.traceparent
        if traceparent is not None:
            traces[now.account_id, now.thread_id] = traceparent
    return traces


def observe_latency(received: Iterable[Received[Any]], clock: Clock) -> None:
    """Measure how long what is visible now took from the broker's first sight of it; a replay says nothing."""
    now = clock()
    seconds = EVENT_TO_VIEW_SECONDS.labels(service="inbox_state")
    for one in received:
        origin_at = one.event.origin_at
        if origin_at is not None and now - origin_at < _REPLAY_AFTER:
            seconds.observe(max((now - origin_at).total_seconds(), 0.0))
