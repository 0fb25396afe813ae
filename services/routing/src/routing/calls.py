"""What a call's facts add up to: its status, its times and who had to do with it (M1, M4, M5, M6)."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, assert_never

from contracts.communications import CallStatus
from contracts.envelope import Event
from contracts.telephony import (
    CallAnalyzed,
    CallAnswered,
    CallEnded,
    CallLeg,
    CallQueued,
    CallRinging,
    CallStarted,
    RecordingAvailable,
    VoicemailRecorded,
    VoicemailTranscribed,
)
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

Verdict = Literal["no_end_event", "not_taken"]
"""What a timer concluded from silence (M4). It is stored, and gives way to what telephony says later."""


class Started(NamedTuple):
    """What the `started` that counts said."""

    user_id: str | None
    menu: bool
    contact_name: str | None
    forwarded_from: str | None


class Queued(NamedTuple):
    """What the `queued` that counts said."""

    inbox_id: str | None
    queue: str | None


class Ended(NamedTuple):
    """What the `ended` that counts said."""

    outcome: str | None
    reason: str | None


@dataclass(slots=True)
class Participant:
    """One user, or one outside number that was brought in: the least time of each state (M6).

    `marks` are the times at which he was put on hold and taken back, in order: `[time, id, "held"|"resumed"]`.
    """

    user_id: str | None = None
    number: str | None = None
    rang_at: Instant | None = None
    answered_at: Instant | None = None
    declined_at: Instant | None = None
    missed_at: Instant | None = None
    left_at: Instant | None = None
    marks: list[list[Any]] = field(default_factory=list)


@dataclass(slots=True)
class CallFacts(Facts):
    """Everything known of one call.

    `voicemail`, `recording` and `analysis` hold the last written non-null value of each of their fields.
    """

    started: Fact[Started] | None = None
    queued: Fact[Queued] | None = None
    ringing: Fact[None] | None = None
    answered: Fact[str | None] | None = None
    ended: Fact[Ended] | None = None
    recorded: Fact[None] | None = None
    participants: dict[str, Participant] = field(default_factory=dict)
    voicemail: dict[str, Fact[Any]] = field(default_factory=dict)
    recording: dict[str, Fact[Any]] = field(default_factory=dict)
    analysis: dict[str, Fact[Any]] = field(default_factory=dict)


_FIELDS: Final = tuple(CallFacts.__dataclass_fields__)
_ANALYSIS: Final = ("summary", "sentiment", "topics", "talk_seconds", "transcript", "language")


def merge(facts: CallFacts, event: Event[Any], appended_at: Instant, resolve: Resolve) -> None:
    """Merge one telephony event into `facts`: commutative, associative, idempotent (contract §2)."""
    data, fact = event.data, Fact(instant(event.time), event.id, appended_at, None)
    note(facts, data, fact)
    _MERGES[type(data)](facts, data, fact, resolve)


def _merge_started(facts: CallFacts, data: CallStarted, fact: Fact[None], resolve: Resolve) -> None:
    user_id = user_of(data.user_id, data.endpoint, resolve)
    started = Started(user_id, data.menu, data.contact_name, data.forwarded_from)
    facts.started = least(facts.started, fact.saying(started))


def _merge_queued(facts: CallFacts, data: CallQueued, fact: Fact[None], _resolve: Resolve) -> None:
    facts.queued = least(facts.queued, fact.saying(Queued(data.inbox_id, data.queue)))


def _merge_ringing(facts: CallFacts, data: CallRinging, fact: Fact[None], resolve: Resolve) -> None:
    facts.ringing = least(facts.ringing, fact)
    for participant in _those_rung(facts, data, resolve):
        participant.rang_at = _earlier(participant.rang_at, fact.time)


def _merge_answered(facts: CallFacts, data: CallAnswered, fact: Fact[None], resolve: Resolve) -> None:
    user_id = user_of(data.user_id, data.endpoint, resolve)
    facts.answered = least(facts.answered, fact.saying(user_id))
    participant = _participant(facts, user_id, data.endpoint)
    if participant is not None:
        participant.answered_at = _earlier(participant.answered_at, fact.time)


def _merge_ended(facts: CallFacts, data: CallEnded, fact: Fact[None], _resolve: Resolve) -> None:
    facts.ended = greatest(facts.ended, fact.saying(Ended(data.outcome, data.reason)))


def _merge_recorded(facts: CallFacts, data: VoicemailRecorded, fact: Fact[None], _resolve: Resolve) -> None:
    facts.recorded = least(facts.recorded, fact)
    _write(facts.voicemail, fact, recording_url=data.recording_url, duration_seconds=data.duration_seconds)
    _write(facts.voicemail, fact, transcript=data.transcript)


def _merge_transcribed(facts: CallFacts, data: VoicemailTranscribed, fact: Fact[None], _resolve: Resolve) -> None:
    _write(facts.voicemail, fact, transcript=data.transcript)


def _merge_recording(facts: CallFacts, data: RecordingAvailable, fact: Fact[None], _resolve: Resolve) -> None:
    _write(facts.recording, fact, recording_url=data.recording_url, duration_seconds=data.duration_seconds)


def _merge_analyzed(facts: CallFacts, data: CallAnalyzed, fact: Fact[None], _resolve: Resolve) -> None:
    _write(facts.analysis, fact, **data.model_dump(mode="json", include=set(_ANALYSIS)))


def _merge_leg(facts: CallFacts, data: CallLeg, fact: Fact[None], resolve: Resolve) -> None:
    named = data.endpoint or data.number
    participant = _participant(facts, user_of(data.user_id, named, resolve), named)
    if participant is None:
        return
    match data.state:
        case "ringing":
            participant.rang_at = _earlier(participant.rang_at, fact.time)
        case "answered":
            participant.answered_at = _earlier(participant.answered_at, fact.time)
        case "declined":
            participant.declined_at = _earlier(participant.declined_at, fact.time)
        case "no_answer":
            participant.missed_at = _earlier(participant.missed_at, fact.time)
        case "left":
            participant.left_at = _earlier(participant.left_at, fact.time)
        case "held" | "resumed":
            mark = [fact.time, fact.id, data.state]
            if mark not in participant.marks:
                insort(participant.marks, mark)
        case _:
            assert_never(data.state)


_MERGES: Final[dict[type, Callable[[CallFacts, Any, Fact[None], Resolve], None]]] = {
    CallStarted: _merge_started,
    CallQueued: _merge_queued,
    CallRinging: _merge_ringing,
    CallAnswered: _merge_answered,
    CallLeg: _merge_leg,
    CallEnded: _merge_ended,
    VoicemailRecorded: _merge_recorded,
    VoicemailTranscribed: _merge_transcribed,
    RecordingAvailable: _merge_recording,
    CallAnalyzed: _merge_analyzed,
}
"""How each event merges. A table, because asking a pydantic model for its class by `match` costs microseconds."""


def _those_rung(facts: CallFacts, data: CallRinging, resolve: Resolve) -> Iterable[Participant]:
    for user_id in data.user_ids:
        yield _known_participant(facts, user_id, None)
    for endpoint in data.endpoints:
        yield _known_participant(facts, resolve(endpoint), endpoint)


def _participant(facts: CallFacts, user_id: str | None, number: str | None) -> Participant | None:
    if user_id is None and number is None:
        return None
    return _known_participant(facts, user_id, number)


def _known_participant(facts: CallFacts, user_id: str | None, number: str | None) -> Participant:
    key = f"number:{number}" if user_id is None else f"user:{user_id}"
    participant = facts.participants.get(key)
    if participant is None:
        participant = Participant(user_id=user_id) if user_id is not None else Participant(number=number)
        facts.participants[key] = participant
    return participant


def _earlier(held: Instant | None, new: Instant) -> Instant:
    return new if held is None or new < held else held


def _write(held: dict[str, Fact[Any]], fact: Fact[None], **said: Any) -> None:
    for name, value in said.items():
        if value is not None:
            held[name] = greatest(held.get(name), fact.saying(value))


Because = Literal[
    "requested",
    "refused",
    "not_taken",
    "going_on",
    "no_end_event",
    "answered",
    "recorded",
    "reported",
    "rung",
    "after_hours",
    "nobody_planned",
    "hung_up",
    "not_answered",
]
"""The rule of M1 or M4 that gave a call its status."""


class Ruling(NamedTuple):
    """A status, and the rule that gave it."""

    status: CallStatus
    because: Because


class Report(NamedTuple):
    """What M1 needs to know of an inbound call that ended."""

    answered: bool
    recorded: bool
    outcome: str | None
    rung: bool
    after_hours: bool
    nobody_planned: bool


def inbound_status(report: Report) -> Ruling:
    """The status of an inbound call that has ended, by the first rule of M1 that holds.

    A reported `completed`, or an outcome that we do not know, counts as no report.
    """
    if report.answered:
        return Ruling("completed", "answered")
    if report.recorded:
        return Ruling("voicemail", "recorded")
    match report.outcome:
        case "abandoned" | "failed":
            return Ruling(report.outcome, "reported")
        case "missed" | "voicemail" | "busy" | "no_answer":
            return Ruling("missed", "reported")
    if report.rung:
        return Ruling("missed", "rung")
    if report.after_hours:
        return Ruling("missed", "after_hours")
    if report.nobody_planned:
        return Ruling("missed", "nobody_planned")
    return Ruling("abandoned", "hung_up")


def outbound_status(answered: bool, outcome: str | None) -> Ruling:
    """The status of an outbound call that has ended (M1)."""
    if answered:
        return Ruling("completed", "answered")
    match outcome:
        case "busy" | "failed":
            return Ruling(outcome, "reported")
        case _:
            return Ruling("no_answer", "not_answered")


class Call(NamedTuple):
    """What a call's facts add up to. `because` is the rule behind `status`, `user_id` who talked, or who placed it."""

    status: CallStatus
    because: Because
    started_at: Instant
    ended_at: Instant | None
    activity_at: Instant
    unread_at: Instant | None
    received_at: Instant
    user_id: str | None
    reason: str | None
    wait_seconds: float | None
    talk_seconds: float | None


