"""Both reports, of a day and of a range: in the console's frame, as CSV, and to print."""

from __future__ import annotations

import re
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import expect

from service_kit.clock import utc_now
from tests.console.browser.office import Office, a_number, nothing_for_axe
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

ZONE = ZoneInfo("America/New_York")


async def test_a_day_s_activity_with_its_charts_its_neighbours_and_its_table(office: Office) -> None:
    await office.arrived(await office.a_text("Hello", contact=a_number()))
    today = utc_now().astimezone(ZONE).date()
    yesterday = today - timedelta(days=1)
    page = await office.page("anna")
    await page.get_by_role("link", name="Reports").click()
    await expect(page).to_have_url(re.compile(f"date={yesterday}$"))
    report = page.frame_locator("iframe")
    await expect(report.get_by_text("Nobody called or wrote")).to_be_visible()
    await nothing_for_axe(page)
    await page.get_by_role("link", name="Next day").click()
    await expect(page.get_by_label("From")).to_have_value(today.isoformat())
    await expect(report.locator("figure svg").first).to_be_visible()
    await expect(report.get_by_role("heading", name="All figures")).to_be_visible()
    # The frame is as tall as the report: the page scrolls, not the frame.
    frame = page.locator("iframe")
    await page.wait_for_function(
        "() => { const one = document.querySelector('iframe');"
        " return one.clientHeight >= one.contentDocument.documentElement.scrollHeight; }"
    )
    assert (await frame.get_attribute("sandbox") or "").split() == ["allow-same-origin", "allow-modals"]
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download CSV").click()
    file = await download.value
    assert file.suggested_filename == f"daily-activity-sales-{today}.csv"
    lines = (await file.path()).read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "section,key,name,figure,value"
    assert any(re.match(r"totals,.*messages_inbound,1(\.0)?$", line) for line in lines)


async def test_a_range_of_voice_analytics_of_another_inbox(office: Office) -> None:
    page = await office.page("anna", "/reports")
    await page.get_by_role("link", name="Voice analytics").click()
    await page.get_by_label("Inbox", exact=True).select_option(label="Support")
    await page.get_by_label("From").fill("2026-01-01")
    await page.get_by_label("To", exact=True).fill("2026-01-31")
    await page.get_by_role("button", name="Show").click()
    await expect(page).to_have_url(re.compile(r"/reports/support/voice-analytics\?from=2026-01-01&to=2026-01-31$"))
    await expect(page.frame_locator("iframe").get_by_text("No call of this period has been analysed")).to_be_visible()
    await page.get_by_role("link", name="Earlier").click()
    await expect(page.get_by_label("From")).to_have_value("2025-12-01")
    await nothing_for_axe(page)


async def test_days_that_make_no_range_are_told_beside_their_field(office: Office) -> None:
    page = await office.page("anna", "/reports/sales/daily-activity?from=2026-02-01&to=2026-01-01")
    await expect(page.get_by_label("To", exact=True)).to_have_accessible_description("must not be before from")
    await expect(page.get_by_label("From")).to_have_value("2026-02-01")
    await nothing_for_axe(page)


async def test_an_administrator_sends_a_day_s_report_and_an_agent_can_t(office: Office) -> None:
    page = await office.page("anna", "/reports/sales/daily-activity")
    await expect(page.get_by_role("button", name="Send now")).to_have_count(0)
    page = await office.page("ada", "/reports/sales/daily-activity")
    await page.get_by_role("button", name="Send now").click()
    await expect(page.get_by_role("status")).to_contain_text("will be sent to each recipient")


async def test_printing_prints_the_report_and_not_the_console_around_it(office: Office) -> None:
    page = await office.page("anna", "/reports/sales/daily-activity")
    await expect(page.frame_locator("iframe").get_by_role("heading", name="Sales")).to_be_visible()
    await page.evaluate(
        "document.querySelector('iframe').contentWindow.print = () => { document.body.dataset.printed = 'yes'; }"
    )
    await page.get_by_role("link", name="Print").click()
    await expect(page.locator("body")).to_have_attribute("data-printed", "yes")


async def test_who_has_no_inbox_is_told_so(office: Office) -> None:
    page = await office.page("zoe", "/reports")
    await expect(page.get_by_role("heading", name="There is no inbox to report on")).to_be_visible()
    await nothing_for_axe(page)
    await page.goto("/reports/sales/daily-activity?date=2026-01-01")
    await expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()


async def test_who_supervises_a_team_finds_its_inbox_s_reports_without_a_tie(office: Office) -> None:
    await office.put("routing", "/v1/teams/care", {"name": "Care", "members": ["ben"], "supervisors": ["zoe"]})
    body = {"name": "Support", "kind": "connected", "agents": {"users": ["anna"], "teams": ["care"]}}
    await office.put("routing", "/v1/inboxes/support", body)

    async def known() -> bool:
        return bool((await office.get("reporting", "/v1/reports/inboxes", as_="zoe"))["items"])

    await eventually(known)
    page = await office.page("zoe")
    await page.get_by_role("link", name="Reports").click()
    await expect(page.get_by_label("Inbox", exact=True).get_by_role("option")).to_have_text(["Support"])
    await expect(page.frame_locator("iframe").get_by_role("heading", name="All figures")).to_be_visible()


@pytest.mark.parametrize("chosen", ["system", "browser"])
async def test_in_dark_colours_a_report_is_dark_too_and_its_print_is_not(office: Office, chosen: str) -> None:
    await office.arrived(await office.a_text("Hello", contact=a_number()))
    today = utc_now().astimezone(ZONE).date()
    path = f"/reports/sales/daily-activity?date={today}"
    page = await office.page("anna", path, color_scheme="dark" if chosen == "system" else "light")
    if chosen == "browser":
        await page.evaluate("localStorage.setItem('theme', 'dark')")
        await page.reload()
    report = page.frame_locator("iframe")
    words = report.locator("figure svg text").first
    await expect(report.locator("body")).to_have_css("background-color", "rgb(15, 19, 24)")
    await expect(report.locator("figure").first).to_have_css("background-color", "rgb(23, 28, 35)")
    assert await words.evaluate("it => getComputedStyle(it.closest('[style*=fill]')).fill") == "rgb(195, 204, 216)"
    await page.emulate_media(media="print")
    await expect(report.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    assert await words.evaluate("it => getComputedStyle(it.closest('[style*=fill]')).fill") == "rgb(55, 65, 81)"


async def test_everything_works_without_a_script(office: Office) -> None:
    page = await office.page("ada", "/reports", java_script_enabled=False)
    await page.get_by_role("link", name="7 days").click()
    await expect(page.frame_locator("iframe").get_by_role("heading", name="Sales")).to_be_visible()
    await page.get_by_role("link", name="Administration").click()
    await page.get_by_role("link", name="Sales").click()
    await page.get_by_role("link", name="Automations").click()
    await page.get_by_label("Only mark as read by hand").check()
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("status")).to_have_text("Saved.")
