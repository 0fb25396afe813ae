"""A service that is told to stop takes leave: it says so, serves on, asks to be left, and only then ends."""

from __future__ import annotations

import asyncio
import signal

from tests.conftest import StartService
from tests.support.http import http_client
from tests.support.waiting import eventually


async def test_it_serves_on_unready_and_closes_connections_until_its_delay_is_over(
    running_service: StartService,
) -> None:
    service = await running_service("reporting", extra_env={"SHUTDOWN_DELAY": "8s"})
    assert service.process is not None
    async with http_client(service.url, timeout=10) as client:
        before = await client.get("/v1/audit/reporting")
        assert (before.status_code, before.headers.get("connection")) == (401, None)
        service.process.send(signal.SIGTERM)

        async def it_says_so() -> bool:
            return (await client.get("/health/ready")).json()["started"] is False

        await eventually(it_says_so)
        meanwhile = await client.get("/v1/audit/reporting")
        assert (meanwhile.status_code, meanwhile.headers["connection"]) == (401, "close")
        # A probe of liveness must not kill what is leaving.
        assert (await client.get("/health/live")).status_code == 200
    await service.died(40)


async def test_the_console_takes_leave_as_the_services_do(running_service: StartService) -> None:
    environment = {"SHUTDOWN_DELAY": "8s", "DEVELOPMENT_SIGN_IN": "true"}
    console = await running_service("console", extra_env=environment)
    assert console.process is not None
    async with http_client(console.url, timeout=10) as client:
        before = await client.get("/v1/me")
        assert before.headers.get("connection") is None
        console.process.send(signal.SIGTERM)

        async def it_says_so() -> bool:
            return (await client.get("/health/ready")).status_code == 503

        await eventually(it_says_so)
        meanwhile = await client.get("/sign-in")
        assert (meanwhile.status_code, meanwhile.headers["connection"]) == (200, "close")
        assert (await client.get("/health/live")).status_code == 200
    await console.died(40)


async def test_without_a_delay_it_goes_at_once(running_service: StartService) -> None:
    service = await running_service("reporting")
    assert await service.stop(30)
    assert "service_leaves" not in service.log_text
    assert "service_stopped" in await asyncio.to_thread(service.log.read_text)
