"""Making a report of the rows, and asking for it to be sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts import directory, emails
from contracts.envelope import Event
from contracts.fields import key_of
from contracts.topics import (
    COMMUNICATION_EVENTS,
    DIRECTORY_EVENTS,
    EMAIL_REQUESTS,
    INBOX_EVENTS,
    TELEPHONY_EVENTS,
)
from reporting import days, recipients
from reporting.figures import HOURS, RESPONSE_WINDOW, Measured, Report
from reporting.opening import Opening, opening
from reporting.rendering import render
from reporting.schedule import ReportKind, ReportNotifications
from reporting.storage import daily, schedules, voice
from reporting.storage.daily import Scope
from reporting.storage.schedules import Scheduled
from reporting.voice import MOST_CALLS, MOST_SUMMARIES, MOST_TOPICS
from service_kit import directory_copy, input_progress, outbox
from service_kit.database import Connection
from service_kit.publishing import outgoing

SOURCE: Final = "/connected-inbox/reporting"
INPUTS: Final = (TELEPHONY_EVENTS, DIRECTORY_EVENTS, COMMUNICATION_EVENTS, INBOX_EVENTS)
"""What a day's completeness rests on: the topics that reporting reads, and the one that all of it comes from."""


@dataclass(frozen=True, slots=True)
class People:
    """An account's directory, as far as reports name it."""

    account: directory.Account | None
    inbox: directory.Inbox
    teams: Mapping[str, directory.Team]
    users: Mapping[str, directory.User]
    lines: Mapping[str, directory.Line]


async def people(connection: Connection, account_id: str, inbox: directory.Inbox) -> People:
    """The directory around an inbox."""
    return People(
        account=await directory_copy.account(connection, account_id),
        inbox=inbox,
        teams=await directory_copy.entities(connection, directory.Team, account_id),
        users=await directory_copy.entities(connection, directory.User, account_id),
        lines=await directory_copy.entities(connection, directory.Line, account_id),
    )


