"""What is known of a call or message, merged so that order and repetition of delivery never matter (contract §2).

Instants are whole microseconds since 1970 in UTC: they compare, subtract and are stored as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Generic, NamedTuple, TypeVar

from contracts.inbox_events import CallRequested, MessageRequested
from contracts.numbers import ANONYMOUS, normalise, region_of
from contracts.telephony import Begun, CallStarted, MessageReceived, MessageSent, Placed

V = TypeVar("V")
W = TypeVar("W")

Instant = int
"""Microseconds since 1970-01-01T00:00:00Z."""

Resolve = Callable[[str], "str | None"]
"""Which user an endpoint (or a number) stands for; None where the directory knows none."""

_BEGINNINGS: Final = frozenset({CallStarted, MessageReceived, MessageSent})
"""The events that must name the contact."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant(moment: datetime) -> Instant:
    """An aware datetime as microseconds since 1970."""
    since = moment - _EPOCH
    # A division of two timedeltas says the same at three times the cost.
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@lru_cache(maxsize=10_000)
def written(at: Instant) -> str:
    """Microseconds since 1970 as RFC 3339 text in UTC: what snapshots hold, at a fifth of a datetime's cost."""
    seconds, microseconds = divmod(at, 1_000_000)
    minutes, second = divmod(seconds, 60)
    if microseconds:
        return f"{_minute(minutes)}:{second:02d}.{microseconds:06d}Z"
    return f"{_minute(minutes)}:{second:02d}Z"


