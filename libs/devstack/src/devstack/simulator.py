"""A believable day of an account's telephony, as events ready for `telephony-events`.

Pure and seeded: the same arguments give the same bytes. Arrivals follow the hours of a working day or a
weekend, durations and patience are log-normal, agents talk to one caller at a time, some callers return,
some withhold their number; and delivery is as it really is: a few records come late, a few come twice.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from random import Random
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from contracts import telephony
from contracts.communications import Status
from contracts.envelope import Event, encode, structured
from contracts.fields import Data, Direction, Kind, Media
from contracts.numbers import ANONYMOUS
from devstack import phrases

Spans = tuple[tuple[time, time], ...]
Mode = Literal["structured", "binary"]
Arrival = Literal["call in", "call out", "text in", "text out"]

EVENTS_PER_ARRIVAL: Final = 4.66
"""The mean over a long day, with replies, call-backs and duplicates: it turns events into arrivals."""

PRESENCES_PER_USER: Final = 4
COMMUNICATIONS_PER_CONTACT: Final = 5
SHARES: Final[dict[Arrival, float]] = {"call in": 0.58, "call out": 0.10, "text in": 0.26, "text out": 0.06}
WITHHELD_SHARE: Final = 0.04
MENU_SHARE: Final = 0.25
LATE_SHARE: Final = 0.015
DUPLICATE_SHARE: Final = 0.01
RING_SECONDS: Final = 30.0
LONGEST_WAIT: Final = timedelta(minutes=5)

_ALWAYS: Final[Spans] = ((time(8), time(20)),)
_WORKING_DAY: Final = (1, 1, 1, 1, 1, 2, 5, 14, 42, 78, 92, 84, 60, 66, 82, 80, 66, 48, 30, 20, 14, 9, 5, 2)
_WEEKEND: Final = (2, 1, 1, 1, 1, 1, 2, 5, 12, 26, 40, 44, 40, 36, 34, 30, 26, 22, 18, 16, 13, 9, 6, 3)
"""How likely each hour of the local day is to bring a communication, against the other hours."""

_AREA_CODES: Final = tuple(code for code in range(201, 990) if code // 10 % 10 != 9 and code % 100 != 11)
_FICTION: Final = range(100, 200)
"""555-0100 to 555-0199 exist in every area code for fiction only: nobody real is ever named."""


@dataclass(frozen=True, slots=True)
class StaffedLine:
    """A line and who works behind it, if anybody. `week` has the staffed local hours from Monday on."""

    number: str
    inbox_id: str
    user_ids: tuple[str, ...]
    week: tuple[Spans, ...] = (_ALWAYS,) * 7


@dataclass(frozen=True, slots=True)
class Setup:
    """What of an account its telephony knows."""

    account_id: str
    lines: tuple[StaffedLine, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One event as it is written to Kafka. `delivered_at` is when: after its time, sometimes long after."""

    delivered_at: datetime
    event: Event[Data]
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Meant:
    """What a simulated communication must come out as, once all of its events have arrived (M1, M2)."""

    communication_id: str
    kind: Kind
    direction: Direction
    status: Status
    inbox_id: str
    line_number: str
    contact_number: str
    started_at: datetime
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """A day's records in the order of delivery, and the communications they tell of in the order of start."""

    records: list[Record]
    communications: list[Meant]


def day(setup: Setup, on: date, zone: ZoneInfo, random: Random, events: int, mode: Mode = "structured") -> Day:
    """About `events` events (within a tenth, from some hundred on) of the local day `on` in `zone`.

    What begins late in the day may end, be transcribed or be delivered after midnight. Raises `ValueError`
    when the setup has no line.
    """
    if not setup.lines:
        raise ValueError("the account has no line: nothing can happen on it")
    users = {user_id for line in setup.lines for user_id in line.user_ids}
    arrivals = max(1, round((events - PRESENCES_PER_USER * len(users)) / EVENTS_PER_ARRIVAL))
    telling = _Telling(setup, on, zone, random, arrivals)
    telling.tell()
    return Day(
        records=_delivered(telling.events, random, mode),
        communications=sorted(telling.meant, key=lambda meant: (meant.started_at, meant.communication_id)),
    )


