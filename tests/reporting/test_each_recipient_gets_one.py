"""Whoever is killed at whatever step, and however many replicas run: each recipient gets each report once (P4)."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, EMAIL_REQUESTS
from devstack.mail import MailCatcher, messages
from tests.conftest import StartService
from tests.faults.killed import POINTS
from tests.reporting.killed_sending import STEPS
from tests.reporting.test_service import YESTERDAY, changed
from tests.reporting.words import ACCOUNT, a_call, the_directory
from tests.support import FreshTopics, bearer, eventually
from tests.support.http import http_client
from tests.support.services import RunningService

RECIPIENTS = ("anna", "bob", "sue", "wim")
ALONE = {"REPORT_WAITS_FOR": "", "REPORT_TIMER_SECONDS": "0.2"}


async def publish_days(kafka: FreshTopics, dates: list[date]) -> None:
    await kafka.publish(
        DIRECTORY_EVENTS,
        *((f"{ACCOUNT}/{one.event.type}/{one.event.id}".encode(), one.event) for one in the_directory()),
    )
    calls = [a_call(f"call-{n}", YESTERDAY - timedelta(days=n)) for n in range(len(dates))]
    await kafka.publish(COMMUNICATION_EVENTS, *map(changed, calls))


async def ask(service: RunningService, day: date) -> None:
    """Ask for a day's report; the service may die before it has answered."""
    async with http_client(service.url, headers=bearer("ada", ACCOUNT)) as client:

        async def taken() -> bool:
            try:
                answer = await client.post(
                    "/v1/inboxes/support/reports/daily-activity/send", json={"date": day.isoformat()}
                )
            except httpx.TransportError:
                return not service.alive
            # The directory may not have been read yet.
            return answer.status_code == 202

        await eventually(taken, 30)


def received(mail: MailCatcher) -> Counter[tuple[str, str]]:
    """How many e-mails each recipient has had of each day."""
    return Counter((str(one["To"]), str(one["Subject"]).partition(" for ")[2]) for one in messages(mail.folder))


async def all_read(kafka: FreshTopics) -> bool:
    """Whether notification has read every request for an e-mail."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(f"{kafka.prefix}notification")
    finally:
        await admin.close()
    name = EMAIL_REQUESTS.named(kafka.prefix)
    done: int = sum(at.offset for partition, at in committed.items() if partition.topic == name)
    return done == len(await kafka.records(EMAIL_REQUESTS))


@pytest.mark.timeout(300)
async def test_killed_at_each_step_of_sending_each_recipient_gets_one_email(
    kafka: FreshTopics, running_service: StartService, mail: MailCatcher
) -> None:
    """One report, whose sending is cut off at six steps one after the other; each restart takes it up again."""
    day = YESTERDAY.date()
    await publish_days(kafka, [day])
    reporting = await running_service(
        "reporting",
        command=("-m", "tests.reporting.killed_sending"),
        extra_env={**ALONE, "KILL_AT": STEPS[0]},
    )
    await ask(reporting, day)
    await reporting.died(60)
    for step in STEPS[1:]:
        reporting.launch(KILL_AT=step)
        await reporting.died(60)
    reporting.command = ()
    reporting.launch()

    notification = await running_service(
        "notification",
        command=("-m", "tests.faults.killed", "notification"),
        extra_env={
            "SMTP_URL": mail.url,
            "KILL_BATCH": "1",
            "KILL_TOPIC": EMAIL_REQUESTS.named(kafka.prefix),
            "KILL_AT": POINTS[0],
        },
        wait=False,
    )
    await notification.died(60)
    for point in POINTS[1:]:
        notification.launch(KILL_AT=point)
        await notification.died(60)
    notification.command = ()
    notification.launch()

    await eventually(lambda: len(received(mail)) == len(RECIPIENTS), 60)
    await eventually(lambda: all_read(kafka), 30)
    assert set(received(mail).values()) == {1}
    # What was published before the outbox forgot it came twice, under the same ids.
    requests = await kafka.records(EMAIL_REQUESTS)
    assert len(requests) > len({one.key for one in requests}) == len(RECIPIENTS)


async def test_two_replicas_send_one_report_each(kafka: FreshTopics, running_service: StartService) -> None:
    dates = [(YESTERDAY - timedelta(days=n)).date() for n in range(2)]
    await publish_days(kafka, dates)
    replicas = [await running_service("reporting", extra_env=ALONE, wait=False) for _ in range(2)]
    for replica in replicas:
        await replica.start_waiting()
    async with http_client(headers=bearer("ada", ACCOUNT)) as client:
        for day in dates * 3:
            for replica in replicas:
                await ask(replica, day)
        await kafka.records(EMAIL_REQUESTS, at_least=len(dates) * len(RECIPIENTS), seconds=60)

        async def nothing_waits() -> bool:
            sent = 0.0
            for replica in replicas:
                metrics = (await client.get(f"{replica.url}/metrics")).text
                if "connected_inbox_outbox_oldest_age_seconds" not in metrics:
                    return False
                sent += sum(
                    float(line.rpartition(" ")[2])
                    for line in metrics.splitlines()
                    if line.startswith("connected_inbox_report_emails_total{")
                )
            return sent >= len(dates) * len(RECIPIENTS)

        await eventually(nothing_waits, 30)

    requests = await kafka.records(EMAIL_REQUESTS)
    assert len({one.key for one in requests}) == len(requests) == len(dates) * len(RECIPIENTS)
