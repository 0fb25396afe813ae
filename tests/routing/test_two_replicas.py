"""Two routing processes share one memory of whose turn it is (R4), and it outlives both."""

from __future__ import annotations

from collections import Counter
from typing import Any

import asyncpg
import orjson
from prometheus_client.parser import text_string_to_metric_families

from contracts.envelope import structured
from contracts.topics import TELEPHONY_COMMANDS, TELEPHONY_EVENTS
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.routing.building import ACCOUNT, LINE, started
from tests.support import FreshDatabase, FreshTopics, RunningService, bearer, eventually
from tests.support.http import http_client
from tests.support.topics import PARTITIONS, Raw

AGENTS = ("anna", "ben", "chloe", "dan", "eve")
CALLS = 500


async def set_up(routing: RunningService) -> None:
    machine = bearer("setup", ACCOUNT, scope="directory")
    layer = {"mode": "round_robin", "users": AGENTS}
    async with http_client(routing.url, headers=machine) as client:
        for path, body in (
            ("account", {"name": "Acme", "time_zone": "Europe/Berlin"}),
            *((f"users/{name}", {"name": name, "email": f"{name}@acme.example"}) for name in AGENTS),
            ("inboxes/sales", {"name": "Sales", "agents": {"users": AGENTS}, "ring_layers": [layer]}),
            (f"lines/{LINE}", {"inbox_id": "sales"}),
        ):
            answer = await client.put(f"/v1/{path}", json=body)
            assert answer.status_code == 200, answer.text


async def calls_come_in(kafka: FreshTopics, *call_ids: str, partitions: int = PARTITIONS) -> None:
    records = []
    for number, call_id in enumerate(call_ids):
        call = started(call_id=call_id)
        call.time = utc_now()
        records.append(Raw(structured(call), call_id.encode(), partition=number % partitions))
    await kafka.send(TELEPHONY_EVENTS, records)


async def heads(kafka: FreshTopics, at_least: int) -> dict[str, str]:
    """Whom each call rings first."""
    commands: list[dict[str, Any]] = [
        orjson.loads(record.value) for record in await kafka.records(TELEPHONY_COMMANDS, at_least=at_least, seconds=60)
    ]
    assert all(sorted(command["layers"][0]["user_ids"]) == sorted(AGENTS) for command in commands)
    first = {command["call_id"]: command["layers"][0]["user_ids"][0] for command in commands}
    assert len({orjson.dumps(command) for command in commands}) == len(first), "a plan is repeated word for word"
    return first


async def planned_by(routing: RunningService) -> float:
    """How many ring plans a process has decided."""
    async with http_client(routing.url) as client:
        metrics = (await client.get("/metrics")).text
    name = "connected_inbox_ring_plan_seconds"
    return sum(
        sample.value
        for family in text_string_to_metric_families(metrics)
        if family.name == name
        for sample in family.samples
        if sample.name == f"{name}_count"
    )


async def whose_turn(database: FreshDatabase) -> list[str]:
    connection = await asyncpg.connect(database.admin_dsn)
    try:
        rows = await connection.fetch("SELECT user_id FROM routing.ring_heads ORDER BY last_headed_at")
        return [row["user_id"] for row in rows]
    finally:
        await connection.close()


async def test_five_hundred_calls_at_once_are_shared_evenly_and_a_restart_forgets_nobodys_turn(
    running_service: StartService, kafka: FreshTopics, database: FreshDatabase
) -> None:
    replicas = [await running_service("routing"), await running_service("routing")]
    await set_up(replicas[0])

    async def both_have_partitions() -> bool:
        # One call for each partition at a time, until each process has decided some.
        number = len(await kafka.records(TELEPHONY_EVENTS))
        await calls_come_in(kafka, *(f"early-{number + partition}" for partition in range(PARTITIONS)))
        await heads(kafka, number + PARTITIONS)
        return all([await planned_by(replica) > 0 for replica in replicas])

    await eventually(both_have_partitions, 30, every=0.2)
    early = await heads(kafka, PARTITIONS)
    before = [await planned_by(replica) for replica in replicas]

    await calls_come_in(kafka, *(f"call-{number:03}" for number in range(CALLS)))
    shared = await heads(kafka, len(early) + CALLS)
    assert len(shared) == len(early) + CALLS
    counts = Counter(shared.values())
    assert set(counts) == set(AGENTS)
    assert max(counts.values()) - min(counts.values()) <= 1
    after = [await planned_by(replica) for replica in replicas]
    assert all(now > earlier for now, earlier in zip(after, before, strict=True)), "both replicas have taken calls"

    turns = await whose_turn(database)
    await replicas[0].kill()
    await replicas[1].stop()
    await replicas[1].start()
    late = [f"late-{number}" for number in range(len(AGENTS))]
    await calls_come_in(kafka, *late, partitions=1)
    last = await heads(kafka, len(shared) + len(late))
    assert [last[call_id] for call_id in late] == turns
