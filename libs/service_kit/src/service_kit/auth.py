"""Who calls: the signed token of an HTTP request, checked (A1)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import structlog
from fastapi import Request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey
from starlette.types import ASGIApp, Receive, Scope, Send

from service_kit.clock import Clock
from service_kit.http import Problem
from service_kit.settings import TokenSettings

log = structlog.get_logger()

DIRECTORY_SCOPE: Final = "directory"
_KEYS_MAX_AGE: Final = timedelta(minutes=10)
_KEYS_MIN_AGE: Final = timedelta(seconds=30)
_LEEWAY_SECONDS: Final = 30
_OPEN_PATHS: Final = ("/v1/unsubscribe/",)
"""What a reader of an e-mail may call: the address itself is signed."""
_TICKET_PATH: Final = "/v1/stream"
"""What a browser opens with a ticket, since it can't send a header with it. The route itself checks who calls."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What a token says. What a person may do comes from the directory, never from here."""

    account_id: str
    user_id: str
    scopes: frozenset[str]
    expires_at: datetime

    @property
    def is_machine(self) -> bool:
        """A machine that administers (scope `directory`): no person of the directory stands behind it."""
        return DIRECTORY_SCOPE in self.scopes


class Tokens:
    """Checks tokens against the secret or the identity provider's published keys."""

    def __init__(self, settings: TokenSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        secret = settings.jwt_secret
        self._secret = OctKey.import_key(secret.get_secret_value()) if secret else None
        # A key's kind decides its algorithms: a public key must never be taken for a shared secret.
        self._algorithms = ["HS256"] if secret else ["RS256", "ES256"]
        self._keys: KeySet | None = None
        self._fetched_at = datetime.min.replace(tzinfo=UTC)
        self._fetching = asyncio.Lock()

    async def caller(self, token: str) -> Caller:
        """The caller of a token; raises a 401 `Problem` for whatever is wrong with it."""
        try:
            decoded = await self._decoded(token)
        except (JoseError, ValueError, TypeError, KeyError):
            raise unauthenticated("the token can't be verified") from None
        claims = decoded.claims
        registry = jwt.JWTClaimsRegistry(
            now=int(self._clock().timestamp()),
            leeway=_LEEWAY_SECONDS,
            exp={"essential": True},
            aud={"essential": True, "value": self._settings.jwt_audience},
        )
        try:
            registry.validate(claims)
        except JoseError as error:
            raise unauthenticated(f"the token is not valid: {error.error}") from None
        user_id = claims.get(self._settings.jwt_user_claim)
        account_id = claims.get(self._settings.jwt_account_claim)
        if not isinstance(user_id, str) or not user_id or not isinstance(account_id, str) or not account_id:
            raise unauthenticated("the token names no user or no account")
        scope = claims.get("scope") or ""
        return Caller(
            account_id=account_id,
            user_id=user_id,
            scopes=frozenset(scope.split() if isinstance(scope, str) else ()),
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )

    async def _decoded(self, token: str) -> jwt.Token:
        if self._secret is not None:
            return jwt.decode(token, self._secret, algorithms=self._algorithms)
        keys = await self._published_keys(_KEYS_MAX_AGE)
        try:
            return jwt.decode(token, keys, algorithms=self._algorithms)
        except (JoseError, ValueError):
            # The provider may have rolled its keys a moment ago.
            keys = await self._published_keys(_KEYS_MIN_AGE)
            return jwt.decode(token, keys, algorithms=self._algorithms)

    async def _published_keys(self, max_age: timedelta) -> KeySet:
        async with self._fetching:
            if self._keys is None or self._clock() - self._fetched_at > max_age:
                try:
                    async with httpx.AsyncClient(timeout=5) as client:
                        answer = await client.get(self._settings.jwt_jwks_url or "")
                        answer.raise_for_status()
                        self._keys = KeySet.import_key_set(answer.json())
                except (httpx.HTTPError, JoseError, ValueError) as error:
                    log.warning("token_keys_not_fetched", error=type(error).__name__)
                    if self._keys is None:
                        raise Problem(503, "The identity provider's keys can't be fetched") from None
                self._fetched_at = self._clock()
            return self._keys


class Gate:
    """Lets no request without a good token come near `/v1`: 401 stands before every other error (A1).

    A dependency alone would come too late: a body that is no JSON is refused before dependencies run.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass, with its caller in the request's state."""
        path = scope.get("path", "")
        if (
            scope["type"] != "http"
            or not path.startswith("/v1/")
            or path.startswith(_OPEN_PATHS)
            or path == _TICKET_PATH
        ):
            await self._app(scope, receive, send)
            return
        try:
            caller = await _caller(Request(scope), self._tokens)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)


async def authenticated(request: Request) -> Caller:
    """The caller of this request: a FastAPI dependency. 401 without a good token."""
    caller = getattr(request.state, "caller", None)
    return caller if isinstance(caller, Caller) else await _caller(request, request.app.state.tokens)


async def _caller(request: Request, tokens: Tokens) -> Caller:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise unauthenticated("the request has no bearer token")
    return await tokens.caller(token.strip())


def unauthenticated(detail: str) -> Problem:
    """401, with the header that RFC 9110 asks for."""
    return Problem(401, "Unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


def sign(
    secret: str,
    *,
    user_id: str,
    account_id: str,
    now: datetime,
    lasts: timedelta,
    scope: str = "",
) -> str:
    """A token for development and tests (HS256), as `inboxctl token` prints it."""
    claims: dict[str, Any] = {
        "sub": user_id,
        "account_id": account_id,
        "aud": "connected-inbox",
        "iat": int(now.timestamp()),
        "exp": int((now + lasts).timestamp()),
    }
    if scope:
        claims["scope"] = scope
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secret))
