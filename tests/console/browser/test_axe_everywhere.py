"""axe finds nothing on any page, in light and dark colours and on a phone, and no page is wider than a phone."""

from __future__ import annotations

from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import expect

from contracts import telephony
from contracts.telephony import Sentiment
from service_kit.clock import utc_now
from tests.console.browser.office import Office, a_number, nothing_for_axe
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE: Final = {"width": 390, "height": 844}

TABS: Final = ("settings", "members", "lines", "ringing", "notifications", "reports", "automations", "deliveries")
PAGES: Final = (
    *(f"/admin/{name}" for name in ("inboxes", "teams", "users", "lines", "account", "unrouted", "audit")),
    *(f"/admin/new/{name}" for name in ("inbox", "team", "user", "line")),
    *("/admin/teams/care", "/admin/users/anna", "/admin/lines/+12125550100"),
    *(f"/admin/inboxes/sales/{tab}" for tab in TABS),
    "/me",
)
REPORTS: Final = ("daily-activity", "voice-analytics")


async def something_everywhere(office: Office) -> str:
    """A team, mails, an analysed call and what is unrouted, so that every page has something; answers today."""
    await office.put("routing", "/v1/teams/care", {"name": "Care", "members": ["anna"], "supervisors": ["wim"]})
    await office.put("notification", "/v1/inboxes/sales/watcher-notifications", {"enabled": True})
    await office.put("routing", "/v1/inboxes/own", {"name": "Ada's own", "kind": "personal", "owner_id": "ada"})
    await office.a_text("Is anybody there?", contact=a_number(), line="+12125550177")
    await office.a_voicemail(contact=a_number(), transcript="Please ring me back.")
    call_id = await office.a_call(contact=a_number(), name="Robin Vale")
    await office.it_is_answered(call_id, "anna")
    await office.it_ends(call_id, "completed")
    analysis = telephony.CallAnalyzed(
        call_id=call_id,
        summary="He waits for his order, and is not amused.",
        sentiment=Sentiment(label="negative", score=-0.8),
        topics=("delivery",),
    )
    await office.tell("telephony.call.analyzed.v1", analysis)
    day = utc_now().astimezone(ZoneInfo("America/New_York")).date()

    async def all_there() -> bool:
        mailed = await office.get("notification", "/v1/inboxes/sales/deliveries", as_="ada")
        waits = await office.get("routing", "/v1/unrouted", as_="ada")
        path = f"/v1/inboxes/sales/reports/voice-analytics?from={day}&to={day}"
        analysed = (await office.get("reporting", path, as_="ada"))["totals"]["calls_analysed"]
        return bool(mailed["items"] and waits["items"] and analysed)

    await eventually(all_there)
    return day.isoformat()


@pytest.mark.parametrize(
    "seen", [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"]
)
async def test_axe_finds_nothing_on_any_page(office: Office, seen: dict[str, Any]) -> None:
    day = await something_everywhere(office)
    page = await office.page("ada", "/admin", **seen)
    for path in PAGES:
        await page.goto(path)
        await nothing_for_axe(page)
    for kind in REPORTS:
        await page.goto(f"/reports/sales/{kind}?date={day}")
        await expect(page.frame_locator("iframe").locator("figure svg").first).to_be_visible()
        await nothing_for_axe(page)
        # Nothing can be asked within the frame, where no script runs: the same page by itself.
        await page.goto(f"/reports/sales/{kind}/page?date={day}")
        await page.locator("summary").click()
        await nothing_for_axe(page)
    page = await office.page("anna", "/inboxes/all", **seen)
    threads = page.locator("#rows > li")
    await expect(threads.first).to_be_visible()
    await nothing_for_axe(page)
    await page.keyboard.press("v")
    await expect(page.get_by_role("button", name="Unthreaded")).to_have_attribute("aria-pressed", "true")
    await expect(threads.first).to_be_visible()
    await nothing_for_axe(page)
    await threads.filter(has_text="Robin Vale").get_by_role("link").click()
    await expect(page.locator(".timeline > li").first).to_be_visible()
    await nothing_for_axe(page)
    page = await office.page("", f"/sign-in?account={office.account}", **seen)
    await nothing_for_axe(page)


async def test_no_page_is_wider_than_a_phone(office: Office) -> None:
    day = await something_everywhere(office)
    page = await office.page("ada", "/admin", viewport=PHONE)
    reports = [f"/reports/sales/{kind}{alone}?date={day}" for kind in REPORTS for alone in ("", "/page")]
    for path in (*PAGES, *reports, "/inboxes/all"):
        await page.goto(path)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], path
