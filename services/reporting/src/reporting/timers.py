"""Time in: reports whose time has come, and those that somebody asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog

from contracts import directory
from reporting import days, reports, schedule, storage
from reporting.metrics import INPUT_AGE, REPORT_EMAILS, SERVICE
from service_kit import directory_copy
from service_kit.clock import Clock
from service_kit.database import Connection, Database, is_transient
from service_kit.metrics import TIMER_FAILURES
from service_kit.timers import Timer

log = structlog.get_logger()

_PAUSE: Final = timedelta(minutes=15)
"""How long a report that can't be made waits before it is tried again."""


def timers(database: Database, clock: Clock, grace: timedelta, every: timedelta) -> list[Timer]:
    """Reporting's timers. Any number of replicas may run them."""

    async def daily() -> bool:
        return await send_due_report(database, clock, grace)

    async def asked() -> bool:
        return await send_asked_report(database, clock)

    return [Timer("daily_reports", every, daily), Timer("asked_reports", every, asked)]


async def send_due_report(database: Database, clock: Clock, grace: timedelta) -> bool:
    """Send one daily report that is due, and plan the inbox's next; says whether there may be more.

    Report and plan are one transaction: a crash leaves both undone, and another replica goes on.
    """
    async with database.transaction() as connection:
        now = clock()
        through = await reports.read_through(connection)
        if through is None:
            return False
        INPUT_AGE.labels(service=SERVICE).set(max((now - through).total_seconds(), 0))
        taken = await storage.take_due_schedule(connection, now, through)
        if taken is None:
            return False
        account = await directory_copy.account(connection, taken.account_id)
        inbox = await directory_copy.inbox(connection, taken.account_id, taken.inbox_id)
        if inbox is None:
            # Re-created, it starts with its settings' next PUT; nobody gets reports of what is gone.
            await storage.delete_schedule(connection, taken.account_id, taken.inbox_id, taken.kind)
            return True
        zone = reports.zone_of(account)
        settings = await storage.report_notifications(connection, taken.account_id, taken.inbox_id)
        day = schedule.caught_up(taken.next_date, now, zone)
        due = schedule.due(day, settings.send_at, zone, grace)
        if due.at > now or due.read_through > through:
            # The zone has changed under it, or days are skipped: it comes again when it is really due.
            await storage.save_schedule(connection, taken.account_id, taken.inbox_id, taken.kind, due)
            return True
        report = storage.Scheduled(taken.account_id, taken.inbox_id, taken.kind, day)
        count = await _sent(connection, report, inbox, now, "daily_reports")
        if count is None:
            later = schedule.Due(day, now + _PAUSE, due.read_through)
            await storage.save_schedule(connection, taken.account_id, taken.inbox_id, taken.kind, later)
            return True
        following = schedule.due(days.day_after(day, zone), settings.send_at, zone, grace)
        await storage.save_schedule(connection, taken.account_id, taken.inbox_id, taken.kind, following)
    REPORT_EMAILS.labels(service=SERVICE, report=taken.kind, origin="daily").inc(count)
    log.info("report_sent", inbox_id=taken.inbox_id, report=taken.kind, date=day.isoformat(), emails=count)
    return True


async def send_asked_report(database: Database, clock: Clock) -> bool:
    """Send one report that was asked for, once everything that reached us before the asking is read."""
    async with database.transaction() as connection:
        through = await reports.read_through(connection)
        if through is None:
            return False
        taken = await storage.take_asked_report(connection, through)
        if taken is None:
            return False
        inbox = await directory_copy.inbox(connection, taken.account_id, taken.inbox_id)
        if inbox is None:
            return True
        now = clock()
        count = await _sent(connection, taken, inbox, now, "asked_reports")
        if count is None:
            await storage.ask_for_report(
                connection, taken.account_id, taken.inbox_id, taken.kind, taken.next_date, now + _PAUSE
            )
            return True
    REPORT_EMAILS.labels(service=SERVICE, report=taken.kind, origin="asked").inc(count)
    log.info(
        "report_sent",
        inbox_id=taken.inbox_id,
        report=taken.kind,
        date=taken.next_date.isoformat(),
        emails=count,
    )
    return True


async def _sent(
    connection: Connection, report: storage.Scheduled, inbox: directory.Inbox, now: datetime, timer: str
) -> int | None:
    """How many e-mails were asked for; None when this one report can't be made, which holds up no other."""
    try:
        async with connection.transaction():
            return await reports.send(connection, report, inbox, now)
    except Exception as error:
        if is_transient(error):
            raise
        TIMER_FAILURES.labels(service=SERVICE, timer=timer).inc()
        log.exception("report_failed", inbox_id=report.inbox_id, report=report.kind, date=report.next_date.isoformat())
        return None
