"""Each step of the user's document that an administrator does, by clicks."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from tests.console.browser.office import SECOND_SALES_LINE, Office, a_number, nothing_for_axe
from tests.console.browser.test_inbox import open_thread, panel, timeline
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


async def saved(page: Page, text: str = "Saved.") -> None:
    """The page says that it was done."""
    await expect(page.get_by_role("status")).to_have_text(text)


async def press_save(page: Page) -> None:
    """Save the form."""
    await page.get_by_role("button", name="Save", exact=True).click()


async def test_an_administrator_creates_a_team(office: Office) -> None:
    page = await office.page("ada")
    await page.get_by_role("link", name="Administration").click()
    await page.get_by_role("link", name="Teams", exact=True).click()
    await expect(page.get_by_role("heading", name="There are no teams yet")).to_be_visible()
    await page.get_by_role("link", name="New team").click()
    await page.get_by_label("Name", exact=True).fill("Customer Support")
    await page.get_by_role("group", name="Members").get_by_label("Anna Agent").check()
    await page.get_by_role("group", name="Members").get_by_label("Ben Agent").check()
    await page.get_by_role("group", name="Supervisors").get_by_label("Wim Watcher").check()
    await page.get_by_role("button", name="Create team").click()
    await saved(page, "Created.")
    team = await office.get("routing", "/v1/teams/customer-support", as_="ada")
    assert (team["name"], team["members"], team["supervisors"]) == ("Customer Support", ["anna", "ben"], ["wim"])


async def test_he_sets_up_an_inbox_for_a_team_and_maps_its_line(office: Office) -> None:
    await office.put("routing", "/v1/teams/care", {"name": "Care", "members": ["anna"], "supervisors": []})
    page = await office.page("ada", "/admin/inboxes")
    await page.get_by_role("link", name="New inbox").click()
    await page.get_by_label("Name", exact=True).fill("Customer Care")
    await page.get_by_role("group", name="Teams").get_by_label("Care").check()
    await page.get_by_role("button", name="Create inbox").click()
    await saved(page, "Created.")
    connected = page.get_by_role("region", name="Connected users")
    await expect(connected.get_by_role("listitem")).to_contain_text(["Anna Agent"])
    await page.get_by_role("link", name="Lines", exact=True).last.click()
    await expect(page.get_by_role("heading", name="No line is mapped to this inbox")).to_be_visible()
    await page.get_by_role("link", name="New line").click()
    await page.get_by_label("Number", exact=True).fill(SECOND_SALES_LINE)
    await expect(page.get_by_label("Inbox", exact=True)).to_have_value("customer-care")
    await page.get_by_label("Primary line of its inbox").check()
    await page.get_by_role("button", name="Create line").click()
    await saved(page, "Created.")
    text = await office.arrived(await office.a_text("Hello", contact=a_number(), line=SECOND_SALES_LINE))
    assert text["inbox_id"] == "customer-care"


async def test_members_come_from_the_agent_list_and_watchers_are_added_by_hand(office: Office) -> None:
    page = await office.page("ada", "/admin/inboxes/sales/members")
    connected = page.get_by_role("region", name="Connected users")
    watching = page.get_by_role("region", name="Watching users")
    await expect(connected.get_by_role("listitem")).to_contain_text(["Anna Agent", "Ben Agent"])
    await page.get_by_role("group", name="Users").get_by_label("Ben Agent").uncheck()
    await page.get_by_role("button", name="Save agent list").click()
    await saved(page)
    await expect(connected.get_by_role("listitem")).to_contain_text(["Anna Agent"])
    await watching.get_by_label("Add a watching user").select_option(label="Zoe Stranger")
    await watching.get_by_role("button", name="Add").click()
    await saved(page, "The watcher was added.")
    await expect(watching.get_by_role("listitem")).to_contain_text(["Wim Watcher", "Zoe Stranger"])
    await watching.get_by_role("button", name="Remove Wim Watcher").click()
    await saved(page, "The watcher was removed.")
    members = await office.get("routing", "/v1/inboxes/sales/members", as_="ada")
    assert [one["user_id"] for one in members["connected"]] == ["anna"]
    assert [one["user_id"] for one in members["watching"]] == ["zoe"]


async def test_report_notifications_with_their_recipients_and_filters(office: Office) -> None:
    page = await office.page("ada", "/admin/inboxes/sales/reports")
    await page.get_by_label("Send reports").check()
    await page.get_by_role("group", name="Recipients").get_by_label("Team members").uncheck()
    await page.get_by_role("group", name="Recipients").get_by_label("Connected users").uncheck()
    await page.get_by_label("Sent at").fill("06:30")
    lines = page.get_by_role("group", name="Lines")
    await lines.get_by_label("Only these lines:").check()
    await press_save(page)
    # Nothing is saved, all that was typed is there, and the message stands beside its field.
    await expect(lines).to_contain_text("choose at least one, or all")
    await expect(page.get_by_label("Sent at")).to_have_value("06:30")
    await lines.get_by_label("Sales line").check()
    await press_save(page)
    await saved(page)
    assert await office.get("reporting", "/v1/inboxes/sales/report-notifications", as_="ada") == {
        "enabled": True,
        "reports": ["daily_activity", "voice_analytics"],
        "recipients": ["watching", "team_supervisors"],
        "lines": ["+12125550100"],
        "users": "all",
        "teams": "all",
        "send_at": "06:30",
    }


async def test_watcher_e_mails_by_kind(office: Office) -> None:
    page = await office.page("ada", "/admin/inboxes/sales/notifications")
    await page.get_by_label("Send e-mails to watching users").check()
    await page.get_by_label("Abandoned calls").uncheck()
    await page.get_by_label("Inbound messages").uncheck()
    digest = page.get_by_label("Digest window, in minutes")
    await digest.fill("a while")
    await press_save(page)
    await expect(digest).to_have_value("a while")
    await expect(digest).to_have_attribute("aria-invalid", "true")
    await expect(digest).to_have_accessible_description(re.compile("valid integer"))
    await expect(page.get_by_label("Abandoned calls")).not_to_be_checked()
    await digest.fill("15")
    await press_save(page)
    await saved(page)
    held = await office.get("notification", "/v1/inboxes/sales/watcher-notifications", as_="ada")
    assert held == {"enabled": True, "events": ["missed_call", "voicemail"], "digest_minutes": 15}


async def test_both_automations(office: Office) -> None:
    page = await office.page("ada", "/admin/inboxes/sales/automations")
    await page.get_by_label("Mark as read after a while").check()
    await page.get_by_label("After", exact=True).fill("400")
    await page.get_by_label("Only mark as read by hand").check()
    await press_save(page)
    after = page.get_by_label("After", exact=True)
    await expect(after).to_have_value("400")
    await expect(after).to_have_accessible_description(re.compile("from 1 hour to 365 days"))
    await expect(page.get_by_label("Only mark as read by hand")).to_be_checked()
    await after.fill("14")
    await press_save(page)
    await saved(page)
    held = await office.get("inbox_state", "/v1/inboxes/sales/automations", as_="ada")
    assert held == {
        "auto_mark_as_read": {"enabled": True, "after_hours": 14 * 24},
        "manual_mark_as_read_only": True,
    }


async def test_with_manual_mark_as_read_only_neither_reply_nor_call_reads_a_thread(office: Office) -> None:
    page = await office.page("ada", "/admin/inboxes/sales/automations")
    await page.get_by_label("Only mark as read by hand").check()
    await press_save(page)
    await saved(page)
    await office.arrived(await office.a_text("Is it open?", contact=a_number()))
    anna = await office.page("anna", "/inboxes/sales")
    await open_thread(anna, "Is it open?")
    await anna.get_by_role("textbox", name=re.compile("^Write a text to")).fill("Yes")
    await anna.keyboard.press("Enter")
    await expect(timeline(anna).filter(has_text="Yes")).to_contain_text("Anna Agent")
    await anna.get_by_role("button", name="Call", exact=True).click()
    await expect(timeline(anna).filter(has_text="Placed by Anna Agent")).to_have_count(1)
    # Everybody still sees it unread, until somebody marks it.
    ben = await office.page("ben", "/inboxes/sales")
    for both in (anna, ben):
        await expect(panel(both, "Sales")).to_have_accessible_name("Sales 1 unread")
    await open_thread(ben, "Calling")
    await ben.get_by_role("button", name="Mark read", exact=True).click()
    for both in (anna, ben):
        await expect(panel(both, "Sales")).to_have_accessible_name("Sales")


async def test_the_owner_of_a_personal_inbox_sets_its_automations(office: Office) -> None:
    await office.put("routing", "/v1/inboxes/anna-own", {"name": "Anna's", "kind": "personal", "owner_id": "anna"})
    page = await office.page("anna", "/me")
    await page.get_by_role("link", name="Settings of Anna's").click()
    await page.get_by_label("Mark as read after a while").check()
    await press_save(page)
    await saved(page)
    held = await office.get("inbox_state", "/v1/inboxes/anna-own/automations", as_="anna")
    assert held["auto_mark_as_read"] == {"enabled": True, "after_hours": 720}


async def test_an_agent_sees_a_connected_inbox_s_settings_and_changes_nothing(office: Office) -> None:
    page = await office.page("anna", "/admin/inboxes/sales/automations")
    await expect(page.get_by_text("only an administrator")).to_be_visible()
    await expect(page.get_by_label("Mark as read after a while")).to_be_disabled()
    await expect(page.get_by_role("button", name="Save")).to_have_count(0)
    await nothing_for_axe(page)
    await page.goto("/admin/users")
    await expect(page.get_by_role("heading", name="You may not do this")).to_be_visible()
    page = await office.page("zoe", "/admin/inboxes/sales/automations")
    await expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()


async def test_ring_layers_and_hours_show_who_would_ring(office: Office) -> None:
    page = await office.page("ada", "/admin/inboxes/sales/ringing")
    preview = page.get_by_role("region", name="Who would ring")
    await expect(preview.get_by_role("listitem").first).to_contain_text("All at once, for 30 seconds")
    for number, name in ((1, "Ben Agent"), (2, "Anna Agent")):
        await page.get_by_role("button", name="Add a layer").click()
        layer = page.get_by_role("group", name=f"Layer {number}")
        await layer.get_by_label(name).check()
    await page.get_by_role("group", name="Layer 2").get_by_label("Seconds").fill("soon")
    await page.get_by_label("Open at these times").check()
    await page.get_by_label("Closed on these dates").fill("2030-01-02\n2030-13-01")
    await press_save(page)
    seconds = page.get_by_role("group", name="Layer 2").get_by_label("Seconds")
    await expect(seconds).to_have_accessible_description(re.compile("valid integer"))
    await expect(seconds).to_have_value("soon")
    await expect(page.get_by_label("Closed on these dates")).to_have_attribute("aria-invalid", "true")
    await nothing_for_axe(page)
    await seconds.fill("20")
    await page.get_by_label("Closed on these dates").fill("2030-01-02")
    await page.get_by_role("button", name="Move layer 2 up").click()
    await press_save(page)
    await saved(page)
    # A Tuesday at eleven, a Sunday, and a day on which nobody works.
    steps = preview.get_by_role("listitem")
    await preview.get_by_label("For a call at").fill("2030-01-08T11:00")
    await preview.get_by_role("button", name="Show").click()
    await expect(steps).to_contain_text(["Anna Agent", "Ben Agent", "Then voicemail"])
    for closed in ("2030-01-06T11:00", "2030-01-02T11:00"):
        await preview.get_by_label("For a call at").fill(closed)
        await preview.get_by_role("button", name="Show").click()
        await expect(preview).to_contain_text("Outside business hours.")
        await expect(preview).to_contain_text("the call goes to voicemail")


async def test_what_is_unrouted_is_mapped_with_a_button(office: Office) -> None:
    line = "+12125550177"
    text_id = await office.a_text("Is anybody there?", contact=a_number(), line=line)

    async def waits() -> bool:
        return bool((await office.get("routing", "/v1/unrouted", as_="ada"))["items"])

    await eventually(waits)
    page = await office.page("ada", "/admin/unrouted")
    await expect(page.get_by_role("heading", name=line)).to_be_visible()
    await page.get_by_role("button", name=f"Map {line}").click()
    await expect(page.get_by_label("To inbox")).to_have_accessible_description("choose an inbox")
    await nothing_for_axe(page)
    await page.get_by_label("To inbox").select_option(label="Support")
    await page.get_by_role("button", name=f"Map {line}").click()
    await saved(page, "Mapped. What was waiting is being routed.")
    assert (await office.arrived(text_id))["inbox_id"] == "support"


async def test_nobody_overwrites_what_he_has_not_seen(office: Office) -> None:
    await office.put("routing", "/v1/teams/care", {"name": "Care", "members": [], "supervisors": []})
    page = await office.page("ada", "/admin/teams/care")
    await office.put("routing", "/v1/teams/care", {"name": "Caring", "members": ["ben"], "supervisors": []})
    await page.get_by_label("Name", exact=True).fill("Customer Care")
    await press_save(page)
    await expect(page.get_by_role("alert")).to_contain_text("Somebody changed this since you opened it")
    await expect(page.get_by_label("Name", exact=True)).to_have_value("Customer Care")
    await expect(page.get_by_text("Stored now: Caring")).to_be_visible()
    await expect(page.get_by_text("Stored now: Ben Agent")).to_be_visible()
    await nothing_for_axe(page)
    assert (await office.get("routing", "/v1/teams/care", as_="ada"))["name"] == "Caring"
    await press_save(page)
    await saved(page)
    assert (await office.get("routing", "/v1/teams/care", as_="ada"))["name"] == "Customer Care"
    # Settings that have no tag of their service are compared by the console.
    page = await office.page("ada", "/admin/inboxes/sales/notifications")
    path = "/v1/inboxes/sales/watcher-notifications"
    await office.put("notification", path, {"enabled": True, "events": ["voicemail"], "digest_minutes": 7})
    await page.get_by_label("Digest window, in minutes").fill("9")
    await press_save(page)
    await expect(page.get_by_text("Stored now: 7")).to_be_visible()
    assert (await office.get("notification", path, as_="ada"))["digest_minutes"] == 7


async def test_ring_layers_and_hours_of_somebody_else_stand_beside_one_s_own(office: Office) -> None:
    page = await office.page("ada", "/admin/inboxes/sales/ringing")
    held = await office.get("routing", "/v1/inboxes/sales", as_="ada")
    layer = {"mode": "round_robin", "users": ["ben"], "teams": [], "ring_seconds": 25}
    week: dict[str, list[dict[str, str]]] = {day: [] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    hours = week | {"tue": [{"from": "10:00", "to": "11:30"}], "closures": ["2030-05-01"]}
    await office.put("routing", "/v1/inboxes/sales", {**held, "ring_layers": [layer], "business_hours": hours})
    await page.get_by_role("button", name="Add a layer").click()
    await page.get_by_role("group", name="Layer 1").get_by_label("Anna Agent").check()
    await press_save(page)
    await expect(page.get_by_role("alert")).to_contain_text("Somebody changed this since you opened it")
    await expect(page.get_by_role("group", name="Layer 1").get_by_label("Anna Agent")).to_be_checked()
    stored = page.locator("#ring_layers-stored")
    await expect(stored).to_contain_text("Ben Agent One after another, in turn, for 25 seconds")
    await expect(page.get_by_text("Stored now: Open at these times")).to_be_visible()
    # His hours beside mine, as soon as mine are hours at all.
    await page.get_by_label("Open at these times").check()
    await page.get_by_label("Monday, opens (1)").fill("07:00")
    await office.put("routing", "/v1/inboxes/sales", {**held, "business_hours": hours})
    await press_save(page)
    await expect(stored).to_contain_text("No layers: everybody who is connected rings at the same time.")
    await expect(page.get_by_role("group", name="Monday")).to_contain_text("Stored now: closed")
    await expect(page.get_by_role("group", name="Tuesday")).to_contain_text("Stored now: 10:00–11:30")
    await expect(page.get_by_text("Stored now: 2030-05-01")).to_be_visible()
    await nothing_for_axe(page)
    await press_save(page)
    await saved(page)
    stays = await office.get("routing", "/v1/inboxes/sales", as_="ada")
    assert [one["users"] for one in stays["ring_layers"]] == [["anna"]]
    assert stays["business_hours"]["mon"] == [{"from": "07:00", "to": "17:00"}]


async def test_long_lists_of_people_are_searched(office: Office) -> None:
    for number in range(12):
        user = {"name": f"Agent {number:02}", "email": f"a{number}@acme.example", "role": "agent"}
        await office.put("routing", f"/v1/users/a{number:02}", user)
    await office.put("routing", "/v1/users/chloe", {"name": "Chloé Núñez", "email": "c@acme.example", "role": "agent"})
    page = await office.page("ada", "/admin/inboxes/sales/members")
    users = page.get_by_role("group", name="Users")
    await users.get_by_role("searchbox", name="Search in Users").fill("nunez")
    await expect(users.get_by_role("checkbox")).to_have_count(1)
    await expect(users.get_by_role("status")).to_have_text("1 of 18")
    # Enter narrows, and does not send the form.
    await page.keyboard.press("Enter")
    await users.get_by_label("Chloé Núñez").check()
    await users.get_by_role("searchbox").fill("")
    await expect(users.get_by_role("checkbox")).to_have_count(18)
    await page.get_by_role("searchbox", name="Search in Add a watching user").fill("zo")
    await expect(page.get_by_label("Add a watching user", exact=True).get_by_role("option")).to_have_text(
        ["Choose a user", "Zoe Stranger"]
    )
    await nothing_for_axe(page)
    await page.get_by_role("button", name="Save agent list").click()
    await expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
    # Who was ticked before and does not match stays ticked.
    inbox = await office.get("routing", "/v1/inboxes/sales", as_="ada")
    assert set(inbox["agents"]["users"]) == {"anna", "ben", "chloe"}


async def test_a_new_team_never_replaces_another_one(office: Office) -> None:
    await office.put("routing", "/v1/teams/care", {"name": "Care", "members": ["ben"], "supervisors": []})
    page = await office.page("ada", "/admin/new/team")
    await page.get_by_label("Name", exact=True).fill("Care!")
    await page.get_by_role("button", name="Create team").click()
    await expect(page.get_by_label("Id (optional)")).to_have_accessible_description(re.compile("is taken"))
    assert (await office.get("routing", "/v1/teams/care", as_="ada"))["members"] == ["ben"]


async def test_teams_lines_and_inboxes_are_deleted_only_on_purpose(office: Office) -> None:
    await office.put("routing", "/v1/teams/care", {"name": "Care", "members": [], "supervisors": []})
    page = await office.page("ada", "/admin/teams/care")
    await expect(page.get_by_role("button", name="Delete team")).to_be_hidden()
    await page.get_by_text("Delete team").first.click()
    await page.get_by_role("button", name="Delete team").click()
    await saved(page, "Deleted.")
    await page.goto("/admin/inboxes/sales/settings")
    await page.get_by_text("Delete inbox").first.click()
    await page.get_by_role("button", name="Delete inbox").click()
    await expect(page.get_by_role("alert")).to_contain_text(re.compile("line", re.IGNORECASE))


async def test_the_audit_tells_of_all_services_who_changed_what(office: Office) -> None:
    page = await office.page("ada", "/admin/inboxes/sales/automations")
    await page.get_by_label("Only mark as read by hand").check()
    await press_save(page)
    await page.goto("/admin/inboxes/sales/notifications")
    await page.get_by_label("Send e-mails to watching users").check()
    await press_save(page)
    await saved(page)
    await page.goto("/admin/audit")
    entries = page.get_by_role("main").locator("ol.audit > li")
    await expect(entries.nth(0)).to_contain_text("Ada Admin changed watcher e-mails sales")
    await expect(entries.nth(1)).to_contain_text("Ada Admin")
    await expect(entries.nth(1)).to_contain_text("automations sales")
    await entries.nth(0).get_by_text("1 field").click()
    await expect(entries.nth(0).get_by_role("row", name="enabled")).to_contain_text("True")
    await nothing_for_axe(page)
    await page.get_by_label("What").select_option(label="team")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("heading", name="No changes")).to_be_visible()


async def test_hostile_names_are_shown_as_text(office: Office) -> None:
    await office.put("routing", "/v1/teams/bad", {"name": HOSTILE, "members": ["anna"], "supervisors": []})
    body = {"name": HOSTILE, "email": "zoe@acme.example", "role": "agent"}
    await office.put("routing", "/v1/users/zoe", body)
    await office.put("routing", "/v1/inboxes/bad", {"name": HOSTILE, "agents": {"users": ["zoe"], "teams": ["bad"]}})
    page = await office.page("ada", "/admin/teams")
    for path in (
        *("/admin/teams", "/admin/teams/bad", "/admin/users", "/admin/users/zoe", "/admin/inboxes", "/admin/audit"),
        *("/admin/inboxes/bad/members", "/admin/inboxes/bad/ringing", "/reports/bad/daily-activity"),
    ):
        await page.goto(path)
        await expect(page.get_by_role("main")).to_contain_text(HOSTILE)
        await expect(page.locator("img")).to_have_count(0)
        assert await page.title() != "owned"
