"""Every figure, in total and by hour, line, user and team, against a plain fold that knows no SQL (P5)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from math import floor
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from contracts.business_hours import BusinessHours, Span
from contracts.communications import CommunicationChanged, Participant
from contracts.threads import thread_id
from reporting import days
from reporting.facts import fact_of
from reporting.figures import DAILY_ACTIVITY, Measured, nothing
from reporting.opening import opening
from reporting.storage import daily, rows
from reporting.storage.daily import Scope
from reporting.storage.rows import ThreadUnread
from routing.business_hours import is_open
from service_kit.database import Database
from tests.reporting.words import (
    ACCOUNT,
    BERLIN,
    CONTACT,
    DAY,
    LINE,
    NOON,
    OTHER_LINE,
    a_call,
    a_message,
    a_missed_call,
    keep,
)

MEMBERS = (("first", "anna"), ("second", "anna"), ("second", "bob"))
WINDOW = timedelta(days=7)


def scope(
    first: date = DAY,
    last: date | None = None,
    *,
    zone: ZoneInfo = BERLIN,
    lines: tuple[str, ...] | None = None,
    users: tuple[str, ...] | None = None,
    hours: BusinessHours | None = None,
) -> Scope:
    span = days.span_of(first, last or first, zone)
    return Scope(
        account_id=ACCOUNT,
        inbox_id="support",
        span=span,
        opening=None if hours is None else opening(hours, zone, days.Span(span.start, span.end + WINDOW)),
        time_zone=zone.key,
        lines=lines,
        users=users,
        members=MEMBERS,
    )


async def measured(database: Database, of: Scope) -> Measured:
    found = Measured()
    async with database.connection() as connection:
        await daily.measure(connection, of, found)
    return found


def some_days_of_traffic(seed: int) -> list[CommunicationChanged]:
    """Ten days around `DAY`, with every kind, status and transfer; received when it happened."""
    chance = random.Random(seed)
    begin = datetime(2026, 3, 6, tzinfo=UTC)
    made: list[CommunicationChanged] = []
    for number in range(900):
        at = begin + timedelta(seconds=chance.randrange(10 * 86_400), microseconds=chance.randrange(1_000_000))
        user = chance.choice(["anna", "bob", "dora"])
        place: dict[str, Any] = {
            "line_number": chance.choice([LINE, OTHER_LINE]),
            "contact_number": chance.choice([CONTACT, "+4915110000002", "+4915110000003", "47110", "anonymous"]),
            "inbox_id": "support" if chance.random() < 0.95 else "sales",
        }
        name = f"c{number}"
        match chance.randrange(9):
            case 0 | 1:
                made.append(a_call(name, at, waited=chance.uniform(1, 60), user_id=user, talked=300, **place))
            case 2:
                handed_over = at + timedelta(seconds=100)
                made.append(
                    a_call(
                        name,
                        at,
                        user_id=user,
                        talked=240,
                        participants=(
                            Participant(user_id=user, answered_at=at + timedelta(seconds=10), left_at=handed_over),
                            Participant(user_id="anna" if user == "bob" else "bob", answered_at=handed_over),
                            Participant(user_id="dora", rang_at=at),
                        ),
                        **place,
                    )
                )
            case 3:
                status = chance.choice(["missed", "abandoned", "voicemail", "failed"])
                made.append(a_missed_call(name, at, status=status, waited=chance.uniform(1, 60), **place))
            case 4:
                made.append(a_call(name, at, direction="outbound", user_id=user, **place))
            case 5:
                made.append(
                    a_call(name, at, direction="outbound", status="no_answer", talked=None, user_id=user, **place)
                )
            case 6 | 7:
                made.append(a_message(name, at, **place))
            case _:
                status = chance.choice(["delivered", "sent", "failed", "undelivered"])
                sender = chance.choice([user, None])
                made.append(a_message(name, at, direction="outbound", user_id=sender, status=status, **place))
    return made


def is_in(one: CommunicationChanged) -> bool:
    return one.direction == "inbound"


class Fold:
    """The figures of a set of communications, worked out one by one in plain Python."""

    def __init__(
        self, everything: Sequence[CommunicationChanged], of: Scope, hours: BusinessHours | None = None
    ) -> None:
        self.of = of
        self.hours = hours
        self.zone = ZoneInfo(of.time_zone)
        self.inbox = [one for one in everything if one.inbox_id == of.inbox_id]
        self.considered = [
            one
            for one in self.inbox
            if of.span.start <= one.started_at < of.span.end
            and (of.lines is None or one.line_number in of.lines)
            and self.passes(one.user_id)
        ]
        self.responses = list(self.first_responses())

    def passes(self, user_id: str | None) -> bool:
        return self.of.users is None or user_id is None or user_id in self.of.users

    def hour(self, one: CommunicationChanged) -> str:
        return f"{one.started_at.astimezone(self.zone).hour:02d}"

    def turns(self, contact: str) -> list[tuple[datetime, str, CommunicationChanged]]:
        """Agent activity (I7) and the contact's messages of one contact, in order."""
        turns = []
        for one in self.inbox:
            if one.contact_number != contact or contact == "anonymous":
                continue
            replied = one.kind == "message" and one.user_id and one.status not in ("failed", "undelivered")
            called = one.kind == "call" and one.user_id
            if is_in(one):
                if one.kind == "message":
                    turns.append((one.started_at, "contact", one))
                elif one.answered_at:
                    turns.append((one.answered_at, "agent", one))
            elif replied or called:
                turns.append((one.started_at, "agent", one))
        return sorted(turns, key=lambda turn: (turn[0], turn[2].communication_id))

    def open_seconds(self, start: datetime, end: datetime) -> float:
        """How long the inbox was open between two moments, by the minutes of the clock on the wall."""
        if self.hours is None:
            return (end - start).total_seconds()
        total, at = 0.0, start
        while at < end:
            whole_minute = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
            following = min(whole_minute, end)
            if is_open(self.hours, self.of.time_zone, at):
                total += (following - at).total_seconds()
            at = following
        return total

    def first_responses(self) -> Iterable[tuple[CommunicationChanged, str | None, float, float]]:
        """Per message that nobody had answered: it, who responded, and after how many seconds, all and open ones."""
        for contact in {one.contact_number for one in self.inbox}:
            turns = self.turns(contact)
            for position, (at, whose, one) in enumerate(turns):
                if whose != "contact" or not self.of.span.start <= one.started_at < self.of.span.end:
                    continue
                if self.of.lines is not None and one.line_number not in self.of.lines:
                    continue
                before = turns[position - 1] if position else None
                if before is not None and before[1] == "contact" and at - before[0] <= WINDOW:
                    continue
                answer = next((turn for turn in turns[position:] if turn[1] == "agent"), None)
                if answer is None or answer[0] - at >= WINDOW or not self.passes(answer[2].user_id):
                    continue
                yield one, answer[2].user_id, (answer[0] - at).total_seconds(), self.open_seconds(at, answer[0])

    def talk_of(self, one: CommunicationChanged) -> dict[str, float]:
        if one.kind != "call" or one.answered_at is None or one.ended_at is None:
            return {}
        talked = {
            p.user_id: ((p.left_at or one.ended_at) - p.answered_at).total_seconds()
            for p in one.participants
            if p.user_id and p.answered_at
        }
        return talked or ({one.user_id: one.talk_seconds or 0} if one.user_id else {})

    def row(
        self,
        mine: Callable[[CommunicationChanged], bool],
        responded: Callable[[CommunicationChanged, str | None], bool],
        users: set[str] | None = None,
    ) -> dict[str, float | None]:
        own = [one for one in self.considered if mine(one)]
        calls_in = [one for one in own if one.kind == "call" and is_in(one)]
        waits = sorted(one.wait_seconds or 0 for one in calls_in if one.answered_at)
        responses = [seconds for one, user_id, *seconds in self.responses if responded(one, user_id)]
        talk = (
            sum(one.talk_seconds or 0 for one in own if one.kind == "call")
            if users is None
            else sum(
                seconds
                for one in self.considered
                for user_id, seconds in self.talk_of(one).items()
                if user_id in users and self.passes(user_id)
            )
        )
        return {
            "calls_inbound": len(calls_in),
            "calls_outbound": sum(one.kind == "call" and not is_in(one) for one in own),
            "answered": len(waits),
            "missed": sum(one.status in ("missed", "failed") for one in calls_in),
            "abandoned": sum(one.status == "abandoned" for one in calls_in),
            "voicemails": sum(one.status == "voicemail" for one in calls_in),
            "messages_inbound": sum(one.kind == "message" and is_in(one) for one in own),
            "messages_outbound": sum(one.kind == "message" and not is_in(one) for one in own),
            "answer_rate": len(waits) / len(calls_in) if calls_in else None,
            "service_level": sum(wait <= 20 for wait in waits) / len(calls_in) if calls_in else None,
            "average_answer_seconds": sum(waits) / len(waits) if waits else None,
            "p90_answer_seconds": percentile(waits, 0.9) if waits else None,
            "talk_seconds": talk,
            "first_response_seconds": sum(r[0] for r in responses) / len(responses) if responses else None,
            "first_response_business_seconds": sum(r[1] for r in responses) / len(responses) if responses else None,
        }

    def rows(self) -> dict[tuple[str, str], dict[str, float | None]]:
        lines = {one.line_number for one in self.inbox}
        users = {user_id for one in self.inbox for user_id in (one.user_id, *self.talk_of(one)) if user_id}
        teams = {team_id: {user for team, user in MEMBERS if team == team_id} for team_id, _ in MEMBERS}
        rows = {("totals", ""): self.row(lambda _: True, lambda _one, _by: True)}
        for hour in (f"{hour:02d}" for hour in range(24)):
            rows["by_hour", hour] = self.row(
                lambda one, hour=hour: self.hour(one) == hour,  # type: ignore[misc] # bound per turn of the loop
                lambda one, _by, hour=hour: self.hour(one) == hour,  # type: ignore[misc] # likewise
            )
        for line in lines:
            rows["by_line", line] = self.row(
                lambda one, line=line: one.line_number == line,  # type: ignore[misc] # likewise
                lambda one, _by, line=line: one.line_number == line,  # type: ignore[misc] # likewise
            )
        for section, groups in (("by_user", {user: {user} for user in users}), ("by_team", teams)):
            for key, group in groups.items():
                rows[section, key] = self.row(
                    lambda one, group=group: one.user_id in group,  # type: ignore[misc] # likewise
                    lambda _one, by, group=group: by in group,  # type: ignore[misc] # likewise
                    group,
                )
        return rows


