"""The figures of voice analytics, asked of the analysed calls, and what our own analyser has to read (P6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from reporting.analysing import Found
from reporting.facts import Transcript
from reporting.figures import Measured
from reporting.storage.daily import Scope
from reporting.voice import HELD_LONG, ONE_SIDED, ONE_SIDED_FROM, VERY_NEGATIVE, VERY_POSITIVE, Call, Topic
from service_kit.database import Connection


async def save_transcripts(connection: Connection, transcripts: Iterable[Transcript]) -> None:
    """Note what our own analyser has to read: of each call the highest version, and of one version the highest rank.

    What it has read already in these very words is not read again.
    """
    newest: dict[tuple[str, str], Transcript] = {}
    for one in transcripts:
        key = (one.account_id, one.communication_id)
        known = newest.get(key)
        if known is None or (known.version, known.rank) < (one.version, one.rank):
            newest[key] = one
    if not newest:
        return
    rows = [newest[key] for key in sorted(newest)]
    await connection.execute(
        """
        INSERT INTO own_analyses AS known (account_id, communication_id, version, rank, digest, transcript, language)
        SELECT * FROM unnest(
            $1::text[], $2::text[], $3::bigint[], $4::smallint[], $5::bytea[], $6::text[], $7::text[]
        )
        ON CONFLICT (account_id, communication_id) DO UPDATE SET
            version = excluded.version, rank = excluded.rank, digest = excluded.digest,
            transcript = CASE WHEN excluded.digest = known.digest THEN known.transcript ELSE excluded.transcript END,
            language = CASE WHEN excluded.digest = known.digest THEN known.language ELSE excluded.language END
        WHERE (excluded.version, excluded.rank) > (known.version, known.rank)
        """,
        [row.account_id for row in rows],
        [row.communication_id for row in rows],
        [row.version for row in rows],
        [row.rank for row in rows],
        [_digest(row) for row in rows],
        [row.text for row in rows],
        [row.language for row in rows],
    )


@dataclass(frozen=True, slots=True)
class Unread:
    """A transcript that our own analyser has not read."""

    account_id: str
    communication_id: str
    text: str
    language: str | None


async def take_unread_transcript(connection: Connection) -> Unread | None:
    """One transcript that nobody has read, held so that no other replica takes it."""
    row = await connection.fetchrow(
        """
        SELECT account_id, communication_id, transcript AS text, language FROM own_analyses
        WHERE transcript IS NOT NULL
        ORDER BY account_id, communication_id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
        """
    )
    return Unread(**dict(row)) if row else None


async def save_found(connection: Connection, read: Unread, found: Found, now: datetime) -> None:
    """Write what our own analyser found in a transcript that was taken, and let go of the text."""
    await connection.execute(
        """
        UPDATE own_analyses
        SET transcript = NULL, language = $3, sentiment_label = $4, sentiment_score = $5, topics = $6, analysed_at = $7
        WHERE account_id = $1 AND communication_id = $2
        """,
        read.account_id,
        read.communication_id,
        found.language,
        found.sentiment_label,
        found.sentiment_score,
        list(found.topics) or None,
        now,
    )


async def measure(connection: Connection, scope: Scope, measured: Measured) -> None:
    """Every figure of the scope, in total and by hour, line, user and team."""
    # The span is read by communications_by_start, what was found by the primary keys.
    rows = await connection.fetch(
        """
        WITH considered AS MATERIALIZED (
            SELECT
                line_number, user_id, is_by_us, sentiment_label, sentiment_score, agent_seconds, contact_seconds,
                to_char(started_at AT TIME ZONE $7, 'HH24') AS hour,
                coalesce(
                    sentiment_score <= $10 OR sentiment_score >= $11 OR held_seconds >= $12
                        OR (agent_seconds + contact_seconds >= $13
                            AND agent_seconds >= $14 * (agent_seconds + contact_seconds)),
                    false
                ) AS is_worth_a_listen
            FROM analysed_calls
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
            count(*) AS calls_analysed,
            count(*) FILTER (WHERE is_by_us) AS calls_analysed_by_us,
            count(*) FILTER (WHERE sentiment_label = 'positive') AS positive_calls,
            count(*) FILTER (WHERE sentiment_label = 'neutral') AS neutral_calls,
            count(*) FILTER (WHERE sentiment_label = 'negative') AS negative_calls,
            avg(sentiment_score) AS sentiment_score,
            coalesce(sum(agent_seconds), 0) AS agent_talk_seconds,
            coalesce(sum(contact_seconds), 0) AS contact_talk_seconds,
            sum(agent_seconds) / nullif(sum(agent_seconds) + sum(contact_seconds), 0) AS agent_talk_share,
            sum(contact_seconds) / nullif(sum(agent_seconds) + sum(contact_seconds), 0) AS contact_talk_share,
            count(*) FILTER (WHERE is_worth_a_listen) AS worth_a_listen
        FROM placed
        GROUP BY section, key
        """,
        *scope.arguments,
        [team_id for team_id, _ in scope.members],
        [user_id for _, user_id in scope.members],
        VERY_NEGATIVE,
        VERY_POSITIVE,
        HELD_LONG.total_seconds(),
        ONE_SIDED_FROM.total_seconds(),
        ONE_SIDED,
    )
    for row in rows:
        figures = dict(row)
        section, key = figures.pop("section"), figures.pop("key")
        for name, value in figures.items():
            measured.put(section, key, name, value)


async def topics(connection: Connection, scope: Scope, limit: int) -> tuple[Topic, ...]:
    """What the calls were about, the most frequent first; small and capital letters are the same."""
    rows = await connection.fetch(
        """
        SELECT topic, count(*) AS calls, avg(sentiment_score) AS sentiment_score
        FROM (
            SELECT DISTINCT communication_id, sentiment_score, lower(btrim(topic)) AS topic
            FROM analysed_calls
            CROSS JOIN LATERAL jsonb_array_elements_text(topics) AS topic
            WHERE account_id = $1 AND inbox_id = $2 AND started_at >= $3 AND started_at < $4
                AND ($5::text[] IS NULL OR line_number = ANY($5))
                AND ($6::text[] IS NULL OR user_id IS NULL OR user_id = ANY($6))
        ) AS named
        WHERE topic <> ''
        GROUP BY topic
        ORDER BY calls DESC, topic
        LIMIT $7
        """,
        *scope.arguments[:6],
        limit,
    )
    return tuple(Topic(**dict(row)) for row in rows)


async def worth_a_listen(connection: Connection, scope: Scope, limit: int) -> list[Call]:
    """The calls that somebody should listen to: those that went badly first, those that went very well last."""
    rows = await connection.fetch(
        """
        SELECT communication_id, started_at, direction, line_number, user_id, contact_number, contact_name,
            talk_seconds, held_seconds, sentiment_label, sentiment_score, agent_seconds, contact_seconds, summary,
            is_by_us
        FROM analysed_calls
        WHERE account_id = $1 AND inbox_id = $2 AND started_at >= $3 AND started_at < $4
            AND ($5::text[] IS NULL OR line_number = ANY($5))
            AND ($6::text[] IS NULL OR user_id IS NULL OR user_id = ANY($6))
            AND (
                sentiment_score <= $7 OR sentiment_score >= $8 OR held_seconds >= $9
                OR (agent_seconds + contact_seconds >= $10
                    AND agent_seconds >= $11 * (agent_seconds + contact_seconds))
            )
        ORDER BY
            CASE WHEN sentiment_score <= $7 THEN 0 WHEN held_seconds >= $9 THEN 1 WHEN sentiment_score >= $8 THEN 3
                ELSE 2 END,
            abs(sentiment_score) DESC NULLS LAST, started_at, communication_id
        LIMIT $12
        """,
        *scope.arguments[:6],
        VERY_NEGATIVE,
        VERY_POSITIVE,
        HELD_LONG.total_seconds(),
        ONE_SIDED_FROM.total_seconds(),
        ONE_SIDED,
        limit,
    )
    return [Call(**dict(row)) for row in rows]


async def summarised(connection: Connection, scope: Scope, limit: int) -> list[Call]:
    """The calls that were summarised, the latest first."""
    rows = await connection.fetch(
        """
        SELECT communication_id, started_at, direction, line_number, user_id, contact_number, contact_name,
            talk_seconds, held_seconds, sentiment_label, sentiment_score, agent_seconds, contact_seconds, summary,
            is_by_us
        FROM analysed_calls
        WHERE account_id = $1 AND inbox_id = $2 AND started_at >= $3 AND started_at < $4
            AND ($5::text[] IS NULL OR line_number = ANY($5))
            AND ($6::text[] IS NULL OR user_id IS NULL OR user_id = ANY($6))
            AND summary IS NOT NULL
        ORDER BY started_at DESC, communication_id
        LIMIT $7
        """,
        *scope.arguments[:6],
        limit,
    )
    return [Call(**dict(row)) for row in rows]


def _digest(transcript: Transcript) -> bytes:
    return blake2b(f"{transcript.language}\n{transcript.text}".encode(), digest_size=16).digest()
