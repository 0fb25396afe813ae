"""Each fault of docs/alerts.md fires exactly what its table lists: a real Prometheus on the real services."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from aiosmtpd.smtp import Envelope

from contracts.topics import TELEPHONY_EVENTS
from devstack.mail import MailCatcher, Stage, accept_all
from devstack.ports import HOST, free_port
from devstack.processes import Process
from tests.end_to_end.company import SALES_LINE, SUPPORT_LINE, Company
from tests.operations import words
from tests.operations.scaled import faults, scaled_rules
from tests.support import eventually
from tests.support.http import http_client
from tests.support.topics import Raw

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "LIVE_ALERTS" not in os.environ,
        reason="NOT RUN: alerts on induced faults take minutes; `make faults` (LIVE_ALERTS=1) runs them",
    ),
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="NOT RUN: alerts on induced faults: no prometheus on the PATH (Debian: apt install prometheus)",
    ),
]

SIXTIETH = 60
CALLER = "+12125550177"


@dataclass
class Prometheus:
    """A running Prometheus, asked over its API."""

    url: str

    async def ask(self, what: str) -> Any:
        """The data of an answer."""
        async with http_client() as client:
            answer = await client.get(f"{self.url}/api/v1/{what}", timeout=10)
            assert answer.status_code == 200, answer.text
            return answer.json()["data"]

    async def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        alerts = (await self.ask("alerts"))["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    async def silent(self) -> bool:
        """Whether nothing fires."""
        firing = await self.firing()
        assert firing == set()
        return True


@pytest_asyncio.fixture
async def prometheus(company: Company, tmp_path: Path) -> AsyncIterator[Prometheus]:
    """Prometheus on the company's services, with the rules sixty times as fast."""
    (tmp_path / "rules.yml").write_text(scaled_rules(SIXTIETH), encoding="utf-8")
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {
                "job_name": "connected-inbox",
                "static_configs": [
                    {"targets": [f"{HOST}:{service.port}"], "labels": {"service": name}}
                    for name, service in company.services.items()
                ],
            }
        ],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    address = f"{HOST}:{free_port()}"
    process = Process.launch(
        "prometheus",
        [
            "prometheus",
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/prometheus",
            f"--web.listen-address={address}",
        ],
        tmp_path / "prometheus.log",
    )
    try:
        yield Prometheus(f"http://{address}")
    finally:
        process.kill()


@dataclass
class Traffic:
    """A text every few seconds on each line that is not silent."""

    company: Company
    lines: set[str] = field(default_factory=lambda: {SALES_LINE, SUPPORT_LINE})
    _numbers: Any = field(default_factory=lambda: count(1))

    async def flow(self) -> None:
        """Until cancelled."""
        while True:
            for line in sorted(self.lines):
                await self.company.a_text(f"flow-{next(self._numbers)}", "Hello", contact=CALLER, line=line)
            await asyncio.sleep(10)


@asynccontextmanager
async def notification_is_stopped(company: Company, mail: MailCatcher, traffic: Traffic) -> AsyncIterator[None]:
    service = company.services["notification"]
    await service.kill()
    yield
    await service.start()


@asynccontextmanager
async def a_poison_event(company: Company, mail: MailCatcher, traffic: Traffic) -> AsyncIterator[None]:
    await company.kafka.send(TELEPHONY_EVENTS, [Raw(b"no JSON", b"k")])
    yield


@asynccontextmanager
async def the_mail_server_is_away(company: Company, mail: MailCatcher, traffic: Traffic) -> AsyncIterator[None]:
    async def hangs_up(stage: Stage, envelope: Envelope, address: str) -> str:
        return "421 4.3.2 going away"

    # Who still holds a connection is sent away, and nobody comes in any more.
    mail.answer = hangs_up
    await mail.stop()
    await company.a_text("while-away", "Hello", contact=CALLER)
    yield
    mail.answer = accept_all
    await mail.start()


@asynccontextmanager
async def a_telephony_system_falls_silent(company: Company, mail: MailCatcher, traffic: Traffic) -> AsyncIterator[None]:
    traffic.lines.discard(SUPPORT_LINE)
    yield
    traffic.lines.add(SUPPORT_LINE)


INDUCED: dict[str, Callable[[Company, MailCatcher, Traffic], Any]] = {
    "notification is stopped": notification_is_stopped,
    "a poison event": a_poison_event,
    "the mail server is away": the_mail_server_is_away,
    "a telephony system falls silent": a_telephony_system_falls_silent,
}


async def test_each_fault_fires_exactly_what_its_table_lists(
    company: Company, mail: MailCatcher, prometheus: Prometheus
) -> None:
    expected = faults()
    assert expected.keys() == INDUCED.keys()
    line = {"inbox_id": "support", "name": "support", "telephony_system": "pbx"}
    await company.put("routing", f"/v1/lines/{SUPPORT_LINE}", line)
    traffic = Traffic(company)
    flowing = asyncio.create_task(traffic.flow())
    try:
        await eventually(lambda: all_is_well(prometheus), 90, because="every target up and every rule loaded")
        for fault, alerts in expected.items():
            seen: set[str] = set()
            async with INDUCED[fault](company, mail, traffic):

                async def fired(alerts: set[str] = alerts, seen: set[str] = seen) -> bool:
                    seen |= await prometheus.firing()
                    return seen >= alerts

                await eventually(fired, 120, every=0.5, because=f"{alerts} while {fault}")
                # Whatever else is going to fire has the same time again.
                await for_a_while(prometheus, fired, 10)
            assert seen == alerts, fault
            await eventually(prometheus.silent, 120, every=0.5, because=f"silence after {fault}")
    finally:
        flowing.cancel()


async def all_is_well(prometheus: Prometheus) -> bool:
    """Every target is up, every rule has been evaluated without an error, nothing fires."""
    targets = (await prometheus.ask("targets"))["activeTargets"]
    assert [target["health"] for target in targets] == ["up"] * 4
    groups = (await prometheus.ask("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(list(words.rules()))
    assert {rule["health"] for rule in rules} == {"ok"}
    return await prometheus.silent()


async def for_a_while(prometheus: Prometheus, look: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Look on until Prometheus' own clock is so much later."""

    async def clock() -> float:
        return float((await prometheus.ask("query?query=time()"))["result"][1])

    until = await clock() + seconds

    async def over() -> bool:
        await look()
        return await clock() >= until

    await eventually(over, seconds * 6, every=0.5)
