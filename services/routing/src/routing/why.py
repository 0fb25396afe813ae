"""What made a communication what it is, in plain sentences and in order: its facts, then the rules that were applied.

A sentence says only what is stored or told, so that it is as true later as when it was decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from contracts.commands import RingMode
from routing import calls
from routing.calls import Call, CallFacts
from routing.communications import Communication, Plan, Standing
from routing.directory import Directory
from routing.facts import Instant
from routing.messages import Message, MessageFacts
from routing.ring_plan import Because as LeftOutBecause


@dataclass(frozen=True, slots=True)
class Line:
    """One fact (with its time), or one decision with the behaviour that it follows, such as `R2`."""

    at: Instant | None
    what: str
    rule: str | None = None


_COUNTED: Final = frozenset({"missed", "abandoned", "voicemail", "busy", "no_answer", "failed"})
"""The outcomes that count as a report of an inbound call (M1)."""

_LEFT_OUT: Final[dict[LeftOutBecause, str]] = {
    "not connected": "not connected to the inbox",
    "in no layer": "named in none of its ring layers",
    "rings is off": "set up never to ring",
    "busy": "busy",
    "away": "away",
    "offline": "offline",
    "talking": "in another call",
}


def explain(communication: Communication, standing: Standing, inbox_id: str | None, directory: Directory) -> list[Line]:
    """The facts in the order in which they happened, then where it is, who was to ring, and why it has its status.

    Users and this inbox are called by their names; another inbox is not, since the reader may not know of it.
    """
    facts = communication.facts
    if facts is None:
        return []
    teller = _Teller(communication, standing, inbox_id, directory)
    told = list(teller.call_facts(facts) if isinstance(facts, CallFacts) else teller.message_facts(facts))
    if facts.requested is not None:
        who = teller.user(facts.requested.user_id)
        told.append(Line(facts.requested.requested_at, f"{who} asked for it over HTTP"))
    # Sorting is stable: what happened at once stays in the order in which it is told here.
    told.sort(key=lambda line: line.at or 0)
    told.extend(teller.place())
    if isinstance(facts, CallFacts) and standing.call is not None:
        told.extend(teller.ringing(facts))
        told.extend(teller.call_status(facts, standing.call))
    elif isinstance(facts, MessageFacts) and standing.message is not None:
        told.append(teller.message_status(facts, standing.message))
    return told


@dataclass(frozen=True, slots=True)
class _Teller:
    communication: Communication
    standing: Standing
    inbox_id: str | None
    directory: Directory

    def user(self, user_id: str) -> str:
        found = self.directory.users.get(user_id)
        return user_id if found is None else found.name

    @property
    def inbox(self) -> str:
        found = None if self.inbox_id is None else self.directory.inboxes.get(self.inbox_id)
        return str(self.inbox_id) if found is None else found.name

    def call_facts(self, facts: CallFacts) -> Iterator[Line]:
        if facts.started is not None:
            said = facts.started.said
            outbound = self.standing.place is not None and self.standing.place.direction == "outbound"
            by = f", placed by {self.user(said.user_id)}" if outbound and said.user_id else ""
            yield Line(facts.started.time, f"the call started{' in a menu' if said.menu else ''}{by}")
        if facts.queued is not None:
            yield Line(
                facts.queued.time, f"the caller began to wait in a queue{self._queue(facts.queued.said.inbox_id)}"
            )
        for _, participant in sorted(facts.participants.items()):
            yield from self._participant(participant)
        if facts.answered is not None:
            yield Line(facts.answered.time, "a person talked to the contact")
        if facts.recorded is not None:
            yield Line(facts.recorded.time, "the caller left a recording")
        if facts.ended is not None:
            outcome = facts.ended.said.outcome
            yield Line(facts.ended.time, f"the call ended{f', reported as {outcome}' if outcome else ''}")
        if facts.refused is not None and not facts.reported:
            yield Line(facts.refused.time, "the telephony system refused the command")

    def _queue(self, named: str | None) -> str:
        if named is None:
            return ""
        if named == self.inbox_id:
            return f" of {self.inbox}"
        return " of another inbox" if named in self.directory.inboxes else " of an inbox that is not known here"

    def _participant(self, participant: calls.Participant) -> Iterator[Line]:
        who = "somebody outside" if participant.user_id is None else self.user(participant.user_id)
        for at, what in (
            (participant.rang_at, "was rung"),
            (participant.answered_at, "answered"),
            (participant.declined_at, "declined"),
            (participant.missed_at, "did not answer"),
            (participant.left_at, "left"),
        ):
            if at is not None:
                yield Line(at, f"{who} {what}")

    def message_facts(self, facts: MessageFacts) -> Iterator[Line]:
        if facts.received is not None:
            yield Line(facts.received.time, "the message was received")
        if facts.sent is not None:
            by = f" by {self.user(facts.sent.said.user_id)}" if facts.sent.said.user_id else ""
            yield Line(facts.sent.time, f"the message was sent{by}")
        if facts.highest is not None:
            error = facts.highest.said.error_code
            told = f", with error {error}" if error else ""
            yield Line(facts.highest.time, f"{facts.highest.said.status} was reported{told}")
        if facts.unknown is not None:
            yield Line(facts.unknown.time, f"{facts.unknown.said} was reported, which ranks as nothing")
        if facts.refused is not None and not facts.reported:
            yield Line(facts.refused.time, "the telephony system refused the command")

    def place(self) -> Iterator[Line]:
        facts, decided, where = self.communication.facts, self.communication.decided, self.standing.place
        if where is None:
            yield Line(None, "it waits for an event that tells its direction, line and contact", "R3")
            return
        requested = facts is not None and facts.requested is not None
        named = facts.queued.said.inbox_id if isinstance(facts, CallFacts) and facts.queued else None
        if named is not None and named not in self.directory.inboxes and not requested:
            yield Line(None, "an inbox that is not known here counts as none", "R2")
        if self.inbox_id is None:
            yield Line(None, "it is unrouted: its line led to no inbox, and the account had no fallback inbox", "R3")
        elif requested:
            yield Line(None, f"it is in {self.inbox} because it was asked for there", "R2")
        elif named == self.inbox_id:
            yield Line(None, f"it is in {self.inbox} because the caller was queued for it", "R2")
        else:
            fallback = where.line_number in decided.fallen_back
            rule = "R3" if fallback or decided.waited else "R1"
            yield Line(None, f"it is in {self.inbox} because {_mapped(fallback, decided.waited)}", rule)

    def ringing(self, facts: CallFacts) -> Iterator[Line]:
        place, plan = self.standing.place, self.communication.decided.plan
        if place is None or place.direction == "outbound":
            return
        if self.standing.after_hours is not None:
            how = "outside" if self.standing.after_hours else "within"
            yield Line(None, f"it came {how} the business hours", "R6")
        if plan is not None:
            yield Line(plan.decided_at, self._planned(plan), "R4")
            for user_id, because in plan.left_out:
                why = _LEFT_OUT.get(because, because)  # type: ignore[call-overload] # it was stored by any version
                rule = "R4" if because in ("not connected", "in no layer") else "R5"
                yield Line(plan.decided_at, f"{self.user(user_id)} was left out of the plan: {why}", rule)
        elif self.inbox_id is not None:
            yield Line(None, f"no ring plan was made: {self._unplanned(facts)}", "R4")

    def _planned(self, plan: Plan) -> str:
        layers: list[dict[str, Any]] = plan.command["layers"]
        if not layers:
            why = "it came outside the business hours" if self.standing.after_hours else "nobody was there to ring"
            return f"the ring plan was to go straight to voicemail: {why}"
        return f"the ring plan was to ring {', then '.join(self._layer(layer) for layer in layers)}, then voicemail"

    def _layer(self, layer: dict[str, Any]) -> str:
        users, seconds = [self.user(user_id) for user_id in layer["user_ids"]], layer["ring_seconds"]
        if len(users) == 1:
            return f"{users[0]} for {seconds} s"
        return f"{_listed(users)} {_how(layer['mode'])} for {seconds} s"

    def _unplanned(self, facts: CallFacts) -> str:
        decided = self.communication.decided
        if decided.unplanned == "rings_itself":
            return "the telephony system of its line rings people itself"
        if decided.unplanned == "late":
            return "it reached us too late to ring anybody"
        if calls.caller_waits_since(facts) is None:
            return "no event said that the caller waited for somebody"
        if decided.waited:
            return "nobody is rung for what is unrouted"
        if self.standing.call is not None and self.standing.call.status == "ringing":
            return "its inbox was not there any more"
        return "it was answered or over when it reached us"

    def call_status(self, facts: CallFacts, call: Call) -> Iterator[Line]:
        outcome = None if facts.ended is None else facts.ended.said.outcome
        inbound = self.standing.place is not None and self.standing.place.direction == "inbound"
        if outcome is not None and outcome not in (_COUNTED if inbound else ("busy", "failed")):
            if outcome != "completed":
                yield Line(None, f"the reported {outcome} counts as no report", "M1")
            elif call.because != "answered":
                yield Line(None, "a reported completed counts as no report where no person talked", "M1")
        yield Line(None, f"it is {_in_words(call)}: {_status_because(facts, call, inbound)}", _rule_of(call))

    def message_status(self, facts: MessageFacts, message: Message) -> Line:
        if message.status == "received":
            return Line(None, "it is received: every message that comes in is", "M2")
        if message.reason == "not_taken":
            return Line(None, "it is failed: no telephony system took it before the request expired", "M4")
        if facts.requested is not None and not facts.reported:
            if facts.refused is not None:
                return Line(None, f"it is failed: the telephony system refused it, saying: {facts.refused.said}", "M2")
            return Line(None, "it is queued: nothing was reported of it yet", "M2")
        if facts.highest is not None and facts.highest.said.status == message.status:
            return Line(None, f"it is {message.status}: the highest status that was reported", "M2")
        if facts.sent is not None:
            return Line(None, "it is sent: that it was sent is known, and no higher status was reported", "M2")
        return Line(None, "it is queued: no status that ranks was reported", "M2")


def _mapped(fallback: bool, waited: bool) -> str:
    if fallback and waited:
        return "it waited unrouted until that became the account's fallback inbox"
    if fallback:
        return "its line led to no inbox when it was first seen, and that was the account's fallback inbox"
    if waited:
        return "it waited unrouted until its line was mapped to it"
    return "its line led there when it was first seen"


def _how(mode: RingMode) -> str:
    match mode:
        case "simultaneous":
            return "together"
        case "round_robin":
            return "one after another (whose turn it was first), each"
        case "random":
            return "one after another (in random order), each"
        case "longest_idle":
            return "one after another (the longest idle first), each"
        case _:
            assert_never(mode)


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _in_words(call: Call) -> str:
    match call.status:
        case "voicemail":
            return "a voicemail"
        case "missed":
            return "missed, not abandoned" if call.because != "reported" else "missed"
        case "abandoned":
            return "abandoned, not missed" if call.because != "reported" else "abandoned"
        case _:
            return call.status.replace("_", " ")


def _rule_of(call: Call) -> str:
    return "M4" if call.because in ("no_end_event", "not_taken") else "M1"


def _status_because(facts: CallFacts, call: Call, inbound: bool) -> str:
    match call.because:
        case "requested":
            return "nothing was reported of it yet"
        case "refused":
            return f"the telephony system refused it, saying: {call.reason}"
        case "not_taken":
            return "no telephony system took it before the request expired"
        case "going_on":
            if facts.answered is not None:
                return "a person talks to the contact, and no end was reported"
            return "nobody answered yet, and no end was reported"
        case "no_end_event":
            talked = (
                "a person talked to the contact" if facts.answered is not None else "no person talked to the contact"
            )
            return f"{talked}, no end was reported, and it was closed at its last event"
        case "answered":
            return "a person talked to the contact"
        case "recorded":
            return "no person talked to the contact, and the caller left a recording"
        case "reported":
            outcome = None if facts.ended is None else facts.ended.said.outcome
            recording = "no recording was left, " if inbound else ""
            return f"no person talked to the contact, {recording}and {outcome} was reported"
        case "rung":
            return "somebody was rung, and no person talked to the contact"
        case "after_hours":
            return "nobody was rung, and it came outside the business hours"
        case "nobody_planned":
            return "the ring plan had nobody to ring"
        case "hung_up":
            return "it ended before anybody was rung"
        case "not_answered":
            return "no person talked to the contact, and neither busy nor failed was reported"
        case _:
            assert_never(call.because)
