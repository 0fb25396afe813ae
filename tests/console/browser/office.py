"""The words of the browser tests: a stack that runs, an account for each test, people at their browsers."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Locator, Page

from contracts import telephony
from contracts.envelope import Event
from contracts.fields import Data
from contracts.topics import SERVICES
from devstack import stand_in
from devstack.kafka import EmbeddedKafka
from devstack.ports import is_free, stack_ports
from devstack.stack import CONSOLE, Stack, is_ready
from service_kit.auth import sign
from service_kit.clock import new_id, utc_now
from service_kit.publishing import Publisher
from service_kit.settings import KafkaSettings
from tests.support import eventually
from tests.support.http import http_client

SALES_LINE: Final = "+12125550100"
SUPPORT_LINE: Final = "+12125550101"
SECOND_SALES_LINE: Final = "+12125550109"

USERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "ada": {"name": "Ada Admin", "role": "admin"},
    "anna": {"name": "Anna Agent", "role": "agent", "endpoints": ["sip:1001@pbx"]},
    "ben": {"name": "Ben Agent", "role": "agent", "endpoints": ["sip:1002@pbx"]},
    "wim": {"name": "Wim Watcher", "role": "agent"},
    "zoe": {"name": "Zoe Stranger", "role": "agent"},
}
"""Anna and Ben work sales and support, Wim watches both, Zoe has neither."""

INBOXES: Final = {"sales": SALES_LINE, "support": SUPPORT_LINE}

NO_BROWSER: Final = "no browser was found: install Debian's chromium-headless-shell, or name one with CHROMIUM"

_accounts = count(1)
_numbers = count(1)


def chromium() -> str | None:
    """The browser that tests drive: `CHROMIUM`, or what the system has; None where there is none.

    Without windows around its pages Chromium takes a third less time.
    """
    given = os.environ.get("CHROMIUM")
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    return given or next((found for name in names if (found := shutil.which(name))), None)


def free_base() -> int:
    """A port base of which a whole stack is free; each of pytest's workers looks in a range of its own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    bases = range(21_000 + worker % 8 * 4_000, 21_000 + (worker % 8 + 1) * 4_000, 500)
    return next(base for base in bases if all(map(is_free, stack_ports(base).values())))


def a_number() -> str:
    """A contact's number that no other test uses."""
    return f"+1212555{2000 + next(_numbers) % 8000:04}"


@dataclass
class RunningStack:
    """The stack, with parts that can be killed and started again."""

    stack: Stack

    def _named(self, name: str) -> Any:
        return next(one for one in reversed(self.stack.processes()) if one.name == name)

    def kill(self, name: str) -> None:
        """SIGKILL a service, the console, or `Kafka`."""
        self._named(name).kill()

    def launch(self, name: str) -> None:
        """Start what was killed again, without waiting."""
        env = self.stack.env
        if name == CONSOLE:
            self.stack._launch_console(env)
        else:
            self.stack._launch_service(name, env, env[f"{name.upper()}_DATABASE_URL"])

    async def start(self, name: str) -> None:
        """Start what was killed again, and wait until it is ready."""
        if name == "Kafka":
            await asyncio.to_thread(self._start_kafka)
            return
        self.launch(name)
        url = self.stack._url(name)
        await eventually(lambda: asyncio.to_thread(is_ready, url), 60, because=f"{name} being ready")

    def _start_kafka(self) -> None:
        ports = self.stack.ports
        EmbeddedKafka(
            self.stack.folder / "kafka",
            ports["kafka"],
            ports["kafka_controller"],
            log_file=self.stack.logs / "kafka.log",
            launched=self.stack._record,
        ).start()


