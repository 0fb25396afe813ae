"""CloudEvents 1.0 over Kafka: reading both content modes, writing the binary one.

Sources: CloudEvents 1.0.2 and its Kafka protocol binding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from contracts.trace_context import traceparent_in

D = TypeVar("D", bound=BaseModel)

Headers = Sequence[tuple[str, bytes | None]]

MAX_AHEAD: Final = timedelta(hours=24)
"""How far an event's time may lie ahead of the broker's clock before it is poison."""

_CONTENT_TYPE: Final = "content-type"
_TRACEPARENT: Final = "traceparent"
_STRUCTURED: Final = "application/cloudevents"
_is_account_id: Final = lru_cache(10_000)(re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}").fullmatch)
_REQUIRED: Final = ("specversion", "id", "source", "type", "time", "accountid")
_BINARY: Final = tuple(f"ce_{name}" for name in _REQUIRED)
_EXAMPLE_TIME: Final = "2026-03-01T09:30:00Z"
_EXPIRY: Final = "ce_expirytime"


class Reason(StrEnum):
    """Why a record was dead-lettered: a closed list, because it is a metric label."""

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    BAD_HEADER = "bad_header"
    NOT_JSON = "not_json"
    NOT_A_CLOUDEVENT = "not_a_cloudevent"
    BAD_ATTRIBUTE = "bad_attribute"
    BAD_DATA = "bad_data"
    IN_THE_FUTURE = "in_the_future"
    KIND_CHANGED = "kind_changed"
    REFUSED_BY_DATABASE = "refused_by_database"
    HANDLER_FAILED = "handler_failed"


class Poison(Exception):
    """A record that can never be processed, with a reason for operators and a detail that names the field.

    The detail never repeats a value: what a caller wrote does not belong in logs (architecture §6).
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class Event(Generic[D]):
    """One CloudEvent with its data as a model. `time` is aware and in UTC.

    `traceparent` is the trace context of W3C (the distributed tracing extension), None where none or a bad one
    came. `origin_at` (extension `originat`) is the broker's append time of the telephony record that brought the
    change about: what the latency metrics are measured from. `expires_at` (extension `expirytime`) is when it is of
    no more use: who passes it on later drops it. `json` is the data as it came, where it came as JSON of its own
    (binary mode) and needed no repair.
    """

    id: str
    source: str
    type: str
    time: datetime
    account_id: str
    data: D
    traceparent: str | None = None
    origin_at: datetime | None = None
    json: bytes | None = field(default=None, compare=False)
    expires_at: datetime | None = None


@dataclass(slots=True)
class UnknownEvent:
    """A well-formed event of a type that the reader does not know: counted and skipped (contract §2)."""

    type: str


def decode(
    value: bytes | None,
    headers: Headers,
    types: Mapping[str, type[BaseModel]],
    appended_at: datetime | None = None,
    max_bytes: int | None = None,
) -> Event[Any] | UnknownEvent:
    """Read one Kafka record as an event, in structured or binary mode.

    `types` maps event types to the models of their data. With `appended_at` (the broker's time) an event
    that claims to be more than a day ahead of it is refused; so is a value of more than `max_bytes`. Raises
    `Poison` for whatever breaks the contract; U+0000 in any string becomes U+FFFD instead, since Postgres
    can't hold it.
    """
    if value is None:
        raise Poison(Reason.NULL_VALUE, "the record has no value")
    if max_bytes is not None and len(value) > max_bytes:
        raise Poison(Reason.TOO_LARGE, f"the value has over {max_bytes} bytes")
    attributes = _attributes(headers)
    body, prefix, names = None, "ce_", _BINARY
    if _BINARY[0] not in attributes or attributes.get(_CONTENT_TYPE, "").startswith(_STRUCTURED):
        carried = attributes.get(_TRACEPARENT)
        attributes, body = _structured(value)
        if carried:
            attributes.setdefault(_TRACEPARENT, carried)
        prefix, names = "", _REQUIRED
    specversion, event_id, source, event_type, time_text, account_id = required = [*map(attributes.get, names)]
    if not (specversion and event_id and source and event_type and time_text and account_id):
        missing = _REQUIRED[next(at for at, text in enumerate(required) if not text)]
        raise Poison(Reason.NOT_A_CLOUDEVENT, f"attribute {missing} is missing")
    if specversion != "1.0":
        raise Poison(Reason.NOT_A_CLOUDEVENT, "attribute specversion is not 1.0")
    model = types.get(event_type)
    if model is None:
        return UnknownEvent(type=event_type)
    if not _is_account_id(account_id):
        raise Poison(Reason.BAD_ATTRIBUTE, "attribute accountid is not an account id")
    if len(event_id) > 512 or len(source) > 2048:
        raise Poison(Reason.BAD_ATTRIBUTE, "attribute id or source is too long")
    time = parse_time(time_text)
    if appended_at is not None and time - appended_at > MAX_AHEAD:
        raise Poison(
            Reason.IN_THE_FUTURE,
            "attribute time is more than 24 h ahead of the broker's clock",
        )
    as_it_came = None
    try:
        if body is not None:
            data = model.model_validate(without_nul(body))
        elif b"\\u0000" in value:
            data = model.model_validate(without_nul(_json(value)))
        else:
            data = model.model_validate_json(value)
            as_it_came = value
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise Poison(Reason.NOT_JSON, "the value is not JSON") from None
        where = ".".join(str(part) for part in ("data", *first["loc"]))
        raise Poison(Reason.BAD_DATA, f"{where}: {first['msg']}") from None
    origin_at = attributes.get(prefix + "originat")
    # Kafka clients that trace by themselves write the plain header.
    traceparent = attributes.get(prefix + _TRACEPARENT) or attributes.get(_TRACEPARENT)
    return Event(
        event_id.replace("\0", "\ufffd"),
        source.replace("\0", "\ufffd"),
        event_type,
        time,
        account_id,
        data,
        traceparent_in(traceparent) if traceparent else None,
        parse_time(origin_at) if origin_at else None,
        as_it_came,
    )


