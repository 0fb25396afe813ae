"""The service as a process: from records on Kafka to accepted e-mails, across a kill."""

from __future__ import annotations

from datetime import timedelta

import httpx

from contracts.communications import CHANGED
from contracts.directory import ACCOUNT as ACCOUNT_EVENT
from contracts.directory import INBOX as INBOX_EVENT
from contracts.directory import LINE as LINE_EVENT
from contracts.directory import USER as USER_EVENT
from contracts.directory import Inbox, Line, User
from contracts.envelope import Event
from contracts.fields import key_of
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS
from devstack.mail import MailCatcher, messages
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.notification.words import ACCOUNT, CALLER, INBOX, a_call, everything
from tests.support import FreshTopics, bearer, eventually


async def test_a_missed_call_becomes_an_email_within_seconds_and_none_comes_twice_after_a_kill(
    kafka: FreshTopics, mail: MailCatcher, running_service: StartService
) -> None:
    for snapshot in everything("wendy"):
        match snapshot:
            case User():
                name, event_type, key = "user", USER_EVENT, snapshot.user_id
            case Inbox():
                name, event_type, key = "inbox", INBOX_EVENT, snapshot.inbox_id
            case Line():
                name, event_type, key = "line", LINE_EVENT, snapshot.line_number
            case _:
                name, event_type, key = "account", ACCOUNT_EVENT, ACCOUNT
        event = Event(f"{key}/1", "/routing", event_type, utc_now(), ACCOUNT, snapshot)
        await kafka.publish(DIRECTORY_EVENTS, (key_of(ACCOUNT, name, key), event))
    service = await running_service("notification", extra_env={"SMTP_URL": mail.url})

    async with httpx.AsyncClient(base_url=service.url) as http:
        settings = f"/v1/inboxes/{INBOX}/watcher-notifications"
        machine = bearer("ci", ACCOUNT, scope="directory")

        async def turned_on() -> bool:
            answer = await http.put(settings, headers=machine, json={"enabled": True, "digest_minutes": 0})
            return answer.status_code == 200

        await eventually(turned_on, because="the inbox being known")

        async def call(number: int) -> None:
            at = utc_now() + timedelta(milliseconds=1)
            snapshot = a_call("missed", communication_id=f"call-{number}", at=at)
            event = Event(f"call-{number}/1", "/routing", CHANGED, at, ACCOUNT, snapshot, origin_at=at)
            await kafka.publish(COMMUNICATION_EVENTS, (key_of(ACCOUNT, INBOX, CALLER), event))

        await call(1)
        await eventually(lambda: len(messages(mail.folder)) == 1, 5, because="the first e-mail")
        await service.kill()
        await call(2)
        await service.start()
        await eventually(lambda: len(messages(mail.folder)) == 2, because="the second e-mail")
        metrics = (await http.get("/metrics")).text
    assert 'connected_inbox_email_oldest_age_seconds{service="notification"}' in metrics
    assert 'connected_inbox_event_to_email_seconds_count{service="notification"} 1.0' in metrics
    assert CALLER not in service.log_text
    assert "wendy@example.com" not in service.log_text
    assert await service.stop()
    assert len(messages(mail.folder)) == 2
