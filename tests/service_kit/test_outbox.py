"""The outbox: what a transaction wrote is published once it commits, in order, and survives a broker's absence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest

from contracts.envelope import Event, binary_headers
from contracts.fields import Data
from contracts.topics import DIRECTORY_EVENTS
from devstack.kafka import EmbeddedKafka
from service_kit import outbox
from service_kit.clock import utc_now
from service_kit.database import Database
from service_kit.outbox import Relay
from service_kit.publishing import Outgoing, Publisher
from service_kit.settings import KafkaSettings
from service_kit.topics import create_topics
from tests.support import FreshDatabase, FreshTopics, eventually


def a_record(number: int, *, key: bytes = b"k") -> Outgoing:
    return Outgoing(DIRECTORY_EVENTS.name, key, str(number).encode(), [("ce_type", b"a.test.v1")])


@asynccontextmanager
async def an_open(database: FreshDatabase) -> AsyncIterator[Database]:
    opened = Database(database.dsn("routing"), "routing")
    await opened.open()
    yield opened
    await opened.close()


@asynccontextmanager
async def relaying(database: Database, settings: KafkaSettings) -> AsyncIterator[Relay]:
    publisher = Publisher(settings, client_id="tests")
    await publisher.open()
    relay = Relay(database, publisher, service="routing", clock=utc_now)
    running = asyncio.create_task(relay.run())
    yield relay
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await publisher.close()


async def write_and_fail(database: Database) -> None:
    async with database.transaction() as connection:
        await outbox.add(connection, [a_record(1)])
        await connection.execute("SELECT 1 FROM nowhere")


async def waiting(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM outbox"))


async def test_what_was_committed_is_published_in_order_and_deleted(
    kafka: FreshTopics, database: FreshDatabase
) -> None:
    async with an_open(database) as opened, relaying(opened, kafka.settings):
        for number in range(30):
            async with opened.transaction() as connection:
                await outbox.add(connection, [a_record(number)])
        found = await kafka.records(DIRECTORY_EVENTS, at_least=30)

        async def empty() -> bool:
            return await waiting(opened) == 0

        await eventually(empty)
    assert [record.value for record in found] == [str(number).encode() for number in range(30)]
    assert found[0].headers == (("ce_type", b"a.test.v1"),)


async def test_what_expired_while_it_waited_is_dropped_and_what_is_behind_goes_on(
    kafka: FreshTopics, database: FreshDatabase
) -> None:
    def expiring(number: int, seconds: float) -> Outgoing:
        command = Event(
            id=str(number),
            source="/tests",
            type="a.test.v1",
            time=utc_now(),
            account_id="acme",
            data=Data(),
            expires_at=utc_now() + timedelta(seconds=seconds),
        )
        return Outgoing(DIRECTORY_EVENTS.name, b"k", str(number).encode(), binary_headers(command))

    async with an_open(database) as opened:
        async with opened.transaction() as connection:
            await outbox.add(connection, [a_record(1), expiring(2, -1), expiring(3, 600), a_record(4)])
        async with relaying(opened, kafka.settings):
            found = await kafka.records(DIRECTORY_EVENTS, at_least=3)

            async def empty() -> bool:
                return await waiting(opened) == 0

            await eventually(empty)
    assert [record.value for record in found] == [b"1", b"3", b"4"]


async def test_what_was_rolled_back_is_never_published(kafka: FreshTopics, database: FreshDatabase) -> None:
    async with an_open(database) as opened, relaying(opened, kafka.settings):
        with pytest.raises(asyncpg.UndefinedTableError):
            await write_and_fail(opened)
        async with opened.transaction() as connection:
            await outbox.add(connection, [a_record(2)])
        found = await kafka.records(DIRECTORY_EVENTS, at_least=1)
    assert [record.value for record in found] == [b"2"]


async def test_two_relays_send_each_record_once_and_keep_the_order(kafka: FreshTopics, database: FreshDatabase) -> None:
    async with an_open(database) as opened:
        async with opened.transaction() as connection:
            await outbox.add(connection, [a_record(number) for number in range(2_000)])
        async with relaying(opened, kafka.settings), relaying(opened, kafka.settings):
            found = await kafka.records(DIRECTORY_EVENTS, at_least=2_000)
    assert [int(record.value) for record in found] == list(range(2_000))


@pytest.mark.faults
async def test_while_the_broker_is_away_it_waits_and_then_drains_in_order(
    private_kafka: EmbeddedKafka, database: FreshDatabase
) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=private_kafka.bootstrap)
    await create_topics(settings, partitions=3)
    async with an_open(database) as opened, relaying(opened, settings):
        await asyncio.to_thread(private_kafka.kill)
        for number in range(50):
            async with opened.transaction() as connection:
                await outbox.add(connection, [a_record(number)])
        assert await waiting(opened) == 50
        await asyncio.to_thread(private_kafka.start)

        async def empty() -> bool:
            return await waiting(opened) == 0

        await eventually(empty, 60)
    found = await FreshTopics(private_kafka.bootstrap, "").records(DIRECTORY_EVENTS, at_least=50)
    # A send that timed out may stand twice; what matters is that nothing lacks and a key's order holds.
    firsts = list(dict.fromkeys(int(record.value) for record in found))
    assert firsts == list(range(50))
