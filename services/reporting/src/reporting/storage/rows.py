"""What reporting keeps: communications, analyses, contact names, and how much was unread in each thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from reporting.facts import Analysis, Fact
from service_kit.database import Connection


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
    # The rows come as JSON: see decision 40.
    await connection.execute(
        """
        INSERT INTO communications AS known (
            account_id, communication_id, version, inbox_id, line_number, contact_number, thread_id, kind,
            direction, status, user_id, started_at, answered_at, wait_seconds, talk_seconds, talk_shares, turn,
            turn_at, unread_at, received_at, contact_name, held_seconds
        )
        SELECT * FROM json_to_recordset($1::json) AS incoming (
            account_id text, communication_id text, version bigint, inbox_id text, line_number text,
            contact_number text, thread_id uuid, kind text, direction text, status text, user_id text,
            started_at timestamptz, answered_at timestamptz, wait_seconds float8, talk_seconds float8,
            talk_shares jsonb, turn text, turn_at timestamptz, unread_at timestamptz, received_at timestamptz,
            contact_name text, held_seconds float8
        )
        ON CONFLICT (account_id, communication_id) DO UPDATE SET
            version = excluded.version, inbox_id = excluded.inbox_id, line_number = excluded.line_number,
            contact_number = excluded.contact_number, thread_id = excluded.thread_id, kind = excluded.kind,
            direction = excluded.direction, status = excluded.status, user_id = excluded.user_id,
            started_at = excluded.started_at, answered_at = excluded.answered_at,
            wait_seconds = excluded.wait_seconds, talk_seconds = excluded.talk_seconds,
            talk_shares = excluded.talk_shares, turn = excluded.turn, turn_at = excluded.turn_at,
            unread_at = excluded.unread_at, received_at = excluded.received_at,
            contact_name = excluded.contact_name, held_seconds = excluded.held_seconds
        WHERE excluded.version > known.version
        """,
        [row._asdict() | {"talk_shares": [[*share] for share in row.talk_shares] or None} for row in rows],
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
    await connection.execute(
        """
        INSERT INTO analyses AS known (
            account_id, communication_id, version, summary, sentiment_label, sentiment_score, topics,
            agent_seconds, contact_seconds, transcript, language
        )
        SELECT * FROM json_to_recordset($1::json) AS incoming (
            account_id text, communication_id text, version bigint, summary text, sentiment_label text,
            sentiment_score float8, topics jsonb, agent_seconds float8, contact_seconds float8, transcript text,
            language text
        )
        ON CONFLICT (account_id, communication_id) DO UPDATE SET
            version = excluded.version, summary = excluded.summary, sentiment_label = excluded.sentiment_label,
            sentiment_score = excluded.sentiment_score, topics = excluded.topics,
            agent_seconds = excluded.agent_seconds, contact_seconds = excluded.contact_seconds,
            transcript = excluded.transcript, language = excluded.language
        WHERE excluded.version > known.version
        """,
        [row._asdict() for row in rows],
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
        SELECT *, 'infinity'::timestamptz FROM json_to_recordset($1::json) AS incoming (
            account_id text, thread_id uuid, version bigint, inbox_id text, unread int, changed_at timestamptz
        )
        ON CONFLICT DO NOTHING
        """,
        rows,
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


class ContactName(NamedTuple):
    """How somebody named a contact (I17). The fields stand in the order of the table's columns."""

    account_id: str
    contact_number: str
    name: str
    named_at: datetime
    event_id: str


async def save_contact_names(connection: Connection, names: Iterable[ContactName]) -> None:
    """Keep each contact's newest name, by `(named_at, event_id)`."""
    newest: dict[tuple[str, str], ContactName] = {}
    for name in names:
        key = (name.account_id, name.contact_number)
        known = newest.get(key)
        if known is None or (known.named_at, known.event_id) < (name.named_at, name.event_id):
            newest[key] = name
    if not newest:
        return
    columns: list[Sequence[Any]] = list(zip(*(newest[key] for key in sorted(newest)), strict=True))
    await connection.execute(
        """
        INSERT INTO contact_names AS known (account_id, contact_number, name, named_at, event_id)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
        ON CONFLICT (account_id, contact_number) DO UPDATE SET
            name = excluded.name, named_at = excluded.named_at, event_id = excluded.event_id
        WHERE (excluded.named_at, excluded.event_id) > (known.named_at, known.event_id)
        """,
        *columns,
    )
