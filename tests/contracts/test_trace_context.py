"""A record's trace context is read wherever it may stand, and what is none is ignored."""

from __future__ import annotations

import orjson
import pytest

from contracts.envelope import Event, decode, encode, structured, traceparent_of
from contracts.telephony import EVENTS
from contracts.trace_context import is_sampled, trace_id_of, traceparent_in

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
RECORDED = f"00-{TRACE}-00f067aa0ba902b7-01"
NOT_RECORDED = f"00-{TRACE}-00f067aa0ba902b7-00"
DATA = {"call_id": "c1"}
HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"e1"),
    ("ce_source", b"/pbx"),
    ("ce_type", b"telephony.call.ended.v1"),
    ("ce_time", b"2026-03-02T19:05:00Z"),
    ("ce_accountid", b"acme"),
]


def traceparent_read(*headers: tuple[str, bytes]) -> str | None:
    event = decode(orjson.dumps(DATA), [*HEADERS, *headers], EVENTS)
    assert isinstance(event, Event)
    return event.traceparent


def test_the_context_stands_in_the_attribute_or_in_the_plain_header_of_a_kafka_client() -> None:
    assert traceparent_read(("ce_traceparent", RECORDED.encode())) == RECORDED
    assert traceparent_read(("traceparent", RECORDED.encode())) == RECORDED
    assert traceparent_read(("Traceparent", NOT_RECORDED.encode()), ("X-Else", b"\xff")) == NOT_RECORDED
    assert traceparent_read() is None


def test_a_structured_event_may_carry_it_inside_or_beside() -> None:
    event = decode(orjson.dumps(DATA), HEADERS, EVENTS)
    assert isinstance(event, Event)
    beside = decode(structured(event), [("traceparent", RECORDED.encode())], EVENTS)
    event.traceparent = RECORDED
    inside = decode(structured(event), [("traceparent", NOT_RECORDED.encode())], EVENTS)
    assert isinstance(beside, Event)
    assert isinstance(inside, Event)
    assert beside.traceparent == inside.traceparent == RECORDED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        TRACE,
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"{RECORDED}-more",
        f"{RECORDED}\n",
        '"}\n{"event": "forged"',
    ],
)
def test_what_is_no_context_is_ignored_and_the_event_is_good(text: str) -> None:
    assert traceparent_in(text) is None
    assert traceparent_read(("ce_traceparent", text.encode())) is None


def test_a_header_of_others_that_is_not_text_never_spoils_an_event() -> None:
    assert traceparent_read(("traceparent", b"\xff\xfe")) is None


def test_a_newer_version_is_read_as_the_one_that_we_know() -> None:
    assert traceparent_in(f"01-{TRACE}-00f067aa0ba902b7-01-what-ever") == RECORDED


def test_the_parts_of_a_context() -> None:
    assert trace_id_of(RECORDED) == TRACE
    assert is_sampled(RECORDED)
    assert not is_sampled(NOT_RECORDED)


def test_a_record_that_can_not_be_decoded_still_tells_its_trace() -> None:
    assert traceparent_of([("ce_id", b"1"), ("CE_Traceparent", RECORDED.encode())]) == RECORDED
    assert traceparent_of([("traceparent", None)]) is None
    event = decode(orjson.dumps(DATA), [*HEADERS, ("traceparent", RECORDED.encode())], EVENTS)
    assert isinstance(event, Event)
    assert traceparent_of(encode(event)[1]) == RECORDED
