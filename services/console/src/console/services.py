"""The four services, as the console reaches them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson
import structlog
from yarl import URL

from console.metrics import SERVICE, UNANSWERED
from console.settings import SERVICES, ConsoleSettings
from service_kit.http import FieldProblem, Problem

log = structlog.get_logger()

_CONNECT_SECONDS: Final = 3.0
_SILENCE_SECONDS: Final = 45.0
"""Streams have a heartbeat every 15 s: one that was silent for so long hangs."""


class Services:
    """Calls to the services' APIs, with a person's own token."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._urls = {service: settings.url_of(service) for service in SERVICES}
        self._session: aiohttp.ClientSession | None = None
        for service in SERVICES:
            # Counted from nothing, so that the first one is seen as an increase.
            UNANSWERED.labels(service=SERVICE, upstream=service)

    def url_of(self, service: str) -> str:
        """The base address of a service, without a slash at its end."""
        return self._urls[service]

    async def open(self) -> None:
        """Be ready to ask."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            # An answer is handed on as it is.
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent", "Content-Type"),
        )

    async def close(self) -> None:
        """Let every connection go."""
        if self._session is not None:
            await self._session.close()

    async def ask(
        self, service: str, method: str, url: URL, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> aiohttp.ClientResponse:
        """A service's answer, its body still to be read; a 503 `Problem` when it can't be reached."""
        assert self._session is not None
        try:
            return await self._session.request(method, url, headers=headers, data=body, allow_redirects=False)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            UNANSWERED.labels(service=SERVICE, upstream=service).inc()
            log.warning("service_did_not_answer", upstream=service, error=type(error).__name__)
            raise Problem(
                503, "Service Unavailable", f"{service} does not answer; try again", headers={"Retry-After": "1"}
            ) from None

    async def call(
        self,
        token: str,
        service: str,
        method: str,
        *path: str,
        body: Any = None,
        query: Mapping[str, str | int | bool | None] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Call a service's API for a page: `call(token, "routing", "GET", "inboxes", inbox_id)`.

        Path parts are percent-encoded here and queries that are None left out. Answers the parsed JSON, None for
        an empty body. An error of the service is raised as the `Problem` that it answered, its `errors` included.
        """
        answer, document = await self.exchange(token, service, method, *path, body=body, query=query, headers=headers)
        del answer
        return document

    async def exchange(
        self,
        token: str,
        service: str,
        method: str,
        *path: str,
        body: Any = None,
        query: Mapping[str, str | int | bool | None] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Mapping[str, str], Any]:
        """`call`, with the answer's headers (such as `ETag`) beside its document."""
        given = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        url = URL("/".join([self._urls[service], "v1", *(quote(part, safe="") for part in path)]), encoded=True)
        sent = {"authorization": f"Bearer {token}", "accept": "application/json", **(headers or {})}
        if body is not None:
            sent["content-type"] = "application/json"
        answer = await self.ask(
            service,
            method,
            url.with_query(given) if given else url,
            headers=sent,
            body=orjson.dumps(body) if body is not None else None,
        )
        try:
            content = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            raise Problem(503, "Service Unavailable", f"{service} broke off its answer; try again") from None
        document = _document(content)
        if answer.status >= 400:
            raise _problem(answer, document)
        return answer.headers, document

    async def items(
        self, token: str, service: str, *path: str, query: Mapping[str, str | int | bool | None] | None = None
    ) -> list[Any]:
        """All items of a paged list, every page of it."""
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page = await self.call(
                token, service, "GET", *path, query={**(query or {}), "limit": 200, "cursor": cursor}
            )
            found.extend(page["items"])
            cursor = page.get("next_cursor")
            if cursor is None:
                return found


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _document(content: bytes) -> Any:
    if not content:
        return None
    try:
        return orjson.loads(content)
    except ValueError:
        return content.decode(errors="replace")


def _problem(answer: aiohttp.ClientResponse, document: Any) -> Problem:
    told = document if isinstance(document, dict) else {}
    headers = {name: answer.headers[name] for name in ("Retry-After",) if name in answer.headers}
    return Problem(
        answer.status,
        str(told.get("title") or answer.reason or "error"),
        told.get("detail"),
        errors=[FieldProblem(field=one["field"], message=one["message"]) for one in told.get("errors") or ()],
        headers=headers,
    )
