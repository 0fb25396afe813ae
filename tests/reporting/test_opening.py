"""When an inbox is open, as spans: the same as routing says moment by moment (R6, P5)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from contracts.business_hours import WEEKDAYS, BusinessHours, Span
from reporting import days
from reporting.opening import open_spans, opening
from routing.business_hours import is_open

EVERY_DAY = BusinessHours.model_validate({day: [Span(opens=time(1, 30), closes=time(2, 45))] for day in WEEKDAYS})
NIGHTS = BusinessHours.model_validate(
    {day: [Span(opens=time(22), closes=time(2, 15)), Span(opens=time(12), closes=time(13))] for day in WEEKDAYS}
    | {"closures": [date(2026, 3, 28), date(2024, 4, 7), date(2011, 12, 31)]}
)
ROUND_THE_CLOCK = BusinessHours.model_validate({day: [Span(opens=time(8), closes=time(8))] for day in WEEKDAYS})


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", date(2026, 3, 29)),
        ("Europe/Berlin", date(2026, 10, 25)),
        ("America/Santiago", date(2024, 4, 7)),
        ("America/Santiago", date(2024, 9, 8)),
        ("Asia/Beirut", date(2022, 3, 27)),
        ("Australia/Lord_Howe", date(2025, 4, 6)),
        ("Australia/Lord_Howe", date(2025, 10, 5)),
        ("Pacific/Apia", date(2011, 12, 31)),
    ],
)
@pytest.mark.parametrize("hours", [EVERY_DAY, NIGHTS, ROUND_THE_CLOCK], ids=["a span a day", "nights", "always"])
def test_every_moment_is_open_in_the_spans_as_it_is_by_the_rule(zone: str, day: date, hours: BusinessHours) -> None:
    clock = ZoneInfo(zone)
    within = days.Span(days.start_of(day - timedelta(days=3), clock), days.start_of(day + timedelta(days=3), clock))

    spans = open_spans(hours, clock, within)

    assert all(before.end < after.start for before, after in pairwise(spans))
    at = within.start
    while at < within.end:
        assert any(span.start <= at < span.end for span in spans) == is_open(hours, zone, at), at
        at += timedelta(minutes=5)


def test_the_open_seconds_before_each_span_add_up() -> None:
    begin = datetime(2026, 3, 9, tzinfo=UTC)
    found = opening(EVERY_DAY, ZoneInfo("UTC"), days.Span(begin, begin + timedelta(days=3)))

    assert list(found.seconds) == [4_500, 4_500, 4_500]
    assert list(found.before) == [0, 4_500, 9_000]
    assert found.starts[0] == begin + timedelta(hours=1, minutes=30)


def test_an_inbox_without_hours_on_any_day_is_never_open() -> None:
    begin = datetime(2026, 3, 9, tzinfo=UTC)

    assert opening(BusinessHours(), ZoneInfo("UTC"), days.Span(begin, begin + timedelta(days=9))).starts == ()
