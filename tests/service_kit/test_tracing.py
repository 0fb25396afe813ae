"""Without a collector a trace's id still stands in log lines and goes on with what follows, and nothing is paid."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI

from contracts.envelope import Event, traceparent_of
from contracts.topics import COMMUNICATION_EVENTS, INBOX_EVENTS, TELEPHONY_EVENTS, Topic
from service_kit import outbox, tracing
from service_kit.consuming import Received
from service_kit.database import Database
from service_kit.http import create_app
from service_kit.publishing import Outgoing
from tests.support import FreshDatabase
from tests.support.collector import running_collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SENT = f"00-{TRACE}-00f067aa0ba902b7-01"
UNRECORDED = f"00-{TRACE}-00f067aa0ba902b7-00"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_the_sdk_is_not_imported_unless_a_collector_is_named() -> None:
    asked = (
        "import sys; from service_kit import running, tracing; tracing.configure('routing', {});"
        "print(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "False\n"


def an_app() -> tuple[FastAPI, list[dict[str, str]]]:
    async def ready() -> dict[str, bool]:
        return {}

    app, lines = create_app("tests", title="tests", ready=ready, live=dict), []

    @app.get("/v1/look")
    async def look() -> str | None:
        lines.append(dict(structlog.contextvars.get_contextvars()))
        return tracing.current()

    return app, lines


async def test_a_request_is_in_its_callers_trace_and_so_are_its_log_lines() -> None:
    app, lines = an_app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tests") as client:
        assert (await client.get("/v1/look", headers={"traceparent": SENT})).json() == SENT
        first = (await client.get("/v1/look", headers={"traceparent": "nonsense"})).json()
        second = (await client.get("/v1/look")).json()
    assert [line["trace_id"] for line in lines] == [TRACE, first[3:35], second[3:35]]
    assert len({TRACE, first[3:35], second[3:35]}) == 3
    # Nobody records what began here.
    assert first.endswith("-00")
    assert tracing.current() is None


async def test_what_a_request_publishes_is_in_its_trace(database: FreshDatabase) -> None:
    pool = Database(database.dsn("inbox_state"), "inbox_state")
    await pool.open()
    try:
        plain = Outgoing(INBOX_EVENTS.name, b"k", b"{}", [("ce_id", b"1")])
        traced = Outgoing(INBOX_EVENTS.name, b"k", b"{}", [("ce_traceparent", b"00-its-own")])
        async with pool.transaction() as connection:
            with tracing.work("request", SENT):
                await outbox.add(connection, [plain, traced])
            await outbox.add(connection, [plain])
            rows = await connection.fetch("SELECT header_names, header_values FROM outbox ORDER BY id")
        headers = [list(zip(row["header_names"], row["header_values"], strict=True)) for row in rows]
        assert traceparent_of(headers[0]) == SENT
        assert headers[1] == [("ce_traceparent", b"00-its-own")]
        assert headers[2] == [("ce_id", b"1")]
    finally:
        await pool.close()


async def test_work_that_fails_ends_its_span_as_an_error_and_an_unrecorded_trace_gets_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_collector() as collector:
        for name, value in collector.environment.items():
            monkeypatch.setenv(name, value)
        tracing.configure("tests")
        with pytest.raises(RuntimeError), tracing.work("send e-mail", SENT):
            raise RuntimeError
        with tracing.work("send e-mail", UNRECORDED):
            assert str(tracing.current())[3:35] == TRACE
        with tracing.work("nothing asked for it"):
            assert tracing.current() is None
        await tracing.shut_down()
    (span,) = collector.spans
    assert (span.name, span.failed, span.attributes["error.type"]) == ("send e-mail", True, "RuntimeError")


async def test_only_what_is_new_and_recorded_gets_a_span_and_only_what_comes_from_outside_begins_a_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def received(topic: Topic, traceparent: str | None, ago: timedelta = timedelta(0)) -> Received[Any]:
        event: Event[Any] = Event("1", "/x", "t", NOON - ago, "acme", None, traceparent)
        return Received(event, NOON, topic.name, 0, 1)

    with running_collector() as collector:
        for name, value in collector.environment.items():
            monkeypatch.setenv(name, value)
        tracing.configure("tests")
        from_outside = [received(TELEPHONY_EVENTS, traceparent) for traceparent in (None, SENT, UNRECORDED)]
        ours = [received(COMMUNICATION_EVENTS, traceparent) for traceparent in (None, SENT, UNRECORDED)]
        republished = received(COMMUNICATION_EVENTS, SENT, timedelta(hours=2))
        for topic, batch in ((TELEPHONY_EVENTS, from_outside), (COMMUNICATION_EVENTS, [*ours, republished])):
            for span in tracing.records(topic, "tests", batch, NOON):
                span.end()
        await tracing.shut_down()
    assert len(collector.spans) == 3
    begun, followed, unrecorded = (one.event.traceparent for one in from_outside)
    assert begun is not None
    assert followed is not None
    assert (begun[3:35] != TRACE, followed[3:35], unrecorded) == (True, TRACE, UNRECORDED)
    # What follows is a child of the span, not of what came before it.
    assert followed != SENT
    assert ours[0].event.traceparent is None
    assert (ours[1].event.traceparent or "")[3:35] == TRACE
    assert republished.event.traceparent == SENT
