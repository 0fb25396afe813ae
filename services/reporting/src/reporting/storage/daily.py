"""The figures of daily activity, asked of the rows (P5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from reporting.days import Span
from reporting.figures import RESPONSE_WINDOW, SERVICE_LEVEL_WITHIN, Measured
from reporting.opening import Opening
from service_kit.database import Connection

_LONGEST_CALL: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report looks at. A filter of None lets everything pass.

    `users` holds who passes by name and by team; `members` are the pairs of team and user to break down by;
    `opening` is when the inbox was open, from the span's start until a response no longer counts: None for always.
    """

    account_id: str
    inbox_id: str
    span: Span
    time_zone: str
    lines: tuple[str, ...] | None = None
    users: tuple[str, ...] | None = None
    members: tuple[tuple[str, str], ...] = ()
    opening: Opening | None = None

    @property
    def arguments(self) -> tuple[object, ...]:
        """What the statements over a scope begin with: account, inbox, span, filters and time zone."""
        return (
            self.account_id,
            self.inbox_id,
            self.span.start,
            self.span.end,
            self.lines,
            self.users,
            self.time_zone,
        )


async def measure(connection: Connection, scope: Scope, measured: Measured) -> None:
    """Every figure of the scope, in total and by hour, line, user and team."""
    await _measure_activity(connection, scope, measured)
    await _measure_talk(connection, scope, measured)
    await _measure_responses(connection, scope, measured)
    await _measure_unread(connection, scope, measured)