@lru_cache(maxsize=20_000)
def _minute(minutes: int) -> str:
    return (_EPOCH + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M")


@lru_cache(maxsize=20_000)
def moment(at: Instant) -> datetime:
    """Microseconds since 1970 as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=at)


class Fact(NamedTuple, Generic[V]):
    """Something that was reported: when it happened, under which id, when it reached us, and what it says.

    Repetitions share `time` and `id` and reach us later; the least `appended_at` of them counts.
    """

    time: Instant
    id: str
    appended_at: Instant
    said: V

    def saying(self, said: W) -> Fact[W]:
        """The same occasion with something said."""
        return Fact(self.time, self.id, self.appended_at, said)


def least(held: Fact[V] | None, new: Fact[V]) -> Fact[V]:
    """The fact with the least `(time, id)`."""
    if held is None:
        return new
    if new.time != held.time:
        return new if new.time < held.time else held
    if new.id != held.id:
        return new if new.id < held.id else held
    return _once(held, new)


def greatest(held: Fact[V] | None, new: Fact[V]) -> Fact[V]:
    """The fact with the greatest `(time, id)`: the last writer wins."""
    if held is None:
        return new
    if new.time != held.time:
        return new if new.time > held.time else held
    if new.id != held.id:
        return new if new.id > held.id else held
    return _once(held, new)


def _once(held: Fact[V], new: Fact[V]) -> Fact[V]:
    if held.said == new.said:
        return held if held.appended_at <= new.appended_at else new
    # Two sources used one id: which is kept matters little, but every order of delivery must keep the same.
    said = min(held.said, new.said, key=repr)
    return Fact(held.time, held.id, min(held.appended_at, new.appended_at), said)


class Contact(NamedTuple):
    """The outside party's number as it came, and the region of the line that the same event named."""

    raw: str
    region: str | None


class Request(NamedTuple):
    """What a connected user asked for over HTTP; it beats what telephony says of the same things."""

    requested_at: Instant
    inbox_id: str
    line_number: str
    contact_number: str
    user_id: str
    command_id: str
    expires_at: Instant
    body: str | None = None
    media: list[list[str]] | None = None


@dataclass(slots=True)
class Facts:
    """What calls and messages have in common.

    `first_at` and `last` cover every fact, whatever it says; `first_appended_at` is the first time that
    anything of it reached us. `reported` tells whether telephony has said anything at all.
    """

    first_at: Instant | None = None
    first_appended_at: Instant | None = None
    last: Fact[None] | None = None
    direction: Fact[str] | None = None
    line: Fact[str] | None = None
    contact: Fact[Contact] | None = None
    withheld: bool = False
    requested: Request | None = None
    refused: Fact[str] | None = None

    @property
    def reported(self) -> bool:
        """Whether any telephony fact of it is known (M4: such a fact takes `not_taken` back)."""
        return self.last is not None


class Place(NamedTuple):
    """Between whom a communication takes place."""

    direction: str
    line_number: str
    contact_number: str


def place(facts: Facts) -> Place | None:
    """Where the communication takes place, None until facts have told all three."""
    if facts.requested is not None:
        return Place("outbound", facts.requested.line_number, facts.requested.contact_number)
    if facts.direction is None or facts.line is None:
        return None
    line_number = facts.line.said
    if facts.contact is not None:
        said = facts.contact.said
        contact_number = normalise(said.raw, said.region or region_of(line_number))
    elif facts.withheld:
        contact_number = ANONYMOUS
    else:
        return None
    return Place(facts.direction.said, line_number, contact_number)


def note(facts: Facts, data: Begun | Placed, fact: Fact[None]) -> None:
    """Merge what every telephony fact may bring: its times, and where the communication takes place."""
    time, _, appended_at, _ = fact
    if facts.first_at is None or time < facts.first_at:
        facts.first_at = time
    if facts.first_appended_at is None or appended_at < facts.first_appended_at:
        facts.first_appended_at = appended_at
    facts.last = greatest(facts.last, fact)
    if data.direction is not None:
        facts.direction = least(facts.direction, fact.saying(data.direction))
    region = None
    if data.line_number is not None:
        line_number = normalise(data.line_number)
        facts.line = least(facts.line, fact.saying(line_number))
        region = region_of(line_number)
    # Null is a withheld number where the contact must be named; elsewhere it says nothing.
    if data.contact_number is None and type(data) not in _BEGINNINGS:
        return
    if normalise(data.contact_number, region) == ANONYMOUS:
        facts.withheld = True
    else:
        contact = Contact(data.contact_number or "", region)
        facts.contact = least(facts.contact, fact.saying(contact))


def request(facts: Facts, data: CallRequested | MessageRequested) -> None:
    """Merge what was asked for over HTTP. The first request under an id is the one that counts."""
    body, media = None, None
    if isinstance(data, MessageRequested):
        body = data.body
        media = [[item.url, item.content_type] for item in data.media]
    new = Request(
        requested_at=instant(data.requested_at),
        inbox_id=data.inbox_id,
        line_number=normalise(data.line_number),
        contact_number=normalise(data.contact_number, region_of(data.line_number)),
        user_id=data.user_id,
        command_id=data.command_id,
        expires_at=instant(data.expires_at),
        body=body,
        media=media,
    )
    if facts.requested is None or (new.requested_at, repr(new)) < (
        facts.requested.requested_at,
        repr(facts.requested),
    ):
        facts.requested = new


def began_at(facts: Facts) -> Instant:
    """The least time of all facts, the request among them. Only asked once there is one."""
    requested_at = None if facts.requested is None else facts.requested.requested_at
    return min(at for at in (facts.first_at, requested_at) if at is not None)


def user_of(user_id: str | None, endpoint: str | None, resolve: Resolve) -> str | None:
    """The user that an event names, by id or by one of his endpoints."""
    if user_id:
        return user_id
    return resolve(endpoint) if endpoint else None


def packed(facts: Facts, names: Iterable[str]) -> dict[str, Any]:
    """The facts as a compact JSON document: what is not known is left out."""
    return {name: value for name in names if (value := getattr(facts, name)) or (value == 0 and value is not False)}


def fact_of(document: dict[str, Any], name: str, kind: Callable[..., V] | None = None) -> Fact[Any] | None:
    """A fact out of its document; `kind` is the class of what it says where that has parts."""
    row = document.get(name)
    if row is None:
        return None
    time, event_id, appended_at, said = row[:4]
    return Fact(time, event_id, appended_at, said if kind is None else kind(*said))


def common_of(document: dict[str, Any]) -> dict[str, Any]:
    """The fields of `Facts` out of a document."""
    requested = document.get("requested")
    return {
        "first_at": document.get("first_at"),
        "first_appended_at": document.get("first_appended_at"),
        "last": fact_of(document, "last"),
        "direction": fact_of(document, "direction"),
        "line": fact_of(document, "line"),
        "contact": fact_of(document, "contact", Contact),
        "withheld": document.get("withheld", False),
        "requested": None if requested is None else Request(*requested[: len(Request._fields)]),
        "refused": fact_of(document, "refused"),
    }
