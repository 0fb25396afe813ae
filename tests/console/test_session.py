"""The session's cookie, and signing in at an identity provider."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.datastructures import Headers
from starlette.responses import Response

from console.application import application
from console.rendering import content_hash
from console.session import Sessions, expiry
from console.settings import ConsoleSettings
from devstack.ports import free_port
from service_kit.auth import sign
from service_kit.clock import utc_now
from tests.support import eventually

SECRET = "only tests sign tokens with this secret"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_token(lasts: timedelta = timedelta(hours=1)) -> str:
    return sign(SECRET, user_id="anna", account_id="acme", now=NOW, lasts=lasts)


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_ends_with_its_token() -> None:
    response = Response()
    Sessions(over_tls=True).begin(response, a_token(), NOW)
    cookie = response.headers["set-cookie"]
    name, *flags = cookie.split("; ")
    assert name == f"__Host-session={a_token()}"
    assert {flag.lower() for flag in flags} == {"httponly", "secure", "samesite=strict", "path=/", "max-age=3600"}


def test_without_tls_the_cookie_has_a_plain_name_since_browsers_refuse_the_other() -> None:
    response = Response()
    Sessions(over_tls=False).begin(response, a_token(), NOW)
    assert response.headers["set-cookie"].startswith("session=")
    assert "Secure" not in response.headers["set-cookie"]


def test_signing_out_has_the_browser_forget_everything() -> None:
    response = Response()
    Sessions(over_tls=True).end(response)
    assert "Max-Age=0" in response.headers["set-cookie"]
    assert response.headers["clear-site-data"] == '"cache", "storage"'


@pytest.mark.parametrize("cookie", ["", "session", "session=", "other=x", 'a="; session', "=;=;="])
def test_what_is_no_session_is_none(cookie: str) -> None:
    assert Sessions(over_tls=False).token(Headers({"cookie": cookie})) is None


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "a.e30.c", "a.eyJleHAiOiJ4In0.c", "a.eyJleHAiOjFlOTl9.c"])
def test_a_token_that_says_no_end_ends_with_the_browser(token: str) -> None:
    assert expiry(token) is None


def test_a_token_that_no_cookie_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        Sessions(over_tls=True).begin(Response(), "x" * 4_001, NOW)


def test_the_name_of_the_static_files_changes_with_any_byte(tmp_path: Any) -> None:
    (tmp_path / "one.js").write_text("1")
    first = content_hash(tmp_path)
    (tmp_path / "two.js").write_text("")
    second = content_hash(tmp_path)
    (tmp_path / "two.js").write_text("2")
    assert len({first, second, content_hash(tmp_path)}) == 3


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"development_sign_in": True},
        {"oidc_issuer": "https://id.example"},
        {"oidc_issuer": "https://id.example", "development_sign_in": True, "jwt_secret": SECRET},
        {"development_sign_in": True, "jwt_secret": SECRET, "public_url": "ftp://x"},
    ],
)
def test_settings_that_leave_no_one_way_to_sign_in_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"set either|needs|match"):
        ConsoleSettings(**given)


class Provider:
    """A small identity provider: it signs everybody in as Anna, once for each code."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.nonces: dict[str, str] = {}
        self.challenges: dict[str, str] = {}
        self.lie: dict[str, Any] = {}
        self.app = FastAPI()
        self.app.add_api_route("/.well-known/openid-configuration", self.configuration)
        self.app.add_api_route("/keys", self.keys)
        self.app.add_api_route("/token", self.token, methods=["POST"])

    def configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "end_session_endpoint": f"{self.url}/leave",
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def keys(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False)]}

    async def token(self, request: Request) -> JSONResponse:
        form = await request.form()
        code = str(form["code"])
        assert form["code_verifier"]
        now = int(utc_now().timestamp())
        claims = {"iss": self.url, "sub": "anna", "aud": "console", "iat": now, "exp": now + 600}
        claims |= {"nonce": self.nonces.pop(code)} | self.lie
        header = {"alg": "RS256", "kid": "one"}
        access = {"sub": "anna", "account_id": "acme", "aud": "connected-inbox", "exp": now + 600}
        return JSONResponse(
            {
                "access_token": jwt.encode(header, access, self.key),
                "id_token": jwt.encode(header, claims, self.key),
                "token_type": "Bearer",
                "expires_in": 600,
            }
        )


