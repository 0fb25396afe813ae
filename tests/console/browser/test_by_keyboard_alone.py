"""Every action of administration, of one's own page and of the reports, once without a mouse.

`tab_to` presses Tab until something has the focus, so it fails for what the keyboard does not reach; only the first
address is typed. The inbox has its own day without a mouse in `test_for_everybody.py`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Locator, Page, expect

from service_kit.clock import utc_now
from tests.console.browser.office import SALES_LINE, SECOND_SALES_LINE, Office, a_number, press, tab_to
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

ZONE: Final = ZoneInfo("America/New_York")


async def type_into(page: Page, target: Locator, text: str) -> None:
    """Go to a field and write into it, in place of what it holds."""
    await tab_to(page, target)
    await page.keyboard.press("Control+A")
    await page.keyboard.type(text)


async def press_at(page: Page, target: Locator, key: str = "Enter") -> None:
    """Go to something and press a key on it."""
    await tab_to(page, target)
    await page.keyboard.press(key)


async def choose(page: Page, target: Locator, option: str) -> None:
    """Go to a list of options and write the beginning of one."""
    await tab_to(page, target)
    await page.keyboard.type(option)
    await expect(target.locator("option:checked")).to_have_text(re.compile(f"^{re.escape(option)}"))


async def said(page: Page, text: str) -> None:
    """The page says what was done."""
    await expect(page.get_by_role("status").first).to_have_text(text)


async def test_a_team_is_created_found_changed_and_deleted(office: Office) -> None:
    page = await office.page("ada", "/inboxes/all")
    await press_at(page, page.get_by_role("link", name="Administration"))
    await press_at(page, page.get_by_role("link", name="Teams", exact=True))
    await press_at(page, page.get_by_role("link", name="New team"))
    await type_into(page, page.get_by_label("Name", exact=True), "Care")
    await press_at(page, page.get_by_role("group", name="Members").get_by_label("Anna Agent"), "Space")
    await press_at(page, page.get_by_role("group", name="Supervisors").get_by_label("Wim Watcher"), "Space")
    await press_at(page, page.get_by_role("button", name="Create team"))
    await said(page, "Created.")
    await type_into(page, page.get_by_role("searchbox"), "car")
    await press(page, "Enter")
    await press_at(page, page.get_by_role("link", name="Care", exact=True))
    await press_at(page, page.get_by_role("group", name="Members").get_by_label("Ben Agent"), "Space")
    await press_at(page, page.get_by_role("button", name="Save", exact=True))
    await said(page, "Saved.")
    team = await office.get("routing", "/v1/teams/care", as_="ada")
    assert (team["name"], team["members"], team["supervisors"]) == ("Care", ["anna", "ben"], ["wim"])
    await press_at(page, page.get_by_role("link", name="Care", exact=True))
    await press_at(page, page.locator("summary", has_text="Delete team"))
    await press_at(page, page.get_by_role("button", name="Delete team"))
    await said(page, "Deleted.")
    assert (await office.request("routing", "GET", "/v1/teams/care", as_="ada")).status_code == 404


async def test_a_user_is_created_corrected_and_put_out_of_service(office: Office) -> None:
    page = await office.page("ada", "/admin/users")
    await press_at(page, page.get_by_role("link", name="New user"))
    await type_into(page, page.get_by_label("Name", exact=True), "Vera Lind")
    wrong = page.get_by_label("E-mail address")
    await type_into(page, wrong, "no address")
    await press(page, "Enter")
    await expect(wrong).to_have_accessible_description(re.compile("is no e-mail address"))
    # From the summary of what is wrong straight to the field.
    await press_at(page, page.get_by_role("alert").get_by_role("link"))
    await press(page, "Tab", "Shift+Tab")
    await expect(wrong).to_be_focused()
    await type_into(page, wrong, "vera@acme.example")
    await choose(page, page.get_by_label("Role"), "Administrator")
    await choose(page, page.get_by_label("Time zone"), "Europe/Berlin")
    await type_into(page, page.get_by_label("Endpoints"), "sip:1009@pbx")
    await press_at(page, page.get_by_label("Calls ring for him"), "Space")
    await press_at(page, page.get_by_role("button", name="Create user"))
    await said(page, "Created.")
    user = await office.get("routing", "/v1/users/vera-lind", as_="ada")
    assert (user["email"], user["role"], user["time_zone"]) == ("vera@acme.example", "admin", "Europe/Berlin")
    assert (user["endpoints"], user["rings"], user["active"]) == (["sip:1009@pbx"], False, True)
    await type_into(page, page.get_by_role("searchbox"), "vera")
    await press(page, "Enter")
    await press_at(page, page.get_by_role("link", name="Vera Lind"))
    await press_at(page, page.get_by_label("Active", exact=True), "Space")
    await press_at(page, page.get_by_role("button", name="Save", exact=True))
    await said(page, "Saved.")
    assert (await office.get("routing", "/v1/users/vera-lind", as_="ada"))["active"] is False


async def test_the_account_is_renamed_and_has_a_fallback_and_lets_administrators_read(office: Office) -> None:
    page = await office.page("ada", "/admin/users")
    await press_at(page, page.get_by_role("link", name="Account"))
    await type_into(page, page.get_by_label("Name", exact=True), "Acme and Sons")
    await choose(page, page.get_by_label("Time zone"), "Europe/Lisbon")
    await choose(page, page.get_by_label("Inbox for what is on no mapped line"), "Support")
    await press_at(page, page.get_by_label("Administrators see every conversation"), "Space")
    await press(page, "Enter")
    await said(page, "Saved.")
    account = await office.get("routing", "/v1/account", as_="ada")
    assert (account["name"], account["time_zone"]) == ("Acme and Sons", "Europe/Lisbon")
    assert (account["fallback_inbox_id"], account["admins_see_all"]) == ("support", True)


async def test_a_line_is_created_mapped_moved_made_primary_taken_away_and_deleted(office: Office) -> None:
    page = await office.page("ada", "/admin/lines")
    await press_at(page, page.get_by_role("link", name="New line"))
    await type_into(page, page.get_by_label("Number", exact=True), SECOND_SALES_LINE)
    await type_into(page, page.get_by_label("Name (optional)"), "Spring")
    await choose(page, page.get_by_label("Inbox", exact=True), "Support")
    await press_at(page, page.get_by_role("button", name="Create line"))
    await said(page, "Created.")
    # To another inbox, in its tab.
    await press_at(page, page.get_by_role("link", name="Sales", exact=True))
    await choose(page, page.get_by_label("Number", exact=True), f"{SECOND_SALES_LINE} · Spring (now at Support)")
    await press_at(page, page.get_by_role("button", name="Map line"))
    await said(page, "The line was mapped to this inbox.")
    await press_at(page, page.get_by_role("button", name=f"Make {SECOND_SALES_LINE} primary"))
    await said(page, "Saved.")
    assert (await office.get("routing", f"/v1/lines/{SECOND_SALES_LINE}", as_="ada"))["primary"] is True
    await press_at(page, page.get_by_role("button", name=f"Take {SALES_LINE} away"))
    await said(page, "The line was taken from this inbox.")
    assert (await office.get("routing", f"/v1/lines/{SALES_LINE}", as_="ada"))["inbox_id"] is None
    await press_at(page, page.get_by_role("link", name=SECOND_SALES_LINE))
    await press_at(page, page.get_by_label("Rings by itself"), "Space")
    await press_at(page, page.get_by_role("button", name="Save", exact=True))
    await said(page, "Saved.")
    assert (await office.get("routing", f"/v1/lines/{SECOND_SALES_LINE}", as_="ada"))["rings_itself"] is True
    await press_at(page, page.get_by_role("link", name=SECOND_SALES_LINE))
    await press_at(page, page.locator("summary", has_text="Delete line"))
    await press_at(page, page.get_by_role("button", name="Delete line"))
    await said(page, "Deleted.")


async def test_an_inbox_is_created_renamed_and_deleted(office: Office) -> None:
    page = await office.page("ada", "/admin/lines")
    await press_at(page, page.get_by_role("link", name="Inboxes"))
    await press_at(page, page.get_by_role("link", name="New inbox"))
    await type_into(page, page.get_by_label("Name", exact=True), "Ben's own")
    # From one radio button to the next with an arrow.
    await press_at(page, page.get_by_role("radio", name="Connected"), "ArrowDown")
    await choose(page, page.get_by_label("Owner", exact=True), "Ben Agent")
    await press_at(page, page.get_by_role("button", name="Create inbox"))
    await said(page, "Created.")
    inbox = await office.get("routing", "/v1/inboxes/ben-s-own", as_="ada")
    assert (inbox["kind"], inbox["owner_id"]) == ("personal", "ben")
    await press_at(page, page.get_by_role("link", name="General"))
    await type_into(page, page.get_by_label("Name", exact=True), "Ben")
    await choose(page, page.get_by_label("Time zone"), "Asia/Tokyo")
    await press_at(page, page.get_by_role("button", name="Save", exact=True))
    await said(page, "Saved.")
    inbox = await office.get("routing", "/v1/inboxes/ben-s-own", as_="ada")
    assert (inbox["name"], inbox["time_zone"]) == ("Ben", "Asia/Tokyo")
    await press_at(page, page.locator("summary", has_text="Delete inbox"))
    await press_at(page, page.get_by_role("button", name="Delete inbox"))
    await said(page, "Deleted.")


async def test_agents_and_watchers_come_and_go(office: Office) -> None:
    await office.put("routing", "/v1/teams/care", {"name": "Care", "members": ["zoe"], "supervisors": []})
    page = await office.page("ada", "/admin/inboxes/sales/settings")
    await press_at(page, page.get_by_role("link", name="Members"))
    await choose(page, page.get_by_label("Add a watching user"), "Zoe")
    await press_at(page, page.get_by_role("button", name="Add", exact=True))
    await said(page, "The watcher was added.")
    await press_at(page, page.get_by_role("button", name="Remove Wim Watcher"))
    await said(page, "The watcher was removed.")
    await press_at(page, page.get_by_role("group", name="Teams").get_by_label("Care"), "Space")
    await press_at(page, page.get_by_role("group", name="Users").get_by_label("Ben Agent"), "Space")
    await press_at(page, page.get_by_role("button", name="Save agent list"))
    await said(page, "Saved.")
    members = await office.get("routing", "/v1/inboxes/sales/members", as_="ada")
    assert {one["user_id"] for one in members["connected"]} == {"anna", "zoe"}
    # Who is connected is more than a watcher: the list of watchers keeps her, and nobody else is left in it.
    assert "wim" not in {one["user_id"] for one in members["watching"]}


async def test_ring_layers_hours_and_the_preview(office: Office) -> None:
    page = await office.page("ada", "/admin/inboxes/sales/members")
    await press_at(page, page.get_by_role("link", name="Ringing and hours"))
    for number in (1, 2, 3):
        await press_at(page, page.get_by_role("button", name="Add a layer"))
        await expect(page.get_by_role("group", name=f"Layer {number}")).to_be_visible()
    first, second = (page.get_by_role("group", name=f"Layer {number}") for number in (1, 2))
    await choose(page, first.get_by_label("Who rings when"), "One after another, in turn")
    await type_into(page, first.get_by_label("Seconds"), "20")
    await press_at(page, first.get_by_label("Ben Agent"), "Space")
    await press_at(page, second.get_by_label("Anna Agent"), "Space")
    await press_at(page, page.get_by_role("button", name="Move layer 2 up"))
    await expect(first.get_by_label("Anna Agent")).to_be_checked()
    await press_at(page, page.get_by_role("button", name="Remove layer 3"))
    await expect(page.get_by_role("group", name="Layer 3")).to_have_count(0)
    await press_at(page, page.get_by_role("radio", name="Always open"), "ArrowDown")
    await tab_to(page, page.get_by_label("Monday, opens (1)"))
    await page.keyboard.type("0830AM")
    await press_at(page, page.get_by_role("button", name="Add hours on Monday"))
    await tab_to(page, page.get_by_label("Monday, opens (2)"))
    await page.keyboard.type("0600PM")
    await tab_to(page, page.get_by_label("Monday, closes (2)"))
    await page.keyboard.type("0800PM")
    await type_into(page, page.get_by_label("Closed on these dates"), "2030-01-01")
    await press_at(page, page.get_by_role("button", name="Save", exact=True))
    await said(page, "Saved.")
    inbox = await office.get("routing", "/v1/inboxes/sales", as_="ada")
    assert [(layer["users"], layer["mode"], layer["ring_seconds"]) for layer in inbox["ring_layers"]] == [
        (["anna"], "simultaneous", 30),
        (["ben"], "round_robin", 20),
    ]
    hours = inbox["business_hours"]
    assert hours["mon"] == [{"from": "08:30", "to": "17:00"}, {"from": "18:00", "to": "20:00"}]
    assert hours["closures"] == ["2030-01-01"]
    preview = page.get_by_role("region", name="Who would ring")
    await tab_to(page, preview.get_by_label("For a call at"))
    # A Tuesday that is closed.
    for part in ("01", "01", "2030"):
        await page.keyboard.type(part)
    await press(page, "Tab")
    await page.keyboard.type("1100AM")
    await press(page, "Enter")
    await expect(preview).to_contain_text("Outside business hours.")


async def test_watcher_e_mails_reports_and_automations_are_set(office: Office) -> None:
    page = await office.page("ada", "/admin/inboxes/sales/members")
    await press_at(page, page.get_by_role("link", name="Watcher e-mails"))
    await press_at(page, page.get_by_label("Send e-mails to watching users"), "Space")
    await press_at(page, page.get_by_label("Abandoned calls"), "Space")
    await type_into(page, page.get_by_label("Digest window, in minutes"), "15")
    await press(page, "Enter")
    await said(page, "Saved.")
    assert await office.get("notification", "/v1/inboxes/sales/watcher-notifications", as_="ada") == {
        "enabled": True,
        "events": ["missed_call", "voicemail", "inbound_message"],
        "digest_minutes": 15,
    }
    await press_at(page, page.get_by_role("navigation", name="Settings of this inbox").get_by_text("Reports"))
    await press_at(page, page.get_by_label("Send reports"), "Space")
    await press_at(page, page.get_by_role("group", name="Reports").get_by_label("Voice analytics"), "Space")
    await press_at(page, page.get_by_role("group", name="Recipients").get_by_label("Team members"), "Space")
    await tab_to(page, page.get_by_label("Sent at"))
    await page.keyboard.type("0630AM")
    users = page.get_by_role("group", name="Users")
    await press_at(page, users.get_by_label("All users"), "ArrowDown")
    await press_at(page, users.get_by_label("Anna Agent"), "Space")
    await press_at(page, page.get_by_role("button", name="Save", exact=True))
    await said(page, "Saved.")
    held = await office.get("reporting", "/v1/inboxes/sales/report-notifications", as_="ada")
    assert (held["enabled"], held["reports"], held["send_at"]) == (True, ["daily_activity"], "06:30")
    assert (held["users"], held["lines"]) == (["anna"], "all")
    assert "team_members" not in held["recipients"]
    await press_at(page, page.get_by_role("link", name="Automations"))
    await press_at(page, page.get_by_label("Mark as read after a while"), "Space")
    await type_into(page, page.get_by_label("After", exact=True), "36")
    await choose(page, page.get_by_label("Unit"), "hours")
    await press_at(page, page.get_by_label("Only mark as read by hand"), "Space")
    await press(page, "Enter")
    await said(page, "Saved.")
    assert await office.get("inbox_state", "/v1/inboxes/sales/automations", as_="ada") == {
        "auto_mark_as_read": {"enabled": True, "after_hours": 36},
        "manual_mark_as_read_only": True,
    }


async def test_deliveries_and_the_audit_are_searched_and_what_is_unrouted_is_mapped(office: Office) -> None:
    line = "+12125550177"
    text_id = await office.a_text("Is anybody there?", contact=a_number(), line=line)

    async def waits() -> bool:
        return bool((await office.get("routing", "/v1/unrouted", as_="ada"))["items"])

    await eventually(waits)
    page = await office.page("ada", "/admin/inboxes/sales/members")
    await press_at(page, page.get_by_role("link", name="Deliveries"))
    await choose(page, page.get_by_label("Outcome"), "Sent")
    await choose(page, page.get_by_label("To", exact=True), "Wim")
    await press_at(page, page.get_by_role("button", name="Search"))
    await expect(page).to_have_url(re.compile("outcome=sent&user=wim$"))
    await expect(page.get_by_role("heading", name="No e-mails")).to_be_visible()
    await press_at(page, page.get_by_role("link", name="Unrouted"))
    await choose(page, page.get_by_label("To inbox"), "Support")
    await press_at(page, page.get_by_role("button", name=f"Map {line}"))
    await said(page, "Mapped. What was waiting is being routed.")
    assert (await office.arrived(text_id))["inbox_id"] == "support"
    await press_at(page, page.get_by_role("link", name="Audit"))
    await choose(page, page.get_by_label("By", exact=True), "Ada")
    await choose(page, page.get_by_label("What", exact=True), "line")
    await press_at(page, page.get_by_role("button", name="Search"))
    entries = page.get_by_role("main").locator("ol.audit > li")
    await expect(entries).to_have_count(1)
    await press_at(page, entries.locator("summary"))
    await expect(entries.get_by_role("row", name="inbox_id")).to_contain_text("support")


async def test_one_s_own_presence_view_quiet_hours_and_muted_inboxes(office: Office) -> None:
    page = await office.page("wim", "/inboxes/all")
    await press_at(page, page.get_by_role("link", name="Wim Watcher"))
    await press_at(page, page.get_by_role("radio", name="Available"), "ArrowDown")
    await press(page, "ArrowDown")
    await press_at(page, page.get_by_role("button", name="Set presence"))
    await said(page, "Your presence was set.")
    await expect(page.get_by_role("radio", name="Away")).to_be_checked()
    await press_at(page, page.get_by_role("radio", name="Threaded", exact=False).first, "ArrowDown")
    await press_at(page, page.get_by_role("button", name="Set view"))
    await said(page, "Your view was set.")
    assert (await office.get("inbox_state", "/v1/me/preferences", as_="wim"))["view"] == "unthreaded"
    await press_at(page, page.get_by_label("Quiet hours"), "Space")
    begins = page.get_by_label("From", exact=True)
    await press_at(page, begins, "Backspace")
    await press(page, "Enter")
    await expect(begins).to_have_accessible_description(re.compile("time of day"))
    await expect(page.get_by_label("Quiet hours")).to_be_checked()
    await tab_to(page, begins)
    await page.keyboard.type("0930PM")
    await press_at(page, page.get_by_label("Sales"), "Space")
    await press_at(page, page.get_by_role("button", name="Save e-mail preferences"))
    await said(page, "Your e-mail preferences were saved.")
    assert await office.get("notification", "/v1/me/notification-preferences", as_="wim") == {
        "muted_inbox_ids": ["sales"],
        "quiet_hours": {"from": "21:30", "to": "07:00"},
        "unsubscribed": [],
    }


async def test_both_reports_of_any_days_are_read_saved_printed_and_sent(office: Office) -> None:
    await office.arrived(await office.a_text("Hello", contact=a_number()))
    yesterday = utc_now().astimezone(ZONE).date() - timedelta(days=1)
    page = await office.page("ada", "/inboxes/all")
    await press_at(page, page.get_by_role("link", name="Reports"))
    await expect(page).to_have_url(re.compile(f"date={yesterday}$"))
    await press_at(page, page.get_by_role("link", name="Next day"))
    await press_at(page, page.get_by_role("link", name="Previous day"))
    await press_at(page, page.get_by_role("button", name="Send now"))
    await expect(page.get_by_role("status")).to_contain_text("will be sent to each recipient")
    await page.evaluate(
        "document.querySelector('iframe').contentWindow.print = () => { document.body.dataset.printed = 'yes'; }"
    )
    await press_at(page, page.get_by_role("link", name="Print"))
    await expect(page.locator("body")).to_have_attribute("data-printed", "yes")
    async with page.expect_download() as download:
        await press_at(page, page.get_by_role("link", name="Download CSV"))
    assert (await download.value).suggested_filename == f"daily-activity-sales-{yesterday}.csv"
    await press_at(page, page.get_by_role("link", name="7 days"))
    await press_at(page, page.get_by_role("link", name="Voice analytics"))
    await choose(page, page.get_by_label("Inbox", exact=True), "Support")
    for field, day in (("From", "01012026"), ("To", "01312026")):
        await tab_to(page, page.get_by_label(field, exact=True))
        await page.keyboard.type(day)
    await press(page, "Enter")
    await expect(page).to_have_url(re.compile(r"/reports/support/voice-analytics\?from=2026-01-01&to=2026-01-31$"))
    # The report is taller than the screen, and its own parts are reached as well.
    inside = page.frame_locator("iframe").locator("summary")
    await press_at(page, inside)
    await expect(page.frame_locator("iframe").locator("details")).to_have_attribute("open", "")


async def test_somebody_signs_in_and_out(office: Office) -> None:
    page = await office.page("", f"/sign-in?account={office.account}")
    await press_at(page, page.get_by_role("button", name="Anna Agent"))
    await expect(page).to_have_url(f"{office.url}/inboxes/all")
    await press_at(page, page.get_by_role("button", name="Sign out"))
    await said(page, "You are signed out.")
