"""Publishing to Kafka: in order per key, and done only when the broker has acknowledged every record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from contracts.envelope import Event, encode
from contracts.topics import Topic
from service_kit.settings import KafkaSettings

_MANY: Final = 50
"""From so many records on they are put into batches here."""


@dataclass(slots=True)
class Outgoing:
    """One record to publish. `topic` is without the prefix; `value` and `headers` are ready bytes."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


def outgoing(topic: Topic, key: bytes, event: Event[Any]) -> Outgoing:
    """An event as a record, in CloudEvents' binary mode."""
    value, headers = encode(event)
    return Outgoing(topic=topic.name, key=key, value=value, headers=headers)


class Publisher:
    """One Kafka producer of the process.

    Not idempotent on purpose: aiokafka's idempotent producer can fail for good after one refused batch, and
    everything downstream merges a rare duplicate.
    """

    def __init__(self, settings: KafkaSettings, *, client_id: str) -> None:
        self._prefix = settings.topic_prefix
        self._connection = settings.connection()
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Connect; raises aiokafka's errors when no broker can be reached."""
        self._producer = AIOKafkaProducer(
            **self._connection,
            client_id=self._client_id,
            acks="all",
            enable_idempotence=False,
            # lz4 packs a little better, but aiokafka asks it for its highest level: five times the work.
            compression_type="snappy",
            max_batch_size=256 * 1024,
            max_request_size=8 * 1024 * 1024,
            request_timeout_ms=15_000,
            metadata_max_age_ms=30_000,
            partitioner=partition_of,
        )
        await self._producer.start()

    async def close(self) -> None:
        """Stop, within ten seconds, whatever the broker does."""
        if self._producer is None:
            return
        producer, self._producer = self._producer, None
        try:
            async with asyncio.timeout(10):
                await producer.stop()
        except TimeoutError:
            pass

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Send every record and wait for all acknowledgements. Raises the first failure after all settled.

        Records of one key arrive in their order.
        """
        if not records:
            return
        if self._producer is None:
            raise ConnectionError("the Kafka producer is not open")
        pending: list[asyncio.Future[Any]] = []
        try:
            if len(records) < _MANY:
                await self._send_each(self._producer, records, pending)
            else:
                await self._send_in_batches(self._producer, records, pending)
        finally:
            settled = await asyncio.gather(*pending, return_exceptions=True)
        for result in settled:
            if isinstance(result, BaseException):
                raise result

    async def _send_each(
        self, producer: AIOKafkaProducer, records: Sequence[Outgoing], pending: list[asyncio.Future[Any]]
    ) -> None:
        # Awaited one after another: that is what keeps the order within a key.
        for record in records:
            topic = self._prefix + record.topic
            pending.append(await producer.send(topic, record.value, key=record.key, headers=record.headers))

    async def _send_in_batches(
        self, producer: AIOKafkaProducer, records: Sequence[Outgoing], pending: list[asyncio.Future[Any]]
    ) -> None:
        # The batches that `send` would fill, with one future for all their records instead of one for each.
        partitions: dict[str, list[int]] = {}
        filling: dict[tuple[str, int], Any] = {}

        async def submit(topic: str, partition: int, batch: Any) -> None:
            batch.close()
            pending.append(await producer.send_batch(batch, topic, partition=partition))

        for record in records:
            topic = self._prefix + record.topic
            every = partitions.get(topic)
            if every is None:
                every = partitions[topic] = sorted(await producer.partitions_for(topic))
            partition = partition_of(record.key, every, every)
            batch = filling.get((topic, partition))
            if batch is None:
                batch = filling[topic, partition] = producer.create_batch()
            if not _added(batch, record):
                await submit(topic, partition, batch)
                batch = filling[topic, partition] = producer.create_batch()
                # A batch takes its first record whatever its size.
                _added(batch, record)
        for (topic, partition), batch in filling.items():
            await submit(topic, partition, batch)


def _added(batch: Any, record: Outgoing) -> bool:
    metadata = batch.append(timestamp=None, key=record.key, value=record.value, headers=record.headers)
    return metadata is not None


@lru_cache(maxsize=8_000)
def _hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF


def partition_of(key: bytes | None, every: list[int], available: list[int]) -> int:
    """The partition that Java's default partitioner gives a key, hashed once for keys that come again."""
    if not key:
        return available[0] if available else every[0]
    return every[_hash(key) % len(every)]
