"""The HTTP application: pages, static files, and the services' APIs behind the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import structlog
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from console import pages
from console.gateway import Gateway
from console.metrics import SERVICE
from console.rendering import Renderer
from console.services import Services
from console.session import Guard, Sessions
from console.settings import ConsoleSettings
from console.static_files import HashedFiles
from console.visitors import SignedOut
from service_kit.clock import Clock
from service_kit.http import Problem, create_app
from service_kit.running import Leaving, Parting, spare_the_collector

log = structlog.get_logger()


def application(settings: ConsoleSettings, clock: Clock) -> tuple[FastAPI, Gateway, Leaving]:
    """The application, the gateway whose streams have to be let go before it can stop, and how it takes leave."""
    services = Services(settings)
    sessions = Sessions(settings.over_tls)
    renderer = Renderer()
    gateway = Gateway(services, sessions)
    leaving = Leaving(settings.shutdown_delay)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await services.open()
        spare_the_collector()
        log.info("service_started", port=settings.port)
        try:
            yield
        finally:
            await services.close()
            log.info("service_stopped")

    async def ready() -> Mapping[str, bool]:
        # Not whether the services answer: what still works without one of them must stay reachable.
        return {"started": not leaving.begun}

    app = create_app(
        SERVICE, title="console", ready=ready, live=lambda: {"running": True}, lifespan=lifespan, documents=False
    )
    app.router.routes.append(Route("/v1/{path:path}", gateway))
    app.router.routes.append(Route("/static/{path:path}", HashedFiles(renderer.hash)))
    app.include_router(pages.router(settings, services, sessions, renderer, clock))
    if settings.session_secret is not None:
        app.add_middleware(
            SessionMiddleware,
            secret_key=settings.session_secret.get_secret_value(),
            session_cookie="sign-in",
            path="/sign-in",
            max_age=600,
            same_site="lax",
            https_only=settings.over_tls,
        )
    app.add_middleware(Guard, origin=settings.origin)
    app.add_middleware(Parting, leaving=leaving)

    @app.exception_handler(SignedOut)
    async def _signed_out(request: Request, out: SignedOut) -> Response:
        if request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
            # A link from elsewhere comes without the strict cookie: asked again by our own page, it comes with it.
            return renderer.page("go_on.html", to=out.to)
        response = RedirectResponse(f"/sign-in?{urlencode({'to': out.to})}", 303)
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return problem.response()
        answer = renderer.page("problem.html", status=problem.body.status, problem=problem.body)
        answer.headers.update(problem.headers or {})
        return answer

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return await _problem(request, Problem(error.status_code, str(error.detail), headers=error.headers))

    return app, gateway, leaving
