"""The services' APIs on the console's own origin: the cookie becomes a bearer token, all else is handed on.

The console decides nothing: who may do what is the services' answer, word for word.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Final

import aiohttp
import structlog
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send
from yarl import URL

from console.metrics import OPEN_STREAMS, SERVICE
from console.services import Services
from console.session import OPEN_TO_ALL, Sessions
from service_kit.http import Problem, not_found

log = structlog.get_logger()

_PATHS: Final = (
    ("inbox_state", "/v1/panel"),
    ("inbox_state", "/v1/inboxes/*/threads"),
    ("inbox_state", "/v1/threads/*"),
    ("inbox_state", "/v1/threads/*/**"),
    ("inbox_state", "/v1/inboxes/*/read"),
    ("inbox_state", "/v1/inboxes/*/messages"),
    ("inbox_state", "/v1/inboxes/*/calls"),
    ("inbox_state", "/v1/inboxes/*/automations"),
    ("inbox_state", "/v1/contacts/**"),
    ("inbox_state", "/v1/me/preferences"),
    ("inbox_state", "/v1/stream"),
    ("inbox_state", "/v1/stream/tickets"),
    ("inbox_state", "/v1/audit/inbox-state"),
    ("notification", "/v1/inboxes/*/watcher-notifications"),
    ("notification", "/v1/inboxes/*/deliveries"),
    ("notification", "/v1/me/notification-preferences"),
    ("notification", "/v1/unsubscribe/**"),
    ("notification", "/v1/audit/notification"),
    ("reporting", "/v1/inboxes/*/report-notifications"),
    ("reporting", "/v1/inboxes/*/reports/**"),
    ("reporting", "/v1/reports/inboxes"),
    ("reporting", "/v1/audit/reporting"),
    ("routing", "/v1/account"),
    ("routing", "/v1/users"),
    ("routing", "/v1/users/**"),
    ("routing", "/v1/me"),
    ("routing", "/v1/me/presence"),
    ("routing", "/v1/teams"),
    ("routing", "/v1/teams/**"),
    ("routing", "/v1/inboxes"),
    ("routing", "/v1/inboxes/*"),
    ("routing", "/v1/inboxes/*/members"),
    ("routing", "/v1/inboxes/*/watchers/**"),
    ("routing", "/v1/inboxes/*/ring-plan"),
    ("routing", "/v1/lines"),
    ("routing", "/v1/lines/**"),
    ("routing", "/v1/unrouted"),
    ("routing", "/v1/communications/**"),
    ("routing", "/v1/audit"),
)
"""Whose path is whose (contract §3): `*` is one segment, `**` the rest."""

_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"}
) | {"upgrade"}
_HANDED_ON: Final = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "content-type", "idempotency-key", "if-match"),
        *("if-none-match", "last-event-id", "user-agent", "traceparent", "tracestate"),
    }
)
_LARGEST_BODY: Final = 2 * 1024 * 1024


def _pattern(template: str) -> re.Pattern[str]:
    parts = {"*": "[^/]+", "**": ".+"}
    return re.compile("/".join(parts.get(part) or re.escape(part) for part in template.split("/")))


_WHOSE: Final = tuple((service, _pattern(template)) for service, template in _PATHS)


def service_of(path: str) -> str | None:
    """The service that answers a path, percent-encoded as it came; None for what is no path of the API."""
    return next((service for service, pattern in _WHOSE if pattern.fullmatch(path)), None)


class Gateway:
    """Hands a call under `/v1` to its service and the answer back, piece by piece as it comes."""

    def __init__(self, services: Services, sessions: Sessions) -> None:
        self._services = services
        self._sessions = sessions
        self._streams: set[aiohttp.ClientResponse] = set()
        OPEN_STREAMS.labels(service=SERVICE).set(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._hand_on(scope, receive, send)
        except Problem as problem:
            await problem.response()(scope, receive, send)

    def let_go(self) -> None:
        """End every live stream: browsers come back, to another replica or to this one's successor."""
        for answer in list(self._streams):
            answer.close()

    async def _hand_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        service = service_of(path)
        if service is None:
            raise not_found("there is no such path")
        body = await _body(receive)
        query = scope["query_string"].decode("latin-1")
        url = URL(f"{self._services.url_of(service)}{path}{'?' if query else ''}{query}", encoded=True)
        token = None if path.startswith(OPEN_TO_ALL) else self._sessions.token(headers)
        answer = await self._services.ask(
            service, scope["method"], url, headers=self._headers(headers, token), body=body or None
        )
        try:
            await self._hand_back(answer, scope["method"], receive, send)
        finally:
            answer.release() if answer.content.is_eof() else answer.close()

    def _headers(self, given: Headers, token: str | None) -> dict[str, str]:
        headers = {name: value for name, value in given.items() if name in _HANDED_ON}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return headers

    async def _hand_back(self, answer: aiohttp.ClientResponse, method: str, receive: Receive, send: Send) -> None:
        headers = [
            (name.lower(), value)
            for name, value in answer.raw_headers
            if name.lower().decode("latin-1") not in _HOP_BY_HOP | {"set-cookie", "server", "date"}
        ]
        if "cache-control" not in answer.headers:
            # What a browser keeps of an account could be read after signing out.
            headers.append((b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if answer.content_type != "text/event-stream":
            # What is short is read to its end, whoever still waits for it.
            await _pump(answer, send)
            return
        OPEN_STREAMS.labels(service=SERVICE).inc()
        self._streams.add(answer)
        watching = asyncio.create_task(_close_with_browser(receive, answer))
        try:
            await _pump(answer, send)
        finally:
            watching.cancel()
            self._streams.discard(answer)
            OPEN_STREAMS.labels(service=SERVICE).dec()


async def _pump(answer: aiohttp.ClientResponse, send: Send) -> None:
    try:
        async for piece in answer.content.iter_any():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except (aiohttp.ClientError, TimeoutError) as error:
        # The head is sent already: all that can be told is that it ends here, and a stream is resumed.
        log.info("answer_broke_off", error=type(error).__name__)
        if answer.content_type != "text/event-stream":
            raise
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _close_with_browser(receive: Receive, answer: aiohttp.ClientResponse) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    answer.close()


async def _body(receive: Receive) -> bytes:
    pieces, size = [], 0
    while True:
        message: Message = await receive()
        if message["type"] != "http.request":
            raise Problem(400, "Bad Request", "the request broke off")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > _LARGEST_BODY:
            raise Problem(413, "Content Too Large", f"a request holds at most {_LARGEST_BODY} bytes")
        if not message.get("more_body", False):
            return b"".join(pieces)


def templates() -> Iterable[tuple[str, str]]:
    """Every service with a template of its paths."""
    return _PATHS
