"""Who asks for a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request

from console.services import Services
from console.session import Sessions
from service_kit.http import Problem


class SignedOut(Exception):
    """Nobody is signed in: answered by the sign-in page, which leads back to `to`."""

    def __init__(self, to: str) -> None:
        super().__init__("nobody is signed in")
        self.to = to


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person who is signed in. `me` is routing's `GET /v1/me`."""

    token: str
    me: Mapping[str, Any]

    @property
    def is_admin(self) -> bool:
        """Whether he administers, to show him the way there: the services decide what he may do."""
        return bool(self.me["role"] == "admin")


Visit = Callable[[Request], Any]


class Visitors:
    """FastAPI dependencies for pages."""

    def __init__(self, services: Services, sessions: Sessions) -> None:
        self._services = services
        self._sessions = sessions

    def token(self, request: Request) -> str:
        """The caller's token, unchecked: for pages that load everything themselves."""
        token = self._sessions.token(request.headers)
        if token is None:
            raise SignedOut(_address(request))
        return token

    async def visitor(self, request: Request) -> Visitor:
        """The person who is signed in."""
        token = self.token(request)
        try:
            return Visitor(token, await self._services.call(token, "routing", "GET", "me"))
        except Problem as problem:
            if problem.body.status == 401:
                raise SignedOut(_address(request)) from None
            raise


def _address(request: Request) -> str:
    if request.method != "GET":
        return "/"
    return quote(request.url.path, safe="/") + (f"?{request.url.query}" if request.url.query else "")
