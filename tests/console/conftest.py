"""One real stack for all tests of the console, ended with the last of them: an idle one takes a fifth of a core."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from service_kit.publishing import Publisher
from tests.conftest import server_folder
from tests.console.browser.office import Office, RunningStack, a_publisher, stack_in


@pytest.fixture(scope="package")
def running() -> Iterator[RunningStack]:
    """The whole stack, console included."""
    with server_folder() as folder:
        stack = stack_in(folder / "stack")
        stack.start()
        try:
            yield RunningStack(stack)
        finally:
            stack.stop()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def publisher(running: RunningStack) -> AsyncIterator[Publisher]:
    """Publishes telephony events."""
    publisher = await a_publisher(running.stack)
    yield publisher
    await asyncio.wait_for(publisher.close(), 20)


@pytest_asyncio.fixture(loop_scope="session")
async def account(running: RunningStack, publisher: Publisher) -> Office:
    """A fresh account with its people, for those who need no browser."""
    office = Office(running, None, publisher)
    await office.set_up()
    return office
