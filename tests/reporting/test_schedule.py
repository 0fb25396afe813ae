"""When reports are due (P1, P4)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from reporting import schedule
from reporting.schedule import ReportKind, ReportNotifications

BERLIN = ZoneInfo("Europe/Berlin")
APIA = ZoneInfo("Pacific/Apia")
GRACE = timedelta(minutes=10)
DAILY = ReportKind.DAILY_ACTIVITY
OFF = ReportNotifications()
ON = ReportNotifications(enabled=True)


@pytest.mark.parametrize(
    ("zone", "day", "send_at", "due_at"),
    [
        (BERLIN, date(2026, 3, 13), time(7), datetime(2026, 3, 14, 6, tzinfo=UTC)),
        (BERLIN, date(2026, 3, 28), time(7), datetime(2026, 3, 29, 5, tzinfo=UTC)),
        (BERLIN, date(2026, 3, 28), time(2, 30), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        (BERLIN, date(2026, 10, 24), time(2, 30), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        (APIA, date(2011, 12, 29), time(7), datetime(2011, 12, 30, 17, tzinfo=UTC)),
    ],
)
def test_a_report_goes_out_at_send_at_of_the_next_date(
    zone: ZoneInfo, day: date, send_at: time, due_at: datetime
) -> None:
    assert schedule.due(day, send_at, zone, GRACE).at == due_at


def test_a_report_never_goes_out_before_the_grace_has_passed() -> None:
    due = schedule.due(date(2026, 3, 13), time(0), BERLIN, GRACE)

    assert due.read_through == datetime(2026, 3, 13, 23, tzinfo=UTC)
    assert due.at == due.read_through + GRACE


def test_the_first_report_is_of_the_day_in_which_it_was_turned_on() -> None:
    turned_on_at = datetime(2026, 3, 13, 22, 59, tzinfo=UTC)

    assert schedule.first_date(turned_on_at, BERLIN) == date(2026, 3, 13)
    assert schedule.first_date(turned_on_at + timedelta(minutes=1), BERLIN) == date(2026, 3, 14)


@pytest.mark.parametrize(
    ("before", "after", "held", "expected"),
    [
        (OFF, ON, None, date(2026, 3, 13)),
        (ON, OFF, date(2026, 3, 12), None),
        (ON, ReportNotifications(enabled=True, send_at=time(23)), date(2026, 3, 12), date(2026, 3, 12)),
        (ON, ReportNotifications(enabled=True, reports=()), date(2026, 3, 12), None),
        (ON, ON, None, date(2026, 3, 13)),
        (OFF, OFF, None, None),
    ],
    ids=["turned on", "turned off", "sent later", "not chosen", "inbox made again", "still off"],
)
def test_what_is_on_goes_on_where_it_stood(
    before: ReportNotifications, after: ReportNotifications, held: date | None, expected: date | None
) -> None:
    now = datetime(2026, 3, 13, 12, tzinfo=UTC)

    assert schedule.replanned(before, after, DAILY, held, now, BERLIN) == expected


@pytest.mark.parametrize(
    ("next_date", "reported"),
    [
        (date(2026, 3, 12), date(2026, 3, 12)),
        (date(2026, 3, 10), date(2026, 3, 10)),
        (date(2026, 3, 9), date(2026, 3, 10)),
        (date(2026, 1, 1), date(2026, 3, 10)),
    ],
)
def test_after_an_absence_no_day_further_back_than_three_is_sent(next_date: date, reported: date) -> None:
    now = datetime(2026, 3, 13, 12, tzinfo=UTC)

    assert schedule.caught_up(next_date, now, BERLIN) == reported


def test_a_schedule_from_before_a_change_of_zone_skips_the_date_that_the_new_zone_lacks() -> None:
    now = datetime(2011, 12, 31, 12, tzinfo=UTC)

    assert schedule.caught_up(date(2011, 12, 30), now, APIA) == date(2011, 12, 31)


def test_a_day_is_past_when_its_last_instant_is() -> None:
    end = datetime(2026, 3, 13, 23, tzinfo=UTC)

    assert schedule.is_past(date(2026, 3, 13), end, BERLIN)
    assert not schedule.is_past(date(2026, 3, 13), end - timedelta(microseconds=1), BERLIN)
