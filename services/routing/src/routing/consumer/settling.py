"""What consumer and timers share: locked communications are decided, saved, and turned into records to publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from routing.communications import Communication, Standing, due_at, last_talks, ring_deadline, stand, talking
from routing.consumer.ringing import Unsaved, plan_rings
from routing.directory import Directory
from routing.facts import Instant, instant
from routing.publication import Content, Ready, next_version, ring_command
from routing.ring_plan import Presence
from routing.storage import communications as storage
from routing.storage.communications import Key, Saving
from routing.storage.directory import Directories
from service_kit.database import Connection
from service_kit.publishing import Outgoing


@dataclass(slots=True)
class Settled:
    """What became of a batch: the records to publish, the deadlines of the plans that were decided now, and the
    calls whose ring command is among the records."""

    publish: list[Outgoing] = field(default_factory=list)
    standings: dict[Key, Standing] = field(default_factory=dict)
    planned: dict[Key, datetime] = field(default_factory=dict)
    rung: list[Key] = field(default_factory=list)


async def settle(
    connection: Connection,
    touched: Mapping[Key, Communication],
    directories: Directories,
    known: Mapping[str, Directory],
    origins: Mapping[Key, Instant],
    now: datetime,
    max_call_hours: float,
    presences: Mapping[Key, Presence] | None = None,
) -> Settled:
    """Decide and save locked communications, and give the current snapshot of every routed one.

    `known` are the directories of their accounts, `origins` the append times of what brought the change about,
    `presences` what the same batch tells of users and is not saved yet.
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
    idle_since = _idle_since(touched, standings)
    unsaved = Unsaved(presences or {}, idle_since)
    settled.planned = await plan_rings(connection, touched, standings, known, unsaved, now)
    version = instant(now)
    savings: list[Saving] = []
    for key, communication in touched.items():
        standing = standings[key]
        if standing.inbox_id is not None:
            content = Content(communication, standing)
            if content.digest != communication.digest:
                communication.digest = content.digest
                communication.version = next_version(communication.version, version)
                communication.origin_at = origins.get(key)
            ready = content.records(communication)
            if (command := _ring_command(communication, standing, now)) is not None:
                ready.append(command)
                settled.rung.append(key)
            settled.publish.extend(Outgoing(*record) for record in ready)
        elif standing.place is not None:
            communication.decided.waited = True
        busy = talking(communication, standing)
        savings.append(Saving(communication, standing, due_at(communication, standing, max_call_hours), busy))
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


def _ring_command(communication: Communication, standing: Standing, now: datetime) -> Ready | None:
    plan = communication.decided.plan
    deadline = None if plan is None else ring_deadline(communication, standing)
    if plan is None or deadline is None or deadline <= now:
        return None
    # The event that calls for it now may be another than the one that the plan was made for.
    if datetime.fromisoformat(plan.command["expires_at"]) <= now:
        return None
    return ring_command(communication.account_id, plan, communication.traceparent)


def _idle_since(touched: Mapping[Key, Communication], standings: Mapping[Key, Standing]) -> dict[Key, Instant]:
    idle_since: dict[Key, Instant] = {}
    for key, communication in touched.items():
        for user_id, ended in last_talks(communication, standings[key]).items():
            of_user = (key[0], user_id)
            idle_since[of_user] = max(ended, idle_since.get(of_user, ended))
    return idle_since