def percentile(values: Sequence[float], share: float) -> float:
    """Linear between the two nearest, as the definition says."""
    place = (len(values) - 1) * share
    low = floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def is_nothing(values: dict[str, float | None]) -> bool:
    return not any(values.values())


@pytest.mark.parametrize(
    "of",
    [
        scope(),
        scope(date(2026, 3, 10), date(2026, 3, 14)),
        scope(zone=ZoneInfo("America/Santiago")),
        scope(lines=(LINE,)),
        scope(users=("anna",)),
        scope(date(2026, 3, 10), date(2026, 3, 14), lines=(OTHER_LINE,), users=("bob", "dora")),
        scope(users=()),
    ],
    ids=["a day", "five days", "another zone", "one line", "one user", "a line and two users", "nobody"],
)
async def test_every_figure_is_what_a_plain_fold_gives(reporting: Database, of: Scope) -> None:
    traffic = some_days_of_traffic(seed=7)
    await keep(reporting, *traffic)

    got = (await measured(reporting, of)).values

    expected = Fold(traffic, of).rows()
    assert expected["totals", ""]["calls_inbound"] or of.users == ()
    for key, figures in expected.items():
        found = dict(got.get(key, nothing()))
        found.pop("unread_left")
        assert found == pytest.approx(figures), key
    assert {key for key, values in got.items() if not is_nothing(values)} <= expected.keys()


