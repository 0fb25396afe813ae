"""How far what reached the first topic has come, through every service on its way: told by Kafka's own offsets.

A service that has read all of its input may still be ahead of the day's truth: the service before it may lag, and
then there is nothing to read yet. Here a mark is followed instead. Where the topics of the first service end now is
noted; when its group has committed that far, everything that it makes of it is published (architecture §2: the
broker has acknowledged it before the commit), and so where the next service's topics end then is what that one
must reach; and so on to the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from contracts.topics import Topic
from service_kit.clock import Clock
from service_kit.database import is_transient
from service_kit.settings import KafkaSettings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stage:
    """One service on the way: its consumer group, and what it reads there."""

    group: str
    topics: tuple[Topic, ...]


@dataclass(frozen=True, slots=True)
class _Extent:
    """What a partition held when the mark was made: the offset of its first record, and the one after its last."""

    beginning: int
    end: int


@dataclass(slots=True)
class _Mark:
    made_at: datetime
    stage: int
    ends: Mapping[TopicPartition, _Extent]


class Follower:
    """A worker that follows one mark after another through `stages`, and tells `arrived` when each was made.

    Whatever reached the first stage's topics before that has come through the last stage. Nothing is told while
    a stage lags or stands still. Marks are lost with the process: the next one is made later, which only waits
    longer.
    """

    name = "follower"

    def __init__(
        self,
        settings: KafkaSettings,
        stages: Sequence[Stage],
        *,
        clock: Clock,
        every: timedelta,
        arrived: Callable[[datetime], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._stages = tuple(stages)
        self._clock = clock
        self._every = every.total_seconds()
        self._arrived = arrived
        self._mark: _Mark | None = None
        self.rounds = 0
        """How often Kafka has been asked."""

    def let_go(self) -> None:
        """No request waits for this worker."""

    async def run(self) -> None:
        """Follow until cancelled; with Kafka or Postgres away, begin again after a pause that grows."""
        pause = self._every
        while True:
            try:
                async with AsyncExitStack() as ending:
                    admin, reader = await self._connected(ending)
                    while True:
                        await self.advance(admin, reader)
                        self.rounds += 1
                        pause = self._every
                        await asyncio.sleep(self._every)
            except Exception as error:
                # Reports wait while nothing is told: no reason to end what the process does besides.
                if isinstance(error, KafkaError) or is_transient(error):
                    log.warning("following_interrupted", error=type(error).__name__)
                else:
                    log.exception("following_failed")
            pause = min(max(pause, 0.5) * 2, 30.0)
            await asyncio.sleep(pause)

    async def advance(self, admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer) -> None:
        """Take the mark as far as it goes now."""
        mark = self._mark
        if mark is None:
            made_at = self._clock()
            mark = self._mark = _Mark(made_at, 0, await self._ends(admin, reader, self._stages[0]))
        while await self._is_past(admin, self._stages[mark.stage], mark.ends):
            if mark.stage + 1 == len(self._stages):
                await self._arrived(mark.made_at)
                self._mark = None
                return
            mark.ends = await self._ends(admin, reader, self._stages[mark.stage + 1])
            mark.stage += 1

    async def _connected(self, ending: AsyncExitStack) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        admin = AIOKafkaAdminClient(**self._settings.connection(), request_timeout_ms=15_000)
        ending.push_async_callback(admin.close)
        await admin.start()
        reader = AIOKafkaConsumer(**self._settings.connection(), request_timeout_ms=15_000)
        ending.push_async_callback(reader.stop)
        await reader.start()
        return admin, reader

    async def _ends(
        self, admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer, stage: Stage
    ) -> Mapping[TopicPartition, _Extent]:
        described = await admin.describe_topics([topic.named(self._settings.topic_prefix) for topic in stage.topics])
        missing = [topic["topic"] for topic in described if topic["error_code"]]
        if missing or len(described) < len(stage.topics):
            # Of a topic that is not there nothing can be said, least of all that it is read.
            raise UnknownTopicOrPartitionError(", ".join(missing))
        partitions = [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        ]
        beginnings = await reader.beginning_offsets(partitions)
        ends = await reader.end_offsets(partitions)
        return {partition: _Extent(beginnings[partition], ends[partition]) for partition in partitions}

    async def _is_past(
        self, admin: AIOKafkaAdminClient, stage: Stage, extents: Mapping[TopicPartition, _Extent]
    ) -> bool:
        group = self._settings.topic_prefix + stage.group
        committed = await admin.list_consumer_group_offsets(group, partitions=list(extents))
        for partition, extent in extents.items():
            known = committed.get(partition)
            # Where nothing is committed (offset -1) the group would begin with the first record: an empty
            # partition needs no commit.
            done = extent.beginning if known is None or known.offset < 0 else known.offset
            if done < extent.end:
                return False
        return True
