"""Time in: reports whose time has come, and those that somebody asked for."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from itertools import product
from typing import Final

import structlog

from contracts import directory
from reporting import days, reports, schedule
from reporting.analysing import Found, analyse
from reporting.metrics import INPUT_AGE, OWN_ANALYSES, REPORT_EMAILS, SERVICE
from reporting.schedule import ReportKind
from reporting.storage import schedules, voice
from service_kit import directory_copy, tracing
from service_kit.clock import Clock
from service_kit.database import Connection, Database, is_transient
from service_kit.metrics import TIMER_FAILURES
from service_kit.timers import Timer

log = structlog.get_logger()

_PAUSE: Final = timedelta(minutes=15)
"""How long a report that can't be made waits before it is tried again."""


def timers(
    database: Database, clock: Clock, grace: timedelta, every: timedelta, *, analysing: bool = True
) -> list[Timer]:
    """Reporting's timers. Any number of replicas may run them."""

    for kind, origin in product(ReportKind, ("daily", "asked")):
        # From 0 on, so that the first of a kind shows as an increase.
        REPORT_EMAILS.labels(service=SERVICE, report=kind, origin=origin)

    async def daily() -> bool:
        return await send_due_report(database, clock, grace)

    async def asked() -> bool:
        return await send_asked_report(database, clock)

    async def transcripts() -> bool:
        return await analyse_transcript(database, clock)

    own = [Timer("transcripts", every, transcripts)] if analysing else []
    return [Timer("daily_reports", every, daily), Timer("asked_reports", every, asked), *own]


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
        taken = await schedules.take_due_schedule(connection, now, through)
        if taken is None:
            return False
        account = await directory_copy.account(connection, taken.account_id)
        inbox = await directory_copy.inbox(connection, taken.account_id, taken.inbox_id)
        if inbox is None:
            # Re-created, it starts with its settings' next PUT; nobody gets reports of what is gone.
            await schedules.delete_schedule(connection, taken.account_id, taken.inbox_id, taken.kind)
            return True
        zone = reports.zone_of(account)
        settings = await schedules.report_notifications(connection, taken.account_id, taken.inbox_id)
        day = schedule.caught_up(taken.next_date, now, zone)
        due = schedule.due(day, settings.send_at, zone, grace)
        if due.at > now or due.read_through > through:
            # The zone has changed under it, or days are skipped: it comes again when it is really due.
            await schedules.save_schedule(connection, taken.account_id, taken.inbox_id, taken.kind, due)
            return True
        report = schedules.Scheduled(taken.account_id, taken.inbox_id, taken.kind, day)
        count, trace = await _sent(connection, report, inbox, now, "daily_reports")
        if count is None:
            later = schedule.Due(day, now + _PAUSE, due.read_through)
            await schedules.save_schedule(connection, taken.account_id, taken.inbox_id, taken.kind, later)
            return True
        following = schedule.due(days.day_after(day, zone), settings.send_at, zone, grace)
        await schedules.save_schedule(connection, taken.account_id, taken.inbox_id, taken.kind, following)
    REPORT_EMAILS.labels(service=SERVICE, report=taken.kind, origin="daily").inc(count)
    log.info("report_sent", inbox_id=taken.inbox_id, report=taken.kind, date=day.isoformat(), emails=count, **trace)
    return True


async def send_asked_report(database: Database, clock: Clock) -> bool:
    """Send one report that was asked for, once everything that reached us before the asking is read."""
    async with database.transaction() as connection:
        through = await reports.read_through(connection)
        if through is None:
            return False
        taken = await schedules.take_asked_report(connection, through)
        if taken is None:
            return False
        inbox = await directory_copy.inbox(connection, taken.account_id, taken.inbox_id)
        if inbox is None:
            return True
        now = clock()
        count, trace = await _sent(connection, taken, inbox, now, "asked_reports")
        if count is None:
            await schedules.ask_for_report(
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
        **trace,
    )
    return True


async def _sent(
    connection: Connection, report: schedules.Scheduled, inbox: directory.Inbox, now: datetime, timer: str
) -> tuple[int | None, dict[str, str]]:
    """How many e-mails were asked for, and their trace for log lines.

    None when this one report can't be made, which holds up no other.
    """
    with tracing.work("make report", begins=True, report=report.kind.value) as span:
        trace = tracing.about(tracing.current())
        try:
            async with connection.transaction():
                return await reports.send(connection, report, inbox, now), trace
        except Exception as error:
            if is_transient(error):
                raise
            span.failed(type(error).__name__)
            TIMER_FAILURES.labels(service=SERVICE, timer=timer).inc()
            log.exception(
                "report_failed", inbox_id=report.inbox_id, report=report.kind, date=report.next_date.isoformat()
            )
            return None, trace


async def analyse_transcript(database: Database, clock: Clock) -> bool:
    """Read one transcript that came without an analysis (P6); says whether there may be more.

    It is read in a thread, so that nothing else waits. One that can't be read says nothing, and is not tried again.
    """
    async with database.transaction() as connection:
        taken = await voice.take_unread_transcript(connection)
        if taken is None:
            return False
        try:
            found = await asyncio.to_thread(analyse, taken.text, taken.language)
            outcome = "nothing" if found.sentiment_label is None and not found.topics else "found"
        except Exception:
            log.exception("transcript_not_analysed", communication_id=taken.communication_id)
            found, outcome = Found(language=None), "failed"
        await voice.save_found(connection, taken, found, clock())
    OWN_ANALYSES.labels(service=SERVICE, outcome=outcome).inc()
    return True
