"""Who may do what: every route of a service against every kind of caller, generated from the application itself."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from service_kit.auth import sign
from service_kit.clock import utc_now
from tests.support.services import JWT_SECRET


@dataclass(frozen=True)
class Attempt:
    """One call of a route: `route` is its method and template, `answers` the status that each caller gets."""

    route: str
    path: str
    answers: Mapping[str, int]
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    async def by(self, client: httpx.AsyncClient, headers: Mapping[str, str]) -> httpx.Response:
        """Make the call as somebody."""
        method = self.route.partition(" ")[0]
        return await client.request(method, self.path, json=self.body, headers={**self.headers, **headers})


def routes_of(app: FastAPI) -> set[str]:
    """Every method and path template under /v1 that the application answers."""
    return {
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        if (route.path or "").startswith("/v1/")
        for method in (route.methods or set()) - {"HEAD"}
    }


def attempted(attempts: Iterable[Attempt]) -> set[str]:
    """The routes that a table tries."""
    return {attempt.route for attempt in attempts}


def forged_tokens(user_id: str, account_id: str) -> dict[str, str]:
    """Tokens of an administrator that nobody signed as he should have, by what is wrong with them."""
    now = utc_now()
    good = sign(JWT_SECRET, user_id=user_id, account_id=account_id, now=now, lasts=timedelta(hours=1))
    claims = jwt.decode(good, OctKey.import_key(JWT_SECRET)).claims
    own_key = RSAKey.generate_key(2048)
    other_secret = OctKey.import_key("a secret that is somebody else's, and long enough")
    ours = OctKey.import_key(JWT_SECRET)
    header, payload, signature = good.split(".")
    return {
        "another secret": jwt.encode({"alg": "HS256"}, claims, other_secret),
        "no algorithm": f"{_part({'alg': 'none', 'typ': 'JWT'})}.{payload}.",
        "another kind of key": jwt.encode({"alg": "RS256"}, claims, own_key),
        "an unknown key id": jwt.encode({"alg": "HS256", "kid": "nobody's"}, claims, other_secret),
        "another audience": jwt.encode({"alg": "HS256"}, claims | {"aud": "another-product"}, ours),
        "expired": jwt.encode({"alg": "HS256"}, claims | {"exp": int(now.timestamp()) - 3_600}, ours),
        "changed claims": f"{header}.{_part(claims | {'scope': 'directory'})}.{signature}",
        "no token at all": "",
    }


def _part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
