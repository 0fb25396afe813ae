"""Creating the project's topics: the one step that does it, since nothing relies on broker auto-creation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from contracts.topics import TOPICS, Topic
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


@dataclass(frozen=True, slots=True)
class Drift:
    """Where a topic on the broker is not what the registry says. `missing`: it is not there at all."""

    name: str
    setting: str
    found: str
    expected: str

    @property
    def missing(self) -> bool:
        """Whether there is no such topic."""
        return self.setting == "topic"

    def __str__(self) -> str:
        if self.missing:
            return f"{self.name} does not exist"
        return f"{self.name}: {self.setting} is {self.found}, expected {self.expected}"


async def drift(
    settings: KafkaSettings, *, partitions: int | None = None, replication: int | None = None
) -> list[Drift]:
    """What differs between the broker's topics and the registry, by topic; empty when all is as it should be.

    More partitions than asked for are no difference: they were added, and can't be taken away.
    """
    admin = AIOKafkaAdminClient(**settings.connection(), request_timeout_ms=30_000)
    await admin.start()
    try:
        named = {topic.named(settings.topic_prefix): topic for topic in TOPICS}
        described = {one["topic"]: one for one in await admin.describe_topics(list(named))}
        there = [name for name in named if not described[name]["error_code"]]
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in there])
        configured = {
            resource[3]: {entry[0]: entry[1] for entry in resource[4]}
            for answer in answers
            for resource in answer.resources
        }
    finally:
        await admin.close()
    found: list[Drift] = []
    for name, topic in named.items():
        if name not in there:
            found.append(Drift(name, "topic", "missing", "there"))
            continue
        found += _differences(name, topic, configured.get(name, {}))
        parts = described[name]["partitions"]
        if partitions is not None and len(parts) < partitions:
            found.append(Drift(name, "partitions", str(len(parts)), f"{partitions} or more"))
        least = min(len(part["replicas"]) for part in parts)
        if replication is not None and least < replication:
            found.append(Drift(name, "replicas", str(least), f"{replication} or more"))
    return found


def _differences(name: str, topic: Topic, configured: dict[str, str]) -> list[Drift]:
    return [
        Drift(name, setting, configured[setting], expected)
        for setting, expected in topic.configuration().items()
        if setting in configured and configured[setting] != expected
    ]
