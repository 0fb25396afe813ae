"""Publishing to Kafka: in order per key, and done only when the broker has acknowledged every record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from contracts.envelope import Event, encode
from contracts.topics import Topic
from service_kit.settings import KafkaSettings


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

        The sends are awaited one after another: that is what keeps the order within a key.
        """
        if not records:
            return
        if self._producer is None:
            raise ConnectionError("the Kafka producer is not open")
        send = self._producer.send
        prefix = self._prefix
        pending = [
            await send(
                prefix + record.topic,
                record.value,
                key=record.key,
                headers=record.headers,
            )
            for record in records
        ]
        settled = await asyncio.gather(*pending, return_exceptions=True)
        for result in settled:
            if isinstance(result, BaseException):
                raise result


@lru_cache(maxsize=50_000)
def _hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF


def partition_of(key: bytes | None, every: list[int], available: list[int]) -> int:
    """The partition that Java's default partitioner gives a key, hashed once for keys that come again."""
    if not key:
        return available[0] if available else every[0]
    return every[_hash(key) % len(every)]
