"""What made a communication what it is, in plain sentences and in order."""

from __future__ import annotations

from dataclasses import dataclass

from routing import calls
from routing.calls import CallFacts
from routing.communications import Communication, Standing
from routing.facts import Instant
from routing.messages import MessageFacts


@dataclass(frozen=True, slots=True)
class Line:
    """One fact, or (without a time) one decision."""

    at: Instant | None
    what: str


def explain(communication: Communication, standing: Standing, inbox_id: str | None) -> list[Line]:
    """The facts in the order in which they happened, then the decisions that rest on them."""
    facts = communication.facts
    if facts is None:
        return []
    lines = _call_facts(facts) if isinstance(facts, CallFacts) else _message_facts(facts)
    if facts.requested is not None:
        requested = facts.requested
        lines.append(Line(requested.requested_at, f"{requested.user_id} asked for it over HTTP"))
    lines.sort(key=lambda line: (line.at or 0, line.what))
    lines.append(Line(None, _where(communication, standing, inbox_id)))
    if standing.call is not None and isinstance(facts, CallFacts):
        lines.extend(_ringing(communication, standing))
        lines.append(Line(None, _call_status(communication, facts, standing)))
    elif standing.message is not None:
        lines.append(Line(None, f"it is {standing.message.status}: the highest status that was reported"))
    return lines


def _call_facts(facts: CallFacts) -> list[Line]:
    lines: list[Line] = []
    if facts.started is not None:
        menu = " in a menu" if facts.started.said.menu else ""
        lines.append(Line(facts.started.time, f"the call started{menu}"))
    if facts.queued is not None:
        named = facts.queued.said.inbox_id
        lines.append(Line(facts.queued.time, f"the caller queued{f' for inbox {named}' if named else ''}"))
    for participant in facts.participants.values():
        who = participant.user_id or "somebody outside"
        lines.extend(
            Line(at, f"{who} {what}")
            for at, what in (
                (participant.rang_at, "was rung"),
                (participant.answered_at, "answered"),
                (participant.declined_at, "declined"),
                (participant.missed_at, "did not answer"),
                (participant.left_at, "left"),
            )
            if at is not None
        )
    if facts.answered is not None:
        lines.append(Line(facts.answered.time, "a person talked to the contact"))
    if facts.recorded is not None:
        lines.append(Line(facts.recorded.time, "the caller left a recording"))
    if facts.ended is not None:
        outcome = facts.ended.said.outcome
        lines.append(Line(facts.ended.time, f"the call ended{f', reported as {outcome}' if outcome else ''}"))
    return lines


def _message_facts(facts: MessageFacts) -> list[Line]:
    lines: list[Line] = []
    if facts.received is not None:
        lines.append(Line(facts.received.time, "the message was received"))
    if facts.sent is not None:
        lines.append(Line(facts.sent.time, "the message was sent"))
    if facts.highest is not None:
        lines.append(Line(facts.highest.time, f"{facts.highest.said.status} was reported"))
    if facts.unknown is not None:
        lines.append(Line(facts.unknown.time, f"{facts.unknown.said} was reported, which ranks as nothing"))
    return lines


def _where(communication: Communication, standing: Standing, inbox_id: str | None) -> str:
    facts, place = communication.facts, standing.place
    if place is None:
        return "it waits for an event that tells direction, line and contact"
    if inbox_id is None:
        return "it is unrouted: its line is mapped to no inbox and the account has no fallback"
    if facts is not None and facts.requested is not None:
        return f"it is in inbox {inbox_id} because it was asked for there"
    if isinstance(facts, CallFacts) and facts.queued is not None and facts.queued.said.inbox_id == inbox_id:
        return f"it is in inbox {inbox_id} because the caller was queued for it"
    return f"it is in inbox {inbox_id} because that is where its line led when it was first seen"


def _ringing(communication: Communication, standing: Standing) -> list[Line]:
    lines: list[Line] = []
    if standing.after_hours:
        lines.append(Line(None, "it came outside the inbox's business hours"))
    plan = communication.decided.plan
    if plan is not None:
        users = [user for layer in plan.command["layers"] for user in layer["user_ids"]]
        planned = f"rings {', '.join(users)}" if users else "goes straight to voicemail"
        lines.append(Line(plan.decided_at, f"the ring plan {planned}"))
        lines.extend(Line(plan.decided_at, f"{user} was left out: {because}") for user, because in plan.left_out)
    return lines


def _call_status(communication: Communication, facts: CallFacts, standing: Standing) -> str:
    call = standing.call
    if call is None or standing.place is None:
        return "its status is not known yet"
    status = call.status
    if call.reason in ("no_end_event", "not_taken"):
        return f"it is {status}: {call.reason}"
    plan = communication.decided.plan
    match status:
        case "completed":
            because = "a person talked to the contact"
        case "voicemail":
            because = "nobody answered and the caller left a recording"
        case "abandoned" if facts.ended is not None and facts.ended.said.outcome != "abandoned":
            because = "the caller hung up before anybody was rung"
        case "missed" if calls.was_rung(facts):
            because = "somebody was rung and nobody answered"
        case "missed" if standing.after_hours:
            because = "it came after hours"
        case "missed" if plan is not None and plan.has_nobody:
            because = "nobody was there to be rung"
        case "ringing" | "in_progress" | "queued":
            because = "it has not ended"
        case _:
            because = "telephony reported it so" if standing.place.direction == "inbound" else "nobody answered"
    return f"it is {status}: {because}"
