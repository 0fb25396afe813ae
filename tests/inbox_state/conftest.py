"""inbox_state on this test's own database, with the office in its directory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from pydantic import SecretStr

from inbox_state.http_api import router
from inbox_state.http_api.broadcast import Broadcast
from inbox_state.settings import InboxStateSettings
from service_kit.clock import new_id, utc_now
from service_kit.database import Database
from service_kit.publishing import Publisher
from service_kit.running import Service
from tests.inbox_state.words import HandClock, Office, the_office
from tests.support import JWT_SECRET, FreshDatabase


@pytest_asyncio.fixture
async def state_database(database: FreshDatabase) -> AsyncIterator[Database]:
    """The service's own database, open."""
    opened = Database(database.dsn("inbox_state"), "inbox_state", pool_size=8)
    await opened.open()
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def office(database: FreshDatabase, state_database: Database) -> Office:
    """The service without its broker: its handlers, its timers and its real HTTP application."""
    clock = HandClock()
    settings = InboxStateSettings.model_validate(
        {
            "INBOX_STATE_DATABASE_URL": database.dsn("inbox_state"),
            "jwt_secret": SecretStr(JWT_SECRET),
            "log_level": "warning",
        }
    )
    service = Service(
        settings,
        name="inbox_state",
        title="inbox state",
        clock=utc_now,
        database=state_database,
        publisher=Publisher(settings, client_id="inbox_state"),
        routers=[router(state_database, clock, new_id, Broadcast(state_database))],
    )
    opened = Office(state_database, clock, service.app)
    await opened.learn(*the_office())
    return opened