HOURS = BusinessHours(
    mon=(Span(opens=time(9), closes=time(17)),),
    tue=(Span(opens=time(9), closes=time(12)), Span(opens=time(13), closes=time(17, 30))),
    wed=(Span(opens=time(22), closes=time(6)),),
    thu=(Span(opens=time(9), closes=time(17)),),
    fri=(Span(opens=time(9), closes=time(13)),),
    closures=(date(2026, 3, 12),),
)
"""A night shift, a lunch break, and a Thursday on which nobody works."""


async def test_responses_are_counted_in_business_hours_as_well(reporting: Database) -> None:
    traffic = some_days_of_traffic(seed=8)
    await keep(reporting, *traffic)
    of = scope(date(2026, 3, 9), date(2026, 3, 13), hours=HOURS)

    got = (await measured(reporting, of)).values

    expected = Fold(traffic, of, HOURS).rows()
    name = "first_response_business_seconds"
    assert expected["totals", ""][name] != expected["totals", ""]["first_response_seconds"]
    for key, figures in expected.items():
        assert dict(got.get(key, nothing()))[name] == pytest.approx(figures[name]), key


async def test_a_question_after_hours_that_is_answered_first_thing_in_the_morning(reporting: Database) -> None:
    """By hand: asked on Friday at 18:00, the inbox opens on Monday at 9:00, answered at 9:10: ten minutes."""
    asked = datetime(2026, 3, 13, 17, tzinfo=UTC)
    answered = datetime(2026, 3, 16, 8, 10, tzinfo=UTC)
    await keep(
        reporting, a_message("asked", asked), a_message("answered", answered, direction="outbound", user_id="anna")
    )

    totals = (await measured(reporting, scope(hours=HOURS))).totals()

    assert totals["first_response_seconds"] == (answered - asked).total_seconds()
    assert totals["first_response_business_seconds"] == 600


