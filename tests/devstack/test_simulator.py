"""A simulated day is believable, legal and the same every time."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from contracts.envelope import Event, decode
from contracts.numbers import ANONYMOUS, normalise
from contracts.telephony import EVENTS
from devstack.simulator import (
    Day,
    Mode,
    Setup,
    StaffedLine,
    a_company,
    day,
    randomness,
)

NEW_YORK = ZoneInfo("America/New_York")
TUESDAY = date(2026, 3, 3)
SUNDAY = date(2026, 3, 1)
COMPANY = a_company("acme", inboxes=6, agents=6)


def a_day(
    events: int = 6_000,
    *,
    on: date = TUESDAY,
    zone: ZoneInfo = NEW_YORK,
    setup: Setup = COMPANY,
    seed: str = "7",
    mode: Mode = "structured",
) -> Day:
    return day(setup, on, zone, randomness(seed), events, mode)


@pytest.fixture(scope="module")
def tuesday() -> Day:
    return a_day()


def data_by_call(told: Day) -> dict[str, list[tuple[str, datetime]]]:
    """Each call's events, by type and time, in order of time and without repetitions."""
    calls: dict[str, set[tuple[datetime, str]]] = defaultdict(set)
    for record in told.records:
        call_id = getattr(record.event.data, "call_id", None)
        if call_id:
            calls[call_id].add((record.event.time, record.event.type))
    return {call_id: [(event_type, at) for at, event_type in sorted(found)] for call_id, found in calls.items()}


def test_the_same_seed_gives_the_same_bytes(tuesday: Day) -> None:
    again = a_day()
    assert [(r.delivered_at, r.key, r.value) for r in again.records] == [
        (r.delivered_at, r.key, r.value) for r in tuesday.records
    ]
    assert again.communications == tuesday.communications


def test_another_seed_gives_another_day(tuesday: Day) -> None:
    other = a_day(seed="8")
    assert {r.event.id for r in other.records}.isdisjoint(r.event.id for r in tuesday.records)


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_every_record_is_an_event_of_the_contract(mode: Mode) -> None:
    for record in a_day(1_500, mode=mode).records:
        event = decode(record.value, record.headers, EVENTS, record.delivered_at)
        assert isinstance(event, Event)
        assert (event.id, event.type, event.time) == (record.event.id, record.event.type, record.event.time)
        assert event.data == record.event.data


@pytest.mark.parametrize("events", [600, 6_000, 30_000])
def test_a_day_has_about_as_many_events_as_were_wanted(events: int) -> None:
    assert a_day(events).records
    assert abs(len(a_day(events).records) / events - 1) < 0.12


def test_a_call_has_five_or_six_events(tuesday: Day) -> None:
    calls = data_by_call(tuesday)
    assert 4.5 < sum(map(len, calls.values())) / len(calls) < 6.5


def test_records_come_in_the_order_of_their_delivery(tuesday: Day) -> None:
    delivered = [record.delivered_at for record in tuesday.records]
    assert delivered == sorted(delivered)
    assert all(record.delivered_at > record.event.time for record in tuesday.records)


def test_some_records_come_late_and_some_come_twice(tuesday: Day) -> None:
    late = sum(record.delivered_at - record.event.time > timedelta(seconds=4) for record in tuesday.records)
    times = Counter(record.event.id for record in tuesday.records)
    assert 0.01 < late / len(tuesday.records) < 0.04
    assert 0.003 < sum(count > 1 for count in times.values()) / len(times) < 0.02
    assert max(times.values()) == 2


def test_a_working_day_has_its_hours(tuesday: Day) -> None:
    hours = Counter(c.started_at.astimezone(NEW_YORK).hour for c in tuesday.communications)
    assert all(c.started_at.astimezone(NEW_YORK).date() == TUESDAY for c in tuesday.communications)
    assert hours[10] > 5 * hours[7]
    assert hours[10] > 2 * hours[18]
    assert hours[3] < hours[10] / 20


def test_a_sunday_is_flatter_than_a_tuesday(tuesday: Day) -> None:
    def share_before_noon(told: Day) -> float:
        mornings = [c for c in told.communications if 8 <= c.started_at.astimezone(NEW_YORK).hour < 12]
        return len(mornings) / len(told.communications)

    assert share_before_noon(a_day(on=SUNDAY)) < share_before_noon(tuesday)


def test_what_happens_is_of_every_kind(tuesday: Day) -> None:
    kinds = Counter((c.kind, c.direction, c.status) for c in tuesday.communications)
    for kind in (
        ("call", "inbound", "completed"),
        ("call", "inbound", "missed"),
        ("call", "inbound", "abandoned"),
        ("call", "inbound", "voicemail"),
        ("call", "outbound", "completed"),
        ("call", "outbound", "no_answer"),
        ("message", "inbound", "received"),
        ("message", "outbound", "delivered"),
    ):
        assert kinds[kind] > 5, kind
    assert {record.event.type for record in tuesday.records} == set(EVENTS) - {"telephony.command.rejected.v1"}


