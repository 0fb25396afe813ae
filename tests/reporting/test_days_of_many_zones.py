"""One report for each local date, with exactly the data of a day as long as its zone makes it (P4)."""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest

from contracts.communications import CommunicationChanged
from contracts.emails import EmailRequested
from reporting import days
from reporting.timers import send_due_report
from service_kit.database import Database
from tests.reporting.words import (
    GRACE,
    Ticking,
    a_client,
    a_missed_call,
    an_app,
    have_read_through,
    keep,
    know,
    the_directory,
    token,
)

EVERY = timedelta(minutes=10)
"""A call comes in as often, day and night."""


@pytest.mark.parametrize(
    ("zone", "first", "last", "calls"),
    [
        # A day of 25 hours, and one that begins at 1:00 and has 23.
        ("America/Santiago", date(2024, 4, 5), date(2024, 4, 8), [144, 150, 144, 144]),
        ("America/Santiago", date(2024, 9, 7), date(2024, 9, 9), [144, 138, 144]),
        # No midnight, and an hour that comes twice before midnight.
        ("Asia/Beirut", date(2022, 3, 26), date(2022, 3, 28), [144, 138, 144]),
        ("Asia/Beirut", date(2022, 10, 28), date(2022, 10, 30), [144, 150, 144]),
        # Half an hour less, half an hour more.
        ("Australia/Lord_Howe", date(2025, 10, 4), date(2025, 10, 6), [144, 141, 144]),
        ("Australia/Lord_Howe", date(2025, 4, 5), date(2025, 4, 7), [144, 147, 144]),
        # 30 December 2011 was skipped.
        ("Pacific/Apia", date(2011, 12, 28), date(2012, 1, 1), [144, 144, 144, 144]),
        ("Europe/Berlin", date(2026, 3, 28), date(2026, 3, 30), [144, 138, 144]),
        ("Europe/Berlin", date(2026, 10, 24), date(2026, 10, 26), [144, 150, 144]),
    ],
)
async def test_one_report_for_each_date_with_what_that_day_holds(
    reporting: Database, zone: str, first: date, last: date, calls: list[int]
) -> None:
    clock_on_the_wall = ZoneInfo(zone)
    at = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=2)
    end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=3)
    walked: Counter[date] = Counter()
    received: list[CommunicationChanged] = []
    while at < end:
        walked[at.astimezone(clock_on_the_wall).date()] += 1
        received.append(a_missed_call(f"c{len(received)}", at, waited=1))
        at += EVERY
    await know(reporting, the_directory(time_zone=zone))
    await keep(reporting, *received)
    clock = Ticking(days.start_of(first, clock_on_the_wall) + timedelta(minutes=1))
    async with a_client(an_app(reporting, clock)) as client:
        settings = {"enabled": True, "reports": ["daily_activity"], "recipients": ["watching"]}
        path = "/v1/inboxes/support/report-notifications"
        answer = await client.put(path, json=settings, headers=token("ada", clock))
        assert answer.status_code == 200

    until = days.start_of(last + timedelta(days=1), clock_on_the_wall) + timedelta(hours=20)
    while clock.now < until:
        clock.now += timedelta(hours=1)
        await have_read_through(reporting, clock.now)
        while await send_due_report(reporting, clock, GRACE):
            pass

    async with reporting.connection() as connection:
        rows = await connection.fetch("SELECT value FROM outbox WHERE topic = 'email-requests' ORDER BY id")
    emails = [EmailRequested.model_validate(orjson.loads(row["value"])) for row in rows]
    got = [(email.date, calls_inbound_of(email)) for email in emails]
    dates = [day for n in range((last - first).days + 1) if walked[day := first + timedelta(days=n)]]
    assert got == [(day.isoformat(), walked[day]) for day in dates]
    assert [count for _, count in got] == calls
    assert ("2011-12-30" in [day for day, _ in got]) is False


def calls_inbound_of(email: EmailRequested) -> int:
    """The day's inbound calls, as the e-mail's CSV says."""
    (attachment,) = (one for one in email.attachments if one.content_type.startswith("text/csv"))
    rows = csv.reader(io.StringIO(base64.b64decode(attachment.content_base64).decode()))
    return next(int(row[4]) for row in rows if row[0] == "totals" and row[3] == "calls_inbound")
