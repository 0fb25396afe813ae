"""M1 and M4 as tables: every combination of the facts that give a call its status, and the status that it has.

The tables are written by hand. Each row says which values it covers; that no combination is forgotten, and none is
covered by two rows, is checked of the tables themselves before they are held against the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import pytest

from contracts.envelope import Event
from routing.communications import Communication, Plan, merge, merge_request, snapshot, stand
from routing.facts import Fact, instant
from tests.routing.building import (
    ACCOUNT,
    LINE,
    a_directory,
    answered,
    at,
    call_requested,
    ended,
    leg,
    placed,
    queued,
    recorded,
    ringing,
    started,
)

Row = tuple[str, ...]

INBOUND_COLUMNS: dict[str, tuple[str, ...]] = {
    "a person talked": ("no", "yes"),
    "recording left": ("no", "yes"),
    "reported": (
        *("nothing", "completed", "an unknown word"),
        *("missed", "abandoned", "voicemail", "busy", "no_answer", "failed"),
    ),
    "rung": ("nobody", "ringing", "leg ringing", "leg answered", "leg declined", "leg no_answer"),
    "came": ("no hours", "within hours", "after hours"),
    "ring plan": ("none", "somebody", "nobody"),
    "hung up in": ("greeting", "menu", "queue"),
}
"""The facts that M1 names for an inbound call that has ended, and every value of each."""

NO_REPORT = "nothing | completed | an unknown word"
RUNG = "ringing | leg ringing | leg answered | leg declined | leg no_answer"
IN_TIME = "no hours | within hours"

INBOUND: tuple[Row, ...] = (
    # talked, recording, reported, rung, came, ring plan, hung up in: status
    ("yes", "*", "*", "*", "*", "*", "*", "completed"),
    ("no", "yes", "*", "*", "*", "*", "*", "voicemail"),
    ("no", "no", "abandoned", "*", "*", "*", "*", "abandoned"),
    ("no", "no", "failed", "*", "*", "*", "*", "failed"),
    ("no", "no", "missed", "*", "*", "*", "*", "missed"),
    ("no", "no", "voicemail", "*", "*", "*", "*", "missed"),
    ("no", "no", "busy", "*", "*", "*", "*", "missed"),
    ("no", "no", "no_answer", "*", "*", "*", "*", "missed"),
    ("no", "no", NO_REPORT, RUNG, "*", "*", "*", "missed"),
    ("no", "no", NO_REPORT, "nobody", "after hours", "*", "*", "missed"),
    ("no", "no", NO_REPORT, "nobody", IN_TIME, "nobody", "*", "missed"),
    ("no", "no", NO_REPORT, "nobody", IN_TIME, "none | somebody", "*", "abandoned"),
)

OUTBOUND_COLUMNS: dict[str, tuple[str, ...]] = {
    "requested": ("no", "yes"),
    "a person talked": ("no", "yes"),
    "reported": INBOUND_COLUMNS["reported"],
    "rung": ("nobody", "leg ringing", "leg answered"),
    "recording left": ("no", "yes"),
}

OUTBOUND: tuple[Row, ...] = (
    # requested, talked, reported, rung, recording: status
    ("*", "yes", "*", "*", "*", "completed"),
    ("*", "no", "busy", "*", "*", "busy"),
    ("*", "no", "failed", "*", "*", "failed"),
    ("*", "no", f"{NO_REPORT} | missed | abandoned | voicemail | no_answer", "*", "*", "no_answer"),
)

LIFE_COLUMNS: dict[str, tuple[str, ...]] = {
    "direction": ("inbound", "outbound"),
    "requested": ("no", "yes"),
    "telephony said": ("nothing", "started", "answered", "ended", "answered and ended"),
    "command refused": ("no", "yes"),
    "verdict": ("none", "not_taken", "no_end_event"),
}

LIFE: tuple[Row, ...] = (
    # direction, requested, telephony said, refused, verdict: status
    ("outbound", "yes", "nothing", "no", "none", "queued"),
    ("outbound", "yes", "nothing", "no", "not_taken", "failed"),
    ("outbound", "yes", "nothing", "yes", "none | not_taken", "failed"),
    ("inbound", "no", "started", "*", "none", "ringing"),
    ("outbound", "*", "started", "*", "none | not_taken", "in_progress"),
    ("*", "*", "answered", "*", "none | not_taken", "in_progress"),
    ("*", "*", "started", "*", "no_end_event", "failed"),
    ("*", "*", "answered", "*", "no_end_event", "completed"),
    ("inbound", "no", "ended", "*", "*", "abandoned"),
    ("outbound", "*", "ended", "*", "*", "no_answer"),
    ("*", "*", "answered and ended", "*", "*", "completed"),
)


def possible(direction: str, requested: str, said: str, refused: str, verdict: str) -> bool:
    """Whether such a call can be: only outbound ones are requested, and each verdict is given on one state."""
    if requested == "yes":
        return direction == "outbound" and not (verdict == "no_end_event" and said == "nothing")
    return said != "nothing" and refused == "no" and verdict != "not_taken"


def combinations(columns: dict[str, tuple[str, ...]]) -> list[Row]:
    return list(product(*columns.values()))


def matching(table: Sequence[Row], combination: Row) -> Iterator[Row]:
    for row in table:
        if all(cell == "*" or value in cell.split(" | ") for cell, value in zip(row[:-1], combination, strict=True)):
            yield row


TABLES = {
    "inbound": (INBOUND_COLUMNS, INBOUND),
    "outbound": (OUTBOUND_COLUMNS, OUTBOUND),
    "life": (LIFE_COLUMNS, LIFE),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_combination_stands_in_one_row_of_its_table(name: str) -> None:
    columns, table = TABLES[name]
    tried = [one for one in combinations(columns) if name != "life" or possible(*one)]
    rows = {one: list(matching(table, one)) for one in tried}
    assert {one: found for one, found in rows.items() if len(found) != 1} == {}
    assert {found[0] for found in rows.values()} == set(table), "a row covers nothing"
    values = {value for columns_ in columns.values() for value in columns_}
    assert {cell for row in table for cells in row[:-1] for cell in cells.split(" | ")} <= values | {"*"}


def reported(word: str) -> str | None:
    return {"nothing": None, "an unknown word": "cancelled by robot"}.get(word, word)


@lru_cache
def facts_for(column: str, value: str) -> tuple[Event[Any], ...]:
    """The events that make a column's value true of call `c1`."""
    match column, value:
        case "a person talked", "yes":
            return (answered(6),)
        case "recording left", "yes":
            return (recorded(25),)
        case "reported", word:
            return (ended(20, reported(word)),)
        case "rung", "ringing":
            return (ringing(4, "anna"),)
        case "rung", leg_state if leg_state.startswith("leg "):
            return (leg(5, leg_state.removeprefix("leg ")),)
        case "hung up in", "greeting":
            return (started(),)
        case "hung up in", "menu":
            return (started(menu=True),)
        case "hung up in", "queue":
            return (started(menu=True), queued(2))
        case "requested", "yes":
            return (call_requested(),)
        case _:
            return ()


