"""Kafka in: the directory, and communications that become threads (architecture §2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from contracts import communications
from contracts.communications import CommunicationChanged
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, Topic
from inbox_state import events, threads
from inbox_state.keeping import changes_in, fold_and_save
from inbox_state.metrics import EVENT_TO_VIEW_SECONDS
from inbox_state.read_state import manual_only_at
from inbox_state.storage import rules as rules_storage
from inbox_state.storage import threads as storage
from inbox_state.storage.rules import InboxKey, Rules
from inbox_state.threads import Communication, Key, Thread
from service_kit import directory_copy
from service_kit.clock import Clock
from service_kit.consuming import Handling, Outcome, Received
from service_kit.database import Database, until_not_raced

_REPLAY_AFTER: Final = timedelta(hours=1)


class Arrival(NamedTuple):
    """A communication that changed: its row as it was (None: new here), as it is, and the snapshot behind it."""

    known: Communication | None
    now: Communication
    snapshot: CommunicationChanged


def handlers(database: Database, clock: Clock) -> Mapping[Topic, Handling]:
    """What inbox_state consumes: the directory first, since it says who may do what."""

    async def keep_directory(received: Sequence[Received[Any]]) -> Outcome:
        async with database.transaction() as connection:
            await directory_copy.save(connection, received)
        return Outcome()

    async def keep_communications(received: Sequence[Received[CommunicationChanged]]) -> Outcome:
        newest = newest_of(received)

        async def keep() -> dict[Key, Thread]:
            async with database.transaction() as connection:
                known = await storage.lock_known_communications(connection, sorted(newest))
                arrivals = arrivals_of(newest, known)
                rules = await rules_storage.rules_of(connection, inboxes_of(arrivals))
                decide_reading(arrivals, rules)
                await storage.insert_communications(connection, [one.now for one in arrivals if one.known is None])
                touched = await storage.lock_threads(connection, threads_of(known.values()), opened_by(arrivals))
                await storage.save_communications(connection, [one.now for one in arrivals if one.known is not None])
                changes = changes_in(touched, ((one.known, one.now) for one in arrivals))
                await fold_and_save(connection, touched, changes, rules, clock())
            return touched

        touched = await until_not_raced(keep)
        observe_latency(newest.values(), clock)
        return Outcome(publish=[events.thread_changed(thread) for thread in touched.values()])

    return {
        DIRECTORY_EVENTS: Handling(directory_copy.EVENTS, keep_directory),
        COMMUNICATION_EVENTS: Handling({communications.CHANGED: CommunicationChanged}, keep_communications),
    }


def newest_of(
    received: Iterable[Received[CommunicationChanged]],
) -> dict[Key, Received[CommunicationChanged]]:
    """The snapshot with the highest version of each communication in the batch."""
    newest: dict[Key, Received[CommunicationChanged]] = {}
    for one in received:
        event = one.event
        key = (event.account_id, event.data.communication_id)
        held = newest.get(key)
        if held is None or held.event.data.version < event.data.version:
            newest[key] = one
    return newest


def arrivals_of(
    newest: Mapping[Key, Received[CommunicationChanged]], known: Mapping[Key, Communication]
) -> list[Arrival]:
    """What is newer than what is known; the rest is an old or repeated snapshot and changes nothing."""
    arrivals: list[Arrival] = []
    for key, one in newest.items():
        snapshot = one.event.data
        row = known.get(key)
        if row is None or snapshot.version > row.version:
            document = one.event.json.decode() if one.event.json else snapshot.model_dump_json(exclude_none=True)
            arrivals.append(Arrival(row, threads.communication_of(key[0], snapshot, document, row), snapshot))
    return arrivals


def inboxes_of(arrivals: Iterable[Arrival]) -> set[InboxKey]:
    """The inboxes whose rules decide."""
    return {(arrival.now.account_id, arrival.now.inbox_id) for arrival in arrivals}


def decide_reading(arrivals: Iterable[Arrival], rules: Mapping[InboxKey, Rules]) -> None:
    """Say of each communication how far its agent's activity reads the thread: once per activity (I7, I8)."""
    for known, now, snapshot in arrivals:
        if now.acted_at is None:
            continue
        if known is not None and threads.same_activity(snapshot, known, now):
            now.reads_through = known.reads_through
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
        (now.account_id, now.thread_id, now.inbox_id, snapshot.contact_number)
        for known, now, snapshot in arrivals
        if known is None or known.thread_id != now.thread_id
    }


def observe_latency(received: Iterable[Received[CommunicationChanged]], clock: Clock) -> None:
    """Measure how long what is visible now took from the broker's first sight of it; a replay says nothing."""
    now = clock()
    seconds = EVENT_TO_VIEW_SECONDS.labels(service="inbox_state")
    for one in received:
        origin_at = one.event.origin_at
        if origin_at is not None and now - origin_at < _REPLAY_AFTER:
            seconds.observe(max((now - origin_at).total_seconds(), 0.0))
