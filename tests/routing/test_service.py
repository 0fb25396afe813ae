"""The service as a process: from a telephony event on Kafka to a published communication, and its metrics."""

from __future__ import annotations

import orjson

from contracts.envelope import structured
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, TELEPHONY_COMMANDS, TELEPHONY_EVENTS
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.routing.building import ACCOUNT, LINE, started
from tests.support import FreshTopics, bearer
from tests.support.http import http_client
from tests.support.topics import Raw

METRICS = (
    "ring_plan_seconds",
    "unrouted_communications",
    "telephony_last_event_age_seconds",
    "commands_not_taken_total",
    "consumer_lag_records",
    "outbox_oldest_age_seconds",
)


async def test_a_call_on_kafka_becomes_a_routed_communication_and_a_ring_command(
    running_service: StartService, kafka: FreshTopics
) -> None:
    routing = await running_service("routing")
    machine = bearer("setup", ACCOUNT, scope="directory")
    async with http_client(routing.url, headers=machine, timeout=10) as client:
        for path, body in (
            ("account", {"name": "Acme", "time_zone": "Europe/Berlin"}),
            ("users/anna", {"name": "Anna", "email": "anna@acme.example", "endpoints": ["sip:1001@pbx"]}),
            ("inboxes/sales", {"name": "Sales", "agents": {"users": ["anna"]}}),
            (f"lines/{LINE}", {"inbox_id": "sales", "telephony_system": "pbx"}),
        ):
            answer = await client.put(f"/v1/{path}", json=body)
            assert answer.status_code == 200, answer.text
        call = started()
        call.time = utc_now()
        await kafka.send(TELEPHONY_EVENTS, [Raw(structured(call), b"c1")])

        (command,) = await kafka.records(TELEPHONY_COMMANDS, at_least=1)
        ring = orjson.loads(command.value)
        assert (ring["system"], ring["layers"][0]["endpoints"]) == ("pbx", {"anna": ["sip:1001@pbx"]})
        (snapshot,) = await kafka.records(COMMUNICATION_EVENTS, at_least=1)
        assert orjson.loads(snapshot.value)["status"] == "ringing"
        assert len(await kafka.records(DIRECTORY_EVENTS, at_least=4)) == 4

        metrics = (await client.get("/metrics")).text
        assert all(f"connected_inbox_{name}" in metrics for name in METRICS)
        assert 'connected_inbox_telephony_last_event_age_seconds{service="routing",system="pbx"}' in metrics
