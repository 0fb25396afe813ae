"""Routing's own parts over this test's real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import orjson
import pytest_asyncio
from pydantic import SecretStr

from contracts.envelope import Event
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, TELEPHONY_COMMANDS, TELEPHONY_EVENTS
from routing.administration import changes
from routing.consumer import Routing
from routing.directory import Directory
from routing.http_api import router
from routing.metrics import LastEvents
from routing.storage import directory as directory_storage
from routing.storage.directory import Directories
from routing.timers import Conclusions
from service_kit import input_progress
from service_kit.auth import Tokens
from service_kit.clock import new_id, utc_now
from service_kit.consuming import Outcome, Received
from service_kit.database import Database
from service_kit.http import create_app
from service_kit.publishing import Outgoing
from service_kit.settings import TokenSettings
from tests.routing.building import ACCOUNT, a_directory, at, received
from tests.support import JWT_SECRET, FreshDatabase, bearer


@dataclass
class Hand:
    """A clock whose hand the test moves."""

    now: datetime = field(default_factory=lambda: at(3_600))

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Desk:
    """Routing as a test drives it: batches in, snapshots out; timers when the test says so."""

    database: Database
    clock: Hand
    routing: Routing
    conclusions: Conclusions
    directories: Directories

    async def take(self, *facts: Event[Any] | Received[Any]) -> Outcome:
        """Handle one batch."""
        return await self.routing.handle([one if isinstance(one, Received) else received(one) for one in facts])

    async def has_read(self, partition: int, through: datetime) -> None:
        """Telephony's events of this partition are read through this time."""
        async with self.database.transaction() as connection:
            await input_progress.save(connection, {(TELEPHONY_EVENTS.name, partition): through})

    async def conclude(self) -> bool:
        """Run the timer of what is overdue, with all of telephony's events read until now."""
        await self.has_read(0, self.clock())
        return await self.conclusions.conclude_overdue()

    async def snapshots(self, *facts: Event[Any] | Received[Any]) -> list[dict[str, Any]]:
        """Handle one batch, and give the snapshots of communications that are to be published."""
        return documents((await self.take(*facts)).publish, COMMUNICATION_EVENTS.name)

    async def outbox(self, topic: str = COMMUNICATION_EVENTS.name) -> list[dict[str, Any]]:
        """What waits to be relayed to a topic, and is taken away by asking."""
        async with self.database.transaction() as connection:
            rows = await connection.fetch("DELETE FROM outbox RETURNING id, topic, value")
        in_order = sorted(rows, key=lambda row: int(row["id"]))
        return [orjson.loads(row["value"]) for row in in_order if row["topic"] == topic]

    async def directory_events(self) -> list[dict[str, Any]]:
        """The directory snapshots that wait to be relayed."""
        return await self.outbox(DIRECTORY_EVENTS.name)

    async def settle_directory(self, wanted: Directory) -> None:
        """Make the directory this one."""
        async with self.database.transaction() as connection:
            held = await self.directories.locked(connection, wanted.account_id)
            await directory_storage.save_changes(connection, wanted.account_id, changes(held, wanted), self.clock())
            await directory_storage.next_revision(connection, wanted.account_id)

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """What a query finds."""
        async with self.database.connection() as connection:
            return [dict(row) for row in await connection.fetch(query, *arguments)]


def documents(published: Sequence[Outgoing], topic: str) -> list[dict[str, Any]]:
    """The data of what goes to a topic."""
    return [orjson.loads(record.value) for record in published if record.topic == topic]


def commands(outcome: Outcome) -> list[dict[str, Any]]:
    """The data of the commands in an outcome."""
    return documents(outcome.publish, TELEPHONY_COMMANDS.name)


@pytest_asyncio.fixture
async def open_desk(database: FreshDatabase) -> AsyncIterator[Callable[[], Any]]:
    """Opens desks over this test's database: two of them are two replicas."""
    opened: list[Database] = []

    async def open_one() -> Desk:
        own = Database(database.dsn("routing"), "routing", pool_size=4)
        await own.open()
        opened.append(own)
        clock, directories = Hand(), Directories()
        return Desk(
            own,
            clock,
            Routing(own, directories, clock, LastEvents(clock), 4),
            Conclusions(own, directories, clock, 4),
            directories,
        )

    yield open_one
    for one in opened:
        await one.close()


@pytest_asyncio.fixture
async def desk(open_desk: Callable[[], Any]) -> Desk:
    """Routing with the directory of `a_directory`."""
    one: Desk = await open_desk()
    await one.settle_directory(a_directory())
    return one


@pytest_asyncio.fixture
async def empty_desk(open_desk: Callable[[], Any]) -> Desk:
    """Routing with nothing in it."""
    one: Desk = await open_desk()
    return one


@dataclass
class Api:
    """The HTTP API as somebody uses it."""

    client: httpx.AsyncClient
    headers: dict[str, str]

    def of(self, user_id: str, account_id: str = ACCOUNT, *, scope: str = "") -> Api:
        """The same API for somebody else."""
        return Api(self.client, bearer(user_id, account_id, scope=scope))

    async def get(self, path: str, **params: Any) -> httpx.Response:
        """GET."""
        return await self.client.get(path, params=params, headers=self.headers)

    async def put(self, path: str, body: Any = None) -> httpx.Response:
        """PUT."""
        return await self.client.put(path, json=body, headers=self.headers)

    async def delete(self, path: str) -> httpx.Response:
        """DELETE."""
        return await self.client.delete(path, headers=self.headers)


def app_of(desk: Desk) -> Any:
    """The service's application over a desk's database."""

    async def ready() -> dict[str, bool]:
        return {"database": True}

    app = create_app("routing", title="test", ready=ready, live=dict)
    # Tokens are signed by the real clock: only what they authorise is under test here.
    app.state.tokens = Tokens(TokenSettings(jwt_secret=SecretStr(JWT_SECRET)), utc_now)
    app.include_router(router(desk.database, desk.directories, desk.clock, new_id))
    return app


@asynccontextmanager
async def served(desk: Desk) -> AsyncIterator[Api]:
    """The API of a desk, used by a machine that administers."""
    transport = httpx.ASGITransport(app=app_of(desk))
    async with httpx.AsyncClient(transport=transport, base_url="http://routing") as client:
        yield Api(client, bearer("setup", ACCOUNT, scope="directory"))


@pytest_asyncio.fixture
async def api(desk: Desk) -> AsyncIterator[Api]:
    """The API over the directory of `a_directory`."""
    async with served(desk) as api:
        yield api


@pytest_asyncio.fixture
async def empty_api(empty_desk: Desk) -> AsyncIterator[Api]:
    """The API of a service with nothing in it."""
    async with served(empty_desk) as api:
        yield api
