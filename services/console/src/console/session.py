"""Who is signed in: a token in a cookie that no script can read, and whose requests may change something."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_kit.http import forbidden

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_TO_ALL: Final = "/v1/unsubscribe/"
"""A mail program unsubscribes by POST, from no page (RFC 8058); the address itself is signed."""
CONTENT_SECURITY_POLICY: Final = "default-src 'self'; media-src 'self' https:; img-src 'self' data: https:"
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_LONGEST_TOKEN: Final = 4_000
"""Browsers drop cookies over 4,096 bytes without a word."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """The session cookie: `HttpOnly`, `SameSite=Strict`, under TLS `Secure` and bound to the host (`__Host-`)."""

    over_tls: bool

    @property
    def cookie(self) -> str:
        """The cookie's name."""
        return "__Host-session" if self.over_tls else "session"

    def token(self, headers: Headers) -> str | None:
        """The token of whoever sent these headers, unchecked: the services check it."""
        for header in headers.getlist("cookie"):
            found: SimpleCookie = SimpleCookie()
            try:
                found.load(header)
            except CookieError:
                continue
            if self.cookie in found and found[self.cookie].value:
                return found[self.cookie].value
        return None

    def begin(self, response: Response, token: str, now: datetime) -> None:
        """Sign somebody in; the cookie ends when the token does. Raises `ValueError` for one no cookie can hold."""
        if len(token) > _LONGEST_TOKEN:
            raise ValueError("the token is too long for a cookie")
        expires_at = expiry(token)
        response.set_cookie(
            self.cookie,
            token,
            max_age=max(0, int((expires_at - now).total_seconds())) if expires_at else None,
            path="/",
            secure=self.over_tls,
            httponly=True,
            samesite="strict",
        )

    def end(self, response: Response) -> None:
        """Sign out, and have the browser forget what it keeps of this origin."""
        response.delete_cookie(self.cookie, path="/", secure=self.over_tls, httponly=True, samesite="strict")
        response.headers["Clear-Site-Data"] = '"cache", "storage"'


def expiry(token: str) -> datetime | None:
    """When a token says that it expires, unchecked; None where it does not say."""
    try:
        payload = token.split(".")[1]
        expires_at = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        return datetime.fromtimestamp(expires_at, UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError, binascii.Error):
        return None


def from_own_pages(method: str, headers: Headers, origin: str) -> bool:
    """Whether a request may change something: it comes from a page of this origin, or changes nothing.

    `Sec-Fetch-Site` is set by the browser and by nobody else; browsers that lack it send `Origin` with every
    such request. What sends neither is no browser's page.
    """
    if method in SAFE_METHODS:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    given = headers.get("origin")
    if given is None:
        return False
    return given == origin or urlsplit(given).netloc == headers.get("host", "")


class Guard:
    """Refuses what another site's page would change, and gives every answer the headers that a browser heeds.

    What an answer says of itself stands: a page of a service may have a policy of its own.
    """

    def __init__(self, app: ASGIApp, origin: str) -> None:
        self._app = app
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        over_tls = self._origin.startswith("https://")

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if over_tls:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        open_to_all = scope["path"].startswith(OPEN_TO_ALL)
        if open_to_all or from_own_pages(scope["method"], Headers(scope=scope), self._origin):
            await self._app(scope, receive, guarded)
            return
        refusal = forbidden("only pages of this console may change something")
        await refusal.response()(scope, receive, guarded)