def add_up(
    facts: CallFacts, direction: str, verdict: Verdict | None, after_hours: bool | None, nobody_planned: bool
) -> Call:
    """Derive a call from its facts and from what was decided once (M1, M4, I4).

    `direction` is known by now; `facts` hold at least one fact.
    """
    inbound = direction == "inbound"
    requested = facts.requested
    answered_at = None if facts.answered is None else facts.answered.time
    started_at = began_at(facts) if facts.started is None else facts.started.time
    ended_at, reason, (status, because) = _ending(facts, inbound, verdict, after_hours, nobody_planned)
    unread_at = ended_at if inbound and ended_at is not None and answered_at is None else None
    if status == "queued" and requested is not None:
        activity_at = requested.requested_at
    else:
        activity_at = started_at if ended_at is None else ended_at
    waiting_since = started_at if facts.queued is None else facts.queued.time
    waited_until = ended_at if answered_at is None else answered_at
    return Call(
        status=status,
        because=because,
        started_at=started_at,
        ended_at=ended_at,
        activity_at=activity_at,
        unread_at=unread_at,
        received_at=_received_at(facts, inbound, unread_at is not None, status),
        user_id=_user_id(facts, inbound),
        reason=reason,
        wait_seconds=None if waited_until is None else _seconds(waiting_since, waited_until),
        talk_seconds=None if ended_at is None or answered_at is None else _seconds(answered_at, ended_at),
    )