def zone_of(account: directory.Account | None) -> ZoneInfo:
    """The zone that cuts an account's days; UTC while the account is not known here."""
    try:
        return ZoneInfo(account.time_zone if account else "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


async def read_through(connection: Connection) -> datetime | None:
    """The time through which all that reached us has come through every service to here; None while not known."""
    return await input_progress.complete_through(connection, [topic.name for topic in INPUTS])


async def make(
    connection: Connection,
    account_id: str,
    around: People,
    settings: ReportNotifications,
    kind: ReportKind,
    first: date,
    last: date,
) -> Report:
    """A report of an inbox over the local dates `first` to `last`, against the same dates a week before."""
    zone = zone_of(around.account)
    span = days.span_of(first, last, zone)
    inbox = around.inbox
    shown_teams = inbox.agents.teams if settings.teams is None else settings.teams
    scope = Scope(
        account_id=account_id,
        inbox_id=inbox.inbox_id,
        span=span,
        time_zone=zone.key,
        lines=settings.lines,
        users=passing_users(settings, around.teams),
        members=tuple(
            (team_id, user_id)
            for team_id in shown_teams
            if team_id in around.teams
            for user_id in around.teams[team_id].members
        ),
        opening=_opening(inbox, zone, span),
    )
    span_before = days.span_of(first - days.WEEK, last - days.WEEK, zone)
    before = replace(scope, span=span_before, members=(), opening=_opening(inbox, zone, span_before))
    measured, a_week_before = Measured(kind), Measured(kind)
    match kind:
        case ReportKind.DAILY_ACTIVITY:
            await daily.measure(connection, scope, measured)
            await daily.measure(connection, before, a_week_before)
        case ReportKind.VOICE_ANALYTICS:
            await voice.measure(connection, scope, measured)
            await voice.measure(connection, before, a_week_before)
    through = await read_through(connection)
    line_names = {number: line.name or number for number, line in around.lines.items()}
    user_names = {user_id: user.name for user_id, user in around.users.items()}
    own_lines = [number for number, line in around.lines.items() if line.inbox_id == inbox.inbox_id]
    report = Report(
        kind=kind,
        inbox_id=inbox.inbox_id,
        inbox_name=inbox.name,
        first=first,
        last=last,
        time_zone=zone.key,
        complete=through is not None and through >= span.end,
        filtered=(settings.lines, settings.users, settings.teams) != (None, None, None),
        totals=measured.totals(),
        previous=a_week_before.totals(),
        by_hour=measured.rows("by_hour", HOURS),
        by_line=measured.rows(
            "by_line",
            {n: line_names[n] for n in own_lines if scope.lines is None or n in scope.lines},
            line_names,
        ),
        by_user=measured.rows(
            "by_user",
            {
                user_id: user_names.get(user_id, user_id)
                for user_id in inbox.connected
                if scope.users is None or user_id in scope.users
            },
            user_names,
        ),
        by_team=measured.rows(
            "by_team",
            {team_id: around.teams[team_id].name for team_id in shown_teams if team_id in around.teams},
        ),
    )
    if kind is ReportKind.DAILY_ACTIVITY:
        return report
    return replace(
        report,
        topics=await voice.topics(connection, scope, MOST_TOPICS),
        worth_a_listen=tuple(await voice.worth_a_listen(connection, scope, MOST_CALLS)),
        summaries=tuple(await voice.summarised(connection, scope, MOST_SUMMARIES)),
        names={**line_names, **user_names},
    )


def _opening(inbox: directory.Inbox, zone: ZoneInfo, span: days.Span) -> Opening | None:
    """When the inbox was open, for as long as a response to something within the span counts."""
    if inbox.business_hours is None:
        return None
    try:
        own = ZoneInfo(inbox.time_zone) if inbox.time_zone else zone
    except (ZoneInfoNotFoundError, ValueError):
        own = zone
    return opening(inbox.business_hours, own, days.Span(span.start, span.end + RESPONSE_WINDOW))


def passing_users(settings: ReportNotifications, teams: Mapping[str, directory.Team]) -> tuple[str, ...] | None:
    """Who passes the filters by user and by team, both together; None where everybody does (P3)."""
    if settings.teams is None:
        return settings.users
    members = {user_id for team_id in settings.teams if team_id in teams for user_id in teams[team_id].members}
    if settings.users is not None:
        members &= set(settings.users)
    return tuple(sorted(members))


async def send(connection: Connection, due: Scheduled, inbox: directory.Inbox, now: datetime) -> int:
    """Ask for a day's e-mails in the caller's transaction: one per recipient, once ever. Says how many (P2, P4)."""
    settings = await schedules.report_notifications(connection, due.account_id, due.inbox_id)
    around = await people(connection, due.account_id, inbox)
    day = due.next_date.isoformat()
    chosen = recipients.reachable(recipients.user_ids(settings.recipients, inbox, around.teams), around.users)
    email_ids = {
        user.user_id: emails.report_email_id(due.account_id, due.inbox_id, due.kind, day, user.user_id)
        for user in chosen
    }
    new = await schedules.claim_emails(connection, due, email_ids, now)
    if not new:
        return 0
    report = await make(connection, due.account_id, around, settings, due.kind, due.next_date, due.next_date)
    rendered = await asyncio.to_thread(render, report)
    requests = [
        emails.EmailRequested(
            email_id=email_ids[user.user_id],
            inbox_id=due.inbox_id,
            report=due.kind.value,
            date=day,
            recipient=emails.Recipient(user_id=user.user_id, address=user.email, name=user.name),
            subject=rendered.subject,
            html=rendered.html,
            text=rendered.text,
            attachments=rendered.attachments,
        )
        for user in chosen
        if user.user_id in new
    ]
    await outbox.add(
        connection,
        [
            outgoing(
                EMAIL_REQUESTS,
                key_of(request.email_id),
                Event(
                    id=request.email_id,
                    source=SOURCE,
                    type=emails.REQUESTED,
                    time=now,
                    account_id=due.account_id,
                    data=request,
                ),
            )
            for request in requests
        ],
    )
    return len(requests)
