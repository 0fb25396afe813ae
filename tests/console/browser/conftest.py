"""One browser for all browser tests, and an account of its own for each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from service_kit.publishing import Publisher
from tests.console.browser.office import NO_BROWSER, Office, RunningStack, chromium

# How long a test waits is no promise: `make bench` tells how soon things are on the screen.
expect.set_options(timeout=15_000)


@pytest.fixture(scope="package")
def executable() -> str:
    """The browser's path; without one every browser test is skipped, and the summary says why."""
    found = chromium()
    if found is None:
        pytest.skip(NO_BROWSER)
    return found


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser(executable: str) -> AsyncIterator[Browser]:
    """Chromium, without a window."""
    async with async_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = await playwright.chromium.launch(executable_path=executable, args=options)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def office(browser: Browser, running: RunningStack, publisher: Publisher) -> AsyncIterator[Office]:
    """A fresh account with its people. A script's error in any of their pages fails the test."""
    office = Office(running, browser, publisher)
    await office.set_up()
    yield office
    await office.close()
    assert not office.trouble