def randomness(*seed: object) -> Random:
    """The randomness of one day: the same for the same parts of a seed."""
    return Random("/".join(str(part) for part in seed))


def a_company(account_id: str, *, inboxes: int, agents: int) -> Setup:
    """A made-up account for load: `inboxes` inboxes, a line and `agents` people each, open every day."""
    return Setup(
        account_id=account_id,
        lines=tuple(
            StaffedLine(
                number=f"+1212555{1000 + number:04}",
                inbox_id=f"inbox-{number}",
                user_ids=tuple(f"user-{number}-{agent}" for agent in range(agents)),
            )
            for number in range(inboxes)
        ),
    )


def record_of(event: Event[Data], delivered_at: datetime, mode: Mode = "structured") -> Record:
    """An event as a record, keyed by the call or message that it is of."""
    if mode == "binary":
        value, headers = encode(event)
    else:
        value, headers = structured(event), [("content-type", b"application/cloudevents+json")]
    return Record(delivered_at, event, key_for(event.data), value, headers)


def key_for(data: Data) -> bytes:
    """The best key for a telephony event: the id of its call or message, else of its user or command."""
    for name in ("call_id", "message_id", "user_id", "endpoint", "command_id"):
        value = getattr(data, name, None)
        if value:
            return str(value).encode()
    raise ValueError(f"{type(data).__name__} names no call, message, user or command")


def _delivered(events: Sequence[Event[Data]], random: Random, mode: Mode) -> list[Record]:
    records = []
    for event in events:
        delivered_at = event.time + timedelta(seconds=_log_normal(random, 0.08, 0.6))
        if random.random() < LATE_SHARE:
            delivered_at += timedelta(seconds=random.uniform(5, 600))
        record = record_of(event, delivered_at, mode)
        records.append(record)
        if random.random() < DUPLICATE_SHARE:
            again_at = delivered_at + timedelta(seconds=random.uniform(1, 300))
            records.append(Record(again_at, event, record.key, record.value, record.headers))
    records.sort(key=lambda record: record.delivered_at)
    return records


def _log_normal(random: Random, median: float, sigma: float) -> float:
    return random.lognormvariate(math.log(median), sigma)


@dataclass(frozen=True, slots=True)
class _Contact:
    number: str
    name: str | None
    line: StaffedLine


