"""What the screen does when something is away: it says so, and is right again afterwards."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.console.browser.office import Office, a_number
from tests.console.browser.test_inbox import open_thread, panel, row, rows, timeline

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_reply_written_offline_is_sent_once_when_the_line_is_back(office: Office) -> None:
    contact = a_number()
    await office.arrived(await office.a_text("Are you there?", contact=contact))
    page = await office.page("anna", "/inboxes/sales")
    await open_thread(page, "Are you there?")
    await page.context.set_offline(True)
    await expect(page.locator("#connection")).to_contain_text("You are offline")
    await page.get_by_role("textbox", name=re.compile("^Write a text to")).fill("In a minute")
    await page.keyboard.press("Enter")
    await expect(timeline(page).filter(has_text="In a minute")).to_contain_text("Sent when you are online again")
    await office.arrived(await office.a_text("Hello?", contact=a_number()))
    await page.context.set_offline(False)
    await expect(page.locator("#connection")).to_have_text("")
    await expect(timeline(page).filter(has_text="In a minute")).to_contain_text("Anna Agent")
    await expect(row(page, "Hello?")).to_be_visible()
    listed = await office.get("inbox_state", "/v1/inboxes/sales/threads?view=unthreaded", as_="ben")
    assert [one["body"] for one in listed["items"]].count("In a minute") == 1


async def test_a_service_and_then_the_broker_die_under_an_open_page(office: Office) -> None:
    contact = a_number()
    await office.arrived(await office.a_text("Before", contact=contact))
    page = await office.page("anna", "/inboxes/sales")
    await open_thread(page, "Before")
    office.running.kill("inbox_state")
    await expect(page.locator("#connection")).to_have_text("Reconnecting…")
    await office.a_text("While the service was away", contact=contact)
    await page.get_by_role("textbox", name=re.compile("^Write a text to")).fill("Written meanwhile")
    await page.keyboard.press("Enter")
    await expect(timeline(page).filter(has_text="Written meanwhile")).to_contain_text("Sent when you are online")
    await office.running.start("inbox_state")
    await expect(page.locator("#connection")).to_have_text("", timeout=30_000)
    await expect(timeline(page).filter(has_text="While the service was away")).to_be_visible(timeout=30_000)
    await expect(timeline(page).filter(has_text="Written meanwhile")).to_contain_text("Anna Agent")

    office.running.kill("Kafka")
    await page.get_by_role("textbox", name=re.compile("^Write a text to")).fill("Without a broker")
    await page.keyboard.press("Enter")
    sent = timeline(page).filter(has_text="Without a broker")
    await expect(sent).to_contain_text("Anna Agent")
    await office.running.start("Kafka")
    other = a_number()
    await office.a_text("After the broker", contact=other)
    await expect(row(page, "After the broker")).to_be_visible(timeout=60_000)
    await expect(timeline(page)).to_have_count(4)
    await expect(rows(page)).to_have_count(2)
    shown = await office.get("inbox_state", "/v1/panel", as_="anna")
    unread = next(item["unread"] for item in shown["items"] if item["inbox_id"] == "sales")
    await expect(panel(page, "Sales")).to_have_accessible_name(f"Sales {unread} unread" if unread else "Sales")


async def test_the_console_itself_dies_and_comes_back(office: Office) -> None:
    page = await office.page("anna", "/inboxes/sales")
    await expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    office.running.kill("console")
    await expect(page.locator("#connection")).to_have_text("Reconnecting…")
    await office.arrived(await office.a_text("Nobody was looking", contact=a_number()))
    await office.running.start("console")
    await expect(row(page, "Nobody was looking")).to_be_visible(timeout=30_000)


async def test_two_tabs_share_one_stream_and_the_other_goes_on_when_one_closes(office: Office) -> None:
    context = await office.context("anna")
    streams: list[str] = []
    context.on("request", lambda request: streams.append(request.url) if "/v1/stream" in request.url else None)
    first, second = await context.new_page(), await context.new_page()
    await first.goto("/inboxes/sales")
    await expect(first.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    await second.goto("/inboxes/sales")
    await expect(second.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    await office.a_text("For both", contact=a_number())
    await expect(row(first, "For both")).to_be_visible()
    await expect(row(second, "For both")).to_be_visible()
    assert len(streams) == 1
    await first.close()
    await office.a_text("For the other", contact=a_number())
    await expect(row(second, "For the other")).to_be_visible()
    assert len(streams) == 2
    assert "after=" in streams[1]


async def test_a_session_that_ends_says_so_and_leads_back(office: Office) -> None:
    page = await office.page("anna", "/inboxes/sales")
    await expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    await page.context.clear_cookies()
    office.running.kill("console")
    await office.running.start("console")
    await expect(page.locator("#connection")).to_contain_text("Your session is over.", timeout=30_000)
    await page.get_by_role("link", name="Sign in again").click()
    await expect(page).to_have_url(re.compile(r"/sign-in\?to=%2Finboxes%2Fsales"))
