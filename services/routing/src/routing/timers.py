"""Time in: ghost calls, requests that nobody took, and unrouted communications whose line is mapped by now."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from contracts.topics import TELEPHONY_EVENTS
from routing.communications import Communication, conclude
from routing.consumer.settling import merge_refusals, settle
from routing.directory import Directory
from routing.metrics import NOT_TAKEN, SERVICE, UNROUTED, LastEvents
from routing.storage import communications as storage
from routing.storage import directory as directory_storage
from routing.storage.communications import Key
from routing.storage.directory import Directories
from service_kit import input_progress, outbox
from service_kit.clock import Clock
from service_kit.database import Connection, Database
from service_kit.timers import Timer

UNTOUCHED_FOR: Final = timedelta(minutes=15)
"""A call is a ghost only when nothing touched it for so long: we might merely be behind (architecture §3)."""

_BATCH: Final = 200


class Conclusions:
    """Concludes from silence (M4), and decides again what could not be routed (R3)."""

    def __init__(self, database: Database, directories: Directories, clock: Clock, max_call_hours: float) -> None:
        self._database = database
        self._directories = directories
        self._clock = clock
        self._max_call_hours = max_call_hours

    def timers(self) -> list[Timer]:
        """Everything that has to be looked for again and again."""
        return [
            Timer("overdue", timedelta(seconds=2), self.conclude_overdue),
            Timer("reroutes", timedelta(seconds=1), self.route_again),
            Timer("missed-reroutes", timedelta(minutes=1), self.find_missed_reroutes),
            Timer("unrouted", timedelta(seconds=15), self.count_unrouted),
        ]

    async def conclude_overdue(self) -> bool:
        """Close a batch of ghosts and of requests that nobody took. True when there may be more.

        Nothing is concluded from what has not been read: what fell due after the time through which telephony's
        events are known, on every partition, waits until they are.
        """
        now = self._clock()
        async with self._database.transaction() as connection:
            read_through = await input_progress.complete_through(connection, [TELEPHONY_EVENTS.name])
            if read_through is None:
                return False
            due = await storage.due_communications(connection, min(now, read_through), now - UNTOUCHED_FOR, _BATCH)
            await merge_refusals(connection, due)
            verdicts = {key: conclude(communication) for key, communication in due.items()}
            known = await self._settle(connection, due)
        for key, verdict in verdicts.items():
            if verdict == "not_taken":
                NOT_TAKEN.labels(service=SERVICE, system=_system_of(due[key], known[key[0]])).inc()
        return len(due) == _BATCH

    async def route_again(self) -> bool:
        """Decide some unrouted communications of one line again, with their original times (R3)."""
        async with self._database.transaction() as connection:
            asked = await storage.waiting_reroute(connection)
            if asked is None:
                return False
            account_id, line_number = asked
            await self._directories.held_still(connection, [account_id])
            done_through = await storage.take_reroute(connection, account_id, line_number)
            if done_through is None:
                return False
            waiting = await storage.unrouted_communications(connection, account_id, line_number, done_through, _BATCH)
            await self._settle(connection, waiting)
            more = len(waiting) == _BATCH
            last = max(key[1] for key in waiting) if more else None
            await storage.advance_reroute(connection, account_id, line_number, last)
        return True

    async def find_missed_reroutes(self) -> bool:
        """Catch what a mapping's wake-up missed: a race that nothing else would notice."""
        async with self._database.transaction() as connection:
            await storage.ask_for_missed_reroutes(connection)
        return False

    async def count_unrouted(self) -> bool:
        """Keep the gauge of what waits for a mapping."""
        async with self._database.connection() as connection:
            UNROUTED.labels(service=SERVICE).set(await storage.count_unrouted(connection))
        return False

    async def _settle(self, connection: Connection, locked: dict[Key, Communication]) -> dict[str, Directory]:
        known = await self._directories.current(connection, {key[0] for key in locked})
        if locked:
            settled = await settle(
                connection, locked, self._directories, known, {}, self._clock(), self._max_call_hours
            )
            await outbox.add(connection, settled.publish)
        return known


def watch_systems(database: Database, last_events: LastEvents) -> Timer:
    """A timer that keeps `telephony_last_event_age_seconds` of every system that has lines, silent ones too."""

    async def look() -> bool:
        async with database.connection() as connection:
            last_events.expect(await directory_storage.telephony_systems(connection))
        return False

    return Timer("telephony-systems", timedelta(seconds=15), look)


def _system_of(communication: Communication, directory: Directory) -> str:
    requested = None if communication.facts is None else communication.facts.requested
    line = None if requested is None else directory.lines.get(requested.line_number)
    return "default" if line is None else line.telephony_system
