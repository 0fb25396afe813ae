"""The HTTP interfaces of the four services, as one caller sees them."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx


class Refused(Exception):
    """A service answered with a problem (RFC 9457). The message is fit to be shown to whoever asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(Exception):
    """A service could not be asked, or answered that it is not able to now."""


class Api:
    """Calls with one token; every path belongs to one service (contract §3)."""

    def __init__(self, urls: dict[str, str], token: str, *, timeout_seconds: float = 15) -> None:
        self._urls = urls
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=timeout_seconds,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, service: str, *path: str, **parameters: str | int) -> Any:
        """The JSON of a GET. Path parts are encoded here: `+1555…` is a part like any other."""
        return self._ask("GET", service, path, parameters=parameters)

    def find(self, service: str, *path: str) -> Any | None:
        """The same, or None where there is nothing (404)."""
        try:
            return self.get(service, *path)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def all_items(self, service: str, *path: str, **parameters: str | int) -> list[Any]:
        """The items of every page of a list."""
        items: list[Any] = []
        cursor: dict[str, str | int] = {}
        while True:
            page = self.get(service, *path, limit=200, **parameters, **cursor)
            items.extend(page["items"])
            if not page.get("next_cursor"):
                return items
            cursor = {"cursor": page["next_cursor"]}

    def put(self, service: str, *path: str, body: Any = None) -> Any:
        """PUT; returns the answer's JSON, None where it has no body."""
        return self._ask("PUT", service, path, body=body)

    def post(self, service: str, *path: str, body: Any = None) -> Any:
        """POST; returns the answer's JSON, None where it has no body."""
        return self._ask("POST", service, path, body=body)

    def delete(self, service: str, *path: str) -> None:
        """DELETE."""
        self._ask("DELETE", service, path)

    def _ask(
        self,
        method: str,
        service: str,
        path: tuple[str, ...],
        *,
        parameters: dict[str, str | int] | None = None,
        body: Any = None,
    ) -> Any:
        url = "/".join([self._urls[service], "v1", *(quote(part, safe="") for part in path)])
        try:
            answer = self._client.request(method, url, params=parameters or None, json=body)
        except httpx.TransportError as error:
            raise Unreachable(f"{service} at {self._urls[service]} does not answer: {error}") from error
        if answer.status_code in (502, 503, 504):
            raise Unreachable(f"{service} is not able to answer now ({answer.status_code})")
        if not answer.is_success:
            raise Refused(answer.status_code, f"{method} /v1/{'/'.join(path)}: {_told(answer)}")
        return answer.json() if answer.content else None


def _told(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        return f"{answer.status_code} {answer.reason_phrase}"
    if not isinstance(problem, dict):
        return f"{answer.status_code} {answer.reason_phrase}"
    parts = [f"{answer.status_code} {problem.get('title') or answer.reason_phrase}"]
    errors = [f"{wrong.get('field')}: {wrong.get('message')}" for wrong in problem.get("errors") or ()]
    if errors:
        parts += errors
    elif problem.get("detail"):
        parts.append(str(problem["detail"]))
    return "; ".join(parts)
