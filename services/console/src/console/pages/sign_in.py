"""Signing in: by OpenID Connect, or (development) by choosing a user; and signing out."""

from datetime import timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import httpx
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth
from fastapi import APIRouter, Form, Query, Request
from joserfc.errors import JoseError
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console.rendering import Renderer
from console.services import Services
from console.session import Sessions
from console.settings import ConsoleSettings
from service_kit.auth import DIRECTORY_SCOPE, sign
from service_kit.clock import Clock
from service_kit.http import Problem, not_found

log = structlog.get_logger()

_LOOKS_UP_FOR: Final = timedelta(minutes=1)

Target = Annotated[str, Query(max_length=2_000, description="Where to go once signed in.")]


def router(
    settings: ConsoleSettings, services: Services, sessions: Sessions, renderer: Renderer, clock: Clock
) -> APIRouter:
    """The routes of signing in and out."""
    routes = APIRouter()
    by_provider = settings.oidc_issuer is not None
    provider = _provider(settings) if by_provider else None

    @routes.get("/sign-in")
    async def sign_in(to: Target = "/", account: str = "", out: bool = False) -> HTMLResponse:
        account = account or settings.development_account or ""
        people: list[Any] = []
        notice = renderer.text("sign_in.signed_out") if out else None
        if not by_provider and account:
            try:
                people = await _people(account)
            except Problem as problem:
                notice = problem.body.detail or problem.body.title
        return renderer.page(
            "sign_in.html",
            by_provider=by_provider,
            account=account,
            people=people,
            to=_local(to),
            notice=notice,
        )

    @routes.post("/sign-in/development")
    async def choose(
        account: Annotated[str, Form()], user_id: Annotated[str, Form()], to: Annotated[str, Form()] = "/"
    ) -> Response:
        if by_provider or settings.jwt_secret is None:
            raise not_found("people sign in at the identity provider here")
        token = _signed(account, user_id, settings.session_lasts)
        response = RedirectResponse(_local(to), 303)
        sessions.begin(response, token, clock())
        return response

    @routes.post("/sign-in/openid")
    async def go_to_provider(request: Request, to: Annotated[str, Form()] = "/") -> Response:
        if provider is None:
            raise not_found("there is no identity provider here")
        request.session["to"] = _local(to)
        try:
            answer: Response = await provider.authorize_redirect(request, f"{settings.origin}/sign-in/openid/answer")
        except httpx.HTTPError:
            raise _provider_away() from None
        return answer

    @routes.get("/sign-in/openid/answer")
    async def back_from_provider(request: Request) -> Response:
        if provider is None:
            raise not_found("there is no identity provider here")
        try:
            granted = await provider.authorize_access_token(request)
            token = granted[settings.oidc_token]
            response = renderer.page("go_on.html", to=_local(request.session.pop("to", "/")))
            # A cookie that is SameSite=Strict is not sent along a redirect that began at the provider: the page
            # goes on by itself, which the browser takes for a step of this site.
            sessions.begin(response, token, clock())
        except httpx.HTTPError:
            raise _provider_away() from None
        except (OAuthError, JoseError, KeyError, ValueError) as error:
            log.warning("sign_in_refused", error=type(error).__name__)
            return renderer.page(
                "sign_in.html",
                status=403,
                by_provider=True,
                account="",
                people=[],
                to="/",
                notice=renderer.text("sign_in.refused"),
            )
        return response

    @routes.post("/sign-out")
    async def sign_out() -> Response:
        to = "/sign-in?out=true"
        if provider is not None:
            try:
                ends_at = (await provider.load_server_metadata()).get("end_session_endpoint")
            except httpx.HTTPError:
                # Here he is signed out whatever becomes of the provider.
                ends_at = None
            if ends_at:
                back = {"client_id": settings.oidc_client_id, "post_logout_redirect_uri": f"{settings.origin}{to}"}
                to = f"{ends_at}?{urlencode(back)}"
        response = RedirectResponse(to, 303)
        sessions.end(response)
        return response

    async def _people(account: str) -> list[Any]:
        token = _signed(account, "console", _LOOKS_UP_FOR, scope=DIRECTORY_SCOPE)
        return await services.items(token, "routing", "users", query={"active": True})

    def _signed(account: str, user_id: str, lasts: timedelta, scope: str = "") -> str:
        assert settings.jwt_secret is not None
        secret = settings.jwt_secret.get_secret_value()
        return sign(secret, user_id=user_id, account_id=account, now=clock(), lasts=lasts, scope=scope)

    return routes


def _provider(settings: ConsoleSettings) -> Any:
    secret = settings.oidc_client_secret.get_secret_value() if settings.oidc_client_secret else None
    assert settings.oidc_issuer is not None
    return OAuth().register(
        "provider",
        server_metadata_url=f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
        client_id=settings.oidc_client_id,
        client_secret=secret,
        client_kwargs={"scope": settings.oidc_scope, "code_challenge_method": "S256"},
    )


def _provider_away() -> Problem:
    return Problem(503, "Service Unavailable", "the identity provider does not answer; try again")


def _local(to: str) -> str:
    """A path of this console; anything else would let a link lead people elsewhere after signing in."""
    plain = to.startswith("/") and not to.startswith("//") and "\\" not in to and to.isprintable()
    return to if plain else "/"
