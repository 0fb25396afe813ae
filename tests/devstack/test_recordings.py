"""Recorded traffic is checked line by line and published as it stands in the file."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import orjson
import pytest

from contracts.catalogue import examples
from contracts.telephony import EVENTS
from devstack.recordings import BadLine, as_line, outgoing, read
from devstack.simulator import a_company, day, randomness

GOLDEN = [orjson.dumps(example.document) for example in examples() if example.type in EVENTS]


def test_every_golden_telephony_event_can_be_recorded() -> None:
    lines = list(read(GOLDEN))
    assert [line.value for line in lines] == GOLDEN
    assert all(line.event is not None for line in lines)


def test_a_line_is_published_with_its_own_bytes_under_its_call() -> None:
    text = orjson.dumps(orjson.loads(GOLDEN[0]) | {"subject": "kept too"})
    (line,) = read([b"  " + text + b"\n"])
    record = outgoing(line)
    assert record.key == orjson.loads(text)["data"]["call_id"].encode()
    assert record.value == text
    assert record.headers == [("content-type", b"application/cloudevents+json")]


def test_the_line_that_is_wrong_is_named() -> None:
    with pytest.raises(BadLine, match=r"line 3: attribute time is missing"):
        list(read([GOLDEN[0], b"\n", orjson.dumps({"specversion": "1.0", "id": "1", "source": "/", "type": "t"})]))
    with pytest.raises(BadLine, match=r"line 1: the value is not JSON"):
        list(read([b"{oops"]))


def test_an_unknown_type_is_published_too() -> None:
    document = orjson.loads(GOLDEN[0]) | {"type": "telephony.fax.received.v1", "data": {"pages": 2}}
    (line,) = read([orjson.dumps(document)])
    assert line.event is None
    assert line.key == document["id"].encode()


def test_a_simulated_day_can_be_written_and_read_back() -> None:
    told = day(a_company("acme", inboxes=1, agents=2), date(2026, 3, 3), ZoneInfo("UTC"), randomness(1), 300)
    lines = list(read(as_line(record) for record in told.records))
    assert [(line.key, line.value) for line in lines] == [(record.key, record.value) for record in told.records]
