"""What became of every e-mail, as administrators read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service_kit.database import Connection


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries are looked for; empty or None: any. From `since` on, and before `until`, by `queued_at`."""

    outcomes: tuple[str, ...] = ()
    user_id: str | None = None
    kinds: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


async def deliveries(
    connection: Connection,
    account_id: str,
    inbox_id: str,
    wanted: Wanted,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """An inbox's e-mails, newest first, by the index `emails_of_inbox`.

    A detail without an outcome is what kept an attempt from success: `deferred`.
    """
    rows = await connection.fetch(
        """
        SELECT email_id, purpose, user_id, report_kind, report_date, queued_at, due_at, next_attempt_at, attempts,
            outcome, detail, finished_at,
            coalesce(
                (
                    SELECT jsonb_agg(jsonb_build_object('communication_id', communication_id, 'kind', kind)
                        ORDER BY communication_id)
                    FROM notices AS n WHERE n.account_id = e.account_id AND n.email_id = e.email_id
                ), '[]'
            ) AS told
        FROM (
            SELECT account_id, email_id, purpose, user_id, report_kind, report_date, queued_at, due_at,
                next_attempt_at, attempts, detail, finished_at,
                coalesce(outcome, CASE WHEN detail IS NULL THEN 'queued' ELSE 'deferred' END) AS outcome
            FROM emails
            WHERE account_id = $1 AND inbox_id = $2
        ) AS e
        WHERE ($3::timestamptz IS NULL OR (queued_at, email_id) < ($3, $4))
            AND (cardinality($5::text[]) = 0 OR outcome = ANY($5))
            AND ($6::text IS NULL OR user_id = $6)
            AND (
                cardinality($7::text[]) = 0
                OR report_kind = ANY($7)
                OR EXISTS (
                    SELECT FROM notices AS n
                    WHERE n.account_id = e.account_id AND n.email_id = e.email_id AND n.kind = ANY($7)
                )
            )
            AND ($8::timestamptz IS NULL OR queued_at >= $8)
            AND ($9::timestamptz IS NULL OR queued_at < $9)
        ORDER BY queued_at DESC, email_id DESC
        LIMIT $10
        """,
        account_id,
        inbox_id,
        before[0] if before else None,
        before[1] if before else None,
        list(wanted.outcomes),
        wanted.user_id,
        list(wanted.kinds),
        wanted.since,
        wanted.until,
        limit,
    )
    return [dict(row) for row in rows]
