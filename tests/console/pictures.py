"""`python -m tests.console.pictures [FOLDER]` takes the console's pictures for the documentation (docs/images).

The demo is played on a stack of its own, and Chromium takes the pictures of what its people see. Look at them after
every change of a template or a style.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from contracts import telephony
from contracts.fields import Data
from devstack.api import Api
from devstack.demo import ADMINISTRATOR, INBOX, LINE, PRIYA, Caller, Demo, Telephony, play
from devstack.demo_stack import StackStage
from devstack.progress import Progress
from devstack.setup_file import parse
from service_kit.auth import DIRECTORY_SCOPE
from service_kit.clock import new_id, utc_now
from service_kit.publishing import Publisher
from tests.console.browser.office import NO_BROWSER, chromium, stack_in
from tests.support import eventually

FOLDER: Final = Path("docs/images")
AGENT: Final = "farid"
"""He has a personal inbox, and works two."""
DESK: Final = {"width": 1280, "height": 800}
WIDE: Final = {"width": 1360, "height": 840}
PHONE: Final = {"width": 390, "height": 844}
TABS: Final = ("members", "lines", "ringing", "notifications", "reports", "automations", "deliveries")

WEEK: Final = {day: [{"from": "09:00", "to": "17:00"}] for day in ("mon", "tue", "wed", "thu")} | {
    "fri": [{"from": "09:00", "to": "12:00"}, {"from": "13:00", "to": "15:30"}],
    "sat": [],
    "sun": [],
    "closures": ["2026-12-24", "2026-12-25"],
}
ELENA: Final = Caller("+442079460187", "Elena Costa")


def furnish(demo: Demo) -> None:
    """Set up what the demo's account leaves out, so that no tab is empty."""
    inbox = f"inboxes/{INBOX}".split("/")
    with Api(demo.stage.urls, demo.token("pictures", DIRECTORY_SCOPE)) as api:
        held = api.get("routing", *inbox)
        layers = [
            {"mode": "round_robin", "teams": ["support-team"], "users": [], "ring_seconds": 20},
            {"mode": "simultaneous", "teams": [], "users": ["farid"], "ring_seconds": 30},
        ]
        agents = {"teams": ["support-team"], "users": ["farid"]}
        api.put("routing", *inbox, body={**held, "agents": agents, "ring_layers": layers, "business_hours": WEEK})
        line = {"inbox_id": INBOX, "name": "Product recalls", "primary": False}
        api.put("routing", "lines", "+12125550197", body=line)
        api.put("routing", "lines", "+12125550198", body={"inbox_id": None, "name": "Autumn campaign"})
        timer = {"enabled": True, "after_hours": 30 * 24}
        api.put(
            "inbox_state", *inbox, "automations", body={"auto_mark_as_read": timer, "manual_mark_as_read_only": True}
        )
        emails = {"enabled": True, "events": ["missed_call", "voicemail", "abandoned_call"], "digest_minutes": 15}
        api.put("notification", *inbox, "watcher-notifications", body=emails)


async def a_conversation(demo: Demo) -> None:
    """Somebody texts, is answered, and is on the phone while the pictures are taken."""
    publisher = Publisher(demo.stage.kafka, client_id="pictures")
    await publisher.open()
    side = Telephony(demo.setup.account.account_id, publisher)

    async def say(event_type: str, data: Data, minutes: float) -> None:
        await side.report(event_type, data, utc_now() - timedelta(minutes=minutes))

    async def text(body: str, minutes: float) -> None:
        received = telephony.MessageReceived(
            message_id=f"text-{new_id()}",
            direction="inbound",
            line_number=LINE,
            contact_number=PRIYA.number,
            contact_name=PRIYA.name,
            body=body,
        )
        await say("telephony.message.received.v1", received, minutes)

    try:
        await text("Wonderful, thank you! Could the driver ring me ten minutes before?", 3)
        await text("The bell is broken.", 2.6)
        call_id = f"call-{new_id()}"
        started = telephony.CallStarted(
            call_id=call_id,
            direction="inbound",
            line_number=LINE,
            contact_number=ELENA.number,
            contact_name=ELENA.name,
        )
        await say("telephony.call.started.v1", started, 0.4)
        await say("telephony.call.answered.v1", telephony.CallAnswered(call_id=call_id, user_id="ben"), 0.3)
        agent = demo.as_person(AGENT)

        def there() -> bool:
            rows = agent.get("inbox_state", "inboxes", INBOX, "threads", limit=5)["items"]
            return bool(rows[0]["contact_number"] == ELENA.number and rows[1]["unread"] == 2)

        await eventually(lambda: asyncio.to_thread(there))
    finally:
        await publisher.close()


def few_colours(picture: Image.Image) -> Image.Image:
    """The same picture in its 256 most frequent colours, a third as large: flat areas keep theirs exactly."""
    whole = picture.convert("RGB")
    raw = whole.tobytes()
    pixels = [raw[at : at + 3] for at in range(0, len(raw), 3)]
    counted = [colour for colour, _ in Counter(pixels).most_common()]
    palette = counted[:256]

    def nearest(colour: bytes) -> int:
        return min(
            range(len(palette)), key=lambda at: sum((a - b) ** 2 for a, b in zip(colour, palette[at], strict=True))
        )

    places = {colour: at for at, colour in enumerate(palette)}
    places |= {colour: nearest(colour) for colour in counted[256:]}
    small = Image.frombytes("P", whole.size, bytes(places[pixel] for pixel in pixels))
    small.putpalette(b"".join(palette))
    return small