async def _measure_activity(connection: Connection, scope: Scope, into: Measured) -> None:
    # The span is read once, by communications_by_start, and added up in cells of hour, line and user: every row is a
    # sum of cells. Only a percentile is no sum; it looks at the answered calls again.
    rows = await connection.fetch(
        """
        WITH considered AS MATERIALIZED (
            SELECT
                kind, direction, status, line_number, user_id, wait_seconds, talk_seconds,
                extract(hour FROM started_at AT TIME ZONE $7)::int AS hour,
                kind = 'call' AND direction = 'inbound' AS is_inbound_call,
                kind = 'call' AND direction = 'inbound' AND answered_at IS NOT NULL AS is_answered
            FROM communications
            WHERE account_id = $1 AND inbox_id = $2 AND started_at >= $3 AND started_at < $4
                AND ($5::text[] IS NULL OR line_number = ANY($5))
                AND ($6::text[] IS NULL OR user_id IS NULL OR user_id = ANY($6))
        ), members AS (
            SELECT * FROM unnest($8::text[], $9::text[]) AS m (team_id, user_id)
        ), cells AS MATERIALIZED (
            SELECT
                hour,
                line_number,
                user_id,
                count(*) FILTER (WHERE is_inbound_call) AS calls_inbound,
                count(*) FILTER (WHERE kind = 'call' AND direction = 'outbound') AS calls_outbound,
                count(*) FILTER (WHERE is_answered) AS answered,
                count(*) FILTER (WHERE is_inbound_call AND status IN ('missed', 'failed')) AS missed,
                count(*) FILTER (WHERE is_inbound_call AND status = 'abandoned') AS abandoned,
                count(*) FILTER (WHERE is_inbound_call AND status = 'voicemail') AS voicemails,
                count(*) FILTER (WHERE kind = 'message' AND direction = 'inbound') AS messages_inbound,
                count(*) FILTER (WHERE kind = 'message' AND direction = 'outbound') AS messages_outbound,
                count(*) FILTER (WHERE is_answered AND wait_seconds <= $10) AS answered_in_time,
                count(wait_seconds) FILTER (WHERE is_answered) AS waits,
                sum(wait_seconds) FILTER (WHERE is_answered) AS waited,
                sum(talk_seconds) FILTER (WHERE kind = 'call') AS talked
            FROM considered
            GROUP BY hour, line_number, user_id
        ), placed AS (
            SELECT place.section, place.key, c.*
            FROM cells c
            CROSS JOIN LATERAL (
                VALUES ('totals', ''), ('by_hour', lpad(c.hour::text, 2, '0')), ('by_line', c.line_number),
                    ('by_user', c.user_id)
            ) AS place (section, key)
            WHERE place.key IS NOT NULL
            UNION ALL
            SELECT 'by_team', m.team_id, c.* FROM cells c JOIN members m ON m.user_id = c.user_id
        ), percentiles AS (
            SELECT
                CASE
                    WHEN grouping(hour) = 0 THEN 'by_hour'
                    WHEN grouping(line_number) = 0 THEN 'by_line'
                    WHEN grouping(user_id) = 0 THEN 'by_user'
                    ELSE 'totals'
                END AS section,
                coalesce(lpad(hour::text, 2, '0'), line_number, user_id, '') AS key,
                percentile_cont(0.9) WITHIN GROUP (ORDER BY wait_seconds) AS p90_answer_seconds
            FROM considered
            WHERE is_answered
            GROUP BY GROUPING SETS ((), (hour), (line_number), (user_id))
            HAVING grouping(user_id) = 1 OR user_id IS NOT NULL
            UNION ALL
            SELECT 'by_team', m.team_id, percentile_cont(0.9) WITHIN GROUP (ORDER BY c.wait_seconds)
            FROM considered c
            JOIN members m ON m.user_id = c.user_id
            WHERE c.is_answered
            GROUP BY m.team_id
        ), sums AS (
            SELECT
                section,
                key,
                sum(calls_inbound)::bigint AS calls_inbound,
                sum(calls_outbound)::bigint AS calls_outbound,
                sum(answered)::bigint AS answered,
                sum(missed)::bigint AS missed,
                sum(abandoned)::bigint AS abandoned,
                sum(voicemails)::bigint AS voicemails,
                sum(messages_inbound)::bigint AS messages_inbound,
                sum(messages_outbound)::bigint AS messages_outbound,
                sum(answered)::float8 / nullif(sum(calls_inbound), 0)::float8 AS answer_rate,
                sum(answered_in_time)::float8 / nullif(sum(calls_inbound), 0)::float8 AS service_level,
                sum(waited) / nullif(sum(waits), 0)::float8 AS average_answer_seconds,
                coalesce(sum(talked), 0) AS talk_seconds
            FROM placed
            GROUP BY section, key
        )
        SELECT sums.*, percentiles.p90_answer_seconds FROM sums LEFT JOIN percentiles USING (section, key)
        """,
        *scope.arguments,
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
    # The turns before and after each message are found by communications_by_turn; in the order of contacts, which is
    # the index's, so that no page of it is read twice.
    rows = await connection.fetch(
        """
        WITH messages AS MATERIALIZED (
            SELECT
                contact_number, turn_at, communication_id, line_number,
                to_char(started_at AT TIME ZONE $7, 'HH24') AS hour
            FROM communications
            WHERE account_id = $1 AND inbox_id = $2 AND started_at >= $3 AND started_at < $4
                AND turn = 'contact'
                AND ($5::text[] IS NULL OR line_number = ANY($5))
            ORDER BY contact_number, turn_at
        ), asked AS (
            SELECT m.contact_number, m.turn_at, m.line_number, m.hour
            FROM messages m
            LEFT JOIN LATERAL (
                SELECT p.turn FROM communications p
                WHERE p.account_id = $1 AND p.inbox_id = $2
                    AND p.contact_number = m.contact_number AND p.turn IS NOT NULL
                    AND (p.turn_at, p.communication_id) < (m.turn_at, m.communication_id)
                    AND p.turn_at >= m.turn_at - $10::interval
                ORDER BY p.turn_at DESC, p.communication_id DESC
                LIMIT 1
            ) AS before ON true
            WHERE before.turn IS DISTINCT FROM 'contact'
        ), responded AS MATERIALIZED (
            SELECT
                a.line_number, a.hour, r.user_id, extract(epoch FROM r.turn_at - a.turn_at)::float8 AS seconds,
                CASE
                    WHEN $11::timestamptz[] IS NULL THEN extract(epoch FROM r.turn_at - a.turn_at)::float8
                    ELSE responded_at.open_seconds - asked_at.open_seconds
                END AS open_seconds
            FROM asked a
            CROSS JOIN LATERAL (
                SELECT r.user_id, r.turn_at FROM communications r
                WHERE r.account_id = $1 AND r.inbox_id = $2 AND r.contact_number = a.contact_number
                    AND r.turn = 'agent' AND r.turn_at >= a.turn_at AND r.turn_at < a.turn_at + $10::interval
                ORDER BY r.turn_at
                LIMIT 1
            ) AS r
            -- How long the inbox had been open since the span began: the spans before, and of the running one
            -- what has passed.
            CROSS JOIN LATERAL (
                SELECT coalesce(($13::float8[])[p]
                    + least(extract(epoch FROM a.turn_at - ($11::timestamptz[])[p])::float8, ($12::float8[])[p]), 0)
                FROM width_bucket(a.turn_at, $11::timestamptz[]) AS p
            ) AS asked_at (open_seconds)
            CROSS JOIN LATERAL (
                SELECT coalesce(($13::float8[])[p]
                    + least(extract(epoch FROM r.turn_at - ($11::timestamptz[])[p])::float8, ($12::float8[])[p]), 0)
                FROM width_bucket(r.turn_at, $11::timestamptz[]) AS p
            ) AS responded_at (open_seconds)
            WHERE $6::text[] IS NULL OR r.user_id IS NULL OR r.user_id = ANY($6)
        ), placed AS (
            SELECT place.section, place.key, r.seconds, r.open_seconds
            FROM responded r
            CROSS JOIN LATERAL (
                VALUES ('totals', ''), ('by_hour', r.hour), ('by_line', r.line_number), ('by_user', r.user_id)
            ) AS place (section, key)
            WHERE place.key IS NOT NULL
            UNION ALL
            SELECT 'by_team', m.team_id, r.seconds, r.open_seconds
            FROM responded r
            JOIN unnest($8::text[], $9::text[]) AS m (team_id, user_id) ON m.user_id = r.user_id
        )
        SELECT section, key, avg(seconds) AS seconds, avg(open_seconds) AS open_seconds
        FROM placed
        GROUP BY section, key
        """,
        *scope.arguments,
        [team_id for team_id, _ in scope.members],
        [user_id for _, user_id in scope.members],
        RESPONSE_WINDOW,
        scope.opening and scope.opening.starts,
        scope.opening and scope.opening.seconds,
        scope.opening and scope.opening.before,
    )
    for row in rows:
        into.put(row["section"], row["key"], "first_response_seconds", row["seconds"])
        into.put(row["section"], row["key"], "first_response_business_seconds", row["open_seconds"])


async def _measure_unread(connection: Connection, scope: Scope, into: Measured) -> None:
    # Reading covers a thread from its oldest communication on, so what is unread are always its newest ones.
    # What reached us only after the end was in no thread yet: it is unread unless somebody turned to the contact.
    # What came long after it happened is found by communications_by_lateness, the rest by communications_by_start;
    # `received_at` is asked outside, or the planner would look for it in each thread of the account.
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
        ), long_late AS MATERIALIZED (
            SELECT line_number, started_at, contact_number, unread_at, communication_id, received_at
            FROM communications
            WHERE account_id = $1 AND inbox_id = $2 AND unread_at < $4
                AND received_at - unread_at > interval '1 hour'
        ), a_little_late AS MATERIALIZED (
            SELECT line_number, started_at, contact_number, unread_at, communication_id, received_at
            FROM communications
            WHERE account_id = $1 AND inbox_id = $2
                AND started_at >= $4::timestamptz - $7::interval AND started_at < $4
                AND unread_at >= $4::timestamptz - interval '1 hour' AND unread_at < $4
                AND received_at - unread_at <= interval '1 hour'
        ), late AS (
            SELECT * FROM long_late WHERE received_at >= $4
            UNION ALL
            SELECT * FROM a_little_late WHERE received_at >= $4
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