def _ending(
    facts: CallFacts, inbound: bool, verdict: Verdict | None, after_hours: bool | None, nobody_planned: bool
) -> tuple[Instant | None, str | None, Ruling]:
    answered = facts.answered is not None
    if facts.ended is not None:
        outcome, reason = facts.ended.said
        if not inbound:
            return facts.ended.time, reason, outbound_status(answered, outcome)
        report = Report(
            answered=answered,
            recorded=facts.recorded is not None,
            outcome=outcome,
            rung=was_rung(facts),
            after_hours=bool(after_hours),
            nobody_planned=nobody_planned,
        )
        return facts.ended.time, reason, inbound_status(report)
    if facts.requested is not None and not facts.reported:
        if facts.refused is not None:
            return facts.refused.time, facts.refused.said, Ruling("failed", "refused")
        if verdict == "not_taken":
            return facts.requested.expires_at, "not_taken", Ruling("failed", "not_taken")
        return None, None, Ruling("queued", "requested")
    if verdict == "no_end_event" and facts.last is not None:
        return facts.last.time, "no_end_event", Ruling("completed" if answered else "failed", "no_end_event")
    return None, None, Ruling("in_progress" if answered or not inbound else "ringing", "going_on")


def _received_at(facts: CallFacts, inbound: bool, unread: bool, status: CallStatus) -> Instant:
    if facts.requested is not None:
        return facts.requested.requested_at
    ending = facts.ended or facts.last
    if unread and ending is not None:
        if status == "voicemail" and facts.recorded is not None:
            return max(ending.appended_at, facts.recorded.appended_at)
        return ending.appended_at
    shown = (facts.answered if inbound else None) or facts.started
    if shown is not None:
        return shown.appended_at
    return facts.first_appended_at or 0


