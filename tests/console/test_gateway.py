"""The services behind the console answer as they answer themselves, and only the console's own pages change things."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from console.gateway import service_of, templates
from contracts.topics import SERVICES
from devstack.stack import CONSOLE
from service_kit.publishing import Publisher
from tests.console.browser.office import Office, RunningStack, a_number
from tests.support import eventually
from tests.support.http import http_client
from tests.support.matrix import forged_tokens
from tests.support.streams import open_stream

pytestmark = pytest.mark.asyncio(loop_scope="session")

STATIC = Path(__file__).parents[2] / "services/console/src/console/static"
METHODS = ("get", "put", "post", "delete")


async def documents(running: RunningStack) -> dict[str, Any]:
    """The OpenAPI document of each service."""
    async with http_client() as client:
        urls = running.stack.urls
        return {name: (await client.get(f"{urls[name]}/openapi.json")).json() for name in SERVICES}


@asynccontextmanager
async def through_the_console(office: Office, token: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with somebody's cookie, on the console's own origin."""
    headers = {"Origin": office.url, "Cookie": f"session={token}"} if token else {"Origin": office.url}
    async with http_client(office.url, headers=headers) as client:
        yield client


async def test_every_path_of_the_api_reaches_the_service_that_has_it(running: RunningStack) -> None:
    known = set()
    for service, document in (await documents(running)).items():
        for path in document["paths"]:
            if path.startswith("/v1/"):
                assert service_of(re.sub(r"\{\w+\}", "some-id", path)) == service, path
                known.add((service, path))
    for service, template in templates():
        pattern = re.escape(template).replace(r"\*\*", ".+").replace(r"\*", "[^/]+")
        assert any(one == service and re.fullmatch(pattern, path) for one, path in known), f"{template} is nowhere"


async def test_every_call_of_the_page_is_in_the_services_documents(running: RunningStack) -> None:
    called = re.findall(r'"(GET|PUT|POST|DELETE) (/v1/[^"]+)"', (STATIC / "api.js").read_text(encoding="utf-8"))
    assert len(called) > 15
    for method, path in called:
        document = (await documents(running))[str(service_of(re.sub(r"\{\w+\}", "x", path)))]
        shapes = {re.sub(r"\{\w+\}", "{}", one): operations for one, operations in document["paths"].items()}
        assert method.lower() in shapes[re.sub(r"\{\w+\}", "{}", path)], f"{method} {path}"


async def test_every_route_gives_every_caller_the_service_s_own_answer(account: Office) -> None:
    thread = (await account.arrived(await account.a_text("Hello", contact=a_number())))["thread_id"]
    ids = {"inbox_id": "sales", "thread_id": thread, "line_number": "+12125550100", "number": "+12125550000"}
    other = Office(account.running, None, account.publisher)
    await other.set_up()
    callers = {
        **{user: account.token(user) for user in ("ada", "anna", "wim", "zoe", "nobody")},
        "of another account": other.token("ada"),
        "expired": account.token("ada", lasts=timedelta(hours=-1)),
        "forged": forged_tokens("ada", account.account)["another secret"],
        "nobody signed in": "",
    }

    async def same(client: httpx.AsyncClient, who: str, method: str, service: str, path: str) -> None:
        token = callers[who]
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        cookie = {"Cookie": f"session={token}"} if token else {}
        body: Any = {"json": {}} if method in ("put", "post") else {}
        own = await client.request(method, f"{account.running.stack.urls[service]}{path}", headers=bearer, **body)
        handed = await client.request(method, path, headers=cookie | {"Origin": account.url}, **body)
        assert handed.status_code == own.status_code, (who, method, path, own.text, handed.text)
        assert handed.headers.get("content-type") == own.headers.get("content-type"), (who, method, path)
        assert "no-store" in handed.headers["cache-control"], (method, path)
        if own.status_code >= 400:
            assert handed.json() == own.json(), (who, method, path)

    compared = 0
    async with http_client(account.url, timeout=60) as client:
        for service, document in (await documents(account.running)).items():
            for path, operations in document["paths"].items():
                if not path.startswith("/v1/") or path == "/v1/stream":
                    continue
                for method in (one for one in METHODS if one in operations):
                    # What would be deleted is not there: the second to ask must find things as the first one did.
                    given = {} if method == "delete" else ids
                    real = re.sub(r"\{(\w+)\}", partial(_known, given), path)
                    asking = [same(client, who, method, service, real) for who in callers]
                    if method == "get":
                        await asyncio.gather(*asking)
                    else:
                        # What one of them changes must not come between another's two questions.
                        for one in asking:
                            await one
                    compared += len(callers)
    assert compared > 300


