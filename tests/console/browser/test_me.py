"""What a person sets for himself."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.console.browser.office import Office, nothing_for_axe

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_presence_and_view_are_set_and_take_effect(office: Office) -> None:
    page = await office.page("anna", "/me")
    await page.get_by_label("Away").check()
    await page.get_by_role("button", name="Set presence").click()
    await expect(page.get_by_role("status")).to_have_text("Your presence was set.")
    await expect(page.get_by_label("Away")).to_be_checked()
    plan = await office.get("routing", "/v1/inboxes/sales/ring-plan", as_="anna")
    assert [user for layer in plan["layers"] for user in layer["user_ids"]] == ["ben"]
    await page.get_by_label("Unthreaded").check()
    await page.get_by_role("button", name="Set view").click()
    await expect(page.get_by_role("status")).to_have_text("Your view was set.")
    await page.get_by_role("link", name="Inbox", exact=True).click()
    await expect(page.get_by_role("button", name="Unthreaded")).to_have_attribute("aria-pressed", "true")


async def test_quiet_hours_and_muted_inboxes_are_set(office: Office) -> None:
    page = await office.page("wim", "/me")
    await page.get_by_label("Quiet hours").check()
    begins = page.get_by_label("From", exact=True)
    await begins.fill("")
    await page.get_by_role("button", name="Save e-mail preferences").click()
    await expect(begins).to_have_accessible_description(re.compile("time of day"))
    await expect(page.get_by_label("Quiet hours")).to_be_checked()
    await nothing_for_axe(page)
    await begins.fill("21:30")
    await page.get_by_label("Sales").check()
    await page.get_by_role("button", name="Save e-mail preferences").click()
    await expect(page.get_by_role("status")).to_have_text("Your e-mail preferences were saved.")
    assert await office.get("notification", "/v1/me/notification-preferences", as_="wim") == {
        "muted_inbox_ids": ["sales"],
        "quiet_hours": {"from": "21:30", "to": "07:00"},
        "unsubscribed": [],
    }


async def test_who_unsubscribed_subscribes_again(office: Office) -> None:
    gone = {"unsubscribed": [{"inbox_id": "sales", "topic": "watcher_emails"}]}
    path = "/v1/me/notification-preferences"
    assert (await office.request("notification", "PUT", path, as_="wim", json=gone)).status_code == 200
    page = await office.page("wim", "/me")
    await nothing_for_axe(page)
    await page.get_by_label("Sales: watcher e-mails").uncheck()
    await page.get_by_role("button", name="Save e-mail preferences").click()
    await expect(page.get_by_role("status")).to_have_text("Your e-mail preferences were saved.")
    assert (await office.get("notification", path, as_="wim"))["unsubscribed"] == []


async def test_axe_finds_nothing_on_anybody_s_page(office: Office) -> None:
    for user_id in ("anna", "zoe"):
        page = await office.page(user_id, "/me")
        await nothing_for_axe(page)
        await page.emulate_media(color_scheme="dark")
        await nothing_for_axe(page)
