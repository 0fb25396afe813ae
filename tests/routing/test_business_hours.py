"""R6: business hours by the clock on the wall, over midnight, over changes of the clock, and on closures."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from contracts.business_hours import BusinessHours
from routing.business_hours import is_open

OFFICE = BusinessHours.model_validate(
    {"mon": [{"opens": "09:00", "closes": "12:00"}, {"opens": "13:00", "closes": "17:00"}]}
)
NIGHT = BusinessHours.model_validate({"fri": [{"opens": "22:00", "closes": "06:00"}]})
ALL_DAY = BusinessHours.model_validate(
    {day: [{"opens": "00:00", "closes": "00:00"}] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
)


def local(zone: str, text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02T08:59:59", False),
        ("2026-03-02T09:00", True),
        ("2026-03-02T11:59:59", True),
        ("2026-03-02T12:00", False),
        ("2026-03-02T13:00", True),
        ("2026-03-02T17:00", False),
        ("2026-03-03T10:00", False),
    ],
)
def test_an_inbox_is_open_from_a_spans_start_until_just_before_its_end(text: str, expected: bool) -> None:
    assert is_open(OFFICE, "Europe/Berlin", local("Europe/Berlin", text)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-06T21:59", False),
        ("2026-03-06T22:00", True),
        ("2026-03-07T05:59", True),
        ("2026-03-07T06:00", False),
        ("2026-03-06T03:00", False),
    ],
)
def test_a_span_goes_on_over_midnight(text: str, expected: bool) -> None:
    assert is_open(NIGHT, "Asia/Beirut", local("Asia/Beirut", text)) is expected


def test_without_hours_it_is_always_open_and_with_none_named_never() -> None:
    assert is_open(None, "UTC", local("UTC", "2026-03-01T03:00"))
    assert not is_open(BusinessHours(), "UTC", local("UTC", "2026-03-02T10:00"))


def test_a_span_that_ends_when_it_begins_lasts_a_day() -> None:
    assert is_open(ALL_DAY, "America/Santiago", local("America/Santiago", "2026-09-06T23:59"))


@pytest.mark.parametrize("text", ["2026-03-02T00:00", "2026-03-02T10:00", "2026-03-02T23:59"])
def test_a_closed_date_is_closed_from_midnight_to_midnight(text: str) -> None:
    hours = ALL_DAY.model_copy(update={"closures": (date(2026, 3, 2),)})
    assert not is_open(hours, "Europe/Berlin", local("Europe/Berlin", text))


def test_what_would_begin_on_a_closed_date_does_not_reach_the_next_one() -> None:
    hours = NIGHT.model_copy(update={"closures": (date(2026, 3, 6),)})
    assert not is_open(hours, "Europe/Berlin", local("Europe/Berlin", "2026-03-07T02:00"))


@pytest.mark.parametrize(
    ("zone", "last_open_hour", "first_closed_hour"),
    [
        # The week before and after each zone's change of the clock: open at nine on the wall either way.
        ("Europe/Berlin", "2026-03-23T16:59", "2026-03-30T17:00"),
        ("America/Santiago", "2026-03-30T16:59", "2026-04-06T17:00"),
        ("Asia/Beirut", "2026-03-23T16:59", "2026-03-30T17:00"),
        ("Australia/Lord_Howe", "2026-03-30T16:59", "2026-04-06T17:00"),
    ],
)
def test_the_clock_on_the_wall_decides_on_both_sides_of_a_change(
    zone: str, last_open_hour: str, first_closed_hour: str
) -> None:
    assert is_open(OFFICE, zone, local(zone, last_open_hour))
    assert not is_open(OFFICE, zone, local(zone, first_closed_hour))


NIGHTS = [
    # Saturday 22:00 until Sunday 06:00 on the wall, through each change of the clock in 2026, in UTC.
    ("Europe/Berlin", "2026-03-28T21:00Z", "2026-03-29T04:00Z"),
    ("Europe/Berlin", "2026-10-24T20:00Z", "2026-10-25T05:00Z"),
    ("America/Santiago", "2026-04-05T01:00Z", "2026-04-05T10:00Z"),
    ("America/Santiago", "2026-09-06T02:00Z", "2026-09-06T09:00Z"),
    ("Asia/Beirut", "2026-03-28T20:00Z", "2026-03-29T03:00Z"),
    ("Asia/Beirut", "2026-10-24T19:00Z", "2026-10-25T04:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T11:00Z", "2026-04-04T19:30Z"),
    ("Australia/Lord_Howe", "2026-10-03T11:30Z", "2026-10-03T19:00Z"),
]


def open_minutes(hours: BusinessHours, zone: str, around: datetime) -> list[datetime]:
    """Every open minute of a day and a half around a moment."""
    minutes = (around + timedelta(minutes=number) for number in range(-18 * 60, 18 * 60))
    return [minute for minute in minutes if is_open(hours, zone, minute)]


@pytest.mark.parametrize(("zone", "opens", "closes"), NIGHTS)
def test_a_night_over_a_change_of_the_clock_is_as_long_as_the_zone_makes_it(zone: str, opens: str, closes: str) -> None:
    saturday_night = BusinessHours.model_validate({"sat": [{"opens": "22:00", "closes": "06:00"}]})
    begin, end = datetime.fromisoformat(opens), datetime.fromisoformat(closes)
    found = open_minutes(saturday_night, zone, begin)
    assert (found[0], found[-1], len(found)) == (begin, end - timedelta(minutes=1), (end - begin).total_seconds() / 60)


@pytest.mark.parametrize(
    ("zone", "sunday", "opens", "midnight"),
    [
        ("Europe/Berlin", "2026-03-29", "2026-03-28T21:00Z", "2026-03-28T23:00Z"),
        # The Saturday has 23:00 twice here, and there the Sunday begins at 01:00.
        ("America/Santiago", "2026-04-05", "2026-04-05T01:00Z", "2026-04-05T04:00Z"),
        ("America/Santiago", "2026-09-06", "2026-09-06T02:00Z", "2026-09-06T04:00Z"),
        ("Asia/Beirut", "2026-03-29", "2026-03-28T20:00Z", "2026-03-28T22:00Z"),
        ("Asia/Beirut", "2026-10-25", "2026-10-24T19:00Z", "2026-10-24T22:00Z"),
    ],
)
def test_a_night_before_a_closed_date_ends_where_that_date_begins(
    zone: str, sunday: str, opens: str, midnight: str
) -> None:
    hours = {"sat": [{"opens": "22:00", "closes": "06:00"}], "closures": [sunday]}
    found = open_minutes(BusinessHours.model_validate(hours), zone, datetime.fromisoformat(opens))
    assert found[0] == datetime.fromisoformat(opens)
    assert found[-1] == datetime.fromisoformat(midnight) - timedelta(minutes=1)


def test_a_repeated_hour_is_open_twice() -> None:
    early = BusinessHours.model_validate({"sun": [{"opens": "02:00", "closes": "03:00"}]})
    for fold in (0, 1):
        assert is_open(early, "Europe/Berlin", local("Europe/Berlin", "2026-10-25T02:30", fold))


def test_a_skipped_hour_is_never_open() -> None:
    early = BusinessHours.model_validate({"sun": [{"opens": "02:00", "closes": "03:00"}]})
    before, after = (datetime.fromisoformat(f"2026-03-29T{hour}:00+00:00") for hour in ("00:59", "01:00"))
    assert not is_open(early, "Europe/Berlin", before)
    assert not is_open(early, "Europe/Berlin", after)


def test_half_hours_and_days_without_midnight_are_read_off_the_wall() -> None:
    # Lord Howe moves by half an hour; Santiago's clocks go from 24:00 to 01:00, so its Sunday has no midnight.
    sunday = BusinessHours.model_validate({"sun": [{"opens": "00:00", "closes": "01:30"}]})
    assert is_open(sunday, "Australia/Lord_Howe", local("Australia/Lord_Howe", "2026-04-05T01:15"))
    assert is_open(sunday, "America/Santiago", datetime.fromisoformat("2026-09-06T04:00:00+00:00"))
    assert not is_open(sunday, "America/Santiago", datetime.fromisoformat("2026-09-06T03:59:00+00:00"))
