"""What consumer and timers share: locked communications are decided, saved, and turned into records to publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from routing.calls import CallFacts
from routing.communications import Communication, Standing, due_at, ring_deadline, stand, talking
from routing.consumer.ringing import plan_rings
from routing.directory import Directory
from routing.facts import Instant, instant
from routing.publication import Content, Ready, next_version, ring_command
from routing.storage import communications as storage
from routing.storage.communications import Key, Saving
from routing.storage.directory import Directories
from service_kit.database import Connection
from service_kit.publishing import Outgoing


@dataclass(slots=True)
class Settled:
    """What became of a batch: the records to publish, and how long after its append each new plan was decided."""

    publish: list[Outgoing] = field(default_factory=list)
    standings: dict[Key, Standing] = field(default_factory=dict)
    planned_for: list[datetime] = field(default_factory=list)


async def settle(
    connection: Connection,
    touched: Mapping[Key, Communication],
    directories: Directories,
    known: Mapping[str, Directory],
    origins: Mapping[Key, Instant],
    now: datetime,
    max_call_hours: float,
) -> Settled:
    """Decide and save locked communications, and give the current snapshot of every routed one.

    `known` are the directories of their accounts, `origins` the append times of what brought the change about.
    A version grows only where the content did; what is unrouted or still waits for facts is saved unpublished.
    """
    settled = Settled()
    standings = settled.standings = {key: stand(one, known[key[0]]) for key, one in touched.items()}
    unrouted = {key[0] for key, standing in standings.items() if standing.place and standing.inbox_id is None}
    if unrouted:
        # A mapping that is being made at this moment waits for us, and then finds these rows.
        still = await directories.held_still(connection, unrouted)
        changed = {account_id for account_id in unrouted if still[account_id] is not known[account_id]}
        known = {**known, **still}
        standings.update({key: stand(one, known[key[0]]) for key, one in touched.items() if key[0] in changed})
    settled.planned_for = await plan_rings(connection, touched, standings, known, now)
    version = instant(now)
    savings: list[Saving] = []
    idle_since: dict[Key, Instant] = {}
    for key, communication in touched.items():
        standing = standings[key]
        if standing.inbox_id is not None:
            content = Content(communication, standing)
            if content.digest != communication.digest:
                communication.digest = content.digest
                communication.version = next_version(communication.version, version)
                communication.origin_at = origins.get(key)
            ready = content.records(communication) + _ring_command(communication, standing, now)
            settled.publish.extend(Outgoing(*record) for record in ready)
        busy = talking(communication, standing)
        savings.append(Saving(communication, standing, due_at(communication, standing, max_call_hours), busy))
        _note_talks(communication, standing, idle_since)
    await storage.save_communications(connection, savings, now)
    await storage.save_talks(connection, idle_since)
    return settled


async def merge_refusals(connection: Connection, locked: Mapping[Key, Communication]) -> None:
    """Merge what telephony systems said to the commands of requests that nothing else is known of yet."""
    asked = {
        (key[0], facts.requested.command_id): facts
        for key, communication in locked.items()
        if (facts := communication.facts) is not None and facts.requested is not None and not facts.reported
    }
    if asked:
        for command, refusal in (await storage.refusals(connection, asked)).items():
            asked[command].refused = refusal


def _ring_command(communication: Communication, standing: Standing, now: datetime) -> list[Ready]:
    plan = communication.decided.plan
    deadline = None if plan is None else ring_deadline(communication, standing)
    if plan is None or deadline is None or deadline <= now:
        return []
    return [ring_command(communication.account_id, plan)]


def _note_talks(communication: Communication, standing: Standing, idle_since: dict[Key, Instant]) -> None:
    call, facts = standing.call, communication.facts
    if call is None or call.ended_at is None or not isinstance(facts, CallFacts):
        return
    for participant in facts.participants.values():
        if participant.user_id is not None and participant.answered_at is not None:
            key = (communication.account_id, participant.user_id)
            until = min(call.ended_at, participant.left_at or call.ended_at)
            idle_since[key] = max(until, idle_since.get(key, until))
