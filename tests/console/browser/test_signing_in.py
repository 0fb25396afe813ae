"""Signing in and out."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.console.browser.office import Office, a_number, nothing_for_axe

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_somebody_signs_in_by_choosing_who_he_is_and_out_again(office: Office) -> None:
    page = await office.page("", f"/sign-in?account={office.account}")
    await nothing_for_axe(page)
    await page.get_by_role("button", name="Anna Agent").click()
    await expect(page).to_have_url(f"{office.url}/inboxes/all")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("status")).to_have_text("You are signed out.")
    await page.goto("/inboxes/all")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_nothing_of_the_account_is_left_in_the_browser_after_signing_out(office: Office) -> None:
    await office.arrived(await office.a_text("A secret order", contact=a_number(), name="Robin Vale"))
    page = await office.page("anna", "/inboxes/sales")
    await page.get_by_role("link", name=re.compile("Robin Vale")).click()
    await expect(page.locator(".timeline")).to_contain_text(["A secret order", ""])
    await page.get_by_role("textbox", name=re.compile("^Write a text to")).fill("A draft")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("status")).to_have_text("You are signed out.")
    await page.go_back()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "secret" not in await page.content()
    assert await page.context.cookies() == []
    kept = await page.evaluate("[Object.entries(sessionStorage), Object.entries(localStorage)].flat(2)")
    assert kept == []
    assert await page.evaluate("caches.keys()") == []


async def test_all_tabs_leave_together(office: Office) -> None:
    context = await office.context("anna")
    first, second = await context.new_page(), await context.new_page()
    for page in (first, second):
        await page.goto("/inboxes/all")
        await expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    await first.get_by_role("button", name="Sign out").click()
    await expect(second.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_link_from_elsewhere_finds_somebody_still_signed_in(office: Office) -> None:
    page = await office.page("anna", "/inboxes/sales")
    # Another site, as far as cookies go: the same server under another name.
    elsewhere = office.url.replace("127.0.0.1", "localhost")
    await page.goto(f"{elsewhere}/sign-in")
    await page.evaluate("to => location.assign(to)", f"{office.url}/inboxes/support")
    await expect(page.locator("#list-title")).to_have_text("Support")
