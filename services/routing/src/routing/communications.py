"""One call or message as routing keeps it: its facts, what was decided once, and the snapshot that follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from contracts.envelope import Event
from contracts.fields import Kind
from contracts.inbox_events import CallRequested, MessageRequested
from contracts.telephony import CALL_FACTS
from routing import calls, messages
from routing.business_hours import is_open
from routing.calls import CallFacts, Verdict
from routing.directory import Directory
from routing.facts import Instant, Place, instant, moment, place, request, written
from routing.messages import MessageFacts

RING_WITHIN: Final = timedelta(seconds=60)
"""How long after the append of what called for it a ring plan may be published (R4)."""


Unplanned = Literal["rings_itself", "late"]
"""The line's telephony system rings people itself; or the call reached us when it was too late to ring (R4)."""


@dataclass(slots=True)
class Plan:
    """A ring plan as it was decided: `command` is the data of `telephony.ring.v1`, repeated verbatim (R4)."""

    decided_at: Instant
    command: dict[str, Any]
    left_out: list[list[str]]

    @property
    def has_nobody(self) -> bool:
        """Whether the caller was to be sent straight to voicemail."""
        return not self.command["layers"]


@dataclass(slots=True)
class Decided:
    """What is decided once, stored, and never decided again (M3).

    `mappings` holds where each line led when the communication was first seen on it (R2), `fallen_back` those
    lines for which that was the account's fallback. `after_hours` tells whether it came after an inbox's hours
    (R6), by inbox; None: it had no hours then. `unplanned` is why no ring plan was made of a call that rang, and
    `waited` whether it was unrouted for a while (R3).
    """

    mappings: dict[str, str] = field(default_factory=dict)
    fallen_back: list[str] = field(default_factory=list)
    after_hours: dict[str, bool | None] = field(default_factory=dict)
    plan: Plan | None = None
    unplanned: Unplanned | None = None
    waited: bool = False
    verdict: Verdict | None = None


@dataclass(slots=True)
class Communication:
    """One row, locked: facts are merged into it, then it is decided and saved.

    `version`, `digest` and `origin_at` (when what brought it about reached us) belong to the content that was
    last saved. `traceparent` is the trace of the newest record that was merged. `is_new` as long as it was never
    saved.
    """

    account_id: str
    communication_id: str
    kind: Kind | None = None
    facts: CallFacts | MessageFacts | None = None
    decided: Decided = field(default_factory=Decided)
    version: int = 0
    digest: str | None = None
    origin_at: Instant | None = None
    traceparent: str | None = None
    is_new: bool = True


class KindChanged(Exception):
    """A fact of a call came under a message's id, or the other way round: poison (contract §2)."""


Merge = Callable[[Any, Event[Any], Instant, Callable[[str], str | None]], None]


def merge(communication: Communication, event: Event[Any], appended_at: datetime, directory: Directory) -> None:
    """Merge a telephony fact. Raises `KindChanged`, having changed nothing, when the id is of the other kind."""
    resolve = directory.user_at
    if event.type in CALL_FACTS:
        calls.merge(_calls_facts(communication), event, instant(appended_at), resolve)
    else:
        messages.merge(_messages_facts(communication), event, instant(appended_at), resolve)


def merge_request(communication: Communication, data: CallRequested | MessageRequested) -> None:
    """Merge what a connected user asked for over HTTP. Raises `KindChanged` as `merge` does."""
    facts = _calls_facts(communication) if isinstance(data, CallRequested) else _messages_facts(communication)
    request(facts, data)


def _calls_facts(communication: Communication) -> CallFacts:
    if communication.kind is None:
        communication.kind, communication.facts = "call", CallFacts()
    if not isinstance(communication.facts, CallFacts):
        raise KindChanged
    return communication.facts


def _messages_facts(communication: Communication) -> MessageFacts:
    if communication.kind is None:
        communication.kind, communication.facts = "message", MessageFacts()
    if not isinstance(communication.facts, MessageFacts):
        raise KindChanged
    return communication.facts


@dataclass(slots=True)
class Standing:
    """Where a communication stands after its facts and the directory were looked at.

    `place` is None while facts still have to tell it; `inbox_id` is None while it is unrouted (R3).
    """

    place: Place | None
    inbox_id: str | None
    call: calls.Call | None = None
    message: messages.Message | None = None
    after_hours: bool | None = None


def stand(communication: Communication, directory: Directory) -> Standing:
    """Route the communication (R1 to R3), and add its facts up.

    What is decided here for the first time (the line's mapping, after hours) is written to
    `communication.decided`, and read from there ever after.
    """
    facts, decided = communication.facts, communication.decided
    where = None if facts is None else place(facts)
    if facts is None or where is None:
        return Standing(None, None)
    inbox_id = _route(facts, decided, where, directory)
    if isinstance(facts, MessageFacts):
        return Standing(where, inbox_id, message=messages.add_up(facts, where.direction, decided.verdict))
    after_hours = None
    if where.direction == "inbound" and inbox_id is not None:
        after_hours = _after_hours(facts, decided, inbox_id, directory)
    nobody = decided.plan is not None and decided.plan.has_nobody
    call = calls.add_up(facts, where.direction, decided.verdict, after_hours, nobody)
    return Standing(where, inbox_id, call=call, after_hours=after_hours)


