"""The words of the consumer's tests: telephony events, records good and bad, a consumer in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from contracts import telephony
from contracts.envelope import Event, encode
from contracts.topics import MAX_TELEPHONY_VALUE_BYTES, TELEPHONY_EVENTS
from service_kit.clock import utc_now
from service_kit.consuming import Consumer, Handle, Handling, Progress
from service_kit.publishing import Publisher
from service_kit.settings import ServiceSettings
from tests.support import FreshTopics
from tests.support.topics import Raw

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def a_text(message_id: str, body: str = "hello", *, account_id: str = "acme") -> Event[telephony.MessageReceived]:
    return Event(
        id=f"{message_id}-received",
        source="/tests",
        type="telephony.message.received.v1",
        time=NOON,
        account_id=account_id,
        data=telephony.MessageReceived(
            message_id=message_id,
            direction="inbound",
            line_number="+12125550100",
            contact_number="+12125550199",
            body=body,
        ),
    )


def good(message_id: str, body: str = "hello", *, partition: int = 0) -> Raw:
    value, headers = encode(a_text(message_id, body))
    return Raw(value, message_id.encode(), headers, partition)


def with_value(value: bytes | None, *, partition: int = 0) -> Raw:
    return Raw(value, b"bad", good("bad").headers, partition)


def with_header(name: str, value: bytes, *, partition: int = 0) -> Raw:
    record = good("bad")
    headers = [(key, value if key == name else given) for key, given in record.headers]
    return Raw(record.value, record.key, headers, partition)


def settings_for(kafka: FreshTopics, **given: Any) -> ServiceSettings:
    return ServiceSettings(
        kafka_bootstrap_servers=kafka.bootstrap,
        topic_prefix=kafka.prefix,
        database_url="postgresql://nowhere",
        port=0,
        jwt_secret=SecretStr("a secret of the tests, long enough"),
        session_timeout_ms=3_000,
        heartbeat_interval_ms=300,
        **given,
    )


@asynccontextmanager
async def consuming(
    kafka: FreshTopics, handle: Handle, *, progress: Progress | None = None, **given: Any
) -> AsyncIterator[Consumer]:
    """A running consumer of telephony events in the group of routing."""
    settings = settings_for(kafka, **given)
    publisher = Publisher(settings, client_id="tests")
    await publisher.open()
    consumer = Consumer(
        settings,
        service="routing",
        publisher=publisher,
        clock=utc_now,
        handlers={TELEPHONY_EVENTS: Handling(telephony.EVENTS, handle, MAX_TELEPHONY_VALUE_BYTES)},
        progress=progress,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
        await publisher.close()


def ids(batch: Sequence[Any]) -> list[str]:
    return [received.event.data.message_id for received in batch]
