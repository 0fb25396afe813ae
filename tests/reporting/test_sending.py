"""Daily e-mails: when the day's input is complete, once per recipient, whoever asks however often (P2, P4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest_asyncio
from httpx import AsyncClient

from contracts import directory
from contracts.emails import EmailRequested, report_email_id
from reporting import days
from reporting.consumer import handlers
from reporting.timers import send_asked_report, send_due_report
from service_kit.auth import sign
from service_kit.database import Database
from tests.reporting.words import (
    ACCOUNT,
    BERLIN,
    DAY,
    GRACE,
    NEXT_MORNING,
    NOON,
    Ticking,
    a_call,
    a_client,
    an_app,
    have_read_through,
    keep,
    know,
    received,
    the_account,
    the_directory,
    the_inbox,
)
from tests.support import JWT_SECRET

SETTINGS = "/v1/inboxes/support/report-notifications"
SEND = "/v1/inboxes/support/reports/daily-activity/send"
EVERYBODY = ["anna", "bob", "sue", "wim"]


class Office:
    """The service without Kafka: its HTTP side, its timers, and a clock to set."""

    def __init__(self, database: Database, client: AsyncClient, clock: Ticking) -> None:
        self.database = database
        self.client = client
        self.clock = clock

    async def turn_on(self, **settings: Any) -> None:
        """Daily activity alone, unless the settings say otherwise."""
        body = {"enabled": True, "reports": ["daily_activity"], **settings}
        answer = await self.client.put(SETTINGS, json=body, headers=self.admin)
        assert answer.status_code == 200, answer.text

    async def ask(self, day: str = DAY.isoformat()) -> None:
        answer = await self.client.post(SEND, json={"date": day}, headers=self.admin)
        assert answer.status_code == 202, answer.text

    @property
    def admin(self) -> dict[str, str]:
        signed = sign(JWT_SECRET, user_id="ada", account_id=ACCOUNT, now=self.clock.now, lasts=timedelta(hours=1))
        return {"Authorization": f"Bearer {signed}"}

    async def run_timers(self) -> None:
        """All that is due, until nothing is."""
        while await send_due_report(self.database, self.clock, GRACE):
            pass
        while await send_asked_report(self.database, self.clock):
            pass

    async def emails(self) -> list[EmailRequested]:
        """What stands in the outbox, in order."""
        async with self.database.connection() as connection:
            rows = await connection.fetch("SELECT value FROM outbox WHERE topic = 'email-requests' ORDER BY id")
        return [EmailRequested.model_validate(orjson.loads(row["value"])) for row in rows]

    async def recipients(self, day: str = DAY.isoformat()) -> list[str]:
        return sorted(email.recipient.user_id for email in await self.emails() if email.date == day)


@pytest_asyncio.fixture
async def office(reporting: Database) -> AsyncIterator[Office]:
    """An account at noon of `DAY`, with a call just taken."""
    clock = Ticking(NOON)
    await know(reporting, the_directory())
    await keep(reporting, a_call("one"))
    async with a_client(an_app(reporting, clock)) as client:
        yield Office(reporting, client, clock)


async def test_each_recipient_gets_the_days_report_once(office: Office) -> None:
    await office.turn_on()
    await have_read_through(office.database, NEXT_MORNING)
    office.clock.now = NEXT_MORNING

    await office.run_timers()
    await office.run_timers()

    assert await office.recipients() == EVERYBODY
    first = (await office.emails())[0]
    assert first.email_id == report_email_id(ACCOUNT, "support", "daily_activity", "2026-03-13", "anna")
    assert first.subject == "Support: daily activity for Friday, 13 March 2026"
    assert first.recipient.address == "anna@example.com"
    assert "Calls in" in first.html
    assert "Calls in" in first.text
    assert first.attachments[0].content_type.startswith("text/csv")


async def test_both_reports_go_out_as_two_emails(office: Office) -> None:
    await office.turn_on(reports=["daily_activity", "voice_analytics"], recipients=["watching"])
    await have_read_through(office.database, NEXT_MORNING)
    office.clock.now = NEXT_MORNING

    await office.run_timers()

    emails = await office.emails()
    assert sorted(email.report for email in emails) == ["daily_activity", "voice_analytics"]
    assert len({email.email_id for email in emails}) == 2


async def test_nothing_goes_out_while_reports_are_off(office: Office) -> None:
    await have_read_through(office.database, NEXT_MORNING)
    office.clock.now = NEXT_MORNING

    await office.run_timers()

    assert await office.emails() == []


async def test_a_consumer_that_is_behind_delays_the_report(office: Office) -> None:
    await office.turn_on()
    office.clock.now = NEXT_MORNING
    end = days.span_of(DAY, DAY, BERLIN).end
    await have_read_through(office.database, end - timedelta(microseconds=1))

    await office.run_timers()
    assert await office.emails() == []

    await keep(office.database, a_call("the last", end - timedelta(minutes=1)))
    await have_read_through(office.database, end)
    await office.run_timers()
    emails = await office.emails()
    assert [email.recipient.user_id for email in emails] == EVERYBODY
    assert "Calls in                            2" in emails[0].text


async def test_nothing_goes_out_before_its_time(office: Office) -> None:
    await office.turn_on()
    await have_read_through(office.database, NEXT_MORNING)

    office.clock.now = NEXT_MORNING - timedelta(minutes=31)
    await office.run_timers()

    assert await office.emails() == []


async def test_two_replicas_send_one_each(office: Office) -> None:
    await office.turn_on()
    await have_read_through(office.database, NEXT_MORNING)
    office.clock.now = NEXT_MORNING

    await asyncio.gather(*(send_due_report(office.database, office.clock, GRACE) for _ in range(6)))
    await office.ask()
    await asyncio.gather(*(send_asked_report(office.database, office.clock) for _ in range(6)))

    assert await office.recipients() == EVERYBODY


async def test_asking_twice_sends_once_and_only_new_recipients_are_added(office: Office) -> None:
    await office.turn_on(recipients=["watching"])
    await have_read_through(office.database, NEXT_MORNING)
    office.clock.now = NEXT_MORNING

    await office.ask()
    await office.run_timers()
    await office.ask()
    await office.run_timers()
    assert await office.recipients() == ["wim"]

    await office.turn_on(recipients=["watching", "team_supervisors"])
    await office.ask()
    await have_read_through(office.database, office.clock.now)
    await office.run_timers()
    assert await office.recipients() == ["sue", "wim"]


async def test_what_is_asked_for_waits_until_all_that_came_before_is_read(office: Office) -> None:
    office.clock.now = NEXT_MORNING
    await office.ask()
    await have_read_through(office.database, NEXT_MORNING - timedelta(seconds=1))
    await office.run_timers()
    assert await office.emails() == []

    await have_read_through(office.database, NEXT_MORNING)
    await office.run_timers()

    assert await office.recipients() == EVERYBODY


async def test_what_was_missed_is_sent_up_to_three_days_back(office: Office) -> None:
    await office.turn_on()
    office.clock.now = NEXT_MORNING + timedelta(days=6)
    await have_read_through(office.database, office.clock.now)

    await office.run_timers()

    assert sorted({email.date for email in await office.emails()}) == ["2026-03-17", "2026-03-18", "2026-03-19"]


async def test_an_event_that_comes_late_corrects_the_figure_over_http_and_sends_nothing_again(office: Office) -> None:
    await office.turn_on()
    await have_read_through(office.database, NEXT_MORNING)
    office.clock.now = NEXT_MORNING
    await office.run_timers()

    async def calls() -> Any:
        path = f"/v1/inboxes/support/reports/daily-activity?date={DAY.isoformat()}"
        return (await office.client.get(path, headers=office.admin)).json()["totals"]["calls_inbound"]

    assert await calls() == 1
    await keep(office.database, a_call("late", NOON - timedelta(hours=1)))
    await office.run_timers()

    assert await calls() == 2
    assert len(await office.emails()) == len(EVERYBODY)


async def test_the_inactive_get_nothing(office: Office) -> None:
    gone = directory.User(version=2, user_id="bob", name="Bob", email="bob@example.com", role="agent", active=False)
    await know(office.database, [received(gone, type_=directory.USER)])
    office.clock.now = NEXT_MORNING
    await have_read_through(office.database, NEXT_MORNING)

    await office.ask()
    await office.run_timers()

    assert await office.recipients() == ["anna", "sue", "wim"]


async def test_turning_reports_off_and_on_begins_with_the_day_that_ends_afterwards(office: Office) -> None:
    await office.turn_on()
    office.clock.now = NEXT_MORNING - timedelta(hours=2)
    await office.client.put(SETTINGS, json={"enabled": False}, headers=office.admin)
    await office.turn_on()
    office.clock.now = NEXT_MORNING + timedelta(days=1)
    await have_read_through(office.database, office.clock.now)

    await office.run_timers()

    assert {email.date for email in await office.emails()} == {"2026-03-14"}


async def test_a_later_send_at_repeats_and_skips_no_day(office: Office) -> None:
    await office.turn_on()
    office.clock.now = NEXT_MORNING
    await have_read_through(office.database, NEXT_MORNING)
    await office.run_timers()

    await office.turn_on(send_at="12:00")
    office.clock.now = NEXT_MORNING + timedelta(days=1)
    await have_read_through(office.database, office.clock.now)
    await office.run_timers()
    assert {email.date for email in await office.emails()} == {"2026-03-13"}

    office.clock.now += timedelta(hours=5)
    await office.run_timers()
    assert {email.date for email in await office.emails()} == {"2026-03-13", "2026-03-14"}


async def test_days_are_cut_anew_when_the_account_moves(office: Office) -> None:
    """Berlin's evening is Auckland's next day: its report of the 13th is due eleven hours earlier."""
    await office.turn_on()
    keep_directory = next(iter(handlers(office.database, GRACE).values())).handle
    moved = the_account(time_zone="Pacific/Auckland", version=2)
    await keep_directory([received(moved, type_=directory.ACCOUNT)])
    office.clock.now = NEXT_MORNING - timedelta(hours=12)
    await have_read_through(office.database, office.clock.now)

    await office.run_timers()

    assert await office.recipients("2026-03-13") == EVERYBODY


async def test_a_report_that_cannot_be_made_holds_up_no_other(office: Office) -> None:
    """Support's rows are broken by hand here; Sales is due at the same moment, and behind it."""
    await know(office.database, [received(the_inbox("sales", name="Sales"), type_=directory.INBOX)])
    await office.turn_on()
    path = SETTINGS.replace("support", "sales")
    answer = await office.client.put(
        path, json={"enabled": True, "reports": ["daily_activity"], "send_at": "07:01"}, headers=office.admin
    )
    assert answer.status_code == 200
    async with office.database.transaction() as connection:
        await connection.execute("UPDATE communications SET talk_shares = '{}' WHERE inbox_id = 'support'")
    office.clock.now = NEXT_MORNING
    await have_read_through(office.database, NEXT_MORNING)

    await office.run_timers()
    assert {email.inbox_id for email in await office.emails()} == {"sales"}

    await keep(office.database, a_call("one", version=2))
    office.clock.now += timedelta(minutes=15)
    await office.run_timers()
    assert {email.inbox_id for email in await office.emails()} == {"sales", "support"}
    assert len(await office.emails()) == 2 * len(EVERYBODY)