def _route(facts: CallFacts | MessageFacts, decided: Decided, where: Place, directory: Directory) -> str | None:
    mapping = decided.mappings.get(where.line_number)
    if mapping is None:
        mapped = directory.mapping_of(where.line_number)
        if mapped is not None:
            mapping = decided.mappings[where.line_number] = mapped.inbox_id
            if mapped.by == "fallback":
                decided.fallen_back.append(where.line_number)
    if facts.requested is not None:
        return facts.requested.inbox_id
    if isinstance(facts, CallFacts) and facts.queued is not None:
        named = facts.queued.said.inbox_id
        if named in directory.inboxes:
            return named
    return mapping


def _after_hours(facts: CallFacts, decided: Decided, inbox_id: str, directory: Directory) -> bool | None:
    if inbox_id in decided.after_hours:
        return decided.after_hours[inbox_id]
    inbox = directory.inboxes.get(inbox_id)
    if inbox is None or facts.started is None:
        return None
    hours, began = inbox.business_hours, moment(facts.started.time)
    # That there were no hours is decided as well: those that are set later say nothing of this call (M3).
    closed = None if hours is None else not is_open(hours, directory.zone_of(inbox), began)
    decided.after_hours[inbox_id] = closed
    return closed


def ring_deadline(communication: Communication, standing: Standing) -> datetime | None:
    """Until when a ring plan may be published; None for a call that nobody needs to be rung for (R4)."""
    facts, call = communication.facts, standing.call
    if standing.inbox_id is None or call is None or call.status != "ringing" or not isinstance(facts, CallFacts):
        return None
    asking = calls.caller_waits_since(facts)
    return None if asking is None else moment(asking.appended_at) + RING_WITHIN


def due_at(communication: Communication, standing: Standing, max_call_hours: float) -> datetime | None:
    """When a timer has to look at it: a request's expiry, or the hour at which an open call is a ghost (M4)."""
    facts, decided = communication.facts, communication.decided
    if facts is None or standing.place is None:
        return None
    if facts.requested is not None and not facts.reported:
        waits = decided.verdict is None and facts.refused is None
        return moment(facts.requested.expires_at) if waits else None
    if standing.call is None or standing.call.ended_at is not None or facts.last is None:
        return None
    return moment(facts.last.time) + timedelta(hours=max_call_hours)


def conclude(communication: Communication) -> Verdict | None:
    """Give the verdict that is due on a communication that nothing more was heard of (M4); None: it is not."""
    facts = communication.facts
    if facts is None:
        return None
    if facts.requested is not None and not facts.reported:
        verdict: Verdict = "not_taken"
    elif isinstance(facts, CallFacts) and facts.ended is None:
        verdict = "no_end_event"
    else:
        return None
    communication.decided.verdict = verdict
    return verdict


def last_talks(communication: Communication, standing: Standing) -> dict[str, Instant]:
    """Until when each user talked in this communication, of those who do so no more (R4)."""
    if standing.call is None or standing.place is None or not isinstance(communication.facts, CallFacts):
        return {}
    return calls.last_talks(communication.facts, standing.place.direction, standing.call)


def talking(communication: Communication, standing: Standing) -> list[str]:
    """The users whom this communication keeps from being rung (R5)."""
    if standing.call is None or standing.place is None or not isinstance(communication.facts, CallFacts):
        return []
    return calls.talking(communication.facts, standing.place.direction, standing.call)


def snapshot(communication: Communication, standing: Standing) -> dict[str, Any]:
    """The data of `communication.changed.v1` but for its version: what is not known is left out.

    Instants are RFC 3339 text. Raises `ValueError` for what is not routed: it is not published (R3).
    """
    if standing.place is None or standing.inbox_id is None:
        raise ValueError("what is not routed has no snapshot")
    document: dict[str, Any] = {
        "communication_id": communication.communication_id,
        "kind": communication.kind,
        "direction": standing.place.direction,
        "inbox_id": standing.inbox_id,
        "line_number": standing.place.line_number,
        "contact_number": standing.place.contact_number,
    }
    facts = communication.facts
    if isinstance(facts, CallFacts) and standing.call is not None:
        _describe_call(document, facts, standing.call, standing.after_hours)
    elif isinstance(facts, MessageFacts) and standing.message is not None:
        _describe_message(document, facts, standing.message)
    return {name: value for name, value in document.items() if value is not None}


