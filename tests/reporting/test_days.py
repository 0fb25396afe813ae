"""Local days, exactly as long as their zone makes them (P4)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from reporting import days

SANTIAGO = ZoneInfo("America/Santiago")
BEIRUT = ZoneInfo("Asia/Beirut")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
APIA = ZoneInfo("Pacific/Apia")
BERLIN = ZoneInfo("Europe/Berlin")
ST_JOHNS = ZoneInfo("America/St_Johns")


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (BERLIN, date(2026, 3, 28), 24),
        (BERLIN, date(2026, 3, 29), 23),
        (BERLIN, date(2026, 10, 25), 25),
        (SANTIAGO, date(2024, 9, 8), 23),
        (SANTIAGO, date(2024, 4, 6), 25),
        (SANTIAGO, date(2024, 4, 7), 24),
        (BEIRUT, date(2022, 3, 27), 23),
        (BEIRUT, date(2022, 10, 29), 25),
        (LORD_HOWE, date(2025, 10, 5), 23.5),
        (LORD_HOWE, date(2025, 4, 6), 24.5),
        (APIA, date(2011, 12, 29), 24),
        (APIA, date(2011, 12, 31), 24),
        (APIA, date(2011, 12, 30), 0),
    ],
)
def test_a_day_is_as_long_as_its_zone_makes_it(zone: ZoneInfo, day: date, hours: float) -> None:
    span = days.span_of(day, day, zone)

    assert span.end - span.start == timedelta(hours=hours)


def test_a_day_without_midnight_begins_when_the_clock_has_jumped() -> None:
    start = days.start_of(date(2024, 9, 8), SANTIAGO)

    assert start == datetime(2024, 9, 8, 4, tzinfo=UTC)
    assert start.astimezone(SANTIAGO).time() == time(1)


def test_a_date_that_the_zone_skipped_does_not_exist() -> None:
    assert not days.exists(date(2011, 12, 30), APIA)
    assert days.span_of(date(2011, 12, 30), date(2011, 12, 30), APIA).is_empty
    assert days.day_after(date(2011, 12, 29), APIA) == date(2011, 12, 31)
    assert days.day_before(date(2011, 12, 31), APIA) == date(2011, 12, 29)


@pytest.mark.parametrize("zone", [SANTIAGO, BEIRUT, LORD_HOWE, APIA, BERLIN, ST_JOHNS])
def test_every_instant_belongs_to_exactly_one_day(zone: ZoneInfo) -> None:
    for year in (2006, 2011, 2022, 2024):
        dates = [date(year, 1, 1) + timedelta(days=n) for n in range(366)]
        spans = [days.span_of(day, day, zone) for day in dates]

        assert all(before.end == after.start for before, after in pairwise(spans))
        for day, span in zip(dates, spans, strict=True):
            if span.is_empty:
                continue
            assert days.local_date(span.start, zone) == day
            assert days.local_date(span.end - timedelta(microseconds=1), zone) == day


@pytest.mark.parametrize("zone", [SANTIAGO, BEIRUT, LORD_HOWE, APIA, BERLIN])
def test_a_day_holds_what_a_walk_through_its_instants_finds(zone: ZoneInfo) -> None:
    """Against an independent count: every quarter of an hour of a year, dated by zoneinfo alone."""
    walked: dict[date, int] = {}
    at = datetime(2011, 1, 1, tzinfo=UTC)
    for _ in range(366 * 96):
        walked[at.astimezone(zone).date()] = walked.get(at.astimezone(zone).date(), 0) + 1
        at += timedelta(minutes=15)

    for day, quarters in list(walked.items())[1:-1]:
        span = days.span_of(day, day, zone)
        assert (span.end - span.start) / timedelta(minutes=15) == quarters
    assert (date(2011, 12, 30) in walked) is (zone is not APIA)


def test_where_the_clock_goes_back_over_midnight_the_new_day_has_already_begun() -> None:
    # Until 2011 St. John's went from 00:01 back to 23:01.
    new_day = date(2010, 11, 7)
    start = days.start_of(new_day, ST_JOHNS)

    assert start.astimezone(ST_JOHNS) == datetime(2010, 11, 7, tzinfo=ST_JOHNS)
    assert days.local_date(start + timedelta(minutes=30), ST_JOHNS) == new_day


def test_a_time_that_the_clock_jumps_over_comes_as_much_later() -> None:
    assert days.instant_at(date(2026, 3, 29), time(2, 30), BERLIN) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_a_time_that_comes_twice_is_the_first() -> None:
    assert days.instant_at(date(2026, 10, 25), time(2, 30), BERLIN) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
