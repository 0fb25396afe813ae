"""Every service and the console restarted under load, one replica after the other, behind the gateway: nobody notices.

Two replicas of each, the shipped Caddyfile in a real Caddy, telephony events on Kafka all the while, and people who
read, write and post over HTTP, with a token and with a browser's cookie. `ROLLS=1`, as `make faults` has it, restarts
both replicas of everything; without it one of each is.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.topics import SERVICES
from devstack.ports import HOST
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.end_to_end.company import ACCOUNT, ENVIRONMENT, Company
from tests.end_to_end.reference import every_email_is_explained, everything_agrees
from tests.end_to_end.streams import a_stream, deliver
from tests.support import bearer, eventually
from tests.support.gateways import gateway
from tests.support.http import http_client

ROLLS = int(os.environ.get("ROLLS", "0"))
EVENTS = 600 if ROLLS else 300
PEOPLE_AT_ONCE = 6

ADMINISTERS = bearer("setup", ACCOUNT, scope="directory")
ANNA = bearer("anna", ACCOUNT)
ANNAS_BROWSER = {
    "Cookie": f"session={ANNA['Authorization'].removeprefix('Bearer ')}",
    "Sec-Fetch-Site": "same-origin",
}
WATCHER_NOTIFICATIONS = {
    "enabled": True,
    "events": ["missed_call", "voicemail", "abandoned_call", "inbound_message"],
    "digest_minutes": 0,
}


@pytest.fixture
def services_take_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an installation sets, so that its gateway can notice before a port is closed."""
    monkeypatch.setenv("SHUTDOWN_DELAY", os.environ.get("SHUTDOWN_DELAY", "3s"))


@dataclass
class People:
    """Who use the product through the gateway, without a pause, and what they were answered."""

    url: str
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    numbers: Any = field(default_factory=count)

    async def work(self) -> None:
        """Until cancelled."""
        async with http_client(self.url) as client:
            while True:
                number = next(self.numbers)
                await self.ask(client, "GET", "/v1/me", ANNA)
                await self.ask(client, "GET", "/v1/panel", ANNA)
                await self.ask(client, "GET", "/v1/inboxes/all/threads?view=unthreaded", ANNA)
                await self.ask(client, "PUT", "/v1/me/presence", ANNA, {"status": "available"})
                await self.ask(client, "PUT", "/v1/me/preferences", ANNA, {"view": "threaded"})
                # Not to be repeated by anybody on the way: only whoever asked may ask again.
                await self.ask(client, "POST", "/v1/stream/tickets", ANNA)
                path = "/v1/inboxes/sales/watcher-notifications"
                await self.ask(client, "PUT", path, ADMINISTERS, WATCHER_NOTIFICATIONS)
                await self.ask(client, "GET", "/inboxes/all", ANNAS_BROWSER)
                await self.ask(client, "GET", "/v1/me", ANNAS_BROWSER, by="browser ")
                await self.ask(client, "PUT", "/v1/me/preferences", ANNAS_BROWSER, {"view": "threaded"}, by="browser ")
                day = f"2026-03-{number % 28 + 1:02}"
                await self.ask(client, "GET", f"/v1/inboxes/sales/reports/daily-activity?date={day}", ANNA)

    async def ask(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        headers: dict[str, str],
        body: Any = None,
        *,
        by: str = "",
    ) -> None:
        """One request, and a note of what came of it."""
        what = f"{by}{method} {path.partition('?')[0]}"
        try:
            answer = await client.request(method, path, headers=headers, json=body)
        except httpx.HTTPError as error:
            self.failures.append(f"{what}: {type(error).__name__} {error}")
            return
        self.answers[what] += 1
        if not answer.is_success:
            self.failures.append(f"{what}: {answer.status_code} {answer.text[:200]}")


async def traffic(company: Company, records: Sequence[Any]) -> None:
    """Telephony's events, a few at a time, for as long as there are any."""
    for start in range(0, len(records), 10):
        await deliver(company, records[start : start + 10])
        await asyncio.sleep(0.2)


@pytest.mark.faults
@pytest.mark.timeout(420)
async def test_every_service_restarted_under_load_loses_nothing_and_fails_nobody(
    services_take_leave: None, company: Company, running_service: StartService, mail: Any, tmp_path: Path
) -> None:
    replicas = {}
    for name in SERVICES:
        second = await running_service(name, extra_env={**ENVIRONMENT, "SMTP_URL": mail.url})
        replicas[name] = [company.services[name], second]
    upstreams = {
        f"{name.upper()}_UPSTREAMS": " ".join(f"{HOST}:{one.port}" for one in both) for name, both in replicas.items()
    }
    for folder in ("inner", "outer"):
        (tmp_path / folder).mkdir()
    # The console's own calls go by a gateway too, as by Compose: it passes over a replica that leaves.
    async with gateway(tmp_path / "inner", **upstreams) as inner:
        console = {f"{name.upper()}_URL": inner for name in SERVICES} | {"DEVELOPMENT_SIGN_IN": "true"}
        replicas["console"] = [await running_service("console", extra_env=console) for _ in range(2)]
        upstreams["CONSOLE_UPSTREAMS"] = " ".join(f"{HOST}:{one.port}" for one in replicas["console"])
        async with gateway(tmp_path / "outer", FRONT="console", **upstreams) as url:
            people = People(url)
            working = [asyncio.create_task(people.work()) for _ in range(PEOPLE_AT_ONCE)]
            telephony = asyncio.create_task(traffic(company, a_stream(EVENTS, utc_now(), seed=3)))
            await eventually(lambda: sum(people.answers.values()) > 50, 30, because="people being answered")
            restarted = [one for _ in range(ROLLS) for both in replicas.values() for one in both]
            restarted = restarted or [both[0] for both in replicas.values()]
            for one in restarted:
                assert await one.stop(60), f"{one.name} had to be killed"
                await one.start(60)
            await telephony
            for worker in working:
                worker.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    answered = sum(people.answers.values())
    print(f"\n{answered} requests answered over {len(restarted)} restarts, {len(people.failures)} failed")
    assert people.failures == []
    assert len(people.answers) == 11
    await eventually(partial(everything_agrees, company), 90, every=0.5)
    await eventually(partial(every_email_is_explained, company), 90, every=0.5)
