"""Ring plans: what they rest on is loaded and locked, decided purely, and remembered (R4, R5)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from contracts import commands
from routing import ring_plan
from routing.communications import Communication, Plan, Standing, ring_deadline, talking
from routing.directory import Directory, InboxSettings
from routing.facts import Instant, instant
from routing.ring_plan import Memory, Presence, RingPlan
from routing.storage import communications as storage
from routing.storage.communications import Key
from service_kit.database import Connection

_RING_COMMANDS: Final = UUID("0a2d4b1c-8f0e-5f5d-9b0b-3a1f2c6d7e81")


@dataclass(frozen=True, slots=True)
class Unsaved:
    """What a batch tells that its own ring plans rest on, and that is saved after them: presence, and ended talks."""

    presences: Mapping[Key, Presence] = field(default_factory=dict)
    idle_since: Mapping[Key, Instant] = field(default_factory=dict)


@dataclass(slots=True)
class _Waiting:
    deadline: datetime
    key: Key
    inbox_id: str
    system: str


async def plan_rings(
    connection: Connection,
    touched: Mapping[Key, Communication],
    standings: Mapping[Key, Standing],
    known: Mapping[str, Directory],
    unsaved: Unsaved,
    now: datetime,
) -> dict[Key, datetime]:
    """Decide the ring plans of the fresh calls of a batch, in the order in which they reached us (R4).

    Gives the deadline of each plan that was decided now. Why a ringing call gets none is noted with it.
    """
    waiting = sorted(_waiting(touched, standings, known, now), key=lambda one: (one.deadline, one.key))
    by_inbox: dict[tuple[str, str], list[_Waiting]] = {}
    for one in waiting:
        by_inbox.setdefault((one.key[0], one.inbox_id), []).append(one)
    # In key order: two batches lock the memories of several inboxes in the same order.
    for (account_id, inbox_id), calls in sorted(by_inbox.items()):
        directory = known[account_id]
        inbox = directory.inboxes.get(inbox_id)
        if inbox is None:
            continue
        here = {key: one for key, one in touched.items() if key[0] == account_id}
        busy = await storage.talking_users(connection, account_id, [key[1] for key in here])
        busy.update(user_id for key, one in here.items() for user_id in talking(one, standings[key]))
        ringer = await Ringer.at(connection, directory, inbox, frozenset(busy), unsaved)
        for one in calls:
            closed = bool(standings[one.key].after_hours)
            touched[one.key].decided.plan = ringer.plan(one.key, now, one.deadline, one.system, is_open=not closed)
        await ringer.remember(connection)
    return {one.key: one.deadline for one in waiting if touched[one.key].decided.plan is not None}


def _waiting(
    touched: Mapping[Key, Communication],
    standings: Mapping[Key, Standing],
    known: Mapping[str, Directory],
    now: datetime,
) -> Iterable[_Waiting]:
    for key, communication in touched.items():
        standing = standings[key]
        if communication.decided.plan is not None or standing.place is None or standing.inbox_id is None:
            continue
        deadline = ring_deadline(communication, standing)
        if deadline is None:
            continue
        line = known[key[0]].lines.get(standing.place.line_number)
        if line is not None and line.rings_itself:
            communication.decided.unplanned = "rings_itself"
        elif deadline <= now:
            communication.decided.unplanned = "late"
        else:
            system = "default" if line is None else line.telephony_system
            yield _Waiting(deadline, key, standing.inbox_id, system)


@dataclass(slots=True)
class Ringer:
    """Plans rings for one inbox: who is there, who is free, and whose turn it is."""

    directory: Directory
    inbox: InboxSettings
    unavailable: Mapping[str, ring_plan.Because]
    heads: dict[tuple[int, str], Instant]
    idle_since: Mapping[str, Instant]
    headed: dict[tuple[int, str], Instant] = field(default_factory=dict)

    @classmethod
    async def at(
        cls,
        connection: Connection,
        directory: Directory,
        inbox: InboxSettings,
        talking_users: frozenset[str],
        unsaved: Unsaved | None = None,
        *,
        looking_only: bool = False,
    ) -> Ringer:
        """Load what a plan rests on; the memory of round robin is locked unless this is only a look."""
        users = [directory.users[user_id] for user_id in inbox.connected if user_id in directory.users]
        told_now = unsaved or Unsaved()
        saved = await storage.presences(connection, directory.account_id, inbox.connected)
        presence = {user_id: one.status for user_id, one in saved.items()}
        for user_id in inbox.connected:
            told = told_now.presences.get((directory.account_id, user_id))
            if told is not None and told.beats(saved.get(user_id)):
                presence[user_id] = told.status
        unavailable = ring_plan.availability(((user.user_id, user.rings) for user in users), presence, talking_users)
        heads: dict[tuple[int, str], Instant] = {}
        if any(layer.mode == "round_robin" for layer in inbox.ring_layers):
            if looking_only:
                heads = await storage.ring_heads(connection, directory.account_id, inbox.inbox_id)
            else:
                heads = await storage.lock_ring_heads(
                    connection, directory.account_id, inbox.inbox_id, _taking_turns(directory, inbox)
                )
        idle_since: dict[str, Instant] = {}
        if any(layer.mode == "longest_idle" for layer in inbox.ring_layers):
            idle_since = await storage.talks(connection, directory.account_id, inbox.connected)
            for user_id in inbox.connected:
                ended = told_now.idle_since.get((directory.account_id, user_id))
                if ended is not None:
                    idle_since[user_id] = max(ended, idle_since.get(user_id, ended))
        return cls(directory, inbox, unavailable, heads, idle_since)

    def decide(self, chance: random.Random, *, is_open: bool) -> RingPlan:
        """Who rings now; `chance` is where a random layer's order comes from."""
        return ring_plan.decide(
            self.inbox.ring_layers,
            self.inbox.connected,
            self.directory.members_by_team(),
            self.unavailable,
            Memory(self.heads, self.idle_since),
            lambda users: chance.sample(users, len(users)),
            is_open=is_open,
        )

    def plan(self, key: Key, now: datetime, deadline: datetime, system: str, *, is_open: bool) -> Plan:
        """Decide one call's plan, and move the round robin on."""
        account_id, call_id = key
        command_id = str(uuid5(_RING_COMMANDS, f"{account_id}/{call_id}"))
        # Seeded by the call: the same call would ring in the same order, and calls differ as dice do.
        decided = self.decide(random.Random(command_id), is_open=is_open)  # noqa: S311 - no secret hangs on it
        for head in decided.heads:
            # Later than every head before it, whatever this replica's clock says.
            self.heads[head] = self.headed[head] = max(instant(now), max(self.heads.values(), default=0) + 1)
        command = commands.Ring(
            command_id=command_id,
            system=system,
            expires_at=deadline,
            call_id=call_id,
            inbox_id=self.inbox.inbox_id,
            layers=tuple(self._with_endpoints(layer) for layer in decided.layers),
            otherwise="voicemail",
        )
        left_out = [[user_id, because] for user_id, because in decided.left_out]
        return Plan(instant(now), command.model_dump(mode="json"), left_out)

    async def remember(self, connection: Connection) -> None:
        """Save whose turn it was."""
        if self.headed:
            await storage.save_ring_heads(connection, self.directory.account_id, self.inbox.inbox_id, self.headed)

    def _with_endpoints(self, layer: ring_plan.PlannedLayer) -> commands.RingLayer:
        users = self.directory.users
        return commands.RingLayer(
            mode=layer.mode,
            user_ids=layer.user_ids,
            endpoints={user_id: users[user_id].endpoints for user_id in layer.user_ids},
            ring_seconds=layer.ring_seconds,
        )


def _taking_turns(directory: Directory, inbox: InboxSettings) -> Iterable[tuple[int, str]]:
    layers = ring_plan.candidates(inbox.ring_layers, inbox.connected, directory.members_by_team())
    return [
        (place, user_id)
        for place, (layer, users, _) in enumerate(layers)
        if layer.mode == "round_robin"
        for user_id in users
    ]