async def test_an_inbox_that_is_never_open_has_nothing_to_count_in(reporting: Database) -> None:
    await keep(
        reporting,
        a_message("asked"),
        a_message("answered", NOON + timedelta(hours=1), direction="outbound", user_id="anna"),
    )

    assert (await measured(reporting, scope(hours=BusinessHours()))).totals()["first_response_business_seconds"] == 0


async def test_nothing_happened_gives_zeros_and_no_rates(reporting: Database) -> None:
    totals = (await measured(reporting, scope())).totals()

    assert totals == nothing()
    assert totals["calls_inbound"] == 0
    assert totals["answer_rate"] is None
    assert totals["unread_left"] == 0


async def test_a_worked_day(reporting: Database) -> None:
    """By hand: four calls in (10 s and 30 s to the answer, a missed one, a voicemail), a text answered after 90 s."""
    await keep(
        reporting,
        a_call("quick", NOON, waited=10, talked=100),
        a_call("slow", NOON + timedelta(hours=1), waited=30, talked=200, user_id="bob"),
        a_missed_call("missed", NOON + timedelta(hours=2), contact_number="+4915110000009"),
        a_missed_call("voicemail", NOON + timedelta(hours=2), status="voicemail", contact_number="+4915110000009"),
        a_message("question", NOON + timedelta(hours=3)),
        a_message("answer", NOON + timedelta(hours=3, seconds=90), direction="outbound", user_id="anna"),
    )

    totals = (await measured(reporting, scope())).totals()

    assert totals == {
        "calls_inbound": 4,
        "calls_outbound": 0,
        "answered": 2,
        "missed": 1,
        "abandoned": 0,
        "voicemails": 1,
        "messages_inbound": 1,
        "messages_outbound": 1,
        "answer_rate": 0.5,
        "service_level": 0.25,
        "average_answer_seconds": 20,
        "p90_answer_seconds": 28,
        "talk_seconds": 300,
        "first_response_seconds": 90,
        "first_response_business_seconds": 90,
        "unread_left": 0,
    }
    assert list(totals) == [figure.name for figure in DAILY_ACTIVITY]


async def test_a_communication_counts_on_the_day_on_which_it_began(reporting: Database) -> None:
    span = days.span_of(DAY, DAY, BERLIN)
    await keep(
        reporting,
        a_call("before", span.start - timedelta(microseconds=1)),
        a_call("first", span.start),
        a_call("last", span.end - timedelta(microseconds=1)),
        a_call("after", span.end),
    )

    assert (await measured(reporting, scope())).totals()["calls_inbound"] == 2


async def test_the_highest_version_counts_in_whatever_order_versions_come(reporting: Database) -> None:
    await keep(reporting, a_missed_call("one", version=2))
    await keep(reporting, a_call("one", version=3), a_call("one", version=1, status="ringing", talked=None))
    await keep(reporting, a_missed_call("one", version=2))

    totals = (await measured(reporting, scope())).totals()

    assert (totals["answered"], totals["missed"]) == (1, 0)


async def test_what_comes_late_corrects_the_figures(reporting: Database) -> None:
    await keep(reporting, a_missed_call("one"))
    await keep(reporting, a_call("one", version=2), a_missed_call("two", received_at=NOON + timedelta(days=3)))

    totals = (await measured(reporting, scope())).totals()

    assert (totals["answered"], totals["missed"], totals["calls_inbound"]) == (1, 1, 2)


async def test_an_hour_that_comes_twice_counts_twice_and_a_skipped_one_is_empty(reporting: Database) -> None:
    twice = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]
    await keep(reporting, *(a_call(f"c{n}", at) for n, at in enumerate(twice)))

    by_hour = (await measured(reporting, scope(date(2026, 10, 25)))).rows("by_hour", {})

    assert [(row.key, row.values["calls_inbound"]) for row in by_hour] == [("02", 2)]