def encode(event: Event[Any]) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Write an event in binary mode: its data as JSON, its attributes as `ce_` headers."""
    return event.data.model_dump_json(exclude_none=True).encode(), binary_headers(event)


def binary_headers(event: Event[Any]) -> list[tuple[str, bytes]]:
    """The Kafka headers of an event in binary mode, for writers that encode the data themselves."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_source", event.source.encode()),
        ("ce_type", event.type.encode()),
        ("ce_time", event.time.isoformat().encode()),
        ("ce_accountid", event.account_id.encode()),
        ("content-type", b"application/json"),
    ]
    if event.traceparent:
        headers.append(("ce_traceparent", event.traceparent.encode()))
    if event.origin_at:
        headers.append(("ce_originat", event.origin_at.isoformat().encode()))
    if event.expires_at:
        headers.append((_EXPIRY, event.expires_at.isoformat().encode()))
    return headers


def has_expired(headers: Sequence[tuple[str, bytes]], now: datetime) -> bool:
    """Whether an event of ours, by its headers in binary mode, is of no more use (extension `expirytime`)."""
    expiry = next((value for name, value in headers if name == _EXPIRY), None)
    return expiry is not None and datetime.fromisoformat(expiry.decode()) <= now


def structured(event: Event[Any]) -> bytes:
    """Write an event in structured mode: one JSON document, as telephony systems may send it."""
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event.time.isoformat(),
        "accountid": event.account_id,
        "datacontenttype": "application/json",
        "data": event.data.model_dump(mode="json", exclude_none=True),
    }
    if event.traceparent:
        document[_TRACEPARENT] = event.traceparent
    return orjson.dumps(document)


def parse_time(text: str) -> datetime:
    """An RFC 3339 time with offset, in UTC. Raises `Poison` that names the attribute."""
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            raise Poison(
                Reason.BAD_ATTRIBUTE,
                f"attribute time has no offset, such as {_EXAMPLE_TIME}",
            )
        return time if time.tzinfo is UTC else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Poison(Reason.BAD_ATTRIBUTE, "attribute time is not an RFC 3339 time") from None


def without_nul(value: Any) -> Any:
    """The same JSON value with U+0000 replaced by U+FFFD in every string and key."""
    match value:
        case str():
            return value.replace("\0", "\ufffd")
        case dict():
            return {without_nul(key): without_nul(inner) for key, inner in value.items()}
        case list():
            return [without_nul(inner) for inner in value]
        case _:
            return value


def _attributes(headers: Headers) -> dict[str, str]:
    """The headers that are an event's business, as text by lower-case name: `ce_…` and the content type."""
    try:
        # Nearly every record is of our own making or as well-formed: one pass, nothing looked at twice.
        texts = {name: value.decode() for name, value in headers}  # type: ignore[union-attr] # None takes the way below
        if all(map(texts.get, _BINARY)):
            return texts
    except (AttributeError, UnicodeDecodeError):
        pass
    texts = {}
    for name, value in headers:
        lowered = name.lower()
        # What others put in headers of their own is none of our business, however it is encoded.
        if value is None or not (lowered.startswith("ce_") or lowered in (_CONTENT_TYPE, _TRACEPARENT)):
            continue
        try:
            texts[lowered] = value.decode()
        except UnicodeDecodeError:
            if lowered == _TRACEPARENT:
                continue
            raise Poison(Reason.BAD_HEADER, f"header {lowered} is not UTF-8") from None
    return texts


def traceparent_of(headers: Headers) -> str | None:
    """The trace context of a record that could not be decoded, as far as its headers tell."""
    for name, value in headers:
        if value is not None and name.lower() in (f"ce_{_TRACEPARENT}", _TRACEPARENT):
            return traceparent_in(value.decode(errors="replace"))
    return None


def _json(value: bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise Poison(Reason.NOT_JSON, "the value is not JSON") from None


def _structured(value: bytes) -> tuple[dict[str, str], Any]:
    document = _json(value)
    if not isinstance(document, dict):
        raise Poison(Reason.NOT_A_CLOUDEVENT, "the value is not a JSON object")
    if "specversion" not in document:
        raise Poison(Reason.NOT_A_CLOUDEVENT, "attribute specversion is missing")
    attributes = {name: text for name, text in document.items() if isinstance(text, str)}
    for name in _REQUIRED:
        if name in document and name not in attributes:
            raise Poison(Reason.BAD_ATTRIBUTE, f"attribute {name} is not a string")
    return attributes, document.get("data", {})
