"""The service as a process, on real Kafka and Postgres: from snapshots to figures and e-mail requests."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import orjson

from contracts import communications, inbox_events
from contracts.communications import CommunicationChanged
from contracts.envelope import Event
from contracts.fields import key_of
from contracts.inbox_events import ThreadChanged
from contracts.threads import thread_id
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, EMAIL_REQUESTS, INBOX_EVENTS, TELEPHONY_EVENTS
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.reporting.words import ACCOUNT, BERLIN, CONTACT, a_call, a_message, a_missed_call, the_directory
from tests.support import FreshTopics, bearer, eventually
from tests.support.http import http_client
from tests.support.topics import Raw

YESTERDAY = (utc_now().astimezone(BERLIN) - timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)


def changed(snapshot: CommunicationChanged) -> tuple[bytes, Event[Any]]:
    event = Event(
        id=f"{snapshot.communication_id}/{snapshot.version}",
        source="/connected-inbox/routing",
        type=communications.CHANGED,
        time=snapshot.activity_at,
        account_id=ACCOUNT,
        data=snapshot,
    )
    return key_of(ACCOUNT, snapshot.inbox_id, snapshot.contact_number), event


def a_thread(unread: int, changed_at: datetime, version: int) -> tuple[bytes, Event[Any]]:
    thread = thread_id(ACCOUNT, "support", CONTACT, "")
    data = ThreadChanged(
        thread_id=thread, inbox_id="support", contact_number=CONTACT, unread=unread, active_calls=0, version=version
    )
    event = Event(
        id=f"{thread}/{version}",
        source="/connected-inbox/inbox_state",
        type=inbox_events.THREAD_CHANGED,
        time=changed_at,
        account_id=ACCOUNT,
        data=data,
    )
    return key_of(ACCOUNT, thread), event


async def test_yesterdays_snapshots_become_a_report_and_one_email_each(
    kafka: FreshTopics, running_service: StartService
) -> None:
    await kafka.publish(
        DIRECTORY_EVENTS, *((key_of(ACCOUNT, one.event.type, one.event.id), one.event) for one in the_directory())
    )
    snapshots = [
        *(a_call(f"answered-{n}", YESTERDAY + timedelta(minutes=n)) for n in range(20)),
        *(a_missed_call(f"missed-{n}", YESTERDAY + timedelta(minutes=n), version=2) for n in range(5)),
        *(a_missed_call(f"missed-{n}", YESTERDAY, status="ringing", version=1) for n in range(5)),
        a_message("text", YESTERDAY + timedelta(hours=1)),
    ]
    delivered = [*snapshots, *snapshots]
    random.Random(1).shuffle(delivered)
    await kafka.publish(COMMUNICATION_EVENTS, *map(changed, delivered))
    await kafka.publish(
        INBOX_EVENTS,
        a_thread(1, YESTERDAY + timedelta(hours=1), 1),
        a_thread(0, YESTERDAY + timedelta(days=1), 2),
    )
    service = await running_service("reporting", extra_env={"REPORT_WAITS_FOR": ""})
    day = YESTERDAY.date().isoformat()
    admin = bearer("ada", ACCOUNT)

    async with http_client(service.url, headers=admin) as client:

        async def complete() -> Any:
            answer = await client.get(f"/v1/inboxes/support/reports/daily-activity?date={day}")
            return answer.status_code == 200 and answer.json()["complete"] and answer.json()

        report = await eventually(complete, 30)
        totals = report["totals"]
        assert (totals["calls_inbound"], totals["answered"], totals["missed"]) == (25, 20, 5)
        assert (totals["messages_inbound"], totals["unread_left"]) == (1, 1)

        for _ in range(2):
            sent = await client.post("/v1/inboxes/support/reports/daily-activity/send", json={"date": day})
            assert sent.status_code == 202
        await kafka.records(EMAIL_REQUESTS, at_least=4, seconds=30)

        await service.kill()
        await service.start(REPORT_WAITS_FOR="")
        sent = await client.post("/v1/inboxes/support/reports/daily-activity/send", json={"date": day})
        assert sent.status_code == 202

        async def nothing_waits() -> bool:
            metrics = (await client.get("/metrics")).text
            return 'report_emails_total{origin="asked",report="daily_activity",service="reporting"} 0.0' in metrics

        await eventually(nothing_waits, 30, because="the report asked for again being done")

    requests = await kafka.records(EMAIL_REQUESTS, at_least=4)
    # What was published just before the kill may be published once more: the same record, so the same e-mail.
    asked_for = {record.key: orjson.loads(record.value)["recipient"]["user_id"] for record in requests}
    assert sorted(asked_for.values()) == ["anna", "bob", "sue", "wim"]
    assert all(dict(one.headers)["ce_type"] == b"email.requested.v1" for one in requests)
    assert all(one.key.decode() == orjson.loads(one.value)["email_id"] for one in requests)


async def test_a_routing_that_is_behind_delays_the_report_that_is_asked_for(
    kafka: FreshTopics, running_service: StartService
) -> None:
    """Reporting has read all there is; routing has not read what will become the rest of the day."""
    await kafka.publish(
        DIRECTORY_EVENTS, *((key_of(ACCOUNT, one.event.type, one.event.id), one.event) for one in the_directory())
    )
    await kafka.publish(COMMUNICATION_EVENTS, changed(a_call("early", YESTERDAY)))
    await kafka.send(TELEPHONY_EVENTS, [Raw(b"an hour of events", b"key", partition=1)])
    service = await running_service("reporting")
    day = YESTERDAY.date().isoformat()
    path = f"/v1/inboxes/support/reports/daily-activity?date={day}"

    async with http_client(service.url, headers=bearer("ada", ACCOUNT)) as client:

        async def shows(calls: int) -> Any:
            answer = await client.get(path)
            return answer.status_code == 200 and answer.json()["totals"]["calls_inbound"] == calls and answer.json()

        report = await eventually(lambda: shows(1), 30)
        assert report["complete"] is False
        sent = await client.post("/v1/inboxes/support/reports/daily-activity/send", json={"date": day})
        assert sent.status_code == 202

        await kafka.publish(COMMUNICATION_EVENTS, changed(a_call("late", YESTERDAY)))
        report = await eventually(lambda: shows(2), 30)
        assert report["complete"] is False
        assert await kafka.records(EMAIL_REQUESTS) == []

        await kafka.commit_all("routing", TELEPHONY_EVENTS)
        await kafka.commit_all("inbox_state", COMMUNICATION_EVENTS)
        await kafka.records(EMAIL_REQUESTS, at_least=4, seconds=30)
        assert (await shows(2))["complete"] is True

    assert all(
        "Calls in                            2" in orjson.loads(one.value)["text"]
        for one in await kafka.records(EMAIL_REQUESTS)
    )
