"""Reporting's own database, open, for its tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from service_kit.database import Database
from tests.support import FreshDatabase


@pytest_asyncio.fixture
async def reporting(database: FreshDatabase) -> AsyncIterator[Database]:
    """A fresh database, as reporting's own role sees it."""
    opened = Database(database.dsn("reporting"), "reporting")
    await opened.open()
    yield opened
    await opened.close()
