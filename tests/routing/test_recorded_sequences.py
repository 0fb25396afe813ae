"""What Twilio, Asterisk, FreeSWITCH and Kamailio tell of a call or message, and what comes of it (M1 to M6, M3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Ordered
from datetime import datetime, timedelta
from random import Random
from typing import Any

import orjson
import pytest

from contracts.communications import CommunicationChanged
from contracts.envelope import Event
from contracts.topics import COMMUNICATION_EVENTS, INBOX_EVENTS, TELEPHONY_EVENTS
from routing.communications import Communication, document_of, merge, merge_request, restored, snapshot, stand
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.routing.building import ACCOUNT, LINE, NOON
from tests.routing.recorded import (
    SYSTEMS,
    Sequence,
    directory_with_endpoints,
    endpoints_of,
    sequences,
    told,
    topic_of,
)
from tests.support import FreshTopics, bearer, eventually
from tests.support.http import http_client

ALL = sequences()
KNOWN = directory_with_endpoints()
SHUFFLES = 8

Arrivals = Ordered[tuple[Event[Any], datetime]]


def folded(sequence: Sequence, arrivals: Arrivals, *, stored_between: bool = False) -> dict[str, Any]:
    """What comes of events in this order."""
    one = Communication(ACCOUNT, sequence.id)
    for event, appended_at in arrivals:
        if event.type.startswith("telephony."):
            merge(one, event, appended_at, KNOWN)
        else:
            merge_request(one, event.data)
        stand(one, KNOWN)
        if stored_between:
            one = restored(ACCOUNT, sequence.id, 0, orjson.loads(orjson.dumps(document_of(one), default=tuple)))
    document: dict[str, Any] = orjson.loads(orjson.dumps(snapshot(one, stand(one, KNOWN))))
    CommunicationChanged.model_validate(document | {"version": 1})
    return document


def orders(arrivals: Arrivals) -> list[Arrivals]:
    """The order in which they arrived, the reverse, and some others with records repeated later."""
    random = Random(len(arrivals))
    found: list[Arrivals] = [arrivals, list(reversed(arrivals))]
    for _ in range(SHUFFLES):
        again = [(event, at + timedelta(seconds=600)) for event, at in random.sample(arrivals, len(arrivals) // 2)]
        mixed = [*arrivals, *again]
        random.shuffle(mixed)
        found.append(mixed)
    return found


@pytest.mark.parametrize("sequence", ALL, ids=lambda sequence: sequence.name)
def test_a_sequence_ends_as_expected_in_any_order_and_repetition(sequence: Sequence) -> None:
    arrivals = list(sequence.events(NOON))
    for order in orders(arrivals):
        assert told(folded(sequence, order), sequence.expected, NOON) == sequence.expected
    assert folded(sequence, arrivals, stored_between=True) == folded(sequence, arrivals)


def test_every_sequence_names_its_sources_and_what_must_come_of_it() -> None:
    by_system = Counter(sequence.system for sequence in ALL)
    assert set(by_system) == set(SYSTEMS)
    assert min(by_system.values()) >= 4
    assert len({sequence.id for sequence in ALL}) == len(ALL)
    for sequence in ALL:
        assert sequence.name.startswith(f"{sequence.system}-")
        assert sequence.story
        assert sequence.sources
        assert all(source["title"] and source["address"].startswith("https://") for source in sequence.sources)
        assert {"status", "inbox_id", "participants", "unread_at", "received_at"} <= set(sequence.expected)
        arrived = [step.arrived for step in sequence.steps]
        assert arrived == sorted(arrived), f"{sequence.name} is not in the order of arrival"
        for step in sequence.steps:
            assert step.native
            assert step.arrived >= step.at, f"{sequence.name}: {step.native} arrived before it happened"
            assert (step.type is None) == (step.ignored is not None)


async def test_all_sequences_come_out_of_kafka_and_postgres_as_expected(
    running_service: StartService, kafka: FreshTopics
) -> None:
    routing = await running_service("routing")
    async with http_client(routing.url, headers=bearer("setup", ACCOUNT, scope="directory"), timeout=30) as client:

        async def put(path: str, body: dict[str, Any]) -> None:
            answer = await client.put(f"/v1/{path}", json=body)
            assert answer.status_code == 200, answer.text

        await put("account", {"name": "Acme", "time_zone": "Europe/Berlin"})
        for number, name in enumerate(("anna", "ben", "chloe")):
            person = {"name": name, "email": f"{name}@acme.example", "endpoints": endpoints_of(name, 1001 + number)}
            await put(f"users/{name}", person)
        await put("inboxes/sales", {"name": "Sales", "agents": {"users": ["anna", "ben"]}})
        await put("inboxes/support", {"name": "Support", "agents": {"users": ["chloe"]}})
        await put(f"lines/{LINE}", {"inbox_id": "sales"})

    beginning = utc_now().replace(microsecond=0) - timedelta(hours=1)
    # All of them on one day: each in its own order of arrival, mixed with the others.
    arrivals = [(at, sequence.id, event) for sequence in ALL for event, at in sequence.events(beginning)]
    arrivals.sort(key=lambda one: one[0])
    for topic in (INBOX_EVENTS, TELEPHONY_EVENTS):
        here = [(id.encode(), event) for _, id, event in arrivals if topic_of(event) is topic]
        await kafka.publish(topic, *here)

    async def as_expected() -> bool:
        newest: dict[str, dict[str, Any]] = {}
        for record in await kafka.records(COMMUNICATION_EVENTS):
            document = orjson.loads(record.value)
            held = newest.get(document["communication_id"])
            if held is None or held["version"] < document["version"]:
                newest[document["communication_id"]] = document
        for sequence in ALL:
            # The broker's own clock says when it reached us here.
            expected = {name: value for name, value in sequence.expected.items() if name != "received_at"}
            assert sequence.id in newest, sequence.name
            assert told(newest[sequence.id], expected, beginning) == expected, sequence.name
        return True

    await eventually(as_expected, 60, every=0.5)
