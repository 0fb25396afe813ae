"""`inboxctl doctor`: whether everything that the services need is there and as it should be, and what to do if not.

It changes nothing, and sends no e-mail. Each part is looked at by itself, so that one look tells all that is wrong.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

import psycopg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from pydantic import Field, SecretStr, ValidationError

from contracts.topics import SERVICES
from service_kit.clock import utc_now
from service_kit.database import pending_migrations
from service_kit.settings import Duration, EnvironmentSettings, KafkaSettings, UnreadableSetting, given
from service_kit.topics import drift

OLDEST_POSTGRES: Final = 160_000
CLOCK_SLACK_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 5

Verdict = Literal["ok", "advice", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` says what to do about it; it never holds a secret."""

    verdict: Verdict
    what: str
    advice: str = ""


class MailSettings(EnvironmentSettings):
    """What notification is told of its mail server, as far as it takes to greet it."""

    smtp_url: SecretStr = SecretStr("smtp://localhost:25")
    smtp_verify_certificates: bool = True
    smtp_timeout: Duration = Field(default=timedelta(seconds=60))


def examine(services: Sequence[str]) -> Iterator[Finding]:
    """Look at everything that these services need, part by part."""
    yield from _settings(services)
    yield from _broker()
    for service in services:
        yield from _database(service)
    if "notification" in services:
        yield from _mail()


