"""Topics of a test's own, and words to produce to them and read them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.structs import ConsumerRecord

from contracts.envelope import Event, encode
from contracts.topics import TOPICS, Topic
from service_kit.settings import KafkaSettings
from service_kit.topics import create_topics

PARTITIONS = 3

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Raw:
    """One record to send as it is, good or bad."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class FreshTopics:
    """Every topic of the project under one test's own `prefix`, three partitions each."""

    bootstrap: str
    prefix: str

    @property
    def settings(self) -> KafkaSettings:
        """For whatever of service_kit connects to Kafka."""
        return KafkaSettings(kafka_bootstrap_servers=self.bootstrap, topic_prefix=self.prefix)

    @property
    def environment(self) -> dict[str, str]:
        """For a service's process."""
        return {"KAFKA_BOOTSTRAP_SERVERS": self.bootstrap, "TOPIC_PREFIX": self.prefix}

    async def send(self, topic: Topic, records: Iterable[Raw]) -> None:
        """Send raw records in order and wait until the broker has acknowledged all of them."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, acks="all", enable_idempotence=False, max_request_size=8 * 1024 * 1024
        )
        await producer.start()
        try:
            sent = [
                await producer.send(
                    topic.named(self.prefix),
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    partition=record.partition,
                )
                for record in records
            ]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    async def forget_group(self, service: str) -> None:
        """Delete a stopped service's group with its offsets: it reads everything from the beginning."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            group = f"{self.prefix}{service}"
            coordinator = await admin.find_coordinator(group)
            answer = await admin._send_request(DeleteGroupsRequest([group]), coordinator)
            assert [error for _, error in answer.results] == [0], answer
            assert not await admin.list_consumer_group_offsets(group)
        finally:
            await admin.close()

    async def publish(self, topic: Topic, *events: tuple[bytes, Event[Any]]) -> None:
        """Send `(key, event)` pairs in binary mode, in order."""
        await self.send(topic, [Raw(value, key, headers) for key, (value, headers) in _encoded(events)])

    async def commit_all(self, group: str, topic: Topic) -> None:
        """Commit, as a service's group, that everything on the topic has been read."""
        name = topic.named(self.prefix)
        partitions = [TopicPartition(name, number) for number in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=self.prefix + group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign(partitions)
            await consumer.commit(await consumer.end_offsets(partitions))
        finally:
            await consumer.stop()

    async def records(self, topic: Topic, *, at_least: int = 0, seconds: float = 20.0) -> list[ConsumerRecord]:
        """Everything on the topic now, by append time and offset; waits until there are `at_least` so many."""
        name = topic.named(self.prefix)
        partitions = [TopicPartition(name, number) for number in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            found: list[ConsumerRecord] = []
            deadline = time.monotonic() + seconds
            while True:
                ends = await consumer.end_offsets(partitions)
                while [one for one in partitions if await consumer.position(one) < ends[one]]:
                    for batch in (await consumer.getmany(timeout_ms=200)).values():
                        found.extend(batch)
                if len(found) >= at_least:
                    return sorted(found, key=lambda record: (record.timestamp, record.partition, record.offset))
                if time.monotonic() > deadline:
                    raise AssertionError(f"{topic.name}: {len(found)} records in {seconds:g} s, not {at_least}")
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    found.extend(batch)
        finally:
            await consumer.stop()


def _encoded(events: Iterable[tuple[bytes, Event[Any]]]) -> list[tuple[bytes, tuple[bytes, Headers]]]:
    return [(key, encode(event)) for key, event in events]


@asynccontextmanager
async def fresh_topics(bootstrap: str) -> AsyncIterator[FreshTopics]:
    """Topics under a prefix that no other test has, deleted at the end."""
    topics = FreshTopics(bootstrap, f"t{secrets.token_hex(4)}-")
    await create_topics(topics.settings, partitions=PARTITIONS, replication=1)
    try:
        yield topics
    finally:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            await admin.delete_topics([topic.named(topics.prefix) for topic in TOPICS])
        finally:
            await admin.close()
