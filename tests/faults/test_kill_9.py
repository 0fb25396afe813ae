"""Reliability 1 to 3: a service killed at any point loses nothing and does nothing twice."""

from __future__ import annotations

import pytest

from contracts.topics import COMMUNICATION_EVENTS, SERVICES, TELEPHONY_EVENTS
from service_kit.clock import utc_now
from tests.end_to_end.company import Company
from tests.end_to_end.reference import every_email_is_explained, everything_agrees
from tests.end_to_end.streams import a_stream, deliver
from tests.faults.killed import POINTS
from tests.support import eventually

EVENTS = 2_000


@pytest.mark.faults
@pytest.mark.timeout(420)
@pytest.mark.parametrize("name", SERVICES)
async def test_killed_at_three_points_under_a_stream_nothing_is_lost_and_nothing_happens_twice(
    company: Company, name: str
) -> None:
    stream = a_stream(EVENTS, utc_now(), seed=11)
    quarter = len(stream) // 4
    victim = company.services[name]
    topic = TELEPHONY_EVENTS if name == "routing" else COMMUNICATION_EVENTS
    for index, point in enumerate(POINTS):
        await victim.stop()
        victim.command = ("-m", "tests.faults.killed", name)
        await victim.start(
            KILL_AT=point, KILL_PORTION="2", KILL_TOPIC=topic.named(company.kafka.prefix), BATCH_MAX_RECORDS="50"
        )
        await deliver(company, stream[index * quarter : (index + 1) * quarter])
        await victim.died(60)
        victim.command = ()
        await victim.start()
    await deliver(company, stream[len(POINTS) * quarter :])
    kills = len(POINTS) if name == "notification" else 0

    await eventually(lambda: everything_agrees(company), 90, every=0.5)
    await eventually(lambda: every_email_is_explained(company, kills=kills), 90, every=0.5)
