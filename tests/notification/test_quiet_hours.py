"""Quiet hours on the wall clock, whatever the clock does that night (N6)."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification.digest_windows import Held, Now, Window, place
from notification.quiet_hours import Quiet, QuietHours
from tests.notification.words import NOW, minutes, seconds

FIVE = minutes(5)


def hours(text: str) -> QuietHours:
    begins, _, ends = text.partition("-")
    return QuietHours(time.fromisoformat(begins), time.fromisoformat(ends))


def quiet(text: str, zone: str = "UTC") -> Quiet:
    return Quiet(hours(text), ZoneInfo(zone))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("span", "zone", "at", "until"),
    [
        ("22:00-07:00", "Europe/Berlin", "2026-03-02 20:59:59", None),
        ("22:00-07:00", "Europe/Berlin", "2026-03-02 21:00", "2026-03-03 06:00"),
        ("22:00-07:00", "Europe/Berlin", "2026-03-03 05:59:59", "2026-03-03 06:00"),
        ("22:00-07:00", "Europe/Berlin", "2026-03-03 06:00", None),
        ("22:00-07:00", "America/New_York", "2026-03-03 06:00", "2026-03-03 12:00"),
        ("12:00-13:30", "Asia/Kolkata", "2026-03-02 07:00", "2026-03-02 08:00"),
        ("12:00-13:30", "Asia/Kolkata", "2026-03-02 08:00", None),
        ("00:00-00:00", "UTC", "2026-03-02 12:00", "2026-03-03 00:00"),
        ("09:00-09:00", "UTC", "2026-03-02 09:00", "2026-03-03 09:00"),
        ("09:00-09:00", "UTC", "2026-03-02 08:59", "2026-03-02 09:00"),
        # Berlin loses 02:00 to 03:00 on 29 March: the night is an hour shorter.
        ("22:00-07:00", "Europe/Berlin", "2026-03-29 00:30", "2026-03-29 05:00"),
        # An end that the clock skips comes when it would have come without the change.
        ("22:00-02:30", "Europe/Berlin", "2026-03-29 00:30", "2026-03-29 01:30"),
        ("22:00-02:30", "Europe/Berlin", "2026-03-29 01:30", None),
        # It shows 02:00 to 03:00 twice on 25 October: quiet from the first 02:15 on, until the second 02:30.
        ("22:00-02:30", "Europe/Berlin", "2026-10-25 00:45", "2026-10-25 01:30"),
        ("02:15-02:30", "Europe/Berlin", "2026-10-25 00:20", "2026-10-25 01:30"),
        ("02:15-02:30", "Europe/Berlin", "2026-10-25 01:30", None),
        # Lord Howe moves by half an hour, back at 02:00 on 5 April.
        ("22:00-01:45", "Australia/Lord_Howe", "2026-04-04 14:50", "2026-04-04 15:15"),
        # Santiago had no midnight on 6 September 2026: 00:00 became 01:00.
        ("21:00-00:30", "America/Santiago", "2026-09-06 04:15", "2026-09-06 04:30"),
        # Apia skipped 30 December 2011 altogether: the evening of the 29th was followed by the 31st.
        ("22:00-07:00", "Pacific/Apia", "2011-12-30 09:00", "2011-12-30 17:00"),
    ],
)
def test_it_is_quiet_until_the_wall_clock_shows_the_end(span: str, zone: str, at: str, until: str | None) -> None:
    assert quiet(span, zone).until(utc(at)) == (utc(until) if until else None)


ZONES = ("Europe/Berlin", "America/Santiago", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")
TIMES = st.times(timezones=st.none()).map(lambda at: at.replace(second=0, microsecond=0, fold=0))


@given(
    seconds_since_2010=st.integers(min_value=0, max_value=25 * 366 * 86_400),
    begins=TIMES,
    ends=TIMES,
    zone=st.sampled_from(ZONES),
)
def test_a_stretch_of_quiet_ends_within_a_day_and_is_over_then(
    seconds_since_2010: int, begins: time, ends: time, zone: str
) -> None:
    at = utc("2010-01-01") + seconds(seconds_since_2010)
    here = ZoneInfo(zone)
    span = QuietHours(begins, ends).span(at, here)
    if span is not None:
        # A date that was skipped, and an hour repeated, make it a little longer.
        assert span.begins_at <= at < span.ends_at <= span.begins_at + timedelta(hours=26)
        after = QuietHours(begins, ends).span(span.ends_at, here)
        assert after is None or after.begins_at > span.begins_at


def test_what_falls_in_quiet_hours_comes_at_their_end_voicemails_included() -> None:
    night = quiet("09:00-11:00")
    held = Window(NOW + minutes(90), holds=True, since=NOW)
    for kind in ("missed_call", "voicemail"):
        for length in (FIVE, minutes(0)):
            assert place(None, kind, length, NOW, night) == (Held(held), held)
    # All of it is one digest.
    assert place(held, "voicemail", FIVE, NOW + minutes(30), night) == (Held(held), held)


def test_a_digest_that_would_come_out_in_quiet_hours_waits_for_their_end() -> None:
    night = quiet("09:33-11:00")
    _, window = place(None, "missed_call", FIVE, NOW, night)
    placed, window = place(window, "missed_call", FIVE, NOW + minutes(1), night)
    assert placed == Held(Window(NOW + minutes(90), holds=True, since=NOW + minutes(1)))
    # What comes in the quiet hours themselves joins it.
    assert place(window, "inbound_message", FIVE, NOW + minutes(10), night)[0] == placed


def test_after_the_night_the_digest_opens_a_window_as_any_digest_does() -> None:
    night = quiet("09:00-09:31")
    _, window = place(None, "missed_call", FIVE, NOW, night)
    morning = NOW + minutes(1)
    placed, _ = place(window, "missed_call", FIVE, morning + seconds(1), night)
    assert isinstance(placed, Held)
    assert placed.window.ends_at == morning + FIVE
    assert place(window, "missed_call", FIVE, morning + minutes(6), night)[0] == Now()
    assert place(window, "missed_call", minutes(0), morning + seconds(1), night)[0] == Now()


def test_a_digest_for_the_same_moment_as_one_that_went_early_is_another_one() -> None:
    night = quiet("09:00-11:00")
    first, _ = place(None, "missed_call", FIVE, NOW, night)
    went_early = Window(NOW + minutes(10), holds=True, since=NOW)
    second, _ = place(went_early, "missed_call", FIVE, NOW + minutes(10), night)
    assert isinstance(first, Held)
    assert isinstance(second, Held)
    assert first.window.ends_at == second.window.ends_at
    assert first != second


def test_where_all_day_is_quiet_what_waited_for_the_hour_goes_then_and_its_retries_too() -> None:
    daily = quiet("09:00-09:00")
    nine = utc("2026-03-02 09:00")
    assert daily.postponed(nine - minutes(1), nine - minutes(1)) == nine
    assert daily.postponed(nine, nine) is None
    assert daily.postponed(nine + minutes(10), nine, nine + minutes(10)) is None
    assert daily.postponed(nine + minutes(10), nine + minutes(10)) == nine + timedelta(days=1)
