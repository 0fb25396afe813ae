"""The service as a process, on real Kafka and Postgres."""

from __future__ import annotations

from typing import Any

from contracts.communications import CommunicationChanged
from contracts.directory import Snapshot
from contracts.envelope import Event
from contracts.fields import key_of
from contracts.topics import (
    COMMUNICATION_EVENTS,
    DIRECTORY_EVENTS,
    INBOX_EVENTS,
    TELEPHONY_COMMANDS,
    dead_letter_topic,
)
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.inbox_state.words import ACCOUNT, CUSTOMER, a_text, received, the_office
from tests.support import FreshTopics, bearer, eventually
from tests.support.http import http_client
from tests.support.streams import open_stream
from tests.support.topics import Raw


def keyed(*snapshots: Snapshot | CommunicationChanged) -> list[tuple[bytes, Event[Any]]]:
    """Snapshots as routing publishes them."""
    pairs: list[tuple[bytes, Event[Any]]] = []
    for one in snapshots:
        event = received(one).event
        event.time = utc_now()
        key = key_of(ACCOUNT, type(one).__name__, event.id)
        if isinstance(one, CommunicationChanged):
            event.origin_at = utc_now()
            key = key_of(ACCOUNT, one.inbox_id, one.contact_number)
        pairs.append((key, event))
    return pairs


async def test_from_kafka_to_the_list_and_back(kafka: FreshTopics, running_service: StartService) -> None:
    service = await running_service("inbox_state")
    await kafka.publish(DIRECTORY_EVENTS, *keyed(*the_office()))
    await kafka.publish(COMMUNICATION_EVENTS, *keyed(*(a_text(f"m{n}", n) for n in range(20))))
    await kafka.send(COMMUNICATION_EVENTS, [Raw(b"{not json", headers=[("ce_specversion", b"1.0")])])
    await kafka.publish(COMMUNICATION_EVENTS, *keyed(a_text("last", 30)))
    async with http_client(service.url, headers=bearer("anna", ACCOUNT)) as anna:

        async def all_is_seen() -> bool:
            answer = await anna.get("/v1/inboxes/sales/threads")
            return answer.status_code == 200 and [row["unread"] for row in answer.json()["items"]] == [21]

        await eventually(all_is_seen, because="21 unread texts in one thread")
        sent = await anna.post("/v1/inboxes/sales/messages", json={"to": CUSTOMER, "body": "Hello"})
        assert sent.status_code == 202
        (command,) = await kafka.records(TELEPHONY_COMMANDS, at_least=1)
        assert command.key == sent.json()["communication_id"].encode()
        metrics = (await anna.get("/metrics")).text
    assert 'connected_inbox_event_to_view_seconds_count{service="inbox_state"} 21.0' in metrics
    assert "connected_inbox_outbox_oldest_age_seconds" in metrics
    records = await kafka.records(INBOX_EVENTS, at_least=3)
    types = {dict(record.headers)["ce_type"] for record in records}
    assert types == {b"inbox.thread.changed.v1", b"inbox.message.requested.v1"}
    (letter,) = await kafka.records(dead_letter_topic("inbox_state", COMMUNICATION_EVENTS), at_least=1)
    assert dict(letter.headers)["x-reason"] in (b"not_json", b"not_a_cloudevent")
    for secret in (CUSTOMER, "Hello", "text m1"):
        assert secret not in service.log_text
        assert secret not in metrics
    assert await service.stop()


async def test_from_kafka_to_open_streams_until_the_service_is_told_to_stop(
    kafka: FreshTopics, running_service: StartService
) -> None:
    services = [await running_service("inbox_state"), await running_service("inbox_state")]
    await kafka.publish(DIRECTORY_EVENTS, *keyed(*the_office()))
    headers = bearer("anna", ACCOUNT)

    async def anna_is_known() -> bool:
        async with http_client(services[0].url, headers=headers) as anna:
            answer = await anna.get("/v1/panel")
        return answer.status_code == 200 and len(answer.json()["items"]) == 2

    await eventually(anna_is_known, because="the directory")
    streams = [await open_stream(service.url, headers) for service in services]
    await kafka.publish(COMMUNICATION_EVENTS, *keyed(a_text("m1", 1)))
    for stream in streams:
        await stream.hears(lambda heard: any(one.event == "communication" for one in heard))
    assert await services[0].stop(grace_seconds=8)
    await streams[0].ends()
    assert streams[0].whole
    await kafka.publish(COMMUNICATION_EVENTS, *keyed(a_text("m2", 2)))
    resumed = await open_stream(services[1].url, headers | {"Last-Event-ID": streams[0].last_id})
    await resumed.hears(lambda heard: any(one.data.get("communication_id") == "m2" for one in heard))
    for service in services:
        for secret in (CUSTOMER, "text m1"):
            assert secret not in service.log_text