def _known(ids: Mapping[str, str], parameter: re.Match[str]) -> str:
    return ids.get(parameter[1], "not-there")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def quiet(running: RunningStack, publisher: Publisher) -> Office:
    """An account that tests of this file share, because nothing may happen in it."""
    office = Office(running, None, publisher)
    await office.set_up()
    return office


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "own"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/inboxes/sales/messages", "/sign-in/development", "/sign-out"])
async def test_what_another_site_s_page_posts_is_refused(quiet: Office, path: str, headers: dict[str, str]) -> None:
    given = {name: quiet.url if value == "own" else value for name, value in headers.items()}
    given["Cookie"] = f"session={quiet.token('anna')}"
    async with http_client(quiet.url, headers=given) as client:
        answer = await client.post(path, json={"to": "+12125550000", "body": "Hello"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    listed = await quiet.get("inbox_state", "/v1/inboxes/sales/threads", as_="anna")
    assert listed["items"] == []


@pytest.mark.parametrize("headers", [{"Origin": "own"}, {"Sec-Fetch-Site": "same-origin"}])
async def test_what_the_console_s_own_page_posts_is_done(account: Office, headers: dict[str, str]) -> None:
    given = {name: account.url if value == "own" else value for name, value in headers.items()}
    given["Cookie"] = f"session={account.token('anna')}"
    async with http_client(account.url, headers=given) as client:
        body = {"to": "+12125550000", "body": "Hello"}
        answer = await client.post("/v1/inboxes/sales/messages", json=body, headers={"Idempotency-Key": "one"})
        again = await client.post("/v1/inboxes/sales/messages", json=body, headers={"Idempotency-Key": "one"})
    assert answer.status_code == again.status_code == 202
    assert answer.json() == again.json()


async def test_a_bearer_token_of_another_is_not_handed_on(quiet: Office) -> None:
    async with http_client(quiet.url) as client:
        answer = await client.get("/v1/me", headers={"Authorization": f"Bearer {quiet.token('ada')}"})
    assert answer.status_code == 401


async def test_every_answer_says_what_a_browser_may_do_with_it(quiet: Office) -> None:
    async with through_the_console(quiet, quiet.token("anna")) as client:
        for path in ("/inboxes/all", "/sign-in", "/v1/me", "/v1/nothing", "/nothing", "/health/live"):
            headers = (await client.get(path)).headers
            policy = "default-src 'self'; media-src 'self' https:; img-src 'self' data: https:"
            assert headers["content-security-policy"] == policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "same-origin"


async def test_events_come_through_as_they_happen_and_a_browser_that_leaves_ends_the_stream(account: Office) -> None:
    cookie = {"Cookie": f"session={account.token('anna')}"}
    stream = await open_stream(account.url, cookie)
    assert stream.headers["content-type"].startswith("text/event-stream")
    text = await account.a_text("Hello", contact=a_number())
    await stream.hears(lambda heard: any(one.data.get("communication_id") == text for one in heard))

    async def open_streams() -> float:
        async with http_client() as client:
            metrics = (await client.get(f"{account.running.stack.urls['inbox_state']}/metrics")).text
        found = re.search(r'^connected_inbox_\w*stream_clients\{service="inbox_state"\} (\S+)', metrics, re.MULTILINE)
        assert found, metrics
        return float(found[1])

    before = await open_streams()
    stream.close()

    async def gone() -> bool:
        return await open_streams() < before

    await eventually(gone)


async def test_a_service_that_is_away_is_a_503_and_the_rest_goes_on(account: Office) -> None:
    account.running.kill("notification")
    try:
        async with through_the_console(account, account.token("anna")) as client:
            away = await client.get("/v1/me/notification-preferences")
            there = await client.get("/v1/panel")
        assert away.status_code == 503
        assert away.headers["retry-after"] == "1"
        assert away.json()["detail"] == "notification does not answer; try again"
        assert there.status_code == 200
    finally:
        await account.running.start("notification")


async def test_the_console_writes_no_token_and_no_number_into_its_log(account: Office) -> None:
    async with through_the_console(account, account.token("anna")) as client:
        await client.post("/v1/inboxes/sales/messages", json={"to": "+12125550188", "body": "the vault"})
        await client.get("/v1/threads/2125550188")
    log = (account.running.stack.logs / f"{CONSOLE}.log").read_text(encoding="utf-8")
    metrics = await asyncio.to_thread(lambda: httpx.get(f"{account.url}/metrics").text)
    for metric in ("console_open_streams", "console_unanswered", "http_request_seconds"):
        assert f"# TYPE connected_inbox_{metric}" in metrics
    for secret in ("2125550188", "the vault", account.token("anna")[:30]):
        assert secret not in log + metrics