def test_a_call_begins_before_anything_else_of_it(tuesday: Day) -> None:
    for events in data_by_call(tuesday).values():
        assert events[0][0] == "telephony.call.started.v1"
        assert [kind for kind, _ in events].count("telephony.call.ended.v1") == 1


def test_nobody_talks_to_two_callers_at_once(tuesday: Day) -> None:
    ends = {
        r.event.data.call_id: r.event.time  # type: ignore[attr-defined]  # calls end with a call_id
        for r in tuesday.records
        if r.event.type == "telephony.call.ended.v1"
    }
    talks: dict[str, set[tuple[datetime, datetime]]] = defaultdict(set)
    for record in tuesday.records:
        if record.event.type == "telephony.call.answered.v1":
            data = record.event.data
            talks[data.user_id].add((record.event.time, ends[data.call_id]))  # type: ignore[attr-defined]  # answered
    for intervals in talks.values():
        ordered = sorted(intervals)
        for (_, ended), (began, _) in pairwise(ordered):
            assert ended <= began


def test_most_contacts_come_again_and_some_withhold_their_number(tuesday: Day) -> None:
    contacts = Counter(c.contact_number for c in tuesday.communications)
    withheld = contacts.pop(ANONYMOUS)
    assert 0.005 < withheld / len(tuesday.communications) < 0.05
    assert sum(count > 1 for count in contacts.values()) > len(contacts) / 2


def test_numbers_are_of_the_range_that_is_kept_for_fiction(tuesday: Day) -> None:
    for communication in tuesday.communications:
        if communication.contact_number != ANONYMOUS:
            assert communication.contact_number[5:10] == "55501"


def test_a_number_that_is_written_oddly_is_still_its_contact(tuesday: Day) -> None:
    meant = {c.communication_id: c.contact_number for c in tuesday.communications}
    written = set()
    for record in tuesday.records:
        raw = getattr(record.event.data, "contact_number", None)
        if raw is not None:
            name = getattr(record.event.data, "call_id", None) or record.event.data.message_id  # type: ignore[attr-defined]  # the other kind
            assert normalise(raw, "US") == meant[name]
            written.add(" " in raw)
    assert written == {True, False}


def test_nobody_answers_outside_the_staffed_hours() -> None:
    nine_to_five = StaffedLine(
        number="+12125550100",
        inbox_id="support",
        user_ids=("anna", "ben"),
        week=(((time(9), time(17)),),) * 5 + ((),) * 2,
    )
    office = Setup("acme", (nine_to_five,))
    told = a_day(2_000, setup=office)
    for communication in told.communications:
        local = communication.started_at.astimezone(NEW_YORK)
        if communication.status == "completed":
            assert time(9) <= local.time() < time(17)
        if communication.kind == "call" and communication.direction == "inbound" and local.hour >= 18:
            assert communication.status in ("voicemail", "missed", "abandoned")
    weekend = a_day(500, setup=office, on=SUNDAY)
    assert not [c for c in weekend.communications if c.user_id]


def test_people_come_have_lunch_and_go(tuesday: Day) -> None:
    said = sorted(
        {
            (r.event.time, r.event.data.status)  # type: ignore[attr-defined]  # presences have a status
            for r in tuesday.records
            if r.event.type == "telephony.user.presence.v1" and r.key == b"user-0-0"
        }
    )
    assert [status for _, status in said] == ["available", "away", "available", "offline"]


def test_a_line_without_people_takes_voicemails() -> None:
    told = a_day(300, setup=Setup("acme", (StaffedLine("+12125550100", "empty", ()),)))
    assert {c.status for c in told.communications if c.direction == "inbound" and c.kind == "call"} <= {
        "voicemail",
        "missed",
        "abandoned",
    }


def test_an_account_without_a_line_has_no_day() -> None:
    with pytest.raises(ValueError, match="no line"):
        a_day(setup=Setup("acme", ()))


@pytest.mark.parametrize(
    ("zone", "on"),
    [
        ("America/New_York", date(2026, 3, 8)),
        ("America/New_York", date(2026, 11, 1)),
        ("America/Santiago", date(2026, 9, 6)),
        ("Asia/Beirut", date(2026, 3, 29)),
        ("Australia/Lord_Howe", date(2026, 10, 4)),
    ],
)
def test_a_day_on_which_clocks_change_is_a_day_of_its_date(zone: str, on: date) -> None:
    told = a_day(600, on=on, zone=ZoneInfo(zone))
    began = [c.started_at for c in told.communications]
    assert {at.astimezone(ZoneInfo(zone)).date() for at in began} == {on}
    assert all(at.tzinfo is UTC for at in began)


def test_many_events_have_thousands_of_contacts() -> None:
    told = a_day(30_000, setup=a_company("acme", inboxes=20, agents=10))
    assert len({c.contact_number for c in told.communications}) > 1_000