def thread_of(contact: str) -> str:
    return thread_id(ACCOUNT, "support", contact, "")


def an_unread(version: int, unread: int, changed_at: datetime, contact: str = CONTACT) -> ThreadUnread:
    return ThreadUnread(ACCOUNT, thread_of(contact), version, "support", unread, changed_at)


async def test_left_unread_is_what_threads_held_at_the_days_end_whoever_reads_it_next_morning(
    reporting: Database,
) -> None:
    end = days.span_of(DAY, DAY, BERLIN).end
    await keep(
        reporting,
        a_message("old", NOON - timedelta(days=3), line_number=OTHER_LINE),
        a_message("read", NOON),
        a_message("newest", NOON + timedelta(hours=1)),
        a_message("of another contact", NOON, contact_number="+4915110000002"),
        a_message("next day", end + timedelta(minutes=1)),
    )
    async with reporting.transaction() as connection:
        await rows.save_thread_unreads(
            connection,
            [
                an_unread(1, 3, NOON + timedelta(hours=1)),
                an_unread(2, 2, NOON + timedelta(hours=2)),
                an_unread(3, 3, end + timedelta(minutes=1)),
                an_unread(4, 0, end + timedelta(hours=9)),
                an_unread(1, 1, NOON, "+4915110000002"),
                an_unread(2, 0, end - timedelta(minutes=1), "+4915110000002"),
            ],
        )

    got = await measured(reporting, scope())

    assert got.totals()["unread_left"] == 2
    assert {row.key: row.values["unread_left"] for row in got.rows("by_line", {})}[LINE] == 2
    assert (await measured(reporting, scope(lines=(OTHER_LINE,)))).totals()["unread_left"] == 0
    next_day = await measured(reporting, scope(DAY + timedelta(days=1)))
    assert next_day.totals()["unread_left"] == 0


async def test_what_reached_us_only_after_the_day_is_left_unread_unless_somebody_had_answered(
    reporting: Database,
) -> None:
    later = NOON + timedelta(days=2)
    await keep(
        reporting,
        a_message("unanswered", NOON, contact_number="+4915110000002", received_at=later),
        a_message("answered", NOON, received_at=later),
        a_message("answer", NOON + timedelta(hours=1), direction="outbound", user_id="anna", received_at=later),
        a_missed_call("withheld", NOON, contact_number="anonymous", received_at=later),
        a_missed_call("of a day before", NOON - timedelta(days=1), contact_number="47110", received_at=later),
    )

    got = await measured(reporting, scope())

    assert got.totals()["unread_left"] == 3
    assert {row.key: row.values["unread_left"] for row in got.rows("by_hour", {})}["12"] == 2


@pytest.mark.parametrize("seed", range(8))
async def test_threads_changes_end_where_the_next_begins_in_whatever_order_they_come(
    reporting: Database, seed: int
) -> None:
    chance = random.Random(seed)
    changes = [
        an_unread(version, version % 3, NOON + timedelta(minutes=version), f"+491511000000{thread}")
        for thread in range(3)
        for version in range(1, 13)
    ]
    delivered = [*changes, *chance.sample(changes, 12)]
    chance.shuffle(delivered)
    while delivered:
        batch = [delivered.pop() for _ in range(min(len(delivered), chance.randint(1, 6)))]
        async with reporting.transaction() as connection:
            await rows.save_thread_unreads(connection, batch)

    async with reporting.connection() as connection:
        found = await connection.fetch(
            "SELECT version, changed_at, nullif(until, 'infinity') AS until FROM thread_unreads"
        )

    assert len(found) == len(changes)
    for row in found:
        next_change = None if row["version"] == 12 else row["changed_at"] + timedelta(minutes=1)
        assert row["until"] == next_change


def test_talk_goes_to_whoever_talked_within_the_call() -> None:
    at = NOON + timedelta(seconds=10)
    call = a_call(
        "transferred",
        NOON,
        talked=100,
        participants=(
            Participant(user_id="anna", answered_at=at - timedelta(seconds=5), left_at=at + timedelta(seconds=40)),
            Participant(user_id="bob", answered_at=at + timedelta(seconds=40), left_at=at + timedelta(hours=1)),
            Participant(user_id="carl", rang_at=NOON),
        ),
    )

    assert fact_of(ACCOUNT, call).talk_shares == (("anna", 40), ("bob", 60))
