"""What the consumers could not process: reading it back with its reasons, and giving it again (A3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import ConsumerRecord

from contracts.topics import TOPICS
from service_kit.settings import KafkaSettings

DEAD_LETTER_SUFFIX: Final = "-dlq"
ABOUT: Final = frozenset(
    {
        "x-reason",
        "x-detail",
        "x-source-topic",
        "x-source-partition",
        "x-source-offset",
        "x-consumer",
        "x-failed-at",
        "x-null-value",
    }
)
"""The headers that dead-lettering adds; everything else of a record is the original's."""

_POLL_MS: Final = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead-lettered record. Texts are empty where their header is missing or not text."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    source_topic: str
    source_partition: str
    source_offset: str
    consumer: str
    failed_at: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def place(self) -> str:
        """Where it lies, as `dlq show` takes it."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def time(self) -> datetime | None:
        """When it was put aside."""
        try:
            at = datetime.fromisoformat(self.failed_at)
        except ValueError:
            return None
        return at if at.tzinfo is not None else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters are meant: those that fit everything that is given."""

    places: tuple[str, ...] = ()
    service: str | None = None
    reason: str | None = None
    source_topic: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing was given, and so all are meant."""
        return self == Wanted()

    def takes(self, letter: DeadLetter) -> bool:
        """Whether this one is meant. One whose time can't be read lies in no span of time."""
        failed_at = letter.time
        return (
            (not self.places or letter.place in self.places)
            and self.service in (None, letter.consumer)
            and self.reason in (None, letter.reason)
            and self.source_topic in (None, letter.source_topic)
            and (self.since is None or (failed_at is not None and failed_at >= self.since))
            and (self.until is None or (failed_at is not None and failed_at < self.until))
        )


def dead_letter_topics(prefix: str) -> tuple[str, ...]:
    """The names of all dead-letter topics on the broker."""
    return tuple(topic.named(prefix) for topic in TOPICS if topic.name.endswith(DEAD_LETTER_SUFFIX))


async def read(settings: KafkaSettings, topics: Sequence[str]) -> list[DeadLetter]:
    """Every dead letter that lies in these topics now, by topic, partition and offset.

    Topics that do not exist are passed over.
    """
    partitions = await _partitions(settings, topics)
    if not partitions:
        return []
    consumer = AIOKafkaConsumer(**settings.connection(), enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        letters: list[DeadLetter] = []
        while unread := [one for one in partitions if await consumer.position(one) < ends[one]]:
            found = await consumer.getmany(*unread, timeout_ms=_POLL_MS)
            letters += [_letter(record) for records in found.values() for record in records]
        return sorted(letters, key=lambda letter: (letter.topic, letter.partition, letter.offset))
    finally:
        await consumer.stop()


async def replay(settings: KafkaSettings, letters: Sequence[DeadLetter]) -> int:
    """Put the originals back on the topics that they came from, as they came; returns how many.

    A letter whose source is unknown is not replayed. Consumers merge what they had already, so doing it twice
    does no harm.
    """
    producer = AIOKafkaProducer(
        **settings.connection(), acks="all", enable_idempotence=False, max_request_size=8 * 1024 * 1024
    )
    await producer.start()
    try:
        pending = [
            await producer.send(
                letter.source_topic,
                None if _was_null(letter) else letter.value,
                # The client refuses a record of nothing at all: an empty key is as near as it comes.
                key=letter.key or (b"" if _was_null(letter) else None),
                headers=[(name, value) for name, value in letter.headers if name not in ABOUT],
            )
            for letter in letters
            if letter.source_topic
        ]
        for sent in pending:
            await sent
        return len(pending)
    finally:
        await producer.stop()


async def _partitions(settings: KafkaSettings, topics: Sequence[str]) -> list[TopicPartition]:
    """The partitions of those topics that exist."""
    admin = AIOKafkaAdminClient(**settings.connection())
    await admin.start()
    try:
        described = await admin.describe_topics(list(topics))
    finally:
        await admin.close()
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        if not topic["error_code"]
        for partition in topic["partitions"]
    ]


def _was_null(letter: DeadLetter) -> bool:
    return any(name == "x-null-value" for name, _ in letter.headers)


def _letter(record: ConsumerRecord[bytes, bytes]) -> DeadLetter:
    about = {
        name: value.decode(errors="replace") for name, value in record.headers if name in ABOUT and value is not None
    }
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=about.get("x-reason", ""),
        detail=about.get("x-detail", ""),
        source_topic=about.get("x-source-topic", ""),
        source_partition=about.get("x-source-partition", ""),
        source_offset=about.get("x-source-offset", ""),
        consumer=about.get("x-consumer", ""),
        failed_at=about.get("x-failed-at", ""),
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
