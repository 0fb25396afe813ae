"""Spans by OpenTelemetry, exported over OTLP/HTTP from a thread of their own. Imported only where they are wanted.

Everything is configured by OpenTelemetry's own variables: `OTEL_EXPORTER_OTLP_*`, `OTEL_TRACES_SAMPLER`,
`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

_KINDS: Final = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}


class Span:
    """One span, open until `end()`."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def note(self, attributes: Mapping[str, str | int]) -> None:
        """Add attributes."""
        self._span.set_attributes(attributes)

    def name(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(name)

    def failed(self, because: str) -> None:
        """Mark it as an error."""
        self._span.set_attribute("error.type", because)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """Hand it over for export."""
        self._span.end()


class Spans:
    """Begins spans, and exports them in batches."""

    def __init__(self, service: str) -> None:
        resource = Resource.create({"service.name": service, "service.namespace": "connected-inbox"})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("connected_inbox")

    def begin(self, name: str, parent: str | None, kind: str, attributes: Mapping[str, str | int]) -> Span:
        """A span under `parent` (a traceparent), or the first of a new trace."""
        context = None
        if parent is not None:
            remote = SpanContext(
                trace_id=int(parent[3:35], 16),
                span_id=int(parent[36:52], 16),
                is_remote=True,
                trace_flags=TraceFlags(int(parent[53:55], 16)),
            )
            context = trace.set_span_in_context(NonRecordingSpan(remote))
        return Span(self._tracer.start_span(name, context, _KINDS[kind], attributes))

    def close(self) -> None:
        """Export what is left."""
        self._provider.shutdown()
