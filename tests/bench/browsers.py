"""The console under load: a thousand live streams through it, and a browser before an inbox of ten thousand threads."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from playwright.async_api import Page, async_playwright
from rich.console import Console
from rich.table import Table

from contracts import telephony
from contracts.envelope import Event
from contracts.fields import Data
from devstack import stand_in
from devstack.stack import CONSOLE
from service_kit.clock import new_id, utc_now
from service_kit.publishing import Publisher
from tests.console.browser.office import SUPPORT_LINE, Office, RunningStack, a_number, a_publisher, chromium, stack_in
from tests.support.streams import Heard, LiveStream, open_stream
from tests.support.waiting import eventually

INBOXES: Final = 50
ON_EACH: Final = 20
A_SECOND: Final = 100
THREADS: Final = 10_000
ROWS: Final = 2_000
SIDE_BY_SIDE: Final = 20


@dataclass
class Watched:
    """What the clients have heard: seconds from sending to hearing."""

    sent: dict[str, float] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)

    def hear(self, heard: Heard) -> None:
        """Take an event in."""
        if heard.event == "communication" and (at := self.sent.get(heard.data["communication_id"])) is not None:
            self.took.append(time.perf_counter() - at)


async def measure(folder: Path, seconds: float, console: Console) -> None:
    """Print both tables; starts and ends a stack of its own."""
    stack = stack_in(folder / "stack")
    await asyncio.to_thread(stack.start)
    running = RunningStack(stack)
    publisher = await a_publisher(stack)
    try:
        await _streams(Office(running, None, publisher), seconds, console)
        await _browser(Office(running, None, publisher), console)
    finally:
        await publisher.close()
        await asyncio.to_thread(stack.stop)


def _line(number: int) -> str:
    return f"+1212555{1000 + number}"


async def _put(office: Office, path: str, body: Any) -> None:
    answer = await office.request("routing", "PUT", path, json=body)
    assert answer.status_code < 300, answer.text


async def _streams(office: Office, seconds: float, console: Console) -> None:
    console.print(f"{INBOXES * ON_EACH:,} live streams, {A_SECOND} events/s for {seconds:.0f} s")
    await _put(office, "/v1/account", {"name": "Acme", "time_zone": "America/New_York"})
    for number in range(INBOXES):
        user = {"name": f"User {number}", "email": f"user-{number}@acme.example", "role": "agent"}
        await _put(office, f"/v1/users/user-{number}", user)
        inbox = {"name": f"Inbox {number}", "kind": "connected", "agents": {"users": [f"user-{number}"]}}
        await _put(office, f"/v1/inboxes/inbox-{number}", inbox)
        await _put(office, f"/v1/lines/{_line(number)}", {"inbox_id": f"inbox-{number}"})

    async def known() -> bool:
        return (await office.request("inbox_state", "GET", "/v1/panel", as_=f"user-{INBOXES - 1}")).status_code == 200

    await eventually(known, 60)
    parts = (CONSOLE, "inbox_state")
    before = [_resident(office, part) for part in parts]
    watched = Watched()
    streams: list[LiveStream] = []
    for number in range(INBOXES):
        cookie = {"Cookie": f"session={office.token(f'user-{number}')}"}
        opened = [open_stream(office.url, cookie, told=watched.hear) for _ in range(ON_EACH)]
        streams += await asyncio.gather(*opened)
    used = [_cpu_seconds(office, part) for part in parts]
    began = time.perf_counter()
    await _text(office, watched, seconds)
    elapsed = time.perf_counter() - began
    cores = [(_cpu_seconds(office, part) - was) / elapsed for part, was in zip(parts, used, strict=True)]
    await eventually(lambda: len(watched.took) >= len(watched.sent) * ON_EACH, 60, because="every client hearing all")
    after = [_resident(office, part) for part in parts]
    for stream in streams:
        stream.close()
    cuts = statistics.quantiles(watched.took, n=100)
    table = Table("streams", "events", "p50", "p99", "console", "inbox_state", title="Live streams through the console")
    costs = [
        f"{(now - was) / len(streams) / 1024:.0f} kB a client, {share:.0%} of a core"
        for was, now, share in zip(before, after, cores, strict=True)
    ]
    table.add_row(
        f"{len(streams):,}",
        f"{len(watched.sent):,}",
        f"{cuts[49] * 1000:.0f} ms",
        f"{cuts[98] * 1000:.0f} ms",
        *costs,
    )
    console.print(table)


async def _text(office: Office, watched: Watched, seconds: float) -> None:
    began, sent = time.perf_counter(), 0
    while sent < seconds * A_SECOND:
        due = int((time.perf_counter() - began) * A_SECOND) + 1
        for number in range(sent, due):
            await _receive(office, watched, f"text-{new_id()}", _line(number % INBOXES), number % 500)
        sent = due
        await asyncio.sleep(max(0.0, began + sent / A_SECOND - time.perf_counter()))


async def _receive(office: Office, watched: Watched, message_id: str, line: str, contact: int) -> None:
    event = _a_text(office, message_id, line, contact)
    watched.sent[message_id] = time.perf_counter()
    await office.publisher.publish([stand_in.outgoing(event, event.time)])


def _a_text(office: Office, message_id: str, line: str, contact: int) -> Event[Data]:
    received = telephony.MessageReceived(
        message_id=message_id,
        direction="inbound",
        line_number=line,
        contact_number=f"+1646555{contact:04}",
        body="Can somebody call me back about the invoice from last month?",
    )
    return Event(new_id(), "/bench", "telephony.message.received.v1", utc_now(), office.account, received)


def _process(office: Office, name: str) -> psutil.Process:
    process = next(one for one in reversed(office.running.stack.processes()) if one.name == name)
    return psutil.Process(process.pid)


def _resident(office: Office, name: str) -> int:
    return int(_process(office, name).memory_info().rss)


def _cpu_seconds(office: Office, name: str) -> float:
    times = _process(office, name).cpu_times()
    return float(times.user + times.system)


async def _browser(office: Office, console: Console) -> None:
    executable = chromium()
    if executable is None:
        console.print("no browser was found: the inbox of ten thousand threads was not measured")
        return
    await office.set_up()
    await _fill(office, office.publisher)
    console.print(f"an inbox with {THREADS:,} threads in Chromium")
    async with async_playwright() as playwright:
        office.browser = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        painted, listed = [], []
        for _ in range(5):
            page = await office.page("anna", "/inboxes/sales")
            await page.locator("#rows > li").first.wait_for()
            listed.append(await page.evaluate("performance.now()"))
            painted.append(await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        page = await office.page("anna", "/inboxes/sales")
        rows, longest, took = await _scroll(page)
        await page.close()
        seen = await _side_by_side(office)
        await office.close()
        await office.browser.close()
    columns = ("first contentful paint", "first row", "scrolled to", "longest task", "seen by the other (limit 1 s)")
    table = Table(*columns, title="Inbox in the browser")
    table.add_row(
        f"{statistics.median(painted):.0f} ms",
        f"{statistics.median(listed):.0f} ms",
        f"{rows:,} rows in {took:.1f} s",
        f"{longest:.0f} ms" if longest else "none over 50 ms",
        f"p50 {statistics.median(seen) * 1000:.0f} ms, at most {max(seen) * 1000:.0f} ms of {len(seen)}",
    )
    console.print(table)


async def _side_by_side(office: Office) -> list[float]:
    """Seconds from Ben's click to what Anna sees of it in the panel, the click itself included."""
    await office.arrived(await office.a_text("Who takes this?", contact=a_number(), line=SUPPORT_LINE))
    anna, ben = await office.page("anna", "/inboxes/support"), await office.page("ben", "/inboxes/support")
    await ben.locator("#rows > li").get_by_role("link").click()
    took = []
    for _ in range(SIDE_BY_SIDE):
        for button, shown in (("Mark read", "Support"), ("Mark unread from here", "Support 1 unread")):
            await ben.get_by_role("button", name=button, exact=True).wait_for()
            began = time.perf_counter()
            await ben.get_by_role("button", name=button, exact=True).click()
            await anna.wait_for_function(
                "is => document.querySelector('#panel [data-inbox=support]').innerText.replace(/\\s+/g, ' ') === is",
                arg=shown,
            )
            took.append(time.perf_counter() - began)
    return took


async def _fill(office: Office, publisher: Publisher) -> None:
    for start in range(0, THREADS, 1_000):
        events = [_a_text(office, f"text-{new_id()}", "+12125550100", number) for number in range(start, start + 1_000)]
        await publisher.publish([stand_in.outgoing(event, event.time) for event in events])

    async def there() -> bool:
        panel = await office.get("inbox_state", "/v1/panel", as_="anna")
        return any(item["unread"] == THREADS for item in panel["items"])

    await eventually(there, 120, because="ten thousand threads")


async def _scroll(page: Page) -> tuple[int, float, float]:
    await page.locator("#rows > li").first.wait_for()
    await page.evaluate(
        """() => {
            window.longest = 0;
            new PerformanceObserver((list) => {
                for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
            }).observe({ entryTypes: ["longtask"] });
        }"""
    )
    began = time.perf_counter()

    async def far_enough() -> bool:
        await page.locator("#list-scroll").evaluate("it => it.scrollTo(0, it.scrollHeight)")
        return await page.locator("#rows > li").count() >= ROWS

    await eventually(far_enough, 120, because="two thousand rows")
    took = time.perf_counter() - began
    return await page.locator("#rows > li").count(), float(await page.evaluate("window.longest")), took