def _settings(services: Sequence[str]) -> Iterator[Finding]:
    for service in services:
        # Each service checks its own settings as it does at its start: this package knows none of them.
        done = subprocess.run(
            [sys.executable, "-m", "service_kit.check_settings", f"{service}.settings"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            yield Finding("ok", f"settings: {service} would start")
            continue
        told = [line.strip() for line in done.stderr.strip().splitlines()]
        problems = told[1:] if told and told[0].startswith("The settings") else told[-1:]
        for problem in problems or ["its settings can't be read"]:
            yield Finding(
                "wrong", f"settings: {service}: {problem}", "The README's table says what each setting is for."
            )


def _broker() -> Iterator[Finding]:
    try:
        settings = KafkaSettings()
    except (ValidationError, UnreadableSetting):
        # Said already, by whichever service was asked first.
        return
    where = settings.kafka_bootstrap_servers
    try:
        brokers, differences = asyncio.run(_ask_broker(settings))
    except (KafkaError, OSError, TimeoutError, ssl.SSLError) as error:
        yield Finding(
            "wrong",
            f"broker: {where} does not answer ({type(error).__name__})",
            "Is KAFKA_BOOTSTRAP_SERVERS right, the port open from here, and do KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_* "
            "and KAFKA_CA_FILE fit the listener?",
        )
        return
    yield Finding("ok", f"broker: {where} answers, {brokers} in the cluster")
    missing = [one for one in differences if one.missing]
    for one in missing:
        yield Finding("wrong", f"topics: {one}", "inboxctl topics create")
    for one in differences:
        if not one.missing:
            advice = f"kafka-configs.sh --alter --topic {one.name} --add-config {one.setting}={one.expected}"
            if one.setting == "replicas":
                advice = "One broker's loss would stop everything: add replicas with kafka-reassign-partitions.sh."
            yield Finding("advice", f"topics: {one}", advice)
    if not differences:
        yield Finding("ok", "topics: all are there and as they should be")


async def _ask_broker(settings: KafkaSettings) -> tuple[int, list[Any]]:
    async with asyncio.timeout(30):
        admin = AIOKafkaAdminClient(**settings.connection(), request_timeout_ms=10_000)
        try:
            await admin.start()
            brokers = len((await admin.describe_cluster())["brokers"])
        finally:
            await admin.close()
        return brokers, await drift(settings, replication=min(3, brokers))


def _database(service: str) -> Iterator[Finding]:
    variable = f"{service.upper()}_DATABASE_URL"
    try:
        dsn = given(variable)
    except UnreadableSetting:
        return
    if dsn is None:
        # The service's own settings were found wanting above.
        return
    try:
        with psycopg.connect(dsn, connect_timeout=CONNECT_SECONDS, autocommit=True) as connection:
            yield Finding("ok", f"database: {service} can log in{_how(connection)}")
            yield from _server(connection, service)
            yield from _role(connection, service)
            if not _holds(connection, "SELECT to_regnamespace(%s) IS NOT NULL", service):
                yield Finding(
                    "wrong", f"schemas: {service} has none", "Run deploy/postgres/roles.sql, then inboxctl migrate."
                )
                return
    except (psycopg.OperationalError, UnicodeError) as error:
        yield Finding(
            "wrong",
            f"database: {service} can't log in ({_first_line(error)})",
            f"Is {variable} right, the server reachable from here, and was deploy/postgres/roles.sql run with this "
            "password?",
        )
        return
    try:
        pending = pending_migrations(dsn, service)
    except Exception as error:
        # Whatever the driver or the migration library raises, the rest of the examination goes on.
        yield Finding("wrong", f"schemas: {service} can't be read ({type(error).__name__})", "inboxctl migrate")
        return
    if pending:
        yield Finding("wrong", f"schemas: {service} lacks {', '.join(pending)}", "inboxctl migrate")
    else:
        yield Finding("ok", f"schemas: {service} is up to date")


def _how(connection: psycopg.Connection[Any]) -> str:
    found = connection.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl").fetchone()
    return f", by {found[0]}" if found else ", without TLS"


def _server(connection: psycopg.Connection[Any], service: str) -> Iterator[Finding]:
    if connection.info.server_version < OLDEST_POSTGRES:
        yield Finding(
            "wrong",
            f"database: {service}'s server is Postgres {connection.info.server_version // 10_000}",
            "Postgres 16 is the oldest that is known to work.",
        )
    (now,) = connection.execute("SELECT clock_timestamp()").fetchone() or (utc_now(),)
    away = abs((now - utc_now()).total_seconds())
    if away > CLOCK_SLACK_SECONDS:
        yield Finding(
            "advice",
            f"database: the clock of {service}'s server is {away:.0f} s from this machine's",
            "Timers and tokens rest on clocks: keep both by NTP.",
        )


def _role(connection: psycopg.Connection[Any], service: str) -> Iterator[Finding]:
    wrong: list[str] = []
    if _holds(connection, "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = current_user"):
        wrong.append("may do what only an administrator should")
    others = [
        other
        for other in SERVICES
        if other != service
        and _holds(
            connection,
            "SELECT has_schema_privilege(current_user, oid, 'USAGE') FROM pg_namespace WHERE nspname = %s",
            other,
        )
    ]
    if others:
        wrong.append(f"can reach into {', '.join(others)}")
    if _holds(connection, "SELECT nspowner <> current_user::regrole FROM pg_namespace WHERE nspname = %s", service):
        wrong.append("does not own its schema")
    for one in wrong:
        yield Finding(
            "wrong", f"roles: {service}'s role {one}", "Give each service its own role: deploy/postgres/roles.sql."
        )
    if not wrong:
        yield Finding("ok", f"roles: {service}'s role reaches its own schema and no other")


def _holds(connection: psycopg.Connection[Any], question: str, *values: str) -> bool:
    row = connection.execute(question.encode(), values).fetchone()
    return bool(row and row[0])


def _mail() -> Iterator[Finding]:
    try:
        settings = MailSettings()
    except (ValidationError, UnreadableSetting):
        return
    parts = urlsplit(settings.smtp_url.get_secret_value())
    host, implicit = parts.hostname or "localhost", parts.scheme == "smtps"
    try:
        port = parts.port or (465 if implicit else 25)
    except ValueError:
        return
    context = ssl.create_default_context()
    if not settings.smtp_verify_certificates:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _greeted(host, port, implicit, context) as server:
            encrypted = implicit or server.has_extn("starttls")
            if not implicit and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.noop()
    except smtplib.SMTPAuthenticationError:
        yield Finding("wrong", f"mail: {host}:{port} refuses the user of SMTP_URL", "Percent-encode what is not plain.")
    except ssl.SSLError as error:
        yield Finding(
            "wrong",
            f"mail: the certificate or TLS of {host}:{port} is not accepted ({error.reason or type(error).__name__})",
            "smtps:// speaks TLS at once, smtp:// by STARTTLS; a private authority's certificate has to be installed.",
        )
    except (OSError, smtplib.SMTPException) as error:
        yield Finding(
            "wrong",
            f"mail: {host}:{port} takes no mail from here ({type(error).__name__})",
            "Is SMTP_URL right, and the port open from here? E-mails wait and are sent once it is there.",
        )
    else:
        yield Finding("ok", f"mail: {host}:{port} takes mail" + (", by TLS" if encrypted else ""))
        if parts.username and not encrypted:
            yield Finding("advice", "mail: user and password go over the line unencrypted", "Use smtps:// or STARTTLS.")


def _greeted(host: str, port: int, implicit: bool, context: ssl.SSLContext) -> smtplib.SMTP:
    open_: Callable[[], smtplib.SMTP] = (
        (lambda: smtplib.SMTP_SSL(host, port, timeout=CONNECT_SECONDS, context=context))
        if implicit
        else (lambda: smtplib.SMTP(host, port, timeout=CONNECT_SECONDS))
    )
    server = open_()
    server.ehlo()
    return server


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
