"""Every service works with a user of its own and the documented rights, over TLS, and is refused all else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from contracts import rights
from contracts.rights import OPERATOR, TELEPHONY, USERS
from contracts.topics import (
    COMMUNICATION_EVENTS,
    DIRECTORY_EVENTS,
    EMAIL_REQUESTS,
    INBOX_EVENTS,
    SERVICES,
    TELEPHONY_COMMANDS,
    TELEPHONY_EVENTS,
    TOPICS,
    dead_letter_topic,
)
from devstack.mail import MailCatcher
from devstack.ports import HOST
from devstack.postgres import EmbeddedPostgres
from service_kit.clock import utc_now
from service_kit.database import migrate
from service_kit.publishing import Outgoing, Publisher
from service_kit.topics import create_topics
from tests.conftest import StartService, server_folder
from tests.end_to_end.company import ENVIRONMENT, Company
from tests.operations.secured import SecuredKafka, TlsFront, secured_kafka, tls_before
from tests.support import FreshTopics, eventually
from tests.support.databases import fresh_database, template_database
from tests.support.topics import Raw

PREFIX = "acme-"
REPOSITORY = Path(__file__).parents[2]


def test_the_page_of_rights_is_what_the_registry_says() -> None:
    page = (REPOSITORY / "docs" / "kafka-rights.md").read_text(encoding="utf-8")
    assert page == rights.page(), "run `make documents`"


def test_no_right_is_wider_than_a_name() -> None:
    named = {topic.name for topic in TOPICS}
    for right in rights.rights():
        assert right.resource == "group" or right.name in named
        assert not right.any_suffix or right.user == TELEPHONY
    written = {(one.user, one.name) for one in rights.rights() if "Write" in one.operations}
    assert ("notification", "communication-events") not in written
    assert ("reporting", "email-requests") in written


@dataclass
class Secured:
    company: Company
    kafka: SecuredKafka
    postgres: TlsFront


@pytest_asyncio.fixture
async def secured(
    servers_folder: Path, mail: MailCatcher, running_service: StartService, private_postgres: EmbeddedPostgres
) -> AsyncIterator[Secured]:
    """The company on a Kafka with nothing but the documented rights, and on a Postgres with nothing but TLS."""
    with (
        secured_kafka(servers_folder, PREFIX) as kafka,
        tls_before(private_postgres, servers_folder) as front,
        template_database(private_postgres.admin_dsn) as template,
        fresh_database(template) as database,
    ):
        await asyncio.to_thread(kafka.allow, rights.arguments(PREFIX))
        await create_topics(kafka.settings(OPERATOR), partitions=3)
        inside, outside = f"{HOST}:{private_postgres.port}", f"localhost:{front.port}"
        urls = {name: database.dsn(name).replace(inside, outside) + front.query for name in SERVICES}
        for name, url in urls.items():
            # Nothing is left to do, but another driver has to come through as well.
            assert await asyncio.to_thread(migrate, url, name) == []
        services = {
            name: await running_service(
                name,
                extra_env={**ENVIRONMENT, **kafka.environment(name), "SMTP_URL": mail.url},
                dsn=urls[name],
                wait=False,
            )
            for name in SERVICES
        }
        own = FreshTopics(kafka.plain, PREFIX)
        company = Company(kafka=own, database=database, mail_folder=mail.folder, services=services)
        await company.be_ready()
        yield Secured(company, kafka, front)


@pytest.fixture
def servers_folder() -> Iterator[Path]:
    """A folder for this test's servers."""
    with server_folder() as folder:
        yield folder


@pytest.mark.timeout(400)
async def test_each_service_does_all_of_its_work_with_its_own_user_and_no_more(secured: Secured) -> None:
    company, kafka = secured.company, secured.kafka
    await company.set_up()
    await a_missed_call_arrives(secured)
    await eventually(company.mails, 60, because="the watcher's e-mail")
    await a_reply_goes_out(company)
    await a_report_is_sent(company)
    await bad_records_are_buried(secured)
    assert secured.postgres.encrypted >= len(SERVICES)
    assert secured.postgres.refused == 0
    for service in company.services.values():
        assert await service.stop()
        assert "AuthorizationFailed" not in service.log_text
    for user in USERS:
        await refused_everything_else(kafka, user)


