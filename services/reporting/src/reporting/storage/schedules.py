"""Report settings, when each report is due, and who has had it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from reporting.recipients import RecipientClass
from reporting.schedule import Due, ReportKind, ReportNotifications
from service_kit.database import Connection


async def report_notifications(
    connection: Connection, account_id: str, inbox_id: str, *, lock: bool = False
) -> ReportNotifications:
    """An inbox's settings, or the defaults. With `lock` nobody else changes them within the transaction."""
    if lock:
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
            f"report_notifications/{account_id}/{inbox_id}",
        )
    row = await connection.fetchrow(
        """
        SELECT enabled, reports, recipients, lines, users, teams, send_at
        FROM report_notifications
        WHERE account_id = $1 AND inbox_id = $2
        """,
        account_id,
        inbox_id,
    )
    if row is None:
        return ReportNotifications()
    return ReportNotifications(
        enabled=row["enabled"],
        reports=tuple(ReportKind(kind) for kind in row["reports"]),
        recipients=tuple(RecipientClass(wanted) for wanted in row["recipients"]),
        lines=_filter(row["lines"]),
        users=_filter(row["users"]),
        teams=_filter(row["teams"]),
        send_at=row["send_at"],
    )


async def save_report_notifications(
    connection: Connection, account_id: str, inbox_id: str, settings: ReportNotifications
) -> None:
    """Write an inbox's settings."""
    await connection.execute(
        """
        INSERT INTO report_notifications (
            account_id, inbox_id, enabled, reports, recipients, lines, users, teams, send_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (account_id, inbox_id) DO UPDATE SET
            enabled = excluded.enabled, reports = excluded.reports, recipients = excluded.recipients,
            lines = excluded.lines, users = excluded.users, teams = excluded.teams, send_at = excluded.send_at
        """,
        account_id,
        inbox_id,
        settings.enabled,
        [str(kind) for kind in settings.reports],
        [str(wanted) for wanted in settings.recipients],
        settings.lines,
        settings.users,
        settings.teams,
        settings.send_at,
    )


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One inbox's next daily report."""

    account_id: str
    inbox_id: str
    kind: ReportKind
    next_date: date


async def lock_schedule(connection: Connection, account_id: str, inbox_id: str, kind: ReportKind) -> date | None:
    """The next date of an inbox's report, held against the timer; None where it is off."""
    next_date: date | None = await connection.fetchval(
        """
        SELECT next_date FROM schedules
        WHERE account_id = $1 AND inbox_id = $2 AND kind = $3
        FOR UPDATE
        """,
        account_id,
        inbox_id,
        kind,
    )
    return next_date


async def lock_schedules(connection: Connection, account_id: str) -> list[Scheduled]:
    """All schedules of an account, held against the timer, in key order."""
    rows = await connection.fetch(
        """
        SELECT account_id, inbox_id, kind, next_date FROM schedules
        WHERE account_id = $1
        ORDER BY inbox_id, kind
        FOR UPDATE
        """,
        account_id,
    )
    return [_scheduled(row) for row in rows]


async def take_due_schedule(connection: Connection, now: datetime, read_through: datetime) -> Scheduled | None:
    """One report whose time has come and whose day's input is complete, held so that no other replica takes it."""
    row = await connection.fetchrow(
        """
        SELECT account_id, inbox_id, kind, next_date FROM schedules
        WHERE due_at <= $1 AND read_through <= $2
        ORDER BY due_at
        LIMIT 1
        FOR UPDATE SKIP LOCKED
        """,
        now,
        read_through,
    )
    return _scheduled(row) if row else None


async def save_schedule(connection: Connection, account_id: str, inbox_id: str, kind: ReportKind, due: Due) -> None:
    """Write when an inbox's next report is due."""
    await connection.execute(
        """
        INSERT INTO schedules (account_id, inbox_id, kind, next_date, due_at, read_through)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (account_id, inbox_id, kind) DO UPDATE SET
            next_date = excluded.next_date, due_at = excluded.due_at, read_through = excluded.read_through
        """,
        account_id,
        inbox_id,
        kind,
        due.date,
        due.at,
        due.read_through,
    )


async def delete_schedule(connection: Connection, account_id: str, inbox_id: str, kind: ReportKind) -> None:
    """Nothing more is sent daily."""
    await connection.execute(
        "DELETE FROM schedules WHERE account_id = $1 AND inbox_id = $2 AND kind = $3",
        account_id,
        inbox_id,
        kind,
    )


async def ask_for_report(
    connection: Connection, account_id: str, inbox_id: str, kind: ReportKind, day: date, asked_at: datetime
) -> None:
    """Note that a past day's report was asked for: it goes out when all that came before `asked_at` is read."""
    await connection.execute(
        """
        INSERT INTO asked_reports (account_id, inbox_id, kind, date, asked_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (account_id, inbox_id, kind, date) DO UPDATE SET asked_at = excluded.asked_at
        """,
        account_id,
        inbox_id,
        kind,
        day,
        asked_at,
    )


async def take_asked_report(connection: Connection, read_through: datetime) -> Scheduled | None:
    """One report that was asked for and whose input is complete, taken off the list by this transaction."""
    row = await connection.fetchrow(
        """
        DELETE FROM asked_reports
        WHERE (account_id, inbox_id, kind, date) = (
            SELECT account_id, inbox_id, kind, date FROM asked_reports
            WHERE asked_at <= $1
            ORDER BY asked_at
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING account_id, inbox_id, kind, date AS next_date
        """,
        read_through,
    )
    return _scheduled(row) if row else None


async def claim_emails(
    connection: Connection, report: Scheduled, email_ids: Mapping[str, str], now: datetime
) -> set[str]:
    """The users (keys of `email_ids`) who have not had this report yet and now get it: each one once, ever (P4)."""
    rows = await connection.fetch(
        """
        INSERT INTO report_emails (account_id, inbox_id, kind, date, user_id, email_id, requested_at)
        SELECT $1, $2, $3, $4, user_id, email_id, $7
        FROM unnest($5::text[], $6::uuid[]) AS k (user_id, email_id)
        ORDER BY user_id
        ON CONFLICT DO NOTHING
        RETURNING user_id
        """,
        report.account_id,
        report.inbox_id,
        report.kind,
        report.next_date,
        list(email_ids),
        list(email_ids.values()),
        now,
    )
    return {row["user_id"] for row in rows}


def _scheduled(row: Any) -> Scheduled:
    return Scheduled(row["account_id"], row["inbox_id"], ReportKind(row["kind"]), row["next_date"])


def _filter(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
