"""Reporting's SQL, all of it: rows kept by highest version, and figures asked of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import orjson

from reporting.days import Span
from reporting.facts import Analysis, Fact
from reporting.figures import RESPONSE_WINDOW, SERVICE_LEVEL_WITHIN, Measured
from reporting.recipients import RecipientClass
from reporting.schedule import Due, ReportKind, ReportNotifications
from service_kit.database import Connection

_LATE: Final = timedelta(hours=1)
"""As in the index `communications_by_lateness`: what came later than this is found by it."""

_LONGEST_CALL: Final = timedelta(days=1)


async def save_communications(connection: Connection, facts: Iterable[Fact]) -> None:
    """Keep each communication's highest version.

    One statement: the conflict locks the row, and the comparison sees what another replica committed. In key
    order, so that overlapping batches wait for each other instead of deadlocking.
    """
    newest: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        key = (fact.account_id, fact.communication_id)
        known = newest.get(key)
        if known is None or known.version < fact.version:
            newest[key] = fact
    if not newest:
        return
    rows = [newest[key] for key in sorted(newest)]
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    shares = Fact._fields.index("talk_shares")
    columns[shares] = [
        orjson.dumps([[*share] for share in row.talk_shares]).decode() if row.talk_shares else None for row in rows
    ]
    await connection.execute(
        """
        INSERT INTO communications AS known (
            account_id, communication_id, version, inbox_id, line_number, contact_number, thread_id, kind,
            direction, status, user_id, started_at, answered_at, wait_seconds, talk_seconds, talk_shares, turn,
            turn_at, unread_at, received_at
        )
        SELECT
            account_id, communication_id, version, inbox_id, line_number, contact_number, thread_id, kind,
            direction, status, user_id, started_at, answered_at, wait_seconds, talk_seconds, talk_shares::jsonb,
            turn, turn_at, unread_at, received_at
        FROM unnest(
            $1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[], $14::float8[],
            $15::float8[], $16::text[], $17::text[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[]
        ) AS incoming (
            account_id, communication_id, version, inbox_id, line_number, contact_number, thread_id, kind,
            direction, status, user_id, started_at, answered_at, wait_seconds, talk_seconds, talk_shares, turn,
            turn_at, unread_at, received_at
        )
        ON CONFLICT (account_id, communication_id) DO UPDATE SET
            version = excluded.version, inbox_id = excluded.inbox_id, line_number = excluded.line_number,
            contact_number = excluded.contact_number, thread_id = excluded.thread_id, kind = excluded.kind,
            direction = excluded.direction, status = excluded.status, user_id = excluded.user_id,
            started_at = excluded.started_at, answered_at = excluded.answered_at,
            wait_seconds = excluded.wait_seconds, talk_seconds = excluded.talk_seconds,
            talk_shares = excluded.talk_shares, turn = excluded.turn, turn_at = excluded.turn_at,
            unread_at = excluded.unread_at, received_at = excluded.received_at
        WHERE excluded.version > known.version
        """,
        *columns,
    )


async def save_analyses(connection: Connection, analyses: Iterable[Analysis]) -> None:
    """Keep each analysis's highest version, like `save_communications`."""
    newest: dict[tuple[str, str], Analysis] = {}
    for analysis in analyses:
        key = (analysis.account_id, analysis.communication_id)
        known = newest.get(key)
        if known is None or known.version < analysis.version:
            newest[key] = analysis
    if not newest:
        return
    rows = [newest[key] for key in sorted(newest)]
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    topics = Analysis._fields.index("topics")
    columns[topics] = [None if row.topics is None else orjson.dumps(row.topics).decode() for row in rows]
    await connection.execute(
        """
        INSERT INTO analyses AS known (
            account_id, communication_id, version, summary, sentiment_label, sentiment_score, topics,
            agent_seconds, contact_seconds, transcript, language
        )
        SELECT
            account_id, communication_id, version, summary, sentiment_label, sentiment_score, topics::jsonb,
            agent_seconds, contact_seconds, transcript, language
        FROM unnest(
            $1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::float8[], $7::text[], $8::float8[],
            $9::float8[], $10::text[], $11::text[]
        ) AS incoming (
            account_id, communication_id, version, summary, sentiment_label, sentiment_score, topics,
            agent_seconds, contact_seconds, transcript, language
        )
        ON CONFLICT (account_id, communication_id) DO UPDATE SET
            version = excluded.version, summary = excluded.summary, sentiment_label = excluded.sentiment_label,
            sentiment_score = excluded.sentiment_score, topics = excluded.topics,
            agent_seconds = excluded.agent_seconds, contact_seconds = excluded.contact_seconds,
            transcript = excluded.transcript, language = excluded.language
        WHERE excluded.version > known.version
        """,
        *columns,
    )


@dataclass(frozen=True, slots=True)
class ThreadUnread:
    """How much was unread in a thread from `changed_at` on."""

    account_id: str
    thread_id: str
    version: int
    inbox_id: str
    unread: int
    changed_at: datetime


async def save_thread_unreads(connection: Connection, changes: Iterable[ThreadUnread]) -> None:
    """Keep every version of every thread's unread count, each with the time until which it held.

    The threads are locked first, in key order: a version's end is its successor's begin, and the successor
    may be in another replica's batch.
    """
    distinct = {(c.account_id, c.thread_id, c.version): c for c in changes}
    if not distinct:
        return
    threads = sorted({(account_id, thread_id) for account_id, thread_id, _ in distinct})
    keys: list[Sequence[Any]] = list(zip(*threads, strict=True))
    await connection.execute(
        """
        INSERT INTO threads (account_id, thread_id)
        SELECT account_id, thread_id FROM unnest($1::text[], $2::uuid[]) AS k (account_id, thread_id)
        ORDER BY account_id, thread_id
        ON CONFLICT DO NOTHING
        """,
        *keys,
    )
    await connection.execute(
        """
        SELECT 1 FROM threads
        WHERE (account_id, thread_id) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
        ORDER BY account_id, thread_id
        FOR UPDATE
        """,
        *keys,
    )
    rows = [distinct[key] for key in sorted(distinct)]
    await connection.execute(
        """
        INSERT INTO thread_unreads (account_id, thread_id, version, inbox_id, unread, changed_at, until)
        SELECT *, 'infinity'::timestamptz
        FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::int[], $6::timestamptz[])
        ON CONFLICT DO NOTHING
        """,
        [row.account_id for row in rows],
        [row.thread_id for row in rows],
        [row.version for row in rows],
        [row.inbox_id for row in rows],
        [row.unread for row in rows],
        [row.changed_at for row in rows],
    )
    # What ends anew are the versions of the batch and, per thread, the one before the batch's first: each is
    # found by the primary key, however long the thread's history is.
    await connection.execute(
        """
        WITH touched AS (
            SELECT account_id, thread_id, min(version) AS first, max(version) AS last
            FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS k (account_id, thread_id, version)
            GROUP BY account_id, thread_id
        ), spans AS (
            SELECT
                t.account_id, t.thread_id, t.last,
                coalesce((
                    SELECT max(p.version) FROM thread_unreads p
                    WHERE p.account_id = t.account_id AND p.thread_id = t.thread_id AND p.version < t.first
                ), t.first) AS first
            FROM touched t
        )
        UPDATE thread_unreads u
        SET until = coalesce((
            SELECT n.changed_at FROM thread_unreads n
            WHERE n.account_id = u.account_id AND n.thread_id = u.thread_id AND n.version > u.version
            ORDER BY n.version
            LIMIT 1
        ), 'infinity')
        FROM spans s
        WHERE u.account_id = s.account_id AND u.thread_id = s.thread_id AND u.version BETWEEN s.first AND s.last
        """,
        [row.account_id for row in rows],
        [row.thread_id for row in rows],
        [row.version for row in rows],
    )


async def save_progress(connection: Connection, through: Mapping[tuple[str, int], datetime]) -> None:
    """Note how far each input partition has been read; it never goes back."""
    rows = sorted(through.items())
    await connection.execute(
        """
        INSERT INTO input_progress AS known (topic, partition, complete_through)
        SELECT * FROM unnest($1::text[], $2::int[], $3::timestamptz[])
        ON CONFLICT (topic, partition) DO UPDATE
        SET complete_through = greatest(known.complete_through, excluded.complete_through)
        """,
        [topic for (topic, _), _ in rows],
        [partition for (_, partition), _ in rows],
        [at for _, at in rows],
    )


async def complete_through(connection: Connection, topics: Sequence[str]) -> datetime | None:
    """The time through which all input has been read; None while nothing is known of one of the topics."""
    at: datetime | None = await connection.fetchval(
        """
        SELECT CASE WHEN count(DISTINCT topic) = cardinality($1::text[]) THEN min(complete_through) END
        FROM input_progress
        WHERE topic = ANY($1)
        """,
        list(topics),
    )
    return at


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report looks at. A filter of None lets everything pass.

    `users` holds who passes by name and by team; `members` are the pairs of team and user to break down by.
    """

    account_id: str
    inbox_id: str
    span: Span
    time_zone: str
    lines: tuple[str, ...] | None = None
    users: tuple[str, ...] | None = None
    members: tuple[tuple[str, str], ...] = ()


async def measure(connection: Connection, scope: Scope) -> Measured:
    """Every figure of the scope, in total and by hour, line, user and team."""
    measured = Measured()
    await _measure_activity(connection, scope, measured)
    await _measure_talk(connection, scope, measured)
    await _measure_responses(connection, scope, measured)
    await _measure_unread(connection, scope, measured)
    return measured


async def _measure_activity(connection: Connection, scope: Scope, into: Measured) -> None:
    # The span is read once, by communications_by_start.
    rows = await connection.fetch(
        """
        WITH considered AS MATERIALIZED (
            SELECT
                kind, direction, status, line_number, user_id, wait_seconds, talk_seconds,
                to_char(started_at AT TIME ZONE $7, 'HH24') AS hour,
                kind = 'call' AND direction = 'inbound' AS is_inbound_call,
                kind = 'call' AND direction = 'inbound' AND answered_at IS NOT NULL AS is_answered
            FROM communications
            WHERE account_id = $1 AND inbox_id = $2 AND started_at >= $3 AND started_at < $4
                AND ($5::text[] IS NULL OR line_number = ANY($5))
                AND ($6::text[] IS NULL OR user_id IS NULL OR user_id = ANY($6))
        ), placed AS (
            SELECT place.section, place.key, c.*
            FROM considered c
            CROSS JOIN LATERAL (
                VALUES ('totals', ''), ('by_hour', c.hour), ('by_line', c.line_number), ('by_user', c.user_id)
            ) AS place (section, key)
            WHERE place.key IS NOT NULL
            UNION ALL
            SELECT 'by_team', m.team_id, c.*
            FROM considered c
            JOIN unnest($8::text[], $9::text[]) AS m (team_id, user_id) ON m.user_id = c.user_id
        )
        SELECT
            section,
            key,
            count(*) FILTER (WHERE is_inbound_call) AS calls_inbound,
            count(*) FILTER (WHERE kind = 'call' AND direction = 'outbound') AS calls_outbound,
            count(*) FILTER (WHERE is_answered) AS answered,
            count(*) FILTER (WHERE is_inbound_call AND status IN ('missed', 'failed')) AS missed,
            count(*) FILTER (WHERE is_inbound_call AND status = 'abandoned') AS abandoned,
            count(*) FILTER (WHERE is_inbound_call AND status = 'voicemail') AS voicemails,
            count(*) FILTER (WHERE kind = 'message' AND direction = 'inbound') AS messages_inbound,
            count(*) FILTER (WHERE kind = 'message' AND direction = 'outbound') AS messages_outbound,
            count(*) FILTER (WHERE is_answered)::float8
                / nullif(count(*) FILTER (WHERE is_inbound_call), 0) AS answer_rate,
            count(*) FILTER (WHERE is_answered AND wait_seconds <= $10)::float8
                / nullif(count(*) FILTER (WHERE is_inbound_call), 0) AS service_level,
            avg(wait_seconds) FILTER (WHERE is_answered) AS average_answer_seconds,
            percentile_cont(0.9) WITHIN GROUP (ORDER BY wait_seconds)
                FILTER (WHERE is_answered) AS p90_answer_seconds,
            coalesce(sum(talk_seconds) FILTER (WHERE kind = 'call'), 0) AS talk_seconds
        FROM placed
        GROUP BY section, key
        """,
        scope.account_id,
        scope.inbox_id,
        scope.span.start,
        scope.span.end,
        scope.lines,
        scope.users,
        scope.time_zone,
        [team_id for team_id, _ in scope.members],
        [user_id for _, user_id in scope.members],
        SERVICE_LEVEL_WITHIN.total_seconds(),
    )
    for row in rows:
        figures = dict(row)
        section, key = figures.pop("section"), figures.pop("key")
        if section in ("by_user", "by_team"):
            # Of a transferred call each user has a share: see _measure_talk.
            del figures["talk_seconds"]
        for name, value in figures.items():
            into.put(section, key, name, value)


async def _measure_talk(connection: Connection, scope: Scope, into: Measured) -> None:
    rows = await connection.fetch(
        """
        WITH shares AS MATERIALIZED (
            SELECT share ->> 0 AS user_id, (share ->> 1)::float8 AS seconds
            FROM communications c
            CROSS JOIN LATERAL jsonb_array_elements(c.talk_shares) AS share
            WHERE c.account_id = $1 AND c.inbox_id = $2 AND c.started_at >= $3 AND c.started_at < $4
                AND c.talk_shares IS NOT NULL
                AND ($5::text[] IS NULL OR c.line_number = ANY($5))
                AND ($6::text[] IS NULL OR c.user_id IS NULL OR c.user_id = ANY($6))
                AND ($6::text[] IS NULL OR share ->> 0 = ANY($6))
        )
        SELECT 'by_user' AS section, user_id AS key, sum(seconds) AS seconds FROM shares GROUP BY user_id
        UNION ALL
        SELECT 'by_team', m.team_id, sum(s.seconds)
        FROM shares s
        JOIN unnest($7::text[], $8::text[]) AS m (team_id, user_id) USING (user_id)
        GROUP BY m.team_id
        """,
        scope.account_id,
        scope.inbox_id,
        scope.span.start,
        scope.span.end,
        scope.lines,
        scope.users,
        [team_id for team_id, _ in scope.members],
        [user_id for _, user_id in scope.members],
    )
    for row in rows:
        into.put(row["section"], row["key"], "talk_seconds", row["seconds"])


async def _measure_responses(connection: Connection, scope: Scope, into: Measured) -> None:
    # The turns before and after each message are found by communications_by_turn.
    rows = await connection.fetch(
        """
        WITH asked AS (
            SELECT m.contact_number, m.turn_at, m.line_number, to_char(m.started_at AT TIME ZONE $7, 'HH24') AS hour
            FROM communications m
            LEFT JOIN LATERAL (
                SELECT p.turn FROM communications p
                WHERE p.account_id = m.account_id AND p.inbox_id = m.inbox_id
                    AND p.contact_number = m.contact_number AND p.turn IS NOT NULL
                    AND (p.turn_at, p.communication_id) < (m.turn_at, m.communication_id)
                    AND p.turn_at >= m.turn_at - $10::interval
                ORDER BY p.turn_at DESC, p.communication_id DESC
                LIMIT 1
            ) AS before ON true
            WHERE m.account_id = $1 AND m.inbox_id = $2 AND m.started_at >= $3 AND m.started_at < $4
                AND m.turn = 'contact'
                AND ($5::text[] IS NULL OR m.line_number = ANY($5))
                AND before.turn IS DISTINCT FROM 'contact'
        ), responded AS MATERIALIZED (
            SELECT a.line_number, a.hour, r.user_id, extract(epoch FROM r.turn_at - a.turn_at)::float8 AS seconds
            FROM asked a
            CROSS JOIN LATERAL (
                SELECT r.user_id, r.turn_at FROM communications r
                WHERE r.account_id = $1 AND r.inbox_id = $2 AND r.contact_number = a.contact_number
                    AND r.turn = 'agent' AND r.turn_at >= a.turn_at AND r.turn_at < a.turn_at + $10::interval
                ORDER BY r.turn_at
                LIMIT 1
            ) AS r
            WHERE $6::text[] IS NULL OR r.user_id IS NULL OR r.user_id = ANY($6)
        ), placed AS (
            SELECT place.section, place.key, r.seconds
            FROM responded r
            CROSS JOIN LATERAL (
                VALUES ('totals', ''), ('by_hour', r.hour), ('by_line', r.line_number), ('by_user', r.user_id)
            ) AS place (section, key)
            WHERE place.key IS NOT NULL
            UNION ALL
            SELECT 'by_team', m.team_id, r.seconds
            FROM responded r
            JOIN unnest($8::text[], $9::text[]) AS m (team_id, user_id) ON m.user_id = r.user_id
        )
        SELECT section, key, avg(seconds) AS seconds FROM placed GROUP BY section, key
        """,
        scope.account_id,
        scope.inbox_id,
        scope.span.start,
        scope.span.end,
        scope.lines,
        scope.users,
        scope.time_zone,
        [team_id for team_id, _ in scope.members],
        [user_id for _, user_id in scope.members],
        RESPONSE_WINDOW,
    )
    for row in rows:
        into.put(row["section"], row["key"], "first_response_seconds", row["seconds"])


async def _measure_unread(connection: Connection, scope: Scope, into: Measured) -> None:
    # Reading covers a thread from its oldest communication on, so what is unread are always its newest ones.
    # What reached us only after the end was in no thread yet: it is unread unless somebody turned to the contact.
    rows = await connection.fetch(
        """
        WITH held AS (
            SELECT c.line_number, c.started_at
            FROM thread_unreads u
            CROSS JOIN LATERAL (
                SELECT line_number, started_at FROM communications
                WHERE account_id = u.account_id AND thread_id = u.thread_id AND unread_at IS NOT NULL
                    AND received_at < $4
                ORDER BY received_at DESC, communication_id DESC
                LIMIT u.unread
            ) AS c
            WHERE u.account_id = $1 AND u.inbox_id = $2 AND u.unread > 0 AND u.until > $4 AND u.changed_at <= $4
        ), late AS (
            SELECT line_number, started_at, contact_number, unread_at, communication_id
            FROM communications
            WHERE account_id = $1 AND inbox_id = $2 AND received_at >= $4 AND unread_at < $4
                AND received_at - unread_at > interval '1 hour'
            UNION ALL
            SELECT line_number, started_at, contact_number, unread_at, communication_id
            FROM communications
            WHERE account_id = $1 AND inbox_id = $2 AND received_at >= $4 AND unread_at < $4
                AND received_at - unread_at <= interval '1 hour'
                AND started_at >= $4::timestamptz - $7::interval AND started_at < $4
        ), left_unread AS MATERIALIZED (
            SELECT line_number, started_at FROM held
            UNION ALL
            SELECT l.line_number, l.started_at FROM late l
            WHERE NOT EXISTS (
                SELECT 1 FROM communications r
                WHERE r.account_id = $1 AND r.inbox_id = $2 AND r.contact_number = l.contact_number
                    AND r.turn = 'agent' AND r.turn_at >= l.unread_at AND r.turn_at < $4
            )
        ), counted AS (
            SELECT line_number, to_char(started_at AT TIME ZONE $6, 'HH24') AS hour, started_at >= $3 AS is_of_span
            FROM left_unread
            WHERE $5::text[] IS NULL OR line_number = ANY($5)
        )
        SELECT 'totals' AS section, '' AS key, count(*) AS unread FROM counted
        UNION ALL
        SELECT 'by_line', line_number, count(*) FROM counted GROUP BY line_number
        UNION ALL
        SELECT 'by_hour', hour, count(*) FROM counted WHERE is_of_span GROUP BY hour
        """,
        scope.account_id,
        scope.inbox_id,
        scope.span.start,
        scope.span.end,
        scope.lines,
        scope.time_zone,
        _LONGEST_CALL,
    )
    for row in rows:
        into.put(row["section"], row["key"], "unread_left", row["unread"])


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


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One administrative change: who, when, what, before and after (A6)."""

    account_id: str
    id: str
    at: datetime
    user_id: str
    action: str
    subject: str
    before: Any
    after: Any


async def add_audit_entry(connection: Connection, entry: AuditEntry) -> None:
    """Record a change, in the transaction that makes it."""
    await connection.execute(
        """
        INSERT INTO audit_entries (account_id, id, at, user_id, action, subject, before, after)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        entry.account_id,
        entry.id,
        entry.at,
        entry.user_id,
        entry.action,
        entry.subject,
        entry.before,
        entry.after,
    )


async def audit_entries(connection: Connection, account_id: str, before_id: str | None, limit: int) -> list[AuditEntry]:
    """An account's changes, newest first (ids grow with time), those older than `before_id`."""
    rows = await connection.fetch(
        """
        SELECT account_id, id::text AS id, at, user_id, action, subject, before, after FROM audit_entries
        WHERE account_id = $1 AND ($2::uuid IS NULL OR id < $2)
        ORDER BY id DESC
        LIMIT $3
        """,
        account_id,
        before_id,
        limit,
    )
    return [AuditEntry(**dict(row)) for row in rows]


def _scheduled(row: Any) -> Scheduled:
    return Scheduled(row["account_id"], row["inbox_id"], ReportKind(row["kind"]), row["next_date"])


def _filter(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
