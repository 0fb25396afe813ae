"""Without a mouse, with a screen reader, on a phone, from right to left, in another zone."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.async_api import Locator, expect

from service_kit.clock import utc_now
from tests.console.browser.office import SALES_LINE, Office, a_number, nothing_for_axe, press, tab_to
from tests.console.browser.test_inbox import open_thread, panel, row, rows, timeline
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def a_full_inbox(office: Office) -> None:
    """One of everything: texts, a voicemail, a missed call, an active call, an answer that failed."""
    await office.a_text("A text", contact=a_number(), name="Robin Vale")
    await office.a_voicemail(contact=a_number(), transcript="Please ring me back.")
    call_id = await office.a_call(contact=a_number())
    await office.it_is_answered(call_id, "anna")
    await office.it_ends(call_id, "completed")
    await office.arrived(await office.a_call(contact=a_number(), name="Mei Moreno"))


async def test_axe_finds_nothing_on_the_inbox_in_any_of_its_states(office: Office) -> None:
    await a_full_inbox(office)
    page = await office.page("anna")
    await open_thread(page, "Voicemail")
    await expect(rows(page)).to_have_count(4)
    await timeline(page).get_by_text("Why?").click()
    await page.get_by_role("button", name="Filters").click()
    await page.get_by_role("button", name="Change the name").click()
    await nothing_for_axe(page)
    await page.emulate_media(color_scheme="dark")
    await nothing_for_axe(page)
    await page.get_by_role("button", name="Cancel").click()
    await open_thread(page, "Robin Vale")
    await page.get_by_role("textbox", name="Write a text to Robin Vale").fill("Yes")
    await page.keyboard.press("Enter")
    await expect(timeline(page)).to_have_count(2)
    await nothing_for_axe(page)
    for opener in ("Keyboard shortcuts", "Settings of this browser", "New"):
        await page.get_by_role("button", name=opener, exact=True).click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await nothing_for_axe(page)
        await page.keyboard.press("Escape")
    await panel(page, "Sales").click()
    await page.get_by_role("button", name="Mark all read").click()
    await page.get_by_role("checkbox", name="Not delivered").check()
    await expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    await page.context.set_offline(True)
    await expect(page.locator("#connection")).to_contain_text("You are offline")
    await nothing_for_axe(page)


@pytest.mark.parametrize("path", ["/inboxes/nowhere", "/inboxes/sales/threads/nothing", "/nowhere"])
async def test_axe_finds_nothing_where_there_is_nothing(office: Office, path: str) -> None:
    page = await office.page("anna", path)
    await expect(page.get_by_role("heading", name=re.compile("There is no")).first).to_be_visible()
    await nothing_for_axe(page)


async def test_axe_finds_nothing_for_a_watcher_nor_for_a_stranger(office: Office) -> None:
    await office.arrived(await office.a_text("A text", contact=a_number()))
    page = await office.page("wim", "/inboxes/sales")
    await open_thread(page, "A text")
    await expect(page.get_by_text("You watch this inbox")).to_be_visible()
    await nothing_for_axe(page)
    page = await office.page("zoe")
    await expect(page.get_by_role("heading", name="You have no inbox yet")).to_be_visible()
    await nothing_for_axe(page)


async def test_a_whole_working_day_without_a_mouse(office: Office) -> None:
    first, second = a_number(), a_number()
    await office.arrived(await office.a_text("The first", contact=first))
    await office.arrived(await office.a_text("The second", contact=second))
    page = await office.page("anna")
    await expect(rows(page)).to_have_count(2)
    # Through the list, and into the older conversation.
    await press(page, "j", "j")
    await expect(row(page, "The first").get_by_role("link")).to_be_focused()
    await press(page, "Enter")
    await expect(timeline(page)).to_contain_text("The first")
    # Mark read, mark unread, give a name.
    await expect(page.get_by_role("button", name="Mark read", exact=True)).to_be_visible()
    await press(page, "e")
    await expect(panel(page, "Sales")).to_have_accessible_name("Sales 1 unread")
    await press(page, "u")
    await expect(panel(page, "Sales")).to_have_accessible_name("Sales 2 unread")
    await press(page, "m")
    await page.keyboard.type("Robin Vale")
    await press(page, "Enter")
    await expect(row(page, "Robin Vale")).to_be_visible()
    # Reply: the row moves to the top, and the reply reads the thread.
    await press(page, "r")
    await page.keyboard.type("On my way")
    await press(page, "Shift+Enter")
    await page.keyboard.type("Anna")
    await press(page, "Enter")
    await expect(timeline(page).filter(has_text="On my way")).to_contain_text("Anna Agent")
    await expect(rows(page).first).to_contain_text("Robin Vale")
    # Out of the field, call, back to the list where one was.
    await press(page, "Escape", "c")
    await expect(timeline(page)).to_have_count(3)
    await press(page, "Escape")
    await expect(page).to_have_url(re.compile("/inboxes/all$"))
    await expect(row(page, "Robin Vale").get_by_role("link")).to_be_focused()
    # Filters, views, search, inboxes.
    await press(page, "f")
    await expect(rows(page)).to_have_count(1)
    await press(page, "f", "v")
    await expect(rows(page)).to_have_count(4)
    await press(page, "v", "/")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await press(page, "Escape", "g", "2")
    await expect(page.locator("#list-title")).to_have_text("Support")
    await press(page, "g", "a")
    await expect(page.locator("#list-title")).to_have_text("All inboxes")
    # A new text, with the dialog's own keys.
    await press(page, "n")
    await page.keyboard.type("+12125559871")
    await press(page, "Tab", "Tab")
    await page.keyboard.type("Hello there")
    await press(page, "Tab", "Tab", "Tab", "Enter")
    await expect(timeline(page).filter(has_text="Hello there")).to_have_count(1)
    # The whole inbox read, and undone.
    await press(page, "Escape", "g", "1")
    await page.get_by_role("button", name="Mark all read").focus()
    await press(page, "Enter")
    await expect(panel(page, "Sales")).to_have_accessible_name("Sales")
    await page.get_by_role("button", name="Undo").focus()
    await press(page, "Enter")
    await expect(panel(page, "Sales")).to_have_accessible_name("Sales 1 unread")
    # The list of all this.
    await press(page, "?")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_contain_text("Mark the conversation read")
    await press(page, "Escape", "Tab")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_what_has_no_key_of_its_own_is_reached_with_tab(office: Office) -> None:
    await office.arrived(await office.a_text("The first", contact=a_number()))
    await office.arrived(await office.a_voicemail(contact=a_number(), transcript="Please ring me back."))
    page = await office.page("anna", "/inboxes/sales")
    await expect(rows(page)).to_have_count(2)

    async def press_at(target: Locator, key: str = "Enter") -> None:
        await tab_to(page, target)
        await page.keyboard.press(key)

    # Filters, one of each kind, and their end; the narrowed list as a file.
    await press_at(page.get_by_role("button", name="Filters"))
    await tab_to(page, page.locator("#kind"))
    await page.keyboard.type("Texts")
    await expect(rows(page)).to_have_count(1)
    await expect(row(page, "The first")).to_be_visible()
    await tab_to(page, page.locator("#line"))
    await page.keyboard.type("Sales")
    await expect(page).to_have_url(re.compile("line="))
    async with page.expect_download():
        await press_at(page.get_by_role("button", name="Export as CSV"))
    await press_at(page.get_by_role("checkbox", name="Not delivered"), "Space")
    await expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    await press_at(page.get_by_role("button", name="Clear filters").first)
    await expect(rows(page)).to_have_count(2)
    await press_at(page.get_by_role("checkbox", name="Active calls"), "Space")
    await expect(rows(page)).to_have_count(0)
    await press_at(page.get_by_role("checkbox", name="Active calls"), "Space")
    # A row is marked read where it stands.
    await press_at(row(page, "The first").get_by_role("button", name=re.compile("^Mark read")))
    await expect(panel(page, "Sales")).to_have_accessible_name("Sales 1 unread")
    # In a conversation: the recording's player, the reasons, what is unread from here.
    await press_at(row(page, "Voicemail").get_by_role("link"))
    card = timeline(page).filter(has_text="Please ring me back.")
    await tab_to(page, card.locator("audio"))
    await press_at(card.locator("summary", has_text="Why?"))
    await expect(card).to_contain_text("the caller left a recording")
    await press_at(page.get_by_role("button", name="Mark read", exact=True))
    await expect(panel(page, "Sales")).to_have_accessible_name("Sales")
    await press_at(card.get_by_role("button", name="Mark unread from here"))
    await expect(panel(page, "Sales")).to_have_accessible_name("Sales 1 unread")
    # A call from the dialog, the settings of this browser, another inbox, and out.
    await press_at(page.get_by_role("button", name="New", exact=True))
    await page.keyboard.type("+12125559872")
    await press_at(page.get_by_role("dialog").get_by_role("button", name="Call"))
    await expect(timeline(page).filter(has_text="Calling…")).to_have_count(1)
    await press_at(page.get_by_role("button", name="Settings of this browser"))
    await tab_to(page, page.get_by_label("Appearance"))
    await page.keyboard.type("Dark")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await press(page, "Escape")
    # What was written offline can't be sent any more when the browser is back: it is tried again, and thrown away.
    await page.context.set_offline(True)
    await press(page, "r")
    await page.keyboard.type("Never mind")
    await press(page, "Enter")
    waiting = page.locator(".bubble").filter(has_text="Never mind")
    await expect(waiting).to_contain_text("Sent when you are online again")
    await office.put("routing", f"/v1/lines/{SALES_LINE}", {"inbox_id": None, "name": "Sales line"})

    async def nothing_can_be_sent() -> bool:
        path, body = "/v1/inboxes/sales/messages", {"to": a_number(), "body": "Is there a line?"}
        return (await office.request("inbox_state", "POST", path, as_="ben", json=body)).status_code >= 400

    await eventually(nothing_can_be_sent)
    await page.context.set_offline(False)
    await expect(waiting).to_contain_text("Not delivered")
    await press_at(waiting.get_by_role("button", name="Try again"))
    await expect(waiting).to_contain_text("Not delivered")
    await press_at(waiting.get_by_role("button", name="Discard"))
    await expect(waiting).to_have_count(0)
    await press_at(panel(page, "Support"))
    await expect(page.locator("#list-title")).to_have_text("Support")
    await press_at(page.get_by_role("button", name="Sign out"))
    await expect(page.get_by_role("status")).to_have_text("You are signed out.")


async def test_single_keys_can_be_turned_off(office: Office) -> None:
    page = await office.page("anna")
    await page.get_by_role("button", name="Settings of this browser").click()
    await page.get_by_role("checkbox", name="Shortcuts with single keys").uncheck()
    await page.keyboard.press("Escape")
    await press(page, "n", "?")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_the_focus_stays_in_a_row_that_moves(office: Office) -> None:
    contact = a_number()
    await office.arrived(await office.a_text("Moves", contact=contact))
    await office.arrived(await office.a_text("Stays", contact=a_number()))
    page = await office.page("anna")
    await row(page, "Moves").get_by_role("link").focus()
    await office.a_text("Moved", contact=contact)
    await expect(rows(page).first).to_contain_text("Moved")
    await expect(row(page, "Moved").get_by_role("link")).to_be_focused()


async def test_a_screen_reader_hears_of_what_is_new_once_there_is_a_pause(office: Office) -> None:
    page = await office.page("anna")
    await expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    await office.a_text("Hello", contact=a_number(), name="Robin Vale")
    announced = page.locator("#announcer")
    await expect(announced).to_have_text("New text from Robin Vale")
    for number in range(5):
        await office.a_text(f"Text {number}", contact=a_number())
    await expect(announced).to_have_text(re.compile(r"^\d new items$"))


async def test_times_are_in_the_reader_s_own_zone(office: Office) -> None:
    body = {"name": "Anna Agent", "email": "anna@acme.example", "role": "agent", "time_zone": "Asia/Kathmandu"}
    await office.put("routing", "/v1/users/anna", body)
    at = (utc_now() - timedelta(days=40)).replace(hour=12, minute=0)
    await office.arrived(await office.a_text("At noon", contact=a_number(), at=at))
    page = await office.page("anna", timezone_id="America/New_York")
    await open_thread(page, "At noon")
    time = timeline(page).locator(".about time")
    await expect(time).to_have_text(re.compile(r"^5:45\sPM$"))
    await expect(time).to_have_attribute("title", re.compile(r"\d{4} at 5:45:\d\d\sPM GMT\+5:45$"))


async def test_on_a_phone_one_pane_is_shown_at_a_time(office: Office) -> None:
    await office.arrived(await office.a_text("On the way", contact=a_number()))
    page = await office.page("anna", viewport={"width": 375, "height": 720}, has_touch=True, is_mobile=True)
    await expect(page.locator("#conversation")).to_be_hidden()
    await row(page, "On the way").get_by_role("link").tap()
    await expect(page.locator("#rows")).to_be_hidden()
    await expect(timeline(page)).to_contain_text("On the way")
    await nothing_for_axe(page)
    await page.get_by_role("button", name="Back to the list").tap()
    await page.get_by_role("button", name="Show inboxes").tap()
    await panel(page, "Support").tap()
    await expect(page.locator("#list-title")).to_have_text("Support")
    await page.get_by_role("button", name="Menu").tap()
    await nothing_for_axe(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_from_right_to_left_everything_is_mirrored_and_nothing_overflows(office: Office) -> None:
    await office.arrived(await office.a_text("שלום, מתי אתם פתוחים?", contact=a_number(), name="רוני"))
    page = await office.page("anna")
    await open_thread(page, "רוני")
    await page.evaluate("document.documentElement.dir = 'rtl'")

    async def mirrored() -> bool:
        panel_box = await page.locator(".panel").bounding_box()
        conversation_box = await page.locator("#conversation").bounding_box()
        return bool(panel_box and conversation_box and panel_box["x"] > conversation_box["x"])

    await eventually(mirrored)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await nothing_for_axe(page)


async def test_a_text_is_counted_as_telephony_counts_it(office: Office) -> None:
    await office.arrived(await office.a_text("How long?", contact=a_number()))
    page = await office.page("anna")
    await open_thread(page, "How long?")
    reply = page.get_by_role("textbox", name=re.compile("^Write a text to"))
    for text, counted in (
        ("a" * 160, "160 characters · 1 segment"),
        ("a" * 161, "161 characters · 2 segments"),
        ("€" * 80, "160 characters · 1 segment"),
        ("ж" * 70, "70 characters · 1 segment · special characters"),
        ("ж" * 71, "71 characters · 2 segments · special characters"),
        ("😀" * 36, "72 characters · 2 segments · special characters"),
    ):
        await reply.fill(text)
        await expect(page.locator(".count")).to_have_text(counted)