def _describe_call(document: dict[str, Any], facts: CallFacts, call: calls.Call, after_hours: bool | None) -> None:
    started, ended = facts.started, facts.ended
    document["status"] = call.status
    document["contact_name"] = None if started is None else started.said.contact_name
    document["user_id"] = call.user_id
    document["participants"] = [
        _described(participant, call.ended_at) for _, participant in sorted(facts.participants.items())
    ]
    document["requested_at"] = None if facts.requested is None else written(facts.requested.requested_at)
    document["started_at"] = written(call.started_at)
    document["queued_at"] = None if facts.queued is None else written(facts.queued.time)
    document["ringing_at"] = None if facts.ringing is None else written(facts.ringing.time)
    document["answered_at"] = None if facts.answered is None else written(facts.answered.time)
    document["ended_at"] = _written(call.ended_at)
    document["activity_at"] = written(call.activity_at)
    document["unread_at"] = _written(call.unread_at)
    document["received_at"] = written(call.received_at)
    document["media"] = ()
    # A transcript may come before its recording; what can't be listened to is not shown yet.
    if "recording_url" in facts.voicemail:
        document["voicemail"] = {name: fact.said for name, fact in sorted(facts.voicemail.items())}
    recording = facts.recording.get("recording_url")
    document["recording_url"] = None if recording is None else recording.said
    document["wait_seconds"] = call.wait_seconds
    document["talk_seconds"] = call.talk_seconds
    document["after_hours"] = after_hours
    document["outcome"] = None if ended is None else ended.said.outcome
    document["reason"] = call.reason


def _described(participant: calls.Participant, ended_at: Instant | None) -> dict[str, Any]:
    described: dict[str, Any] = {}
    if participant.user_id is not None:
        described["user_id"] = participant.user_id
    if participant.number is not None:
        described["number"] = participant.number
    for name in ("rang_at", "answered_at", "declined_at", "left_at"):
        at = getattr(participant, name)
        if at is not None:
            described[name] = written(at)
    described["held_seconds"] = calls.held_seconds(participant, ended_at) if participant.marks else 0.0
    return described


def _describe_message(document: dict[str, Any], facts: MessageFacts, message: messages.Message) -> None:
    document["status"] = message.status
    document["contact_name"] = None if facts.received is None else facts.received.said.contact_name
    document["user_id"] = message.user_id
    document["participants"] = ()
    document["requested_at"] = None if facts.requested is None else written(facts.requested.requested_at)
    document["started_at"] = written(message.started_at)
    document["activity_at"] = written(message.activity_at)
    document["unread_at"] = _written(message.unread_at)
    document["received_at"] = written(message.received_at)
    document["body"] = message.body
    document["media"] = [{"url": url, "content_type": content_type} for url, content_type in message.media]
    document["reason"] = message.reason
    document["error_code"] = message.error_code
    document["provider_status"] = message.provider_status


def analysis(communication: Communication) -> dict[str, Any] | None:
    """The data of `communication.analyzed.v1` but for its version; None for what nobody analysed."""
    facts = communication.facts
    if not isinstance(facts, CallFacts) or not facts.analysis:
        return None
    found = {name: fact.said for name, fact in sorted(facts.analysis.items())}
    return {"communication_id": communication.communication_id, **found}


def _written(at: Instant | None) -> str | None:
    return None if at is None else written(at)


def document_of(communication: Communication) -> dict[str, Any]:
    """All of a communication but its ids and version, as one compact JSON document."""
    decided = communication.decided
    match communication.facts:
        case CallFacts() as facts:
            document = calls.document_of(facts)
        case MessageFacts() as facts:
            document = messages.document_of(facts)
        case None:
            document = {}
    document["kind"] = communication.kind
    document["digest"] = communication.digest
    document["origin_at"] = communication.origin_at
    if communication.traceparent is not None:
        document["traceparent"] = communication.traceparent
    if decided.mappings:
        document["mappings"] = decided.mappings
    if decided.fallen_back:
        document["fallen_back"] = decided.fallen_back
    if decided.after_hours:
        document["after_hours"] = decided.after_hours
    if decided.plan is not None:
        plan = decided.plan
        document["plan"] = {"decided_at": plan.decided_at, "command": plan.command, "left_out": plan.left_out}
    if decided.unplanned is not None:
        document["unplanned"] = decided.unplanned
    if decided.waited:
        document["waited"] = True
    if decided.verdict is not None:
        document["verdict"] = decided.verdict
    return document


def restored(account_id: str, communication_id: str, version: int, document: dict[str, Any]) -> Communication:
    """The communication out of the document that `document_of` made, of this or an earlier version."""
    get = document.get
    plan = get("plan")
    decided = Decided(
        mappings=get("mappings", {}),
        fallen_back=get("fallen_back", []),
        after_hours=get("after_hours", {}),
        plan=None if plan is None else Plan(plan["decided_at"], plan["command"], plan["left_out"]),
        unplanned=get("unplanned"),
        waited=get("waited", False),
        verdict=get("verdict"),
    )
    kind = document["kind"]
    facts = calls.facts_of(document) if kind == "call" else messages.facts_of(document)
    return Communication(
        account_id,
        communication_id,
        kind,
        facts,
        decided,
        version,
        get("digest"),
        get("origin_at"),
        get("traceparent"),
        is_new=False,
    )
