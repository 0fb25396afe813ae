"""What a message's facts add up to: its status is the highest that was ever reported (M2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

from contracts.communications import MessageStatus
from contracts.envelope import Event
from contracts.telephony import MessageReceived, MessageSent
from contracts.telephony import MessageStatus as StatusReported
from routing.calls import Verdict
from routing.facts import (
    Fact,
    Facts,
    Instant,
    Resolve,
    began_at,
    common_of,
    fact_of,
    greatest,
    instant,
    least,
    note,
    packed,
    user_of,
)

RANKS: Final[dict[str, int]] = {
    status: rank for rank, status in enumerate(("queued", "sending", "sent", "failed", "undelivered", "delivered"))
}
"""Outbound statuses from the lowest to the highest: the highest wins, whatever comes late (M2)."""


class Received(NamedTuple):
    """What the `received` that counts said."""

    body: str
    media: list[list[str]]
    contact_name: str | None


class Sent(NamedTuple):
    """What the `sent` that counts said. Without a user it was sent automatically."""

    body: str | None
    media: list[list[str]]
    user_id: str | None


class Reported(NamedTuple):
    """A status that the telephony side reported, with the error that came with it."""

    status: str
    error_code: str | None


@dataclass(slots=True)
class MessageFacts(Facts):
    """Everything known of one message. `unknown` is the last status that we have no rank for."""

    received: Fact[Received] | None = None
    sent: Fact[Sent] | None = None
    highest: Fact[Reported] | None = None
    unknown: Fact[str] | None = None


_FIELDS: Final = tuple(MessageFacts.__dataclass_fields__)


def merge(facts: MessageFacts, event: Event[Any], appended_at: Instant, resolve: Resolve) -> None:
    """Merge one telephony event into `facts`: commutative, associative, idempotent (contract §2)."""
    data, fact = event.data, Fact(instant(event.time), event.id, appended_at, None)
    note(facts, data, fact)
    _MERGES[type(data)](facts, data, fact, resolve)


def _merge_received(facts: MessageFacts, data: MessageReceived, fact: Fact[None], _resolve: Resolve) -> None:
    media = [[item.url, item.content_type] for item in data.media]
    facts.received = least(facts.received, fact.saying(Received(data.body, media, data.contact_name)))


def _merge_sent(facts: MessageFacts, data: MessageSent, fact: Fact[None], resolve: Resolve) -> None:
    media = [[item.url, item.content_type] for item in data.media]
    user_id = user_of(data.user_id, data.endpoint, resolve)
    facts.sent = least(facts.sent, fact.saying(Sent(data.body, media, user_id)))


def _merge_status(facts: MessageFacts, data: StatusReported, fact: Fact[None], _resolve: Resolve) -> None:
    if data.status in RANKS:
        facts.highest = _higher(facts.highest, fact.saying(Reported(data.status, data.error_code)))
    else:
        facts.unknown = greatest(facts.unknown, fact.saying(data.status))


_MERGES: Final[dict[type, Callable[[MessageFacts, Any, Fact[None], Resolve], None]]] = {
    MessageReceived: _merge_received,
    MessageSent: _merge_sent,
    StatusReported: _merge_status,
}


def _higher(held: Fact[Reported] | None, new: Fact[Reported]) -> Fact[Reported]:
    if held is not None and held.said.status != new.said.status:
        return max(held, new, key=lambda fact: RANKS[fact.said.status])
    return least(held, new)


def outbound_status(highest: str | None, sent: bool) -> MessageStatus:
    """The status of a message to the contact: the highest reported; that it was sent counts as a report (M2)."""
    reported = [status for status in (highest, "sent" if sent else None) if status is not None]
    return cast("MessageStatus", max(reported, key=RANKS.__getitem__, default="queued"))


class Message(NamedTuple):
    """What a message's facts add up to."""

    status: MessageStatus
    started_at: Instant
    activity_at: Instant
    unread_at: Instant | None
    received_at: Instant
    user_id: str | None
    body: str | None
    media: list[list[str]]
    reason: str | None
    error_code: str | None
    provider_status: str | None


def add_up(facts: MessageFacts, direction: str, verdict: Verdict | None) -> Message:
    """Derive a message from its facts and from what was decided once (M2, M4, I4).

    `direction` is known by now; `facts` hold at least one fact. What was asked for over HTTP keeps its body,
    media and user whatever telephony says of them (I14).
    """
    inbound = direction == "inbound"
    requested = facts.requested
    shown = facts.received if inbound else facts.sent
    started_at = began_at(facts) if shown is None else shown.time
    status, reason, error_code = ("received", None, None) if inbound else _outbound(facts, verdict)
    if requested is not None:
        received_at = requested.requested_at
    elif shown is not None:
        received_at = shown.appended_at
    else:
        received_at = facts.first_appended_at or 0
    said = None if shown is None else shown.said
    return Message(
        status=status,
        started_at=started_at,
        activity_at=started_at if requested is None else requested.requested_at,
        unread_at=started_at if inbound else None,
        received_at=received_at,
        user_id=requested.user_id if requested else said.user_id if isinstance(said, Sent) else None,
        body=requested.body if requested else said.body if said else None,
        media=(requested.media or []) if requested else said.media if said else [],
        reason=reason,
        error_code=error_code,
        provider_status=None if facts.unknown is None else facts.unknown.said,
    )


def _outbound(facts: MessageFacts, verdict: Verdict | None) -> tuple[MessageStatus, str | None, str | None]:
    if facts.requested is not None and not facts.reported:
        if facts.refused is not None:
            return "failed", facts.refused.said, None
        if verdict == "not_taken":
            return "failed", "not_taken", None
    highest = None if facts.highest is None else facts.highest.said
    status = outbound_status(highest.status if highest else None, facts.sent is not None)
    return status, None, highest.error_code if highest and highest.status == status else None


def document_of(facts: MessageFacts) -> dict[str, Any]:
    """The facts as a compact JSON document."""
    return packed(facts, _FIELDS)


def facts_of(document: dict[str, Any]) -> MessageFacts:
    """The facts out of the document that `document_of` made, of this or an earlier version."""
    return MessageFacts(
        **common_of(document),
        received=fact_of(document, "received", Received),
        sent=fact_of(document, "sent", Sent),
        highest=fact_of(document, "highest", Reported),
        unknown=fact_of(document, "unknown"),
    )