@asynccontextmanager
async def serving(app: FastAPI, port: int) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="on"))
    running = asyncio.create_task(server.serve())
    await eventually(lambda: server.started, every=0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await running


@pytest.fixture
def provider() -> Provider:
    return Provider(f"http://127.0.0.1:{free_port()}")


@asynccontextmanager
async def a_console(provider: Provider) -> AsyncIterator[httpx.AsyncClient]:
    settings = ConsoleSettings(
        oidc_issuer=provider.url,
        oidc_client_id="console",
        session_secret="a secret of the tests, long enough",  # type: ignore[arg-type]
        public_url="http://console.example",
    )
    app, _, _ = application(settings, utc_now)
    transport = httpx.ASGITransport(app)
    port = int(provider.url.rsplit(":", 1)[1])
    async with (
        serving(provider.app, port),
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://console.example", headers={"Sec-Fetch-Site": "same-origin"}
        ) as client,
    ):
        yield client


async def gone_to_provider(client: httpx.AsyncClient, provider: Provider, to: str) -> dict[str, str]:
    """Somebody goes to the provider, and comes back with a code."""
    page = await client.get("/sign-in", params={"to": to})
    assert 'action="/sign-in/openid"' in page.text
    sent = await client.post("/sign-in/openid", data={"to": to})
    asked = urlsplit(sent.headers["location"])
    query = {name: values[0] for name, values in parse_qs(asked.query).items()}
    assert f"{asked.scheme}://{asked.netloc}" == provider.url
    assert query["redirect_uri"] == "http://console.example/sign-in/openid/answer"
    assert query["code_challenge_method"] == "S256"
    provider.nonces["a-code"] = query["nonce"]
    return {"code": "a-code", "state": query["state"]}


async def test_somebody_signs_in_at_the_identity_provider_and_lands_where_he_wanted(provider: Provider) -> None:
    async with a_console(provider) as client:
        back = await gone_to_provider(client, provider, "/inboxes/sales?unread=true")
        landed = await client.get("/sign-in/openid/answer", params=back)
        assert landed.status_code == 200
        assert 'content="0; url=/inboxes/sales?unread=true"' in landed.text
        cookies = landed.headers.get_list("set-cookie")
        session = next(one for one in cookies if one.startswith("session="))
        assert "HttpOnly" in session
        assert "samesite=strict" in session.lower()
        claims = json.loads(base64.urlsafe_b64decode(session.split(".")[1] + "=="))
        assert (claims["sub"], claims["account_id"]) == ("anna", "acme")
        left = await client.post("/sign-out")
        assert left.headers["location"].startswith(f"{provider.url}/leave?client_id=console&post_logout_redirect_uri=")


async def test_an_answer_of_the_provider_is_good_once_and_for_him_who_asked(provider: Provider) -> None:
    async with a_console(provider) as client:
        back = await gone_to_provider(client, provider, "/")
        client.cookies.clear()
        stolen = await client.get("/sign-in/openid/answer", params=back)
        assert stolen.status_code == 403
        assert not any(one.startswith("session=") for one in stolen.headers.get_list("set-cookie"))
        back = await gone_to_provider(client, provider, "/")
        assert (await client.get("/sign-in/openid/answer", params=back)).status_code == 200
        assert (await client.get("/sign-in/openid/answer", params=back)).status_code == 403


@pytest.mark.parametrize(
    "lie", [{"iss": "https://another.example"}, {"aud": "another"}, {"exp": 1}, {"nonce": "another"}]
)
async def test_an_id_token_that_is_not_for_us_signs_nobody_in(provider: Provider, lie: dict[str, Any]) -> None:
    provider.lie = lie
    async with a_console(provider) as client:
        back = await gone_to_provider(client, provider, "/")
        refused = await client.get("/sign-in/openid/answer", params=back)
        assert refused.status_code == 403
        assert "The sign-in was refused" in refused.text
        assert not any(one.startswith("session=") for one in refused.headers.get_list("set-cookie"))


async def test_nobody_chooses_a_user_where_there_is_an_identity_provider(provider: Provider) -> None:
    async with a_console(provider) as client:
        answer = await client.post("/sign-in/development", data={"account": "acme", "user_id": "ada"})
        assert answer.status_code == 404


@pytest.mark.parametrize("to", ["https://elsewhere.example", "//elsewhere.example", "/\\elsewhere", "javascript:x"])
async def test_signing_in_leads_nowhere_else(provider: Provider, to: str) -> None:
    async with a_console(provider) as client:
        page = await client.get("/sign-in", params={"to": to})
        assert re.search(r'name="to" value="([^"]*)"', page.text)[1] == "/"  # type: ignore[index]