def status_of(events: Sequence[Event[Any]], **decided: Any) -> str:
    communication, known = Communication(ACCOUNT, "c1"), a_directory()
    for name, value in decided.items():
        setattr(communication.decided, name, value)
    for one in events:
        if one.type.startswith("telephony."):
            merge(communication, one, one.time, known)
        else:
            merge_request(communication, one.data)
    status: str = snapshot(communication, stand(communication, known))["status"]
    return status


def test_an_inbound_call_that_ended_has_the_status_of_its_row() -> None:
    wrong: list[str] = []
    for one in combinations(INBOUND_COLUMNS):
        events = [
            event for column, value in zip(INBOUND_COLUMNS, one, strict=True) for event in facts_for(column, value)
        ]
        *_, came, plan, _ = one
        layers = {"somebody": [{"user_ids": ["anna"]}], "nobody": []}.get(plan)
        status = status_of(
            events,
            mappings={LINE: "sales"},
            after_hours={"sales": {"no hours": None, "within hours": False, "after hours": True}[came]},
            plan=None if layers is None else Plan(0, {"layers": layers}, []),
        )
        ((*_, expected),) = matching(INBOUND, one)
        if status != expected:
            wrong.append(f"{one}: {status}, not {expected}")
    assert not wrong, "\n".join(wrong[:20])


def test_an_outbound_call_that_ended_has_the_status_of_its_row() -> None:
    for one in combinations(OUTBOUND_COLUMNS):
        events = [
            event for column, value in zip(OUTBOUND_COLUMNS, one, strict=True) for event in facts_for(column, value)
        ]
        ((*_, expected),) = matching(OUTBOUND, one)
        assert status_of([placed(), *events]) == expected, one


def test_a_call_has_the_status_of_its_row_from_its_request_until_after_its_end() -> None:
    for one in filter(lambda tried: possible(*tried), combinations(LIFE_COLUMNS)):
        direction, requested, said, refused, verdict = one
        events = list(facts_for("requested", requested))
        if said != "nothing":
            events.append(started() if direction == "inbound" else placed())
        if "answered" in said:
            events.append(answered(6))
        if "ended" in said:
            events.append(ended(20))
        communication, known = Communication(ACCOUNT, "c1"), a_directory()
        for event in events:
            if event.type.startswith("telephony."):
                merge(communication, event, event.time, known)
            else:
                merge_request(communication, event.data)
        if refused == "yes" and communication.facts is not None:
            communication.facts.refused = Fact(instant(at(1)), "r", instant(at(1)), "no")
        communication.decided.verdict = None if verdict == "none" else verdict  # type: ignore[assignment] # one of two
        ((*_, expected),) = matching(LIFE, one)
        assert snapshot(communication, stand(communication, known))["status"] == expected, one