@dataclass
class Office:
    """One account on the stack: its people, its calls and texts, their browsers."""

    running: RunningStack
    browser: Browser | None
    publisher: Publisher
    account: str = field(default_factory=lambda: f"acme-{next(_accounts)}")
    contexts: list[BrowserContext] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The console's address."""
        return self.running.stack.console_url

    def token(self, user_id: str, *, scope: str = "", lasts: timedelta = timedelta(hours=1)) -> str:
        """A token that the services accept."""
        secret = self.running.stack.env["JWT_SECRET"]
        return sign(secret, user_id=user_id, account_id=self.account, now=utc_now(), lasts=lasts, scope=scope)

    async def request(self, service: str, method: str, path: str, *, as_: str = "", **given: Any) -> httpx.Response:
        """One request to a service itself, as a person, or as the machine that administers."""
        token = self.token(as_) if as_ else self.token("setup", scope="directory")
        url = self.running.stack.urls[service]
        headers = {"Authorization": f"Bearer {token}"}
        async with http_client(url, headers=headers) as client:
            return await client.request(method, path, **given)

    async def get(self, service: str, path: str, *, as_: str) -> Any:
        """What a person reads there."""
        answer = await self.request(service, "GET", path, as_=as_)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()

    async def put(self, service: str, path: str, body: Any = None, *, as_: str = "") -> None:
        """Administer, or set as a person, waiting until the service knows what is named."""

        async def done() -> bool:
            answer = await self.request(service, "PUT", path, as_=as_, json=body)
            assert answer.status_code < 300, (path, answer.status_code, answer.text)
            return True

        await eventually(done)

    async def set_up(self) -> None:
        """Create the account, its people and both inboxes, and wait until every service knows them."""
        await self.put("routing", "/v1/account", {"name": "Acme", "time_zone": "America/New_York"})
        for user_id, user in USERS.items():
            await self.put("routing", f"/v1/users/{user_id}", {"email": f"{user_id}@acme.example", **user})
        for inbox_id, line in INBOXES.items():
            agents = {"users": ["anna", "ben"]}
            body = {"name": inbox_id.title(), "kind": "connected", "agents": agents}
            await self.put("routing", f"/v1/inboxes/{inbox_id}", body)
            line_body = {"inbox_id": inbox_id, "name": f"{inbox_id.title()} line", "primary": True}
            await self.put("routing", f"/v1/lines/{line}", line_body)
            await self.put("routing", f"/v1/inboxes/{inbox_id}/watchers/wim")

        async def known() -> bool:
            panel = await self.get("inbox_state", "/v1/panel", as_="wim")
            reports = await self.get("reporting", "/v1/reports/inboxes", as_="ada")
            return len(panel["items"]) == len(reports["items"]) == len(INBOXES)

        await eventually(known)
        # Notification takes wishes only for inboxes that are the reader's, as far as it knows.
        for muted in ([*INBOXES], []):
            await self.put("notification", "/v1/me/notification-preferences", {"muted_inbox_ids": muted}, as_="wim")

    async def tell(self, event_type: str, data: Data, *, at: datetime | None = None) -> None:
        """Publish one telephony event."""
        at = at or utc_now()
        event = Event(new_id(), "/tests", event_type, at, self.account, data)
        await self.publisher.publish([stand_in.outgoing(event, at)])

    async def a_call(self, *, contact: str, line: str = SALES_LINE, name: str | None = None) -> str:
        """An inbound call begins; answers its id."""
        call_id = f"call-{new_id()}"
        started = telephony.CallStarted(
            call_id=call_id, direction="inbound", line_number=line, contact_number=contact, contact_name=name
        )
        await self.tell("telephony.call.started.v1", started)
        return call_id

    async def it_is_answered(self, call_id: str, by: str) -> None:
        """A person talks to the caller."""
        await self.tell("telephony.call.ringing.v1", telephony.CallRinging(call_id=call_id, user_ids=(by,)))
        await self.tell("telephony.call.answered.v1", telephony.CallAnswered(call_id=call_id, user_id=by))

    async def it_ends(self, call_id: str, outcome: str | None = None) -> None:
        """The call ends."""
        await self.tell("telephony.call.ended.v1", telephony.CallEnded(call_id=call_id, outcome=outcome))

    async def a_voicemail(self, *, contact: str, transcript: str, line: str = SALES_LINE) -> str:
        """Somebody calls, nobody answers, and he leaves a recording; answers the call's id."""
        call_id = await self.a_call(contact=contact, line=line)
        recorded = telephony.VoicemailRecorded(
            call_id=call_id,
            recording_url="https://recordings.example/one.mp3",
            duration_seconds=12,
            transcript=transcript,
        )
        await self.tell("telephony.voicemail.recorded.v1", recorded)
        await self.it_ends(call_id, "voicemail")
        return call_id

    async def a_text(
        self, body: str, *, contact: str, line: str = SALES_LINE, name: str | None = None, at: datetime | None = None
    ) -> str:
        """A text comes in; answers its id."""
        message_id = f"text-{new_id()}"
        received = telephony.MessageReceived(
            message_id=message_id,
            direction="inbound",
            line_number=line,
            contact_number=contact,
            body=body,
            contact_name=name,
        )
        await self.tell("telephony.message.received.v1", received, at=at)
        return message_id

    async def arrived(self, communication_id: str, *, as_: str = "anna") -> dict[str, Any]:
        """Wait until a communication is in the unthreaded list of everything."""

        async def there() -> dict[str, Any]:
            page = await self.get("inbox_state", "/v1/inboxes/all/threads?view=unthreaded&limit=200", as_=as_)
            found = (row for row in page["items"] if row["communication_id"] == communication_id)
            return next(found, {})

        return await eventually(there, because=f"the arrival of {communication_id}")

    async def context(self, user_id: str, **options: Any) -> BrowserContext:
        """A browser of its own with somebody (or "": nobody) signed in; `options` are those of `new_context`."""
        assert self.browser is not None
        given = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"} | options
        context = await self.browser.new_context(base_url=self.url, **given)
        self.contexts.append(context)
        if user_id:
            token = self.token(user_id)
            await context.add_cookies(
                [{"name": "session", "value": token, "url": self.url, "httpOnly": True, "sameSite": "Strict"}]
            )
        context.on("weberror", lambda error: self.trouble.append(str(error.error)))
        return context

    async def page(self, user_id: str, path: str = "/", **options: Any) -> Page:
        """Somebody opens a page in a browser of his own. Errors of its scripts fail the test."""
        page = await (await self.context(user_id, **options)).new_page()
        page.set_default_timeout(15_000)
        await page.goto(path)
        return page

    async def close(self) -> None:
        """Close every browser."""
        for context in self.contexts:
            await context.close()


async def press(page: Page, *keys: str) -> None:
    """Press keys one after another."""
    for key in keys:
        await page.keyboard.press(key)


async def tab_to(page: Page, target: Locator, most: int = 150) -> None:
    """Press Tab until something has the focus; fails where the keyboard does not reach it."""
    for _ in range(most):
        if await target.evaluate("element => element === element.ownerDocument.activeElement"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {target}")


async def nothing_for_axe(page: Page) -> None:
    """axe finds nothing on the page as it is now."""
    results = await Axe().run(page)
    found = results.response["violations"]
    assert not found, [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]


def stack_in(folder: Path) -> Stack:
    """A stack of this run's own."""
    from devstack.settings import StackSettings

    return Stack(StackSettings(devstack_dir=folder, port_base=free_base(), topic_partitions=2))


async def a_publisher(stack: Stack) -> Publisher:
    """Somebody who publishes telephony events; `close` it in the end."""
    settings = KafkaSettings(kafka_bootstrap_servers=stack.env["KAFKA_BOOTSTRAP_SERVERS"])
    publisher = Publisher(settings, client_id="browser-tests")
    await publisher.open()
    return publisher


ALL_PARTS: Final = (*SERVICES, CONSOLE)
