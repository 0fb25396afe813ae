"""What the envelope accepts, what it repairs, and why it refuses the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from contracts.envelope import Event, Poison, Reason, UnknownEvent, decode, encode
from contracts.telephony import EVENTS, CallEnded, MessageReceived

STARTED = "telephony.call.started.v1"
HAPPENED_AT = "2026-03-02T14:00:00-05:00"


def a_call_started(**changed: Any) -> dict[str, Any]:
    """A structured `call.started`: keywords replace attributes (`data__x`: of its data), None takes away."""
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": "1",
        "source": "/pbx",
        "type": STARTED,
        "time": HAPPENED_AT,
        "accountid": "acme",
        "data": {
            "call_id": "c1",
            "direction": "inbound",
            "line_number": "+12125550100",
            "contact_number": "+16175550123",
        },
    }
    for name, value in changed.items():
        place = document["data"] if name.startswith("data__") else document
        field = name.removeprefix("data__")
        if value is None:
            place.pop(field, None)
        else:
            place[field] = value
    return document


def binary_headers(**changed: bytes | None) -> list[tuple[str, bytes | None]]:
    headers: dict[str, bytes | None] = {
        "specversion": b"1.0",
        "id": b"1",
        "source": b"/pbx",
        "type": STARTED.encode(),
        "time": HAPPENED_AT.encode(),
        "accountid": b"acme",
    }
    return [(f"ce_{name}", value) for name, value in (headers | changed).items()]


def poison_of(value: bytes | None, headers: list[tuple[str, bytes | None]] | None = None) -> Poison:
    with pytest.raises(Poison) as refused:
        decode(value, headers or [], EVENTS, datetime(2026, 3, 2, 19, 0, tzinfo=UTC))
    return refused.value


def test_a_json_body_with_specversion_is_structured_without_any_header() -> None:
    event = decode(orjson.dumps(a_call_started()), [], EVENTS)
    assert isinstance(event, Event)
    assert (event.id, event.source, event.account_id) == ("1", "/pbx", "acme")
    assert event.time == datetime(2026, 3, 2, 19, 0, tzinfo=UTC)
    assert event.time.tzinfo is UTC


def test_attributes_in_headers_make_it_binary() -> None:
    value = orjson.dumps(a_call_started()["data"])
    event = decode(value, binary_headers(), EVENTS)
    assert event == decode(orjson.dumps(a_call_started()), [], EVENTS)


def test_the_content_type_decides_when_headers_and_body_both_look_like_an_event() -> None:
    headers = [
        *binary_headers(id=b"of-the-header"),
        ("content-type", b"application/cloudevents+json; charset=utf-8"),
    ]
    event = decode(orjson.dumps(a_call_started(id="of-the-body")), headers, EVENTS)
    assert isinstance(event, Event)
    assert event.id == "of-the-body"


def test_header_names_are_read_in_any_case() -> None:
    headers = [(name.upper(), value) for name, value in binary_headers()]
    assert isinstance(decode(orjson.dumps(a_call_started()["data"]), headers, EVENTS), Event)


def test_unknown_attributes_and_fields_are_ignored() -> None:
    document = a_call_started(subject="x", partitionkey="y", data__colour="green")
    assert decode(orjson.dumps(document), [], EVENTS) == decode(orjson.dumps(a_call_started()), [], EVENTS)


def test_a_type_that_is_not_known_is_told_apart_from_poison() -> None:
    document = a_call_started(type="telephony.fax.received.v1", data={"pages": 3})
    assert decode(orjson.dumps(document), [], EVENTS) == UnknownEvent("telephony.fax.received.v1")


def test_what_we_write_we_read() -> None:
    event = Event(
        id="c1-ended",
        source="/pbx",
        type="telephony.call.ended.v1",
        time=datetime(2026, 3, 2, 19, 5, 0, 120_000, tzinfo=UTC),
        account_id="acme",
        data=CallEnded(call_id="c1", outcome="completed"),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        origin_at=datetime(2026, 3, 2, 19, 5, 0, 90_000, tzinfo=UTC),
    )
    value, headers = encode(event)
    assert decode(value, list(headers), EVENTS) == event


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_a_nul_in_a_body_becomes_a_replacement_character(mode: str) -> None:
    data = {
        "message_id": "m1",
        "direction": "inbound",
        "line_number": "+12125550100",
        "contact_number": "+16175550123",
        "body": "before\0after",
    }
    kind = "telephony.message.received.v1"
    if mode == "structured":
        event = decode(orjson.dumps(a_call_started(type=kind, data=data)), [], EVENTS)
    else:
        event = decode(orjson.dumps(data), binary_headers(type=kind.encode()), EVENTS)
    assert isinstance(event, Event)
    assert isinstance(event.data, MessageReceived)
    assert event.data.body == "before\ufffdafter"


def test_a_nul_in_an_id_becomes_a_replacement_character() -> None:
    event = decode(orjson.dumps(a_call_started(id="a\0b", data__call_id="c\0d")), [], EVENTS)
    assert isinstance(event, Event)
    assert (event.id, event.data.call_id) == ("a\ufffdb", "c\ufffdd")


@pytest.mark.parametrize("number", [None, "", "anonymous", "Restricted", "72975", "+1 (617) 555-0123"])
def test_an_odd_number_is_never_poison(number: str | None) -> None:
    document = a_call_started()
    document["data"]["contact_number"] = number
    assert isinstance(decode(orjson.dumps(document), [], EVENTS), Event)


def test_an_outcome_that_is_not_known_is_kept() -> None:
    document = a_call_started(type="telephony.call.ended.v1", data={"call_id": "c1", "outcome": "rerouted"})
    event = decode(orjson.dumps(document), [], EVENTS)
    assert isinstance(event, Event)
    assert event.data.outcome == "rerouted"


def test_what_others_put_in_their_own_headers_does_not_matter() -> None:
    headers: list[tuple[str, bytes | None]] = [("x-trace", b"\xff\xfe"), ("x-empty", None), *binary_headers()]
    assert isinstance(decode(orjson.dumps(a_call_started()["data"]), headers, EVENTS), Event)


@pytest.mark.parametrize(
    ("value", "reason", "names"),
    [
        pytest.param(None, Reason.NULL_VALUE, "value", id="null value"),
        pytest.param(b"", Reason.NOT_JSON, "JSON", id="empty value"),
        pytest.param(b'{"specversion": "1.0", ', Reason.NOT_JSON, "JSON", id="bad JSON"),
        pytest.param(b"\xff\xfe\x00", Reason.NOT_JSON, "JSON", id="bytes that are no text"),
        pytest.param(b"[1, 2]", Reason.NOT_A_CLOUDEVENT, "object", id="a list"),
        pytest.param(b'{"hello": "world"}', Reason.NOT_A_CLOUDEVENT, "specversion", id="some other JSON"),
        pytest.param(b'{"specversion": "1.0"}', Reason.NOT_A_CLOUDEVENT, "id", id="no attributes"),
    ],
)
def test_what_is_no_event_is_poison(value: bytes | None, reason: Reason, names: str) -> None:
    poison = poison_of(value)
    assert poison.reason is reason
    assert names in poison.detail


@pytest.mark.parametrize("attribute", ["id", "source", "type", "time", "accountid"])
def test_a_missing_attribute_is_poison_that_names_it(attribute: str) -> None:
    in_the_body = poison_of(orjson.dumps(a_call_started(**{attribute: None})))
    in_the_headers = poison_of(
        orjson.dumps(a_call_started()["data"]), [h for h in binary_headers() if h[0] != f"ce_{attribute}"]
    )
    empty = poison_of(orjson.dumps(a_call_started(**{attribute: ""})))
    for poison in (in_the_body, in_the_headers, empty):
        assert poison.reason is Reason.NOT_A_CLOUDEVENT
        assert attribute in poison.detail


@pytest.mark.parametrize("attribute", ["id", "source", "type", "time", "accountid"])
def test_a_null_header_counts_as_missing(attribute: str) -> None:
    poison = poison_of(orjson.dumps(a_call_started()["data"]), binary_headers(**{attribute: None}))
    assert poison.reason is Reason.NOT_A_CLOUDEVENT
    assert attribute in poison.detail


@pytest.mark.parametrize("attribute", ["id", "source", "type", "time", "accountid"])
def test_a_header_that_is_not_utf_8_is_poison_that_names_it(attribute: str) -> None:
    poison = poison_of(orjson.dumps(a_call_started()["data"]), binary_headers(**{attribute: b"\xff\xfe"}))
    assert poison.reason is Reason.BAD_HEADER
    assert attribute in poison.detail


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"id": 7}, "id"),
        ({"time": 1772478000}, "time"),
        ({"accountid": "not an id"}, "accountid"),
        ({"accountid": "a" * 65}, "accountid"),
        ({"id": "x" * 513}, "id"),
        ({"source": "/" + "x" * 2048}, "source"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-03-02T14:00:00"}, "offset"),
        ({"time": "2026-02-30T14:00:00Z"}, "time"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "time"),
    ],
)
def test_an_attribute_of_the_wrong_kind_is_poison_that_names_it(changed: dict[str, Any], names: str) -> None:
    poison = poison_of(orjson.dumps(a_call_started(**changed)))
    assert poison.reason is Reason.BAD_ATTRIBUTE
    assert names in poison.detail


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"data__call_id": None}, "data.call_id"),
        ({"data__call_id": ""}, "data.call_id"),
        ({"data__call_id": 7}, "data.call_id"),
        ({"data__call_id": "x" * 256}, "data.call_id"),
        ({"data__call_id": "line\nbreak"}, "data.call_id"),
        ({"data__direction": None}, "data.direction"),
        ({"data__direction": "sideways"}, "data.direction"),
        ({"data__line_number": None}, "data.line_number"),
        ({"data__line_number": ["+12125550100"]}, "data.line_number"),
        ({"data__menu": "perhaps"}, "data.menu"),
        ({"data__contact_name": "x" * 1_001}, "data.contact_name"),
        ({"data": None}, "data."),
        ({"data": "c1"}, "data"),
    ],
)
def test_data_that_breaks_a_rule_is_poison_that_names_the_field(changed: dict[str, Any], names: str) -> None:
    poison = poison_of(orjson.dumps(a_call_started(**changed)))
    assert poison.reason is Reason.BAD_DATA
    assert poison.detail.startswith(names)


def test_bad_json_in_binary_mode_is_poison() -> None:
    assert poison_of(b"{nope", binary_headers()).reason is Reason.NOT_JSON


def test_the_detail_never_repeats_what_was_written() -> None:
    for document in (
        a_call_started(data__direction="+16175550199"),
        a_call_started(accountid="+16175550199"),
        a_call_started(time="+16175550199"),
    ):
        assert "6175550199" not in poison_of(orjson.dumps(document)).detail


def test_a_time_more_than_a_day_ahead_of_the_broker_is_poison() -> None:
    appended_at = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    at_the_limit = a_call_started(time=(appended_at + timedelta(hours=24)).isoformat())
    beyond = a_call_started(time=(appended_at + timedelta(hours=24, seconds=1)).isoformat())
    assert isinstance(decode(orjson.dumps(at_the_limit), [], EVENTS, appended_at), Event)
    with pytest.raises(Poison) as refused:
        decode(orjson.dumps(beyond), [], EVENTS, appended_at)
    assert refused.value.reason is Reason.IN_THE_FUTURE


def test_a_time_of_long_ago_is_welcome() -> None:
    document = a_call_started(time="1999-12-31T23:59:59.999999+00:00")
    assert isinstance(decode(orjson.dumps(document), [], EVENTS, datetime(2026, 3, 2, tzinfo=UTC)), Event)
