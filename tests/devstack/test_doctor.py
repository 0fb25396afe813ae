"""`inboxctl doctor`: what is right is called so, and what is wrong is named with what to do about it."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from contracts.topics import EMAIL_REQUESTS, SERVICES, TELEPHONY_EVENTS
from devstack.doctor import Finding, examine
from devstack.mail import MailCatcher
from devstack.ports import free_port
from tests.support.databases import FreshDatabase
from tests.support.services import JWT_SECRET
from tests.support.topics import FreshTopics


@pytest.fixture
def told(
    monkeypatch: pytest.MonkeyPatch, kafka: FreshTopics, database: FreshDatabase, mail: MailCatcher
) -> pytest.MonkeyPatch:
    """The environment of an installation where everything is as it should be."""
    given = {
        **kafka.environment,
        "JWT_SECRET": JWT_SECRET,
        "SMTP_URL": mail.url,
        **{f"{service.upper()}_DATABASE_URL": database.dsn(service) for service in SERVICES},
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return monkeypatch


async def looked(*services: str) -> list[Finding]:
    return await asyncio.to_thread(lambda: list(examine(services or SERVICES)))


def wrong(findings: list[Finding]) -> list[str]:
    return [finding.what for finding in findings if finding.verdict == "wrong"]


async def test_where_everything_is_right_it_says_so(told: pytest.MonkeyPatch) -> None:
    findings = await looked()
    assert [finding for finding in findings if finding.verdict != "ok"] == []
    whats = " ".join(finding.what for finding in findings)
    for part in ("settings", "broker", "topics", "database", "roles", "schemas", "mail"):
        assert f"{part}:" in whats


async def test_everything_that_is_wrong_is_named_in_one_look(told: pytest.MonkeyPatch) -> None:
    secret = "hunter2-is-no-password"
    told.setenv("ROUTING_DATABASE_URL", f"postgresql://routing:{secret}@127.0.0.1:{free_port()}/inbox")
    told.setenv("SMTP_URL", f"smtp://127.0.0.1:{free_port()}")
    told.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    told.setenv("LOG_LEVEL", "loud")
    findings = await looked("routing", "notification")
    whats = wrong(findings)
    assert any(what.startswith("settings: routing: LOG_LEVEL") for what in whats)
    assert any(what.startswith("broker:") for what in whats)
    assert any(what.startswith("database: routing can't log in") for what in whats)
    assert any(what.startswith("mail:") for what in whats)
    assert all(finding.advice for finding in findings if finding.verdict == "wrong")
    assert secret not in str(findings)


async def test_topics_that_are_missing_or_drifted_are_told(told: pytest.MonkeyPatch, kafka: FreshTopics) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([EMAIL_REQUESTS.named(kafka.prefix)])
    finally:
        await admin.close()
    findings = await looked("reporting")
    (missing,) = [finding for finding in findings if EMAIL_REQUESTS.named(kafka.prefix) + " " in finding.what]
    assert (missing.verdict, missing.advice) == ("wrong", "inboxctl topics create")
    assert not any(TELEPHONY_EVENTS.named(kafka.prefix) in finding.what for finding in findings)


async def test_a_role_that_reaches_too_far_is_told(told: pytest.MonkeyPatch, database: FreshDatabase) -> None:
    with psycopg.connect(database.admin_dsn, autocommit=True) as connection:
        connection.execute("GRANT USAGE ON SCHEMA routing TO reporting")
    assert any("reporting's role can reach into routing" in what for what in wrong(await looked("reporting")))


async def test_a_schema_that_was_not_migrated_is_told(told: pytest.MonkeyPatch, database: FreshDatabase) -> None:
    with psycopg.connect(database.admin_dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM notification._yoyo_migration WHERE migration_id LIKE '0001%'")
    (what,) = wrong(await looked("notification"))
    assert what == "schemas: notification lacks 0001.notification"
