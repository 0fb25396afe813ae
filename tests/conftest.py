"""Fixtures over the real servers: one stack for the whole run, a database and topics of its own for each test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

import pytest
import pytest_asyncio

from contracts.topics import SERVICES
from devstack.kafka import EmbeddedKafka
from devstack.mail import MailCatcher
from devstack.postgres import EmbeddedPostgres
from tests.support.databases import FreshDatabase, Template, fresh_database, template_database
from tests.support.servers import Servers, running_servers
from tests.support.services import JWT_SECRET, QUICK, RunningService
from tests.support.topics import FreshTopics, fresh_topics

_MEMORY: Final = Path("/dev/shm")
_ROOM_FOR_SERVERS: Final = 6 * 1024**3

pytest.register_assert_rewrite("tests.end_to_end.reference", "tests.end_to_end.company")


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder for a server's data, apart from pytest's own: each run of pytest closes that to other users again.

    In memory where there is room for it: to copy a database takes Postgres 0.03 s there, on a disk twenty times that.
    """
    in_memory = _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM_FOR_SERVERS else None
    with TemporaryDirectory(prefix="connected-inbox-", dir=in_memory, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The run's Kafka and Postgres."""
    with server_folder() as folder, running_servers(folder) as servers:
        yield servers


@pytest.fixture(scope="session")
def database_template(servers: Servers) -> Iterator[Template]:
    """A database with the schemas of all four services, to be copied."""
    with template_database(servers.postgres) as template:
        yield template


@pytest.fixture
def database(database_template: Template) -> Iterator[FreshDatabase]:
    """This test's own database: `database.dsn("routing")`, `database.admin_dsn`."""
    with fresh_database(database_template) as database:
        yield database


@pytest_asyncio.fixture
async def kafka(servers: Servers) -> AsyncIterator[FreshTopics]:
    """This test's own topics: `kafka.prefix`, `kafka.settings`, `kafka.publish(…)`, `kafka.records(…)`."""
    async with fresh_topics(servers.kafka) as topics:
        yield topics


@pytest_asyncio.fixture
async def mail(tmp_path: Path) -> AsyncIterator[MailCatcher]:
    """An SMTP server in this process; assign `mail.answer` to make it refuse, wait or break."""
    catcher = MailCatcher(tmp_path / "mail")
    await catcher.start()
    yield catcher
    await catcher.stop()


class StartService(Protocol):
    """Starts a service as a process and waits until it is ready (or only launches it, with `wait=False`)."""

    async def __call__(
        self,
        name: str,
        *,
        extra_env: Mapping[str, str] = {},
        command: tuple[str, ...] = (),
        wait: bool = True,
        topics: FreshTopics | None = None,
        dsn: str | None = None,
    ) -> RunningService: ...


@pytest_asyncio.fixture
async def running_service(kafka: FreshTopics, database: FreshDatabase, tmp_path: Path) -> AsyncIterator[StartService]:
    """`await running_service("routing")`: on this test's topics and database, ended with the test."""
    started: list[RunningService] = []

    async def start(
        name: str,
        *,
        extra_env: Mapping[str, str] = {},
        command: tuple[str, ...] = (),
        wait: bool = True,
        topics: FreshTopics | None = None,
        dsn: str | None = None,
    ) -> RunningService:
        environment = {
            **QUICK,
            **(topics or kafka).environment,
            # The console has none.
            **({f"{name.upper()}_DATABASE_URL": dsn or database.dsn(name)} if name in SERVICES else {}),
            "JWT_SECRET": JWT_SECRET,
            "SMTP_URL": "smtp://127.0.0.1:1",
            "LOG_FORMAT": "json",
            **extra_env,
        }
        service = RunningService(name, environment, tmp_path / f"{name}-{len(started)}.log", command)
        started.append(service)
        if wait:
            await service.start()
        else:
            service.launch()
        return service

    yield start
    for service in started:
        await service.kill()


@pytest.fixture
def private_kafka() -> Iterator[EmbeddedKafka]:
    """A started broker of this test's own, to be killed and restarted."""
    with server_folder() as folder:
        kafka = EmbeddedKafka.on_free_ports(folder / "kafka")
        kafka.start()
        yield kafka
        kafka.kill()


@pytest.fixture
def private_postgres() -> Iterator[EmbeddedPostgres]:
    """A started Postgres of this test's own, to be killed and restarted."""
    with server_folder() as folder:
        postgres = EmbeddedPostgres.on_a_free_port(folder / "postgres", durable=False)
        postgres.start()
        yield postgres
        postgres.kill()