def _user_id(facts: CallFacts, inbound: bool) -> str | None:
    if facts.requested is not None:
        return facts.requested.user_id
    placed_by = None if inbound or facts.started is None else facts.started.said.user_id
    return placed_by or (None if facts.answered is None else facts.answered.said)


def was_rung(facts: CallFacts) -> bool:
    """Whether the call rang at somebody, as telephony told it."""
    return facts.ringing is not None or any(
        participant.rang_at is not None
        or participant.answered_at is not None
        or participant.declined_at is not None
        or participant.missed_at is not None
        for participant in facts.participants.values()
    )


def talking(facts: CallFacts, direction: str, call: Call) -> list[str]:
    """The users who can't be rung because of this call (R5): those who talk in it, and who placed it.

    Being rung does not count; leaving or the call's end sets them free.
    """
    if call.ended_at is not None or call.status == "queued":
        return []
    busy = {
        participant.user_id
        for participant in facts.participants.values()
        if participant.user_id is not None and participant.answered_at is not None and not _has_left(participant)
    }
    if direction == "outbound" and call.user_id is not None:
        placer = facts.participants.get(f"user:{call.user_id}")
        if placer is None or not _has_left(placer):
            busy.add(call.user_id)
    return sorted(busy)


def last_talks(facts: CallFacts, direction: str, call: Call) -> dict[str, Instant]:
    """Until when each user talked in this call, of those who do so no more: what longest idle counts from (R4).

    Who placed an outbound call is busy with it until it ends, whether or not it was answered.
    """
    ended: dict[str, Instant] = {}
    for participant in facts.participants.values():
        if participant.user_id is None or participant.answered_at is None:
            continue
        over = call.ended_at
        if participant.left_at is not None and _has_left(participant):
            over = participant.left_at if over is None else min(over, participant.left_at)
        if over is not None:
            ended[participant.user_id] = over
    if direction == "outbound" and call.user_id is not None and call.ended_at is not None and facts.reported:
        ended.setdefault(call.user_id, call.ended_at)
    return ended


def _has_left(participant: Participant) -> bool:
    return participant.left_at is not None and participant.left_at >= (participant.answered_at or 0)


def held_seconds(participant: Participant, ended_at: Instant | None) -> float:
    """How long he was on hold: from each `held` to the next `resumed`, at last until he left or the call ended."""
    held, since = 0, None
    for time, _, state in participant.marks:
        if state == "held":
            since = time if since is None else since
        elif since is not None:
            held += time - since
            since = None
    if since is not None:
        over = min((at for at in (participant.left_at, ended_at) if at is not None and at >= since), default=since)
        held += over - since
    return held / 1_000_000


def caller_waits_since(facts: CallFacts) -> Fact[Any] | None:
    """The fact that calls for a ring plan: `started`, or `queued` where the caller is in a menu first (R4)."""
    if facts.started is not None and not facts.started.said.menu:
        return facts.started
    return facts.queued


def document_of(facts: CallFacts) -> dict[str, Any]:
    """The facts as a compact JSON document."""
    return packed(facts, _FIELDS)


def facts_of(document: dict[str, Any]) -> CallFacts:
    """The facts out of the document that `document_of` made, of this or an earlier version."""
    get = document.get
    return CallFacts(
        **common_of(document),
        started=fact_of(document, "started", Started),
        queued=fact_of(document, "queued", Queued),
        ringing=fact_of(document, "ringing"),
        answered=fact_of(document, "answered"),
        ended=fact_of(document, "ended", Ended),
        recorded=fact_of(document, "recorded"),
        participants={key: Participant(**parts) for key, parts in get("participants", {}).items()},
        voicemail=_written(get("voicemail")),
        recording=_written(get("recording")),
        analysis=_written(get("analysis")),
    )


def _written(document: dict[str, Any] | None) -> dict[str, Fact[Any]]:
    return {name: Fact(*row) for name, row in document.items()} if document else {}


def _seconds(since: Instant, until: Instant) -> float:
    return max(until - since, 0) / 1_000_000
