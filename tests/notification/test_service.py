"""The service as a process: from records on Kafka to accepted e-mails, across a kill."""

from __future__ import annotations

from datetime import timedelta
from email.header import decode_header, make_header

from contracts.communications import CHANGED, CommunicationChanged
from contracts.directory import ACCOUNT as ACCOUNT_EVENT
from contracts.directory import INBOX as INBOX_EVENT
from contracts.directory import LINE as LINE_EVENT
from contracts.directory import USER as USER_EVENT
from contracts.directory import Inbox, Line, User
from contracts.emails import REQUESTED
from contracts.envelope import Event
from contracts.fields import key_of
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, EMAIL_REQUESTS
from devstack.mail import MailCatcher, messages
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.notification.test_mailing import a_report
from tests.notification.words import ACCOUNT, CALLER, INBOX, a_call, a_message, everything
from tests.support import FreshTopics, bearer, eventually
from tests.support.http import http_client


async def learn(kafka: FreshTopics, *watchers: str) -> None:
    """Publish the directory of an inbox with these watchers."""
    for snapshot in everything(*watchers):
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


async def turn_on(url: str) -> None:
    """Turn watcher e-mails on, as soon as the service knows the inbox."""
    settings = f"/v1/inboxes/{INBOX}/watcher-notifications"
    machine = bearer("ci", ACCOUNT, scope="directory")

    async def turned_on() -> bool:
        async with http_client(url) as http:
            answer = await http.put(settings, headers=machine, json={"enabled": True, "digest_minutes": 0})
        return answer.status_code == 200

    await eventually(turned_on, 60, because="the inbox being known")


def told(snapshot: CommunicationChanged) -> tuple[bytes, Event[CommunicationChanged]]:
    """A snapshot as routing publishes it."""
    at = snapshot.received_at
    event_id = f"{snapshot.communication_id}/{snapshot.version}"
    event = Event(event_id, "/routing", CHANGED, at, ACCOUNT, snapshot, origin_at=at)
    return key_of(ACCOUNT, INBOX, snapshot.contact_number), event


async def test_a_missed_call_becomes_an_email_within_seconds_and_none_comes_twice_after_a_kill(
    kafka: FreshTopics, mail: MailCatcher, running_service: StartService
) -> None:
    await learn(kafka, "wendy")
    service = await running_service("notification", extra_env={"SMTP_URL": mail.url})

    await turn_on(service.url)
    async with http_client(service.url) as http:

        async def call(number: int) -> None:
            at = utc_now() + timedelta(milliseconds=1)
            await kafka.publish(COMMUNICATION_EVENTS, told(a_call("missed", communication_id=f"call-{number}", at=at)))

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


async def test_a_replay_of_the_whole_day_tells_nobody_anything(
    kafka: FreshTopics, mail: MailCatcher, running_service: StartService
) -> None:
    await learn(kafka, "wendy", "will")
    service = await running_service("notification", extra_env={"SMTP_URL": mail.url, "VOICEMAIL_GRACE": "0"})
    await turn_on(service.url)
    began = utc_now()
    day: list[CommunicationChanged] = []
    for n in range(20):
        # Each call rings, is missed, and leaves a voicemail; each text comes; a few are of yesterday.
        at = began + timedelta(milliseconds=10 + n)
        number = f"+155501{n:02}"
        call = {"communication_id": f"call-{n}", "contact_number": number, "at": at}
        day += [
            a_call("ringing", version=1, **call),
            a_call("missed", version=2, **call),
            a_call("voicemail", version=3, **call),
            a_message(communication_id=f"text-{n}", contact_number=number, at=at),
            a_message(communication_id=f"old-{n}", contact_number=number, at=began - timedelta(hours=25)),
        ]
    await kafka.publish(COMMUNICATION_EVENTS, *(told(one) for one in day))
    reports = [a_report(), a_report().model_copy(update={"email_id": "another", "report": "voice_analytics"})]
    requested = [
        (one.email_id.encode(), Event(one.email_id, "/reporting", REQUESTED, began, ACCOUNT, one)) for one in reports
    ]
    await kafka.publish(EMAIL_REQUESTS, *requested)
    expected = 2 * 40 + 2
    await eventually(lambda: len(messages(mail.folder)) == expected, 60, because="the day's e-mails")

    assert await service.stop()
    await kafka.forget_group("notification")
    # And every record a second time, as a producer that was not answered sends it.
    await kafka.publish(COMMUNICATION_EVENTS, *(told(one) for one in reversed(day)))
    await kafka.publish(EMAIL_REQUESTS, *requested)
    await service.start()

    async def caught_up() -> bool:
        async with http_client(service.url) as http:
            text = (await http.get("/metrics")).text
        lags = [float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(LAG)]
        read = [float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(READ)]
        return bool(lags) and sum(lags) == 0 and sum(read) >= 2 * (len(day) + len(requested))

    await eventually(caught_up, 60, because="everything having been read again")
    # A communication that comes after all of it is told of after all of it.
    last = a_message(communication_id="last", contact_number="+15550999", at=utc_now() + timedelta(milliseconds=1))
    await kafka.publish(COMMUNICATION_EVENTS, told(last))

    def the_last_is_there() -> bool:
        subjects = [str(make_header(decode_header(message["Subject"]))) for message in messages(mail.folder)]
        return sum("+15550999" in subject for subject in subjects) == 2

    await eventually(the_last_is_there, 60, because="the last e-mail")
    assert len(messages(mail.folder)) == expected + 2


LAG = 'connected_inbox_consumer_lag_records{service="notification"'
READ = 'connected_inbox_consumer_records_total{service="notification"'
