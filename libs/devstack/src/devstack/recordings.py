"""Real traffic from a file: CloudEvents in structured mode, one JSON document a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from contracts.envelope import Event, Poison, UnknownEvent, decode
from contracts.telephony import EVENTS
from contracts.topics import TELEPHONY_EVENTS
from devstack.simulator import Record, key_for
from service_kit.publishing import Outgoing

STRUCTURED_HEADERS = [("content-type", b"application/cloudevents+json")]


class BadLine(ValueError):
    """A line that is no event of the contract; the message names the line and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a file, as it stands there. `event` is None for a type that the contract does not know."""

    number: int
    value: bytes
    key: bytes
    event: Event[Any] | None


def read(lines: Iterable[bytes]) -> Iterator[Line]:
    """The events of a file, one after another; empty lines are passed over.

    Raises `BadLine` at the first line that routing would dead-letter. An unknown type is no mistake:
    consumers count it and skip it.
    """
    for number, text in enumerate(lines, 1):
        value = text.strip()
        if not value:
            continue
        try:
            event = decode(value, STRUCTURED_HEADERS, EVENTS)
        except Poison as poison:
            raise BadLine(f"line {number}: {poison.detail} ({poison.reason})") from None
        if isinstance(event, UnknownEvent):
            yield Line(number, value, _first_id(value), None)
        else:
            yield Line(number, value, key_for(event.data), event)


def outgoing(line: Line) -> Outgoing:
    """A line as a record: its very bytes, in structured mode."""
    return Outgoing(TELEPHONY_EVENTS.name, line.key, line.value, list(STRUCTURED_HEADERS))


def as_line(record: Record) -> bytes:
    """A simulated record as a line of such a file."""
    if record.headers != STRUCTURED_HEADERS:
        raise ValueError("only a record in structured mode is a line by itself")
    return record.value + b"\n"


def _first_id(value: bytes) -> bytes:
    document = orjson.loads(value)
    data = document.get("data")
    if isinstance(data, dict):
        for name in ("call_id", "message_id"):
            if isinstance(data.get(name), str):
                return str(data[name]).encode()
    return str(document["id"]).encode()