async def a_missed_call_arrives(secured: Secured) -> None:
    """As the telephony system's user publishes it."""
    publisher = Publisher(secured.kafka.settings(TELEPHONY), client_id="pbx")
    await publisher.open()
    try:
        for number, (kind, data) in enumerate(
            [
                (
                    "telephony.call.started.v1",
                    (
                        b'{"call_id":"c1","direction":"inbound","line_number":"+12125550100",'
                        b'"contact_number":"+12125550177"}'
                    ),
                ),
                ("telephony.call.ended.v1", b'{"call_id":"c1","outcome":"no_answer"}'),
            ]
        ):
            headers = {
                "ce_specversion": "1.0",
                "ce_id": f"p{number}",
                "ce_source": "/pbx",
                "ce_type": kind,
                "ce_time": utc_now().isoformat(),
                "ce_accountid": "acme",
            }
            record = Outgoing(
                TELEPHONY_EVENTS.name, b"c1", data, [(name, text.encode()) for name, text in headers.items()]
            )
            await publisher.publish([record])
            # A call that is over by the time that routing hears of it rings nowhere.
            await secured.company.kafka.records(TELEPHONY_COMMANDS, at_least=1)
    finally:
        await publisher.close()


async def a_reply_goes_out(company: Company) -> None:
    body = {"to": "+12125550177", "body": "We call back"}
    sent = await company.request("inbox_state", "POST", "/v1/inboxes/sales/messages", as_="anna", json=body)
    assert sent.status_code == 202, sent.text
    # The ring command of the call, and this.
    await company.kafka.records(TELEPHONY_COMMANDS, at_least=2)


async def a_report_is_sent(company: Company) -> None:
    before = len(company.mails())
    path = "/v1/inboxes/sales/reports/daily-activity/send"
    day = str(company.yesterday().date())
    asked = await company.request("reporting", "POST", path, as_="ada", json={"date": day})
    assert asked.status_code == 202, asked.text
    await company.kafka.records(EMAIL_REQUESTS, at_least=1)
    await eventually(lambda: len(company.mails()) > before, 60, because="the report's e-mail")


async def bad_records_are_buried(secured: Secured) -> None:
    """Every consumer of every topic puts what it can't process on its own dead-letter topic."""
    everywhere = (TELEPHONY_EVENTS, COMMUNICATION_EVENTS, DIRECTORY_EVENTS, INBOX_EVENTS, EMAIL_REQUESTS)
    for topic in everywhere:
        await secured.company.kafka.send(topic, [Raw(b"no JSON", b"k")])
    for topic in everywhere:
        for service in topic.consumers:
            await secured.company.kafka.records(dead_letter_topic(service, topic), at_least=1, seconds=40)


async def refused_everything_else(kafka: SecuredKafka, user: str) -> None:
    """Try every topic for reading and writing, and every group, that is not this user's."""
    held = [one for one in rights.rights() if one.user == user]
    readable = {one.name for one in held if one.resource == "topic" and "Read" in one.operations}
    writable = {one.name for one in held if one.resource == "topic" and "Write" in one.operations}
    connection = kafka.settings(user).connection()
    producer = AIOKafkaProducer(**connection, enable_idempotence=False)
    await producer.start()
    try:
        for topic in TOPICS:
            if topic.name not in writable:
                with pytest.raises(TopicAuthorizationFailedError):
                    await producer.send_and_wait(PREFIX + topic.name, b"mine")
    finally:
        await producer.stop()
    for topic in TOPICS:
        if topic.name in readable:
            continue
        consumer = AIOKafkaConsumer(**connection, auto_offset_reset="earliest")
        await consumer.start()
        try:
            if PREFIX + topic.name in await consumer.topics():
                # He may know of it, since he writes it: then it is the reading that is refused.
                consumer.assign([TopicPartition(PREFIX + topic.name, 0)])
                with pytest.raises(TopicAuthorizationFailedError):
                    await asyncio.wait_for(consumer.getone(), 20)
            else:
                assert topic.name not in writable
        finally:
            await consumer.stop()
    if user in SERVICES:
        groups = {one.name for one in held if one.resource == "group"}
        other = next(name for name in SERVICES if name not in groups)
        stranger = AIOKafkaConsumer(PREFIX + min(readable), **connection, group_id=PREFIX + other)
        with pytest.raises(GroupAuthorizationFailedError):
            await stranger.start()
        await stranger.stop()
