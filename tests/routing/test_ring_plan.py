"""R4 and R5: who rings, in what order, and who is left out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from contracts.directory import RingLayer
from routing.ring_plan import Because, Memory, PlannedLayer, RingPlan, availability, decide

CONNECTED = ("anna", "ben", "chloe")
MEMBERS = {"night": ("chloe", "dan"), "all": ("ben", "anna")}


def plan(*layers: RingLayer, unavailable: dict[str, Because] | None = None, **more: Any) -> RingPlan:
    settings: dict[str, Any] = {"memory": Memory(), "shuffle": lambda users: list(reversed(users)), "is_open": True}
    return decide(layers, CONNECTED, MEMBERS, unavailable or {}, **(settings | more))


def test_without_layers_everybody_connected_rings_together() -> None:
    assert plan().layers == (PlannedLayer("simultaneous", CONNECTED, 30),)


def test_layers_are_cut_to_connected_users_in_the_order_they_are_named() -> None:
    planned = plan(RingLayer(users=("ben",), teams=("night",), ring_seconds=10), RingLayer(users=("anna",)))
    assert [layer.user_ids for layer in planned.layers] == [("ben", "chloe"), ("anna",)]
    assert planned.layers[0].ring_seconds == 10
    assert planned.left_out == (("dan", "not connected"),)


def test_whoever_no_layer_names_is_left_out_with_that_reason() -> None:
    planned = plan(RingLayer(users=("ben",)), RingLayer(users=("anna",)), unavailable={"anna": "away", "chloe": "busy"})
    assert planned.left_out == (("chloe", "in no layer"), ("anna", "away"))


def test_who_is_not_available_is_left_out_with_the_reason() -> None:
    planned = plan(unavailable={"anna": "talking", "ben": "away"})
    assert planned.layers == (PlannedLayer("simultaneous", ("chloe",), 30),)
    assert planned.left_out == (("anna", "talking"), ("ben", "away"))


def test_when_nobody_is_left_there_is_no_layer() -> None:
    assert plan(unavailable=dict.fromkeys(CONNECTED, "offline")).layers == ()
    assert plan(RingLayer(users=("dan",))).layers == ()


def test_outside_the_hours_nobody_rings() -> None:
    planned = plan(is_open=False)
    assert (planned.layers, planned.after_hours) == ((), True)


def test_a_layer_with_nobody_left_is_dropped_and_the_others_keep_their_memory() -> None:
    layers = [RingLayer(users=("anna",)), RingLayer(mode="round_robin", users=("ben", "chloe"))]
    planned = plan(*layers, unavailable={"anna": "busy"}, memory=Memory({(1, "ben"): 5}))
    assert [layer.user_ids for layer in planned.layers] == [("chloe", "ben")]
    assert planned.heads == ((1, "chloe"),)


def test_round_robin_heads_whoever_headed_longest_ago() -> None:
    memory: dict[tuple[int, str], int] = {}
    heads = []
    for turn in range(9):
        planned = plan(RingLayer(mode="round_robin", users=CONNECTED), memory=Memory(memory))
        ((place, head),) = planned.heads
        memory[place, head] = turn
        heads.append(head)
    assert heads == [*CONNECTED] * 3
    assert Counter(heads) == dict.fromkeys(CONNECTED, 3)


def test_longest_idle_puts_first_who_has_not_talked_for_longest() -> None:
    memory = Memory(idle_since={"anna": 30, "ben": 10})
    planned = plan(RingLayer(mode="longest_idle", users=CONNECTED), memory=memory)
    assert planned.layers[0].user_ids == ("chloe", "ben", "anna")


def test_random_takes_its_order_from_the_caller() -> None:
    assert plan(RingLayer(mode="random", users=CONNECTED)).layers[0].user_ids == ("chloe", "ben", "anna")


@pytest.mark.parametrize(
    ("rings", "status", "talks", "because"),
    [
        (True, None, False, None),
        (True, "available", False, None),
        (True, "in a meeting", False, None),
        (True, "busy", False, "busy"),
        (True, "away", True, "away"),
        (True, "offline", False, "offline"),
        (True, "available", True, "talking"),
        (False, "available", False, "rings is off"),
    ],
)
def test_availability_follows_the_flag_presence_and_talks(
    rings: bool, status: str | None, talks: bool, because: str | None
) -> None:
    presence = {"anna": status} if status else {}
    found = availability([("anna", rings)], presence, frozenset({"anna"} if talks else ()))
    assert found.get("anna") == because
