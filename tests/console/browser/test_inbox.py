"""The inbox screen, as a team works in it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.console.browser.office import SALES_LINE, SECOND_SALES_LINE, SUPPORT_LINE, Office, a_number
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


def rows(page: Page) -> Locator:
    """The rows of the list."""
    return page.locator("#rows > li")


def row(page: Page, text: str) -> Locator:
    """The row that shows a text."""
    return rows(page).filter(has_text=text)


def panel(page: Page, inbox: str) -> Locator:
    """An inbox of the panel."""
    return page.get_by_role("navigation", name="Inboxes").get_by_role("link", name=re.compile(f"^{inbox}"))


def timeline(page: Page) -> Locator:
    """What the conversation shows."""
    return page.locator(".timeline > li")


async def open_thread(page: Page, text: str) -> None:
    """Open the thread whose row shows a text."""
    await row(page, text).get_by_role("link").click()
    await expect(page.locator(".conversation-foot > *")).to_be_visible()


async def test_switching_inboxes_shows_what_is_in_each_and_counts_what_is_unread(office: Office) -> None:
    sales, support = a_number(), a_number()
    await office.a_text("About an order", contact=sales)
    await office.a_text("Nothing works", contact=support, line=SUPPORT_LINE)
    await office.a_text("Nothing works at all", contact=support, line=SUPPORT_LINE)
    page = await office.page("anna")
    await expect(panel(page, "All inboxes")).to_have_accessible_name("All inboxes 3 unread")
    await expect(rows(page)).to_have_count(2)
    await expect(row(page, "About an order")).to_contain_text("Sales")
    await panel(page, "Support").click()
    await expect(page.locator("#list-title")).to_have_text("Support")
    await expect(rows(page)).to_have_count(1)
    await expect(row(page, "Nothing works at all")).to_contain_text("2")
    await expect(page).to_have_title("(3) Support · Connected Inbox")
    await page.go_back()
    await expect(rows(page)).to_have_count(2)
    await expect(page.locator("link[rel=icon]")).to_have_attribute("href", re.compile("^data:image/png"))


async def test_a_reply_goes_out_on_the_line_that_is_shown_and_reads_the_thread(office: Office) -> None:
    contact = a_number()
    await office.put("routing", f"/v1/lines/{SECOND_SALES_LINE}", {"inbox_id": "sales", "name": "Spring"})
    await office.arrived(await office.a_text("Is it open on Sunday?", contact=contact, line=SECOND_SALES_LINE))
    page = await office.page("anna", "/inboxes/sales")
    await open_thread(page, "Is it open")
    await expect(page.get_by_label("From", exact=True)).to_have_value(SECOND_SALES_LINE)
    await expect(page.get_by_role("button", name="Mark read", exact=True)).to_be_visible()
    reply = page.get_by_role("textbox", name=re.compile("^Write a text to"))
    await reply.fill("Yes, from 9 to 12 €")
    await expect(page.locator(".count")).to_have_text("20 characters · 1 segment")
    await reply.press("Enter")
    sent = timeline(page).filter(has_text="Yes, from 9 to 12")
    await expect(sent).to_have_count(1)
    await expect(sent).to_contain_text("Anna Agent")
    await expect(row(page, "You: Yes, from 9")).to_be_visible()
    await expect(page.get_by_role("button", name="Mark read", exact=True)).to_be_hidden()
    communications = await office.get("inbox_state", "/v1/inboxes/sales/threads?view=unthreaded", as_="ben")
    assert communications["items"][0]["line_number"] == SECOND_SALES_LINE
    assert communications["items"][0]["body"] == "Yes, from 9 to 12 €"


async def test_a_call_goes_out_from_the_inbox_s_own_number(office: Office) -> None:
    contact = a_number()
    await office.arrived(await office.a_text("Please call me", contact=contact))
    page = await office.page("anna", "/inboxes/sales")
    await open_thread(page, "Please call me")
    await page.get_by_role("button", name="Call", exact=True).click()
    await expect(timeline(page).filter(has_text="Calling…")).to_contain_text("Placed by Anna Agent")
    listed = await office.get("inbox_state", "/v1/inboxes/sales/threads?view=unthreaded&kind=call", as_="ben")
    assert [(one["line_number"], one["contact_number"], one["status"]) for one in listed["items"]] == [
        (SALES_LINE, contact, "queued")
    ]


async def test_the_list_is_threaded_or_not_and_that_is_remembered(office: Office) -> None:
    contact = a_number()
    for number in range(3):
        await office.arrived(await office.a_text(f"Text {number}", contact=contact))
    page = await office.page("anna", "/inboxes/sales")
    await expect(rows(page)).to_have_count(1)
    await page.get_by_role("button", name="Unthreaded").click()
    await expect(rows(page)).to_have_count(3)
    await expect(rows(page).first).to_contain_text("Text 2")
    await office.a_text("Text 3", contact=contact)
    await expect(rows(page).first).to_contain_text("Text 3")

    async def remembered() -> bool:
        preferences = await office.get("inbox_state", "/v1/me/preferences", as_="anna")
        return bool(preferences["view"] == "unthreaded")

    await eventually(remembered)
    await page.reload()
    await expect(rows(page)).to_have_count(4)
    await page.get_by_role("button", name="Threaded", exact=True).click()
    await expect(rows(page)).to_have_count(1)


async def test_an_active_call_stands_on_top_and_takes_its_place_when_it_ends(office: Office) -> None:
    caller, other = a_number(), a_number()
    call_id = await office.a_call(contact=caller, name="Robin Vale")
    await office.arrived(call_id)
    page = await office.page("anna")
    await office.it_is_answered(call_id, "anna")
    await expect(row(page, "Robin Vale")).to_contain_text("Call in progress")
    await office.arrived(await office.a_text("I came later", contact=other))
    await expect(rows(page)).to_have_count(2)
    await expect(rows(page).first).to_contain_text("Robin Vale")
    await expect(rows(page).first).to_have_class(re.compile("active"))
    before = await rows(page).first.locator(".running").inner_text()
    await expect(rows(page).first.locator(".running")).not_to_have_text(before)
    await expect(panel(page, "Sales")).to_have_accessible_name(re.compile("1 active call"))
    await office.it_ends(call_id, "completed")
    await expect(row(page, "Robin Vale")).not_to_have_class(re.compile("active"))
    await office.a_text("And once more", contact=other)
    await expect(rows(page).first).to_contain_text("And once more")
    await open_thread(page, "Robin Vale")
    await expect(timeline(page)).to_contain_text("Answered by Anna Agent")


async def test_a_voicemail_tells_what_was_said_who_was_rung_and_why(office: Office) -> None:
    contact = a_number()
    await office.arrived(await office.a_voicemail(contact=contact, transcript="Please ring me back."))
    page = await office.page("anna")
    await open_thread(page, "Voicemail")
    card = timeline(page).filter(has_text="Please ring me back.")
    await expect(card.locator("audio")).to_have_attribute("src", "https://recordings.example/one.mp3")
    await card.get_by_text("Why?").click()
    await expect(card).to_contain_text("the caller left a recording")


async def test_two_people_see_each_other_s_changes_at_once(office: Office) -> None:
    contact = a_number()
    await office.arrived(await office.a_text("Who takes this?", contact=contact))
    anna, ben = await office.page("anna", "/inboxes/sales"), await office.page("ben", "/inboxes/sales")
    for page in (anna, ben):
        await open_thread(page, "Who takes this?")
    # How soon, `make bench` tells (its part `console`).
    await anna.get_by_role("textbox", name=re.compile("^Write a text to")).fill("I do")
    await anna.keyboard.press("Enter")
    await expect(timeline(ben).filter(has_text="I do")).to_be_visible()
    await expect(row(ben, "Anna Agent: I do")).to_be_visible()
    await expect(panel(ben, "Sales")).to_have_accessible_name("Sales")
    await timeline(ben).filter(has_text="Who takes this?").get_by_role("button", name="Mark unread from here").click()
    await expect(panel(anna, "Sales")).to_have_accessible_name("Sales 1 unread")
    await anna.get_by_role("button", name="Change the name").click()
    await anna.get_by_role("textbox", name=re.compile("^Name of")).fill("Robin Vale")
    await anna.keyboard.press("Enter")
    await expect(ben.get_by_role("heading", name="Robin Vale")).to_be_visible()
    await ben.get_by_role("button", name="Mark read", exact=True).click()
    await expect(panel(anna, "Sales")).to_have_accessible_name("Sales")


async def test_counts_read_before_a_change_do_not_bring_back_what_it_did_away_with(office: Office) -> None:
    text = await office.arrived(await office.a_text("Who takes this?", contact=a_number()))
    anna = await office.page("anna", "/inboxes/sales")
    await expect(panel(anna, "Sales")).to_have_accessible_name("Sales 1 unread")
    were_read, may_come = asyncio.Event(), asyncio.Event()

    async def only_the_first_and_late(route: Route) -> None:
        if were_read.is_set():
            await route.abort()
            return
        answer = await route.fetch()
        were_read.set()
        await may_come.wait()
        await route.fulfill(response=answer)

    await anna.route("**/v1/panel", only_the_first_and_late)
    # A thread that the page does not know makes it ask for the counts.
    await office.arrived(await office.a_text("And this?", contact=a_number(), line=SUPPORT_LINE))
    await asyncio.wait_for(were_read.wait(), 15)
    path, body = f"/v1/threads/{text['thread_id']}/read", {"through": text["communication_id"]}
    assert (await office.request("inbox_state", "POST", path, as_="ben", json=body)).status_code == 200
    await expect(panel(anna, "Sales")).to_have_accessible_name("Sales")
    may_come.set()
    await expect(panel(anna, "Support")).to_have_accessible_name("Support 1 unread")
    await expect(panel(anna, "Sales")).to_have_accessible_name("Sales")


async def test_what_comes_below_the_screen_stays_unread_when_the_thread_is_marked_read(office: Office) -> None:
    contact = a_number()
    await office.arrived(await office.a_text("First", contact=contact))
    page = await office.page("anna", "/inboxes/sales")
    await open_thread(page, "First")
    async with page.expect_request(re.compile("/read$")) as asked:
        await page.get_by_role("button", name="Mark read", exact=True).click()
    listed = await office.get("inbox_state", "/v1/inboxes/sales/threads?view=unthreaded", as_="anna")
    assert (await asked.value).post_data_json == {"through": listed["items"][0]["communication_id"]}
    await expect(page.get_by_role("button", name="Mark read", exact=True)).to_be_hidden()
    await office.a_text("Second", contact=contact)
    await expect(panel(page, "Sales")).to_have_accessible_name("Sales 1 unread")


async def test_a_whole_inbox_is_marked_read_unless_it_is_undone(office: Office) -> None:
    for number in range(2):
        await office.arrived(await office.a_text(f"Text {number}", contact=a_number()))
    page = await office.page("anna", "/inboxes/sales")
    await page.get_by_role("button", name="Mark all read").click()
    await expect(panel(page, "Sales")).to_have_accessible_name("Sales")
    await page.get_by_role("button", name="Undo").click()
    await expect(panel(page, "Sales")).to_have_accessible_name("Sales 2 unread")
    async with page.expect_response(re.compile("/v1/inboxes/sales/read$")):
        await page.get_by_role("button", name="Mark all read").click()
    await expect(panel(page, "Sales")).to_have_accessible_name("Sales")

    async def read_for_everybody() -> bool:
        panel_of_ben = await office.get("inbox_state", "/v1/panel", as_="ben")
        return all(item["unread"] == 0 for item in panel_of_ben["items"])

    await eventually(read_for_everybody)


async def test_a_watcher_sees_everything_and_is_told_why_he_can_t_act(office: Office) -> None:
    await office.arrived(await office.a_text("Anybody there?", contact=a_number()))
    page = await office.page("wim", "/inboxes/sales")
    await open_thread(page, "Anybody there?")
    await expect(page.locator(".conversation-foot")).to_contain_text("You watch this inbox")
    for name in ("Call", "Mark read", "Send", "Mark all read", "Mark unread from here"):
        await expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)


async def test_who_has_no_tie_sees_no_inbox_and_is_told_so(office: Office) -> None:
    await office.arrived(await office.a_text("Not for everybody", contact=a_number()))
    page = await office.page("zoe")
    await expect(page.get_by_role("heading", name="You have no inbox yet")).to_be_visible()
    await page.goto("/inboxes/sales")
    await expect(page.get_by_role("heading", name="There is no such inbox")).to_be_visible()
    await expect(page.get_by_text("Not for everybody")).to_have_count(0)


async def test_filters_narrow_the_list_and_stand_in_the_address(office: Office) -> None:
    read, unread, caller = a_number(), a_number(), a_number()
    await office.arrived(await office.a_text("Old news", contact=read))
    page = await office.page("anna", "/inboxes/sales")
    await row(page, "Old news").hover()
    await row(page, "Old news").get_by_role("button", name=re.compile("^Mark read")).click()
    await office.arrived(await office.a_text("Fresh news", contact=unread))
    call_id = await office.a_call(contact=caller)
    await office.it_ends(call_id, "missed")
    await expect(row(page, "Missed call")).to_be_visible()
    await expect(rows(page)).to_have_count(3)
    await page.get_by_role("button", name="Unread", exact=True).click()
    await expect(rows(page)).to_have_count(2)
    await expect(page).to_have_url(re.compile(r"\?unread=true$"))
    await page.get_by_role("button", name="Filters").click()
    await page.get_by_label("Kind").select_option("Calls")
    await expect(rows(page)).to_have_count(1)
    await page.reload()
    await expect(rows(page)).to_have_count(1)
    await expect(row(page, "Missed call")).to_be_visible()
    await page.get_by_role("button", name="Filters").click()
    await page.get_by_role("button", name="Clear filters").click()
    await expect(rows(page)).to_have_count(3)


async def test_a_long_list_goes_on_as_it_is_scrolled(office: Office) -> None:
    last = ""
    for number in range(120):
        last = await office.a_text(f"Text {number:03}", contact=a_number())
    await office.arrived(last)
    page = await office.page("anna", "/inboxes/sales")
    await expect(row(page, "Text 119")).to_be_visible()

    async def all_there() -> bool:
        await page.locator("#list-scroll").evaluate("it => it.scrollTo(0, it.scrollHeight)")
        return await rows(page).count() == 120

    await eventually(all_there)
    shown = await rows(page).locator(".row-snippet").all_text_contents()
    assert shown == [f"Text {number:03}" for number in reversed(range(120))]


async def test_hostile_names_and_texts_are_shown_and_do_nothing(office: Office) -> None:
    hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    await office.arrived(await office.a_text(f"{hostile} ‮evil", contact=a_number(), name=f"{hostile}\u202e"))
    page = await office.page("anna", "/inboxes/sales")
    await expect(row(page, "<script>document.title=2</script>")).to_be_visible()
    await open_thread(page, "<script>")
    await expect(page.locator("#conversation h2")).to_contain_text("<img src=x onerror=")
    assert await page.locator("img").count() == 0
    assert (await page.title()).endswith("Connected Inbox")


async def test_a_failed_text_is_flagged_and_can_be_sent_again(office: Office) -> None:
    from contracts import telephony

    contact = a_number()
    await office.arrived(await office.a_text("Tell me", contact=contact))
    page = await office.page("anna", "/inboxes/sales")
    await open_thread(page, "Tell me")
    await page.get_by_role("textbox", name=re.compile("^Write a text to")).fill("Here it is")
    await page.keyboard.press("Enter")
    await expect(timeline(page).filter(has_text="Here it is")).to_have_count(1)

    async def sent_one() -> dict[str, Any]:
        # It is on Anna's screen from the moment that she sends it.
        listed = await office.get("inbox_state", "/v1/inboxes/sales/threads?view=unthreaded", as_="ben")
        return next((one for one in listed["items"] if one["body"] == "Here it is"), {})

    sent = await eventually(sent_one, because="the text being asked for")
    status = telephony.MessageStatus(message_id=sent["communication_id"], status="undelivered", error_code="30005")
    await office.tell("telephony.message.status.v1", status)
    await expect(timeline(page).filter(has_text="Here it is")).to_contain_text("Not delivered (Error 30005)")
    await expect(page.get_by_text("was not delivered")).to_be_visible()
    await expect(rows(page).first.locator(".flag")).to_be_visible()
    await page.get_by_role("button", name="Try again").click()
    await expect(timeline(page).filter(has_text="Here it is")).to_have_count(2)


async def test_what_was_begun_is_still_there_after_a_reload(office: Office) -> None:
    await office.arrived(await office.a_text("Well?", contact=a_number()))
    page = await office.page("anna", "/inboxes/sales")
    await open_thread(page, "Well?")
    reply = page.get_by_role("textbox", name=re.compile("^Write a text to"))
    await reply.fill("Let me think")
    await page.reload()
    await expect(reply).to_have_value("Let me think")


async def test_a_new_text_to_a_new_contact(office: Office) -> None:
    page = await office.page("anna")
    await page.get_by_role("button", name="New", exact=True).click()
    dialog = page.get_by_role("dialog", name="New text or call")
    await dialog.get_by_label("To").fill("what")
    await dialog.get_by_label("From").select_option(label="Support line (+1 212 555 0101)")
    await dialog.get_by_label("Message").fill("Hello from support")
    await dialog.get_by_role("button", name="Send text").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("is no number that can be answered")
    await dialog.get_by_label("To").fill("+1 (212) 555-9876")
    await dialog.get_by_role("button", name="Send text").click()
    await expect(timeline(page)).to_contain_text("Hello from support")
    await expect(page.get_by_role("heading", name="+1 212 555 9876")).to_be_visible()


async def test_losing_an_inbox_takes_it_off_the_screen(office: Office) -> None:
    await office.arrived(await office.a_text("Only for the team", contact=a_number()))
    page = await office.page("ben", "/inboxes/sales")
    await open_thread(page, "Only for the team")
    body = {"name": "Sales", "kind": "connected", "agents": {"users": ["anna"]}}
    await office.put("routing", "/v1/inboxes/sales", body)
    await expect(page.get_by_text("Only for the team")).to_have_count(0)
    await expect(page.get_by_role("heading", name="There is no such conversation")).to_be_visible()
    await expect(panel(page, "Sales")).to_have_count(0)
