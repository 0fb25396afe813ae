"""Traces: one id from a telephony event, or a request, to the e-mail that it caused (W3C Trace Context).

The id travels in the CloudEvents attribute `traceparent` and stands in every log line about its record, request
or e-mail. Spans are made and exported only where `OTEL_EXPORTER_OTLP_ENDPOINT` is set: without it OpenTelemetry's
SDK is not even imported, and a context that comes in goes out as it came.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from contracts.topics import SERVICES, Topic
from contracts.trace_context import is_sampled, trace_id_of, traceparent_in

if TYPE_CHECKING:
    from service_kit.consuming import Received
    from service_kit.spans import Span, Spans

log = structlog.get_logger()

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SHUT_DOWN_SECONDS: Final = 5.0
_REPLAY_AFTER: Final = timedelta(hours=1)
_NOT_TRACED: Final = frozenset({"/health/live", "/health/ready", "/metrics", "/v1/stream"})

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)
_spans: Spans | None = None


def configure(service: str, environment: Mapping[str, str] = os.environ) -> None:
    """Export spans as this service, if the environment names a collector.

    How many traces begin here is OpenTelemetry's setting (`OTEL_TRACES_SAMPLER`); what comes with a context keeps
    to its flag.
    """
    global _spans
    _spans = None
    if any(environment.get(name) for name in _ENDPOINTS) and environment.get("OTEL_SDK_DISABLED") != "true":
        # Only now: the import alone costs a fifth of a second and several megabytes.
        from service_kit.spans import Spans

        _spans = Spans(service)


async def shut_down() -> None:
    """Send what waits to be exported, within five seconds."""
    global _spans
    if _spans is not None:
        spans, _spans = _spans, None
        try:
            async with asyncio.timeout(_SHUT_DOWN_SECONDS):
                await asyncio.to_thread(spans.close)
        except TimeoutError:
            log.warning("spans_not_exported")


def current() -> str | None:
    """The trace context of the request, timer run or e-mail at work; None where it has none."""
    return _current.get()


def about(traceparent: str | None) -> dict[str, str]:
    """The trace id as a field for a log line; nothing where there is none."""
    return {} if traceparent is None else {"trace_id": trace_id_of(traceparent)}


@contextmanager
def work(
    name: str, parent: str | None = None, *, kind: str = "internal", begins: bool = False, **attributes: str | int
) -> Iterator[Work]:
    """Do something in a trace: a span of its own where spans are made, and its id in every log line.

    Without `parent` a new trace begins if `begins` says so, else there is none.
    """
    if parent is None and not begins:
        yield Work(None)
        return
    span = None if _spans is None else _spans.begin(name, parent, kind, attributes)
    traceparent = parent if span is None else span.traceparent
    if traceparent is None:
        # Nobody records it, but log lines and what follows can still be told to belong together.
        traceparent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
    token = _current.set(traceparent)
    try:
        with structlog.contextvars.bound_contextvars(**about(traceparent)):
            yield Work(span)
    except BaseException as error:
        if span is not None:
            span.failed(type(error).__name__)
        raise
    finally:
        _current.reset(token)
        if span is not None:
            span.end()


class Work:
    """What is being done: to be told more of as it becomes known."""

    __slots__ = ("_span",)

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def note(self, **attributes: str | int) -> None:
        """Add to what the span says."""
        if self._span is not None:
            self._span.note(attributes)

    def name(self, name: str) -> None:
        """Call the span by what it turned out to be."""
        if self._span is not None:
            self._span.name(name)

    def failed(self, because: str) -> None:
        """Mark the span as an error; `because` names a kind, never a value."""
        if self._span is not None:
            self._span.failed(because)


class Requests:
    """ASGI middleware: each request is in its caller's trace (header `traceparent`), or in a new one."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] in _NOT_TRACED:
            await self._app(scope, receive, send)
            return
        parent = None
        for name, value in scope["headers"]:
            if name == b"traceparent":
                parent = traceparent_in(value.decode("latin-1"))
        with work(scope["method"], parent, kind="server", begins=True) as span:
            # For the handler of what nobody expected: it runs outside of every middleware.
            scope["traceparent"] = current()

            async def noting(message: Any) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.note(**{"http.response.status_code": status})
                    if status >= 500:
                        span.failed(str(status))
                await send(message)

            try:
                await self._app(scope, receive, noting)
            finally:
                span.note(**{"http.request.method": scope["method"]})
                route = getattr(scope.get("route"), "path", None)
                if route is not None:
                    span.note(**{"http.route": route})
                    span.name(f"{scope['method']} {route}")


def records(topic: Topic, group: str, received: Sequence[Received[Any]], now: datetime) -> Sequence[Span]:
    """Begin a span for each traced record of a batch; what follows from the record is in it. None costs nothing.

    A trace begins only with what comes from outside: who consumes our own events goes on with theirs, or has none.
    What happened over an hour ago is a replay, and adds nothing to a trace that was whole long since.
    """
    if _spans is None:
        return ()
    from_outside = not any(producer in SERVICES for producer in topic.producers)
    begun: list[Span] = []
    for one in received:
        event = one.event
        parent = event.traceparent
        if parent is None and not from_outside:
            continue
        if parent is not None and not is_sampled(parent):
            continue
        # Republished, our own events are appended anew; of others' clocks nothing is believed.
        happened_at = one.appended_at if from_outside else min(one.appended_at, event.time)
        if now - happened_at > _REPLAY_AFTER:
            continue
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic.name,
            "messaging.destination.partition.id": str(one.partition),
            "messaging.kafka.offset": one.offset,
            "messaging.consumer.group.name": group,
            "cloudevents.event_type": event.type,
        }
        span = _spans.begin(f"process {topic.name}", parent, "consumer", attributes)
        event.traceparent = span.traceparent
        begun.append(span)
    return begun