@dataclass(slots=True)
class _Telling:
    """One day while it is told: who talks until when, what is still to come, and what has been said."""

    setup: Setup
    on: date
    zone: ZoneInfo
    random: Random
    count: int
    events: list[Event[Data]] = field(default_factory=list)
    meant: list[Meant] = field(default_factory=list)
    _busy_until: dict[str, datetime] = field(default_factory=dict)
    _open: dict[str, tuple[tuple[datetime, datetime], ...]] = field(default_factory=dict)
    _agenda: list[tuple[datetime, int, Callable[[datetime], None]]] = field(default_factory=list)
    _contacts: list[_Contact] = field(default_factory=list)
    _scheduled: int = 0

    def tell(self) -> None:
        """Let the whole day happen, in order of time: an agent is busy for one caller because of another."""
        weekday = self.on.weekday()
        for line in self.setup.lines:
            self._open[line.number] = tuple(
                (
                    self._at(opens),
                    self._at(closes) if closes > opens else self._at(closes) + timedelta(days=1),
                )
                for opens, closes in line.week[weekday]
            )
        self._contacts = self._people(max(3, self.count // COMMUNICATIONS_PER_CONTACT))
        self._presences()
        hours = _WEEKEND if weekday >= 5 else _WORKING_DAY
        begin: dict[Arrival, Callable[[datetime], None]] = {
            "call in": self._call_in,
            "call out": self._call_out,
            "text in": self._text_in,
            "text out": self._text_out,
        }
        chosen = self.random.choices(list(SHARES), weights=list(SHARES.values()), k=self.count)
        for arrival, hour in zip(chosen, self.random.choices(range(24), weights=hours, k=self.count), strict=True):
            # Given their number, the arrivals of a Poisson process are independent draws from its rate.
            at = self._at(time(hour), self.random.random() * 3600)
            if at >= self._at(time(0)):
                self._schedule(at, begin[arrival])
        while self._agenda:
            at, _, happen = heapq.heappop(self._agenda)
            happen(at)

    def _at(self, wall: time, seconds: float = 0) -> datetime:
        local = datetime.combine(self.on, wall, self.zone) + timedelta(seconds=seconds)
        return local.replace(microsecond=local.microsecond // 1000 * 1000).astimezone(UTC)

    def _schedule(self, at: datetime, happen: Callable[[datetime], None]) -> None:
        self._scheduled += 1
        heapq.heappush(self._agenda, (at, self._scheduled, happen))

    def _people(self, count: int) -> list[_Contact]:
        ours = {line.number for line in self.setup.lines}
        most = len(_AREA_CODES) * len(_FICTION)
        people = []
        for drawn in self.random.sample(range(most), min(most, count)):
            area, last = divmod(drawn, len(_FICTION))
            number = f"+1{_AREA_CODES[area]}5550{_FICTION[last]}"
            named = self.random.random() < 0.6
            name = f"{self.random.choice(phrases.FIRST_NAMES)} {self.random.choice(phrases.LAST_NAMES)}"
            if number not in ours:
                people.append(_Contact(number, name if named else None, self.random.choice(self.setup.lines)))
        return people

    def _somebody(self) -> tuple[_Contact, StaffedLine]:
        # The low numbers of the list call often, the high ones once: most traffic is of people who return.
        contact = self._contacts[int(len(self._contacts) * self.random.random() ** 1.6)]
        line = contact.line if self.random.random() < 0.85 else self.random.choice(self.setup.lines)
        return contact, line

    def _presences(self) -> None:
        shifts: dict[str, tuple[datetime, datetime]] = {}
        for line in self.setup.lines:
            for opens, closes in self._open[line.number]:
                for user_id in line.user_ids:
                    first, last = shifts.get(user_id, (opens, closes))
                    shifts[user_id] = (min(first, opens), max(last, closes))
        for user_id, (comes, goes) in sorted(shifts.items()):
            lunch = comes + (goes - comes) * self.random.uniform(0.4, 0.55)
            back = lunch + timedelta(minutes=self.random.uniform(25, 50))
            self._presence(user_id, comes - timedelta(minutes=self.random.uniform(1, 12)), "available")
            self._presence(user_id, lunch, "away")
            self._presence(user_id, back, "available")
            self._presence(user_id, goes + timedelta(minutes=self.random.uniform(1, 20)), "offline")
            self._schedule(lunch, partial(self._goes_to_lunch, user_id, back))

    def _presence(self, user_id: str, at: datetime, status: Literal["available", "away", "offline"]) -> None:
        self._say("telephony.user.presence.v1", at, telephony.UserPresence(user_id=user_id, status=status))

    def _goes_to_lunch(self, user_id: str, back: datetime, _at: datetime) -> None:
        self._occupy(user_id, back)

    def _occupy(self, user_id: str, until: datetime) -> None:
        self._busy_until[user_id] = max(until, self._busy_until.get(user_id, until))

    def _is_open(self, line: StaffedLine, at: datetime) -> bool:
        return any(opens <= at < closes for opens, closes in self._open[line.number])

    def _free(self, line: StaffedLine, at: datetime) -> list[str]:
        free = [user_id for user_id in line.user_ids if self._busy_until.get(user_id, at) <= at]
        return self.random.sample(free, min(4, len(free)))

    def _say(self, event_type: str, at: datetime, data: Data) -> None:
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        event = Event(
            id=f"{self.random.getrandbits(80):020x}",
            source="/analysis/simulated" if event_type.endswith("analyzed.v1") else "/telephony/simulated",
            type=event_type,
            time=at,
            account_id=self.setup.account_id,
            data=data,
        )
        self.events.append(event)

    def _mean(self, meaning: dict[str, Any], status: Status, user_id: str | None = None) -> None:
        self.meant.append(Meant(**meaning, status=status, user_id=user_id))

    def _call_in(self, at: datetime) -> None:
        random = self.random
        contact, line = self._somebody()
        call_id = f"call-{random.getrandbits(64):016x}"
        withheld = random.random() < WITHHELD_SHARE
        in_menu = random.random() < MENU_SHARE
        self._say(
            "telephony.call.started.v1",
            at,
            telephony.CallStarted(
                call_id=call_id,
                direction="inbound",
                line_number=line.number,
                contact_number=ANONYMOUS if withheld else _as_written(contact.number, random),
                contact_name=None if withheld else contact.name,
                menu=in_menu,
            ),
        )
        meaning = {
            "communication_id": call_id,
            "kind": "call",
            "direction": "inbound",
            "inbox_id": line.inbox_id,
            "line_number": line.number,
            "contact_number": ANONYMOUS if withheld else contact.number,
            "started_at": at,
        }
        waits_from = at
        if in_menu:
            waits_from = at + timedelta(seconds=_log_normal(random, 11, 0.5))
            if random.random() < 0.08:
                self._end(call_id, waits_from, "abandoned")
                self._mean(meaning, "abandoned")
                return
            self._say(
                "telephony.call.queued.v1",
                waits_from,
                telephony.CallQueued(call_id=call_id, queue=random.choice(phrases.MENU_QUEUES)),
            )
        if not self._is_open(line, waits_from) or not line.user_ids:
            self._unanswered(call_id, waits_from + timedelta(seconds=random.uniform(4, 14)), meaning, line, contact)
            return
        leaves_at = waits_from + timedelta(seconds=_log_normal(random, 55, 0.8))
        rings_at = waits_from + timedelta(seconds=random.uniform(0.2, 1.5))
        rung = self._free(line, rings_at)
        if not rung:
            rings_at = min(self._busy_until[user_id] for user_id in line.user_ids) + timedelta(seconds=1)
            rung = self._free(line, rings_at)
        if rings_at > min(leaves_at, waits_from + LONGEST_WAIT):
            self._end(call_id, leaves_at, "abandoned", "the caller hung up in the queue")
            self._mean(meaning, "abandoned")
            self._call_back_later(leaves_at, line, contact, withheld)
            return
        self._say(
            "telephony.call.ringing.v1",
            rings_at,
            telephony.CallRinging(call_id=call_id, user_ids=tuple(rung)),
        )
        if len(rung) > 1 and random.random() < 0.15:
            self._leg(call_id, rung[-1], "declined", rings_at + timedelta(seconds=random.uniform(1, 4)))
        picks_up_at = rings_at + timedelta(seconds=_log_normal(random, 7, 0.6))
        gives_up_at = rings_at + timedelta(seconds=RING_SECONDS)
        if leaves_at < min(picks_up_at, gives_up_at):
            self._end(call_id, leaves_at, "abandoned")
            self._mean(meaning, "abandoned")
            self._call_back_later(leaves_at, line, contact, withheld)
        elif picks_up_at > gives_up_at or random.random() < 0.10:
            self._unanswered(call_id, gives_up_at, meaning, line, contact)
        else:
            self._talk(call_id, rung[0], picks_up_at, held=random.random() < 0.08)
            self._mean(meaning, "completed", rung[0])

    def _unanswered(
        self, call_id: str, at: datetime, meaning: dict[str, Any], line: StaffedLine, contact: _Contact
    ) -> None:
        random = self.random
        if random.random() < 0.5:
            seconds = round(min(180.0, _log_normal(random, 22, 0.6)), 1)
            ended_at = at + timedelta(seconds=seconds + 3)
            recording_id = f"rec-{random.getrandbits(48):012x}"
            self._end(call_id, ended_at, "voicemail")
            self._say(
                "telephony.voicemail.recorded.v1",
                ended_at + timedelta(seconds=random.uniform(0.5, 4)),
                telephony.VoicemailRecorded(
                    call_id=call_id,
                    recording_id=recording_id,
                    recording_url=f"https://recordings.example.com/{recording_id}.mp3",
                    duration_seconds=seconds,
                ),
            )
            if random.random() < 0.8:
                self._say(
                    "telephony.voicemail.transcribed.v1",
                    ended_at + timedelta(seconds=random.uniform(15, 90)),
                    telephony.VoicemailTranscribed(
                        call_id=call_id,
                        recording_id=recording_id,
                        transcript=random.choice(phrases.VOICEMAILS),
                    ),
                )
            self._mean(meaning, "voicemail")
        else:
            outcome = random.choices(("missed", "no_answer", "voicemail"), weights=(80, 15, 5))[0]
            ended_at = at + timedelta(seconds=random.uniform(0, 3))
            self._end(call_id, ended_at, outcome)
            self._mean(meaning, "missed")
        self._call_back_later(ended_at, line, contact, meaning["contact_number"] == ANONYMOUS)

    def _call_back_later(self, at: datetime, line: StaffedLine, contact: _Contact, withheld: bool) -> None:
        back_at = at + timedelta(minutes=_log_normal(self.random, 18, 0.8))
        if not withheld and self.random.random() < 0.3 and self._is_open(line, back_at):
            self._schedule(back_at, partial(self._place, line, contact))

    def _call_out(self, at: datetime) -> None:
        contact, line = self._somebody()
        self._place(line, contact, at)

    def _place(self, line: StaffedLine, contact: _Contact, at: datetime) -> None:
        random = self.random
        free = self._free(line, at)
        if not free or not self._is_open(line, at):
            return
        user_id, call_id = free[0], f"call-{random.getrandbits(64):016x}"
        self._say(
            "telephony.call.started.v1",
            at,
            telephony.CallStarted(
                call_id=call_id,
                direction="outbound",
                line_number=line.number,
                contact_number=contact.number,
                user_id=user_id,
            ),
        )
        meaning = {
            "communication_id": call_id,
            "kind": "call",
            "direction": "outbound",
            "inbox_id": line.inbox_id,
            "line_number": line.number,
            "contact_number": contact.number,
            "started_at": at,
        }
        rings_for = timedelta(seconds=random.uniform(4, 28))
        outcome = random.choices(("answered", "no_answer", "busy", "failed"), weights=(62, 28, 8, 2))[0]
        if outcome == "answered":
            self._talk(call_id, user_id, at + rings_for, held=False)
            self._mean(meaning, "completed", user_id)
            return
        self._occupy(user_id, at + rings_for)
        self._end(call_id, at + rings_for, outcome)
        status: dict[str, Status] = {"no_answer": "no_answer", "busy": "busy", "failed": "failed"}
        self._mean(meaning, status[outcome], user_id)

    def _talk(self, call_id: str, user_id: str, answered_at: datetime, *, held: bool) -> None:
        random = self.random
        seconds = min(5400.0, 6 + _log_normal(random, 150, 0.9))
        ended_at = answered_at + timedelta(seconds=seconds)
        self._occupy(user_id, ended_at + timedelta(seconds=random.uniform(5, 40)))
        self._say(
            "telephony.call.answered.v1",
            answered_at,
            telephony.CallAnswered(call_id=call_id, user_id=user_id),
        )
        if held:
            holds_at = answered_at + timedelta(seconds=seconds * 0.4)
            self._leg(call_id, user_id, "held", holds_at)
            self._leg(call_id, user_id, "resumed", holds_at + timedelta(seconds=seconds * random.uniform(0.05, 0.3)))
        if random.random() < 0.5:
            self._leg(call_id, user_id, "left", ended_at)
        self._end(call_id, ended_at, "completed")
        if random.random() < 0.6:
            recording_id = f"rec-{random.getrandbits(48):012x}"
            self._say(
                "telephony.recording.available.v1",
                ended_at + timedelta(seconds=random.uniform(3, 40)),
                telephony.RecordingAvailable(
                    call_id=call_id,
                    recording_id=recording_id,
                    recording_url=f"https://recordings.example.com/{recording_id}.mp3",
                    duration_seconds=round(seconds, 1),
                ),
            )
        if random.random() < 0.5:
            self._analyze(call_id, seconds, ended_at + timedelta(seconds=random.uniform(30, 400)))

    def _analyze(self, call_id: str, seconds: float, at: datetime) -> None:
        random = self.random
        score = round(max(-1.0, min(1.0, random.gauss(0.2, 0.45))), 2)
        share = random.uniform(0.35, 0.65)
        self._say(
            "telephony.call.analyzed.v1",
            at,
            telephony.CallAnalyzed(
                call_id=call_id,
                summary=random.choice(phrases.SUMMARIES),
                sentiment=telephony.Sentiment(
                    label="positive" if score > 0.25 else "negative" if score < -0.25 else "neutral",
                    score=score,
                ),
                topics=tuple(sorted(random.sample(phrases.TOPICS, random.randint(1, 3)))),
                talk_seconds=telephony.TalkSeconds(
                    agent=round(seconds * share, 1), contact=round(seconds * (1 - share), 1)
                ),
                language="en",
            ),
        )

    def _leg(
        self, call_id: str, user_id: str, state: Literal["declined", "held", "resumed", "left"], at: datetime
    ) -> None:
        self._say(
            "telephony.call.leg.v1",
            at,
            telephony.CallLeg(call_id=call_id, leg_id=f"{call_id}/{user_id}", user_id=user_id, state=state),
        )

    def _end(self, call_id: str, at: datetime, outcome: str, reason: str | None = None) -> None:
        self._say(
            "telephony.call.ended.v1",
            at,
            telephony.CallEnded(call_id=call_id, outcome=outcome, reason=reason),
        )

    def _text_in(self, at: datetime) -> None:
        random = self.random
        contact, line = self._somebody()
        message_id = f"msg-{random.getrandbits(64):016x}"
        picture = Media(url=f"https://media.example.com/{message_id}.jpg", content_type="image/jpeg")
        self._say(
            "telephony.message.received.v1",
            at,
            telephony.MessageReceived(
                message_id=message_id,
                direction="inbound",
                line_number=line.number,
                contact_number=_as_written(contact.number, random),
                contact_name=contact.name,
                body=random.choice(phrases.QUESTIONS),
                media=(picture,) if random.random() < 0.05 else (),
            ),
        )
        self.meant.append(
            Meant(
                communication_id=message_id,
                kind="message",
                direction="inbound",
                status="received",
                inbox_id=line.inbox_id,
                line_number=line.number,
                contact_number=contact.number,
                started_at=at,
            )
        )
        reply_at = at + timedelta(minutes=_log_normal(random, 9, 1.0))
        if random.random() < 0.65 and line.user_ids and self._is_open(line, reply_at):
            user_id = random.choice(line.user_ids)
            self._schedule(reply_at, partial(self._send, line, contact, user_id, phrases.REPLIES))

    def _text_out(self, at: datetime) -> None:
        contact, line = self._somebody()
        self._send(line, contact, None, phrases.REMINDERS, at)

    def _send(
        self, line: StaffedLine, contact: _Contact, user_id: str | None, bodies: Sequence[str], at: datetime
    ) -> None:
        random = self.random
        message_id = f"msg-{random.getrandbits(64):016x}"
        self._say(
            "telephony.message.sent.v1",
            at,
            telephony.MessageSent(
                message_id=message_id,
                direction="outbound",
                line_number=line.number,
                contact_number=contact.number,
                body=random.choice(bodies),
                user_id=user_id,
            ),
        )
        final: Status = random.choices(("delivered", "undelivered", "failed"), weights=(95, 3, 2))[0]
        steps: list[tuple[str, float]] = [("queued", 0.1), ("sent", 0.9)] if random.random() < 0.4 else [("sent", 0.9)]
        for status, seconds in [*steps, (final, 1 + _log_normal(random, 2.5, 0.8))]:
            self._say(
                "telephony.message.status.v1",
                at + timedelta(seconds=seconds),
                telephony.MessageStatus(
                    message_id=message_id,
                    status=status,
                    error_code="30003" if status in ("undelivered", "failed") else None,
                ),
            )
        self.meant.append(
            Meant(
                communication_id=message_id,
                kind="message",
                direction="outbound",
                status=final,
                inbox_id=line.inbox_id,
                line_number=line.number,
                contact_number=contact.number,
                started_at=at,
                user_id=user_id,
            )
        )


def _as_written(number: str, random: Random) -> str:
    """The number as some systems write it: E.164 mostly, with spaces sometimes (A3: odd, never bad)."""
    if random.random() < 0.97:
        return number
    return f"{number[:2]} {number[2:5]} {number[5:8]}-{number[8:]}"
