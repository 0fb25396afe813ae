"""A mark is followed through services by what their groups have committed: nobody concludes from his own reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownTopicOrPartitionError

from contracts.topics import COMMUNICATION_EVENTS, TELEPHONY_EVENTS
from service_kit.following import Follower, Stage
from tests.service_kit.words import good
from tests.support import FreshTopics, eventually

STAGES = (Stage("first", (TELEPHONY_EVENTS,)), Stage("second", (COMMUNICATION_EVENTS,)))
BEGIN = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Marks:
    """A follower that runs, what it told, and a clock that shows an hour later at every look."""

    def __init__(self, kafka: FreshTopics) -> None:
        self.looked = 0
        self.arrived: list[datetime] = []
        self.follower = Follower(
            kafka.settings, STAGES, clock=self.clock, every=timedelta(seconds=0.05), arrived=self.arrive
        )

    def clock(self) -> datetime:
        self.looked += 1
        return BEGIN + timedelta(hours=self.looked - 1)

    async def arrive(self, at: datetime) -> None:
        self.arrived.append(at)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.follower.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def looks_twice_more(self) -> None:
        """Wait until the follower has asked Kafka again, so that what it does not tell is not merely late."""
        rounds = self.follower.rounds
        await eventually(lambda: self.follower.rounds >= rounds + 2, 20)


@pytest_asyncio.fixture
async def marks(kafka: FreshTopics) -> Marks:
    return Marks(kafka)


async def test_where_nothing_lags_every_mark_arrives_with_the_time_at_which_it_was_made(
    kafka: FreshTopics, marks: Marks
) -> None:
    await kafka.send(TELEPHONY_EVENTS, [good("one", partition=1)])
    await kafka.commit_all("first", TELEPHONY_EVENTS)

    async with marks.followed():
        await eventually(lambda: len(marks.arrived) >= 2, 20)

    assert marks.arrived[:2] == [BEGIN, BEGIN + timedelta(hours=1)]


async def test_a_service_on_the_way_that_lags_holds_the_mark(kafka: FreshTopics, marks: Marks) -> None:
    await kafka.send(TELEPHONY_EVENTS, [good("one", partition=1), good("two", partition=2)])

    async with marks.followed():
        await marks.looks_twice_more()
        assert marks.arrived == []

        await kafka.send(COMMUNICATION_EVENTS, [good("made of one", partition=0)])
        await kafka.commit_all("first", TELEPHONY_EVENTS)
        await marks.looks_twice_more()
        assert marks.arrived == []

        await kafka.commit_all("second", COMMUNICATION_EVENTS)
        await eventually(lambda: marks.arrived, 20)

    assert marks.arrived[0] == BEGIN


async def test_a_mark_waits_for_nothing_that_came_after_it(kafka: FreshTopics, marks: Marks) -> None:
    """Under steady traffic nobody is ever at the end: a mark must arrive all the same."""
    await kafka.send(TELEPHONY_EVENTS, [good("before", partition=1)])

    async with marks.followed():
        await eventually(lambda: marks.looked, 20)
        await marks.looks_twice_more()
        await kafka.commit_all("first", TELEPHONY_EVENTS)
        await kafka.send(TELEPHONY_EVENTS, [good("after", partition=1)])
        await eventually(lambda: marks.arrived, 20)
        await marks.looks_twice_more()

    assert marks.arrived[0] == BEGIN


async def test_of_a_topic_that_is_not_there_nothing_is_said(kafka: FreshTopics) -> None:
    marks = Marks(kafka)
    nowhere = replace(TELEPHONY_EVENTS, name="nowhere")
    follower = Follower(
        kafka.settings,
        [Stage("first", (nowhere,))],
        clock=marks.clock,
        every=timedelta(seconds=0.05),
        arrived=marks.arrive,
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    reader = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await reader.start()
    try:
        with pytest.raises(UnknownTopicOrPartitionError):
            await follower.advance(admin, reader)
    finally:
        await admin.close()
        await reader.stop()
    assert marks.arrived == []
