"""Creating the project's topics: the one step that does it, since nothing relies on broker auto-creation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from contracts.topics import TOPICS
from service_kit.settings import KafkaSettings

_ALREADY_EXISTS: Final = 36


@dataclass(frozen=True, slots=True)
class Creation:
    """What became of one topic: created now, or there already."""

    name: str
    created: bool


async def create_topics(settings: KafkaSettings, *, partitions: int = 6, replication: int = 1) -> list[Creation]:
    """Create every topic of the registry that is missing; what exists is left as it is.

    Raises `RuntimeError` that names the topic and Kafka's error code when one can't be created.
    """
    admin = AIOKafkaAdminClient(**settings.connection(), request_timeout_ms=30_000)
    await admin.start()
    try:
        answer = await admin.create_topics(
            [
                NewTopic(
                    name=topic.named(settings.topic_prefix),
                    num_partitions=partitions,
                    replication_factor=replication,
                    topic_configs=topic.configuration(),
                )
                for topic in TOPICS
            ]
        )
    finally:
        await admin.close()
    outcome: list[Creation] = []
    for name, code, message in ((row[0], row[1], row[2] if len(row) > 2 else None) for row in answer.topic_errors):
        if code not in (0, _ALREADY_EXISTS):
            raise RuntimeError(f"topic {name} can't be created: {message or 'error'} (code {code})")
        outcome.append(Creation(name=name, created=code == 0))
    return outcome