@dataclass(frozen=True, slots=True)
class Photographer:
    """Takes pictures of one console."""

    browser: Browser
    demo: Demo
    folder: Path

    @asynccontextmanager
    async def page(
        self, user_id: str, path: str, size: Mapping[str, int], *, dark: bool = False
    ) -> AsyncIterator[Page]:
        """What somebody sees."""
        url = str(self.demo.stage.console_url)
        given: dict[str, Any] = {"viewport": size, "color_scheme": "dark" if dark else "light"}
        context = await self.browser.new_context(
            base_url=url, reduced_motion="reduce", timezone_id=self.demo.zone.key, locale="en-US", **given
        )
        await context.add_cookies([{"name": "session", "value": self.demo.token(user_id), "url": url}])
        page = await context.new_page()
        await page.goto(path)
        yield page
        await context.close()

    async def take(self, page: Page, name: str, *, whole: bool = False) -> None:
        """One picture, of the whole page or of what a screen shows of it."""
        taken = await page.screenshot(full_page=whole, animations="disabled", caret="hide")
        with Image.open(BytesIO(taken)) as picture:
            few_colours(picture).save(self.folder / f"{name}.png", optimize=True)

    async def inbox(self) -> None:
        """The inbox at a desk, light and dark, and on a phone: the list beside a conversation."""
        for name, size, dark in (("inbox-desk", WIDE, False), ("inbox-dark", WIDE, True)):
            async with self.page(AGENT, "/inboxes/all", size, dark=dark) as page:
                await page.get_by_role("link", name=PRIYA.name).click()
                await page.get_by_text("The bell is broken").last.wait_for()
                await page.mouse.move(0, 0)
                await page.get_by_role("textbox", name="Write a text").fill("Of course, I have told him.")
                await self.take(page, name)
        both = Image.new("RGB", (2 * PHONE["width"] + 24, PHONE["height"]), "#c9d0da")
        async with self.page(AGENT, "/inboxes/all", PHONE) as page:
            await page.get_by_role("link", name=PRIYA.name).wait_for()
            for place in range(2):
                both.paste(Image.open(BytesIO(await page.screenshot())), (place * (PHONE["width"] + 24), 0))
                if not place:
                    await page.get_by_role("link", name=PRIYA.name).click()
                    await page.get_by_text("The bell is broken").last.wait_for()
        few_colours(both).save(self.folder / "inbox-phone.png", optimize=True)

    async def administration(self) -> None:
        """Every tab of a team inbox, one of them in dark colours and one on a phone."""
        for tab in TABS:
            # Who would ring on a working day, whenever the picture is taken.
            asked = "?at=2026-11-24T11:00" if tab == "ringing" else ""
            async with self.page(ADMINISTRATOR, f"/admin/inboxes/{INBOX}/{tab}{asked}", DESK) as page:
                # The list of deliveries goes on for longer than anybody would look at it.
                await self.take(page, f"tab-{tab}", whole=tab != "deliveries")
        async with self.page(ADMINISTRATOR, f"/admin/inboxes/{INBOX}/automations", DESK, dark=True) as page:
            await self.take(page, "tab-automations-dark", whole=True)
        async with self.page(ADMINISTRATOR, f"/admin/inboxes/{INBOX}/members", PHONE) as page:
            await self.take(page, "tab-members-phone")
        async with self.page(AGENT, "/me", DESK) as page:
            await self.take(page, "my-page", whole=True)

    async def reports(self) -> None:
        """Both reports of yesterday as the console frames them, one of them in dark colours as well."""
        for kind, dark in (("daily-activity", False), ("voice-analytics", False), ("voice-analytics", True)):
            path = f"/reports/{INBOX}/{kind}?date={self.demo.yesterday}"
            async with self.page(ADMINISTRATOR, path, {"width": 1280, "height": 1100}, dark=dark) as page:
                await page.frame_locator("iframe").get_by_role("heading", name="All figures").wait_for()
                await self.take(page, f"report-{kind}{'-dark' if dark else ''}")


async def take_all(demo: Demo, folder: Path) -> None:
    """Take every picture."""
    executable = chromium()
    if executable is None:
        raise SystemExit(NO_BROWSER)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        photographer = Photographer(browser, demo, folder)
        await photographer.reports()
        await photographer.administration()
        await a_conversation(demo)
        await photographer.inbox()
        await browser.close()


def main() -> None:
    """Play the demo and take the pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    setup = parse(resources.files("devstack").joinpath("demo_account.yaml").read_text(encoding="utf-8"))
    with TemporaryDirectory(prefix="connected-inbox-") as place:
        stack = stack_in(Path(place) / "stack")
        stack.start()
        try:
            with Progress() as progress:
                demo = play(StackStage(stack), setup, progress)
            furnish(demo)
            asyncio.run(take_all(demo, folder))
        finally:
            stack.stop()


if __name__ == "__main__":
    main()
