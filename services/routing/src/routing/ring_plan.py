"""Who rings for a call, in what order, and who is left out because of what (R4, R5, R6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, assert_never

from contracts.commands import RingMode
from contracts.directory import RingLayer
from routing.facts import Instant

Because = Literal["not connected", "in no layer", "rings is off", "busy", "away", "offline", "talking"]

Shuffle = Callable[[list[str]], list[str]]
"""Puts users in a random order; the caller brings the randomness."""


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """Users in ringing order: all at once for `ring_seconds`, or one after another in the other modes."""

    mode: RingMode
    user_ids: tuple[str, ...]
    ring_seconds: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What earlier calls left behind: whom a layer headed last, and since when nobody talked to whom."""

    last_headed_at: Mapping[tuple[int, str], Instant] = field(default_factory=dict)
    idle_since: Mapping[str, Instant] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RingPlan:
    """The decision: no layers means straight to voicemail. `heads` are to be remembered by layer and user."""

    layers: tuple[PlannedLayer, ...]
    left_out: tuple[tuple[str, Because], ...] = ()
    heads: tuple[tuple[int, str], ...] = ()
    after_hours: bool = False


def candidates(
    layers: Sequence[RingLayer], connected: Sequence[str], members: Mapping[str, Sequence[str]]
) -> list[tuple[RingLayer, list[str], list[str]]]:
    """Each layer with its connected users in the order that it names them, and those who are not connected.

    `members` gives each team's. Without layers there is one of everybody, rung together.
    """
    if not layers:
        return [(RingLayer(), list(connected), [])]
    among = set(connected)
    found = []
    for layer in layers:
        of_teams = (user_id for team_id in layer.teams for user_id in members.get(team_id, ()))
        named = list(dict.fromkeys([*layer.users, *of_teams]))
        found.append((layer, [user for user in named if user in among], [user for user in named if user not in among]))
    return found


def decide(
    layers: Sequence[RingLayer],
    connected: Sequence[str],
    members: Mapping[str, Sequence[str]],
    unavailable: Mapping[str, Because],
    memory: Memory,
    shuffle: Shuffle,
    *,
    is_open: bool,
) -> RingPlan:
    """Plan who rings (R4): layers cut to connected users who are available (R5), each in its mode's order.

    Outside the business hours nobody rings (R6). A layer with nobody left is dropped; its place in the inbox's
    list is what `Memory` and `heads` know it by.
    """
    if not is_open:
        return RingPlan(layers=(), after_hours=True)
    planned: list[PlannedLayer] = []
    heads: list[tuple[int, str]] = []
    left_out: dict[str, Because] = {}
    if layers:
        left_out.update(dict.fromkeys(connected, "in no layer"))
    for place, (layer, users, strangers) in enumerate(candidates(layers, connected, members)):
        left_out.update((user, "not connected") for user in strangers)
        for user in users:
            left_out.pop(user, None)
            if user in unavailable:
                left_out[user] = unavailable[user]
        ordered = _ordered(layer.mode, place, [user for user in users if user not in unavailable], memory, shuffle)
        if not ordered:
            continue
        if layer.mode == "round_robin":
            heads.append((place, ordered[0]))
        planned.append(PlannedLayer(layer.mode, tuple(ordered), layer.ring_seconds))
    return RingPlan(tuple(planned), tuple(left_out.items()), tuple(heads))


def _ordered(mode: RingMode, place: int, users: list[str], memory: Memory, shuffle: Shuffle) -> list[str]:
    match mode:
        case "simultaneous":
            return users
        case "round_robin":
            # Sorting is stable: those whom no call has headed yet keep the layer's own order.
            return sorted(users, key=lambda user: memory.last_headed_at.get((place, user), -1))
        case "random":
            return shuffle(users)
        case "longest_idle":
            return sorted(users, key=lambda user: memory.idle_since.get(user, -1))
        case _:
            assert_never(mode)


def availability(
    users: Iterable[tuple[str, bool]], presence: Mapping[str, str], talking: frozenset[str]
) -> dict[str, Because]:
    """Who can't be rung, and why (R5). `users` are ids with their standing `rings` flag.

    A user never heard of is available, and so is one with a status that we do not know.
    """
    unavailable: dict[str, Because] = {}
    for user_id, rings in users:
        match presence.get(user_id):
            case _ if not rings:
                unavailable[user_id] = "rings is off"
            case "busy" | "away" | "offline" as status:
                unavailable[user_id] = status
            case _ if user_id in talking:
                unavailable[user_id] = "talking"
    return unavailable


@dataclass(frozen=True, slots=True)
class Presence:
    """What was last said of a user's presence: the last writer wins by `(time, id)` (R5)."""

    status: str
    time: datetime
    id: str

    def beats(self, other: Presence | None) -> bool:
        """Whether this was written later."""
        return other is None or (self.time, self.id) > (other.time, other.id)
