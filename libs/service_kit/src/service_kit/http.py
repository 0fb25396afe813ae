"""What every service's HTTP side shares: problems, paging, health, metrics, documents (contract §3)."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final, Generic, TypeVar

import orjson
import structlog
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from contracts.documents import asyncapi
from service_kit import tracing
from service_kit.database import is_transient
from service_kit.metrics import HTTP_SECONDS

log = structlog.get_logger()

T = TypeVar("T")

_PROBLEM: Final = "application/problem+json"

PageLimit = Annotated[int, Query(ge=1, le=200, description="How many items a page has at most.")]
PageCursor = Annotated[str | None, Query(max_length=2_000, description="`next_cursor` of the page before.")]


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    field: str
    message: str


class ProblemBody(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    errors: list[FieldProblem] | None = None


class Problem(Exception):
    """An HTTP error: raised anywhere below an endpoint, answered as `application/problem+json` (RFC 9457)."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str | None = None,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.body = ProblemBody(status=status, title=title, detail=detail, errors=list(errors) or None)
        self.headers = headers

    def response(self) -> Response:
        """The answer that the client gets."""
        return Response(
            self.body.model_dump_json(exclude_none=True),
            status_code=self.body.status,
            headers=dict(self.headers or {}),
            media_type=_PROBLEM,
        )


class NotModified(Exception):
    """304: the client has what it asks for already; `tag` is its entity tag."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


def not_found(detail: str) -> Problem:
    """404: there is no such thing, or the caller must not know of it."""
    return Problem(404, "Not Found", detail)


def forbidden(detail: str) -> Problem:
    """403: the caller may see this, but not do that."""
    return Problem(403, "Forbidden", detail)


def conflict(detail: str) -> Problem:
    """409: what is asked for does not go with how things are."""
    return Problem(409, "Conflict", detail)


def invalid(field: str, message: str) -> Problem:
    """422 that names the field (A2)."""
    return Problem(
        422,
        "Unprocessable Content",
        f"{field}: {message}",
        errors=[FieldProblem(field=field, message=message)],
    )


class Page(BaseModel, Generic[T]):
    """One page of a list; `next_cursor` is null on the last one."""

    items: list[T]
    next_cursor: str | None = None


def encode_cursor(*parts: Any) -> str:
    """An opaque cursor that holds the sort key of a page's last row."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def decode_cursor(text: str, length: int) -> list[Any]:
    """The parts of a cursor; 422 for one that was not made here."""
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        raise invalid("cursor", "is not a cursor of this list") from None
    if not isinstance(parts, list) or len(parts) != length:
        raise invalid("cursor", "is not a cursor of this list")
    return parts


Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
Readiness = Callable[[], Awaitable[Mapping[str, bool]]]


def create_app(
    service: str,
    *,
    title: str,
    ready: Readiness,
    live: Callable[[], Mapping[str, bool]],
    lifespan: Lifespan | None = None,
    documents: bool = True,
) -> FastAPI:
    """A service's HTTP application with what none may lack: health, metrics, documents, problems.

    `ready` names the parts that must answer for traffic to be sent here, `live` those whose death only a
    restart can mend. `documents` is false for what serves pages and no API of its own.
    """
    app = FastAPI(
        title=f"Connected Inbox: {title}",
        version="1",
        lifespan=lifespan,
        docs_url="/docs" if documents else None,
        openapi_url="/openapi.json" if documents else None,
        redoc_url=None,
        responses={"default": {"description": "A problem (RFC 9457).", "model": ProblemBody}},
    )

    @app.exception_handler(Problem)
    async def _problem(_request: Request, problem: Problem) -> Response:
        return problem.response()

    @app.exception_handler(NotModified)
    async def _not_modified(_request: Request, unchanged: NotModified) -> Response:
        return Response(status_code=304, headers={"ETag": unchanged.tag})

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        errors = [
            FieldProblem(
                field=_field_of(problem["loc"]),
                message=str(problem["msg"]).removeprefix("Value error, "),
            )
            for problem in error.errors()
        ]
        detail = "; ".join(f"{problem.field}: {problem.message}" for problem in errors)
        return Problem(422, "Unprocessable Content", detail, errors=errors).response()

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> Response:
        return Problem(error.status_code, str(error.detail), headers=error.headers).response()

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        trace = tracing.about(request.scope.get("traceparent"))
        if is_transient(error):
            log.warning("request_waits_for_the_database", error=type(error).__name__, **trace)
            return Problem(
                503, "Service Unavailable", "the database does not answer; try again", headers={"Retry-After": "5"}
            ).response()
        log.error("request_failed", exc_info=error, **trace)
        return Problem(500, "Internal Server Error").response()

    @app.get("/health/live", include_in_schema=False)
    async def _live() -> Response:
        parts = dict(live())
        return JSONResponse(parts, status_code=200 if all(parts.values()) else 503)

    @app.get("/health/ready", include_in_schema=False)
    async def _ready() -> Response:
        parts = dict(await ready())
        return JSONResponse(parts, status_code=200 if all(parts.values()) else 503)

    @app.get("/metrics", include_in_schema=False)
    async def _metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    if documents:

        @app.get("/asyncapi.json", include_in_schema=False)
        async def _asyncapi() -> Response:
            return JSONResponse(asyncapi(service))

    app.add_middleware(Measured, service=service)
    app.add_middleware(tracing.Requests)
    return app


class Measured:
    """Measures each request under its route's template, so that no id becomes a label."""

    def __init__(self, app: Any, *, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = scope.get("route")
            template = getattr(route, "path", "none")
            HTTP_SECONDS.labels(
                service=self._service,
                method=scope["method"],
                route=template,
                status=str(status),
            ).observe(time.perf_counter() - began)


def _field_of(location: Sequence[Any]) -> str:
    parts = [str(part) for part in location]
    if len(parts) > 1 and parts[0] in ("body", "query", "path", "header"):
        parts = parts[1:]
    return ".".join(parts)
