"""The gateway as it is shipped, in a real Caddy: every path of every service reaches that service, and streams flow."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from contracts.topics import SERVICES
from devstack.ports import HOST
from devstack.stack import service_environment
from tests.support.gateways import CADDY, CADDYFILE, gateway
from tests.support.http import http_client


@dataclass
class Stub:
    """Stands where a service would: says who it is, and keeps a stream open."""

    name: str
    port: int = 0
    server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_server(self.answer, HOST, 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                if path.startswith("/v1/stream?"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: open\n\n")
                    await writer.drain()
                    await reader.read()
                    return
                body = f"{self.name} {path}".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@pytest_asyncio.fixture
async def origin(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway before four stubs."""
    stubs = {service: Stub(service) for service in SERVICES}
    for stub in stubs.values():
        await stub.start()
    upstreams = {f"{name.upper()}_UPSTREAMS": f"{HOST}:{stub.port}" for name, stub in stubs.items()}
    async with gateway(tmp_path, **upstreams) as url, http_client(url, timeout=10) as client:
        yield client
    for stub in stubs.values():
        assert stub.server is not None
        stub.server.close()


def interface_of(service: str) -> dict[str, Any]:
    """The service's own OpenAPI document, from its composition as it is run."""
    told = """
import importlib, json, sys
import service_kit.running
service_kit.running.Service.run = lambda self: print(json.dumps(self.app.openapi()))
importlib.import_module(sys.argv[1] + ".__main__").main()
"""
    environment = {f"{service.upper()}_DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "JWT_SECRET": "x" * 32}
    done = subprocess.run(
        [sys.executable, "-c", told, service],
        env=service_environment(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


def paths() -> Iterator[tuple[str, str]]:
    for service in SERVICES:
        for path in interface_of(service)["paths"]:
            if path.startswith("/v1/"):
                yield service, path


async def test_every_path_of_every_service_reaches_it(origin: httpx.AsyncClient) -> None:
    seen = 0
    for service, template in paths():
        path = template
        for name in ("inbox_id", "user_id", "team_id", "thread_id", "report"):
            path = path.replace("{" + name + "}", "some-id")
        path = path.replace("{communication_id}", "a%2Fb%20c").replace("{line_number}", "%2B12125550100")
        path = path.replace("{number}", "%2B12125550100").replace("{signed}", "abc.def")
        assert "{" not in path, template
        if path == "/v1/stream":
            continue
        answer = await origin.get(path)
        assert answer.text == f"{service} {path}", template
        seen += 1
    assert seen > 30


async def test_an_event_of_a_stream_is_not_held_back(origin: httpx.AsyncClient) -> None:
    async with origin.stream("GET", "/v1/stream?inbox_id=support", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        assert "content-encoding" not in answer.headers
        first = await asyncio.wait_for(anext(answer.aiter_bytes()), 5)
        assert first == b": open\n\n"


@pytest.mark.parametrize("service", SERVICES)
async def test_the_documents_of_every_service_are_on_the_one_origin(origin: httpx.AsyncClient, service: str) -> None:
    assert (await origin.get(f"/openapi/{service}.json")).text == f"{service} /openapi.json"
    assert (await origin.get(f"/asyncapi/{service}.json")).text == f"{service} /asyncapi.json"


async def test_one_page_shows_them_all_and_fetches_nothing_from_elsewhere(origin: httpx.AsyncClient) -> None:
    front = await origin.get("/")
    assert (front.status_code, front.headers["location"]) == (302, "/docs/")
    page, script = (await origin.get("/docs/")).text, (await origin.get("/docs/page.js")).text
    assert "//" not in page.replace("<!doctype", "")
    for service in SERVICES:
        assert f'"{service}"' in script
    assert "http" not in script


async def test_what_is_for_operators_is_not_on_it(origin: httpx.AsyncClient) -> None:
    for path in ("/metrics", "/health/ready", "/openapi.json"):
        assert (await origin.get(path)).status_code == 404
    assert (await origin.get("/healthz")).text == "ok"


async def test_with_a_console_its_pages_and_its_browsers_calls_go_there(tmp_path: Path) -> None:
    console, routing = Stub("console"), Stub("routing")
    await console.start()
    await routing.start()
    upstreams = {
        "FRONT": "console",
        "CONSOLE_UPSTREAMS": f"{HOST}:{console.port}",
        "ROUTING_UPSTREAMS": f"{HOST}:{routing.port}",
    }
    cookie, token = {"Cookie": "theme=dark; __Host-session=abc"}, {"Authorization": "Bearer abc"}
    async with gateway(tmp_path, **upstreams) as url, http_client(url) as client:
        assert (await client.get("/inboxes/support")).text == "console /inboxes/support"
        assert (await client.get("/v1/me", headers=cookie)).text == "console /v1/me"
        assert (await client.get("/v1/me", headers=cookie | token)).text == "routing /v1/me"
        assert (await client.get("/v1/me")).text == "routing /v1/me"
        for of_operators in ("/metrics", "/health/ready", "/health/live"):
            answer = await client.get(of_operators)
            assert (answer.status_code, answer.text) == (404, "")
    for stub in (console, routing):
        assert stub.server is not None
        stub.server.close()


async def test_without_one_a_cookie_of_somebody_elses_means_nothing(origin: httpx.AsyncClient) -> None:
    assert (await origin.get("/v1/me", headers={"Cookie": "session=abc"})).text == "routing /v1/me"


def test_the_file_is_in_caddys_own_format() -> None:
    done = subprocess.run(
        [CADDY, "fmt", CADDYFILE],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"HOME": "/nonexistent"},
    )
    assert done.stdout == CADDYFILE.read_text(encoding="utf-8")
