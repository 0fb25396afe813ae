"""Threads and communications under lock: what the consumer, the timers and people's marks change.

Locks are taken in one order everywhere: communications, then threads, each in id order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final, cast

from inbox_state.read_state import Position
from inbox_state.storage import columns, search
from inbox_state.threads import Communication, Counted, Key, Name, Thread
from service_kit.database import Connection, as_json, insert_new

_COMMUNICATION_VALUES: Final = attrgetter(*columns.COMMUNICATION)
_WITHOUT_DOCUMENT: Final = tuple(columns.COMMUNICATION)[:-1]


async def lock_known_communications(connection: Connection, keys: Collection[Key]) -> dict[Key, Communication]:
    """Lock those of these communications that are known, and return them (without document). `keys` come sorted.

    What is not known yet is for `insert_communications`, which tells when somebody else was faster.
    """
    # LATERAL with a limit: always by primary key and in the order of the keys, however few rows there seem to be.
    rows = await connection.fetch(
        f"""
        SELECT c.* FROM unnest($1::text[], $2::text[]) AS k (account_id, communication_id)
        CROSS JOIN LATERAL (
            SELECT {", ".join(_WITHOUT_DOCUMENT)}
            FROM communications
            WHERE account_id = k.account_id AND communication_id = k.communication_id
            LIMIT 1 FOR UPDATE
        ) AS c
        """,  # noqa: S608 - put together from constants; every value is an argument
        *_columns(keys),
    )
    return {(row[0], row[1]): Communication(*row.values()) for row in rows}


async def insert_communications(connection: Connection, communications: Sequence[Communication]) -> None:
    """Write rows that nobody has made yet; raises `Raced` where somebody has."""
    rows = sorted(map(_COMMUNICATION_VALUES, communications))
    await insert_new(connection, "communications", tuple(columns.COMMUNICATION), rows)
    await search.insert_texts(connection, communications)


async def save_communications(connection: Connection, communications: Sequence[Communication]) -> None:
    """Write whole rows over rows that are locked."""
    if not communications:
        return
    await connection.execute(
        f"""
        INSERT INTO communications ({", ".join(columns.COMMUNICATION)})
        SELECT * FROM {columns.given(columns.COMMUNICATION)}
        ON CONFLICT (account_id, communication_id) DO UPDATE
        SET {columns.replaced(tuple(columns.COMMUNICATION)[2:])}
        """,  # noqa: S608 - put together from constants; every value is an argument
        as_json(columns.COMMUNICATION, map(_COMMUNICATION_VALUES, communications)),
    )
    await search.save_texts(connection, communications)


async def open_threads(connection: Connection, opened: Collection[tuple[str, str, str, str]]) -> None:
    """Make these threads where they are not there yet: (account, thread, inbox, contact number)."""
    await connection.execute(
        """
        WITH opened AS (
            INSERT INTO threads (account_id, thread_id, inbox_id, contact_number)
            SELECT account_id, thread_id, inbox_id, contact_number
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
                AS k (account_id, thread_id, inbox_id, contact_number)
            ON CONFLICT DO NOTHING
            RETURNING account_id, thread_id, inbox_id, contact_number
        )
        INSERT INTO searchable_threads (account_id, thread_id, inbox_id, number)
        SELECT account_id, thread_id, inbox_id, lower(contact_number) FROM opened
        """,
        *(list(column) for column in zip(*sorted(opened), strict=True)),
    )


async def lock_threads(
    connection: Connection, known: Collection[Key], opened: Collection[tuple[str, str, str, str]] = ()
) -> dict[Key, Thread]:
    """Lock threads and return them: those `known`, and those `opened`, which begin empty where they are not there.

    `opened` are (account, thread, inbox, contact number); `save_threads` tells by `Raced` when somebody else made
    one of them first. Threads of `known` that do not exist are left out.
    """
    keys = sorted({*known, *((account, thread) for account, thread, _, _ in opened)})
    if not keys:
        return {}
    rows = await connection.fetch(
        f"""
        SELECT t.* FROM unnest($1::text[], $2::text[]) AS k (account_id, thread_id)
        CROSS JOIN LATERAL (
            SELECT {", ".join(columns.THREAD)}
            FROM threads
            WHERE account_id = k.account_id AND thread_id = k.thread_id
            LIMIT 1 FOR UPDATE
        ) AS t
        """,  # noqa: S608 - put together from constants; every value is an argument
        *_columns(keys),
    )
    found = {(row[0], row[1]): columns.thread_of(tuple(row.values())) for row in rows}
    return {(new[0], new[1]): Thread(*new) for new in opened} | found


async def save_threads(connection: Connection, threads: Sequence[Thread]) -> None:
    """Write whole rows over rows that are locked, and new ones. Raises `Raced`, see `lock_threads`."""
    new = sorted((columns.values_of(thread) for thread in threads if thread.is_new), key=itemgetter(0, 1))
    await insert_new(connection, "threads", tuple(columns.THREAD), new)
    await search.insert_threads(connection, [thread for thread in threads if thread.is_new])
    await search.save_names(connection, [thread for thread in threads if thread.renamed and not thread.is_new])
    known = [columns.values_of(thread) for thread in threads if not thread.is_new]
    if not known:
        return
    await connection.execute(
        f"""
        INSERT INTO threads ({", ".join(columns.THREAD)})
        SELECT * FROM {columns.given(columns.THREAD)}
        ON CONFLICT (account_id, thread_id) DO UPDATE
        SET {columns.replaced(tuple(columns.THREAD)[4:])}
        """,  # noqa: S608 - put together from constants; every value is an argument
        as_json(columns.THREAD, known),
    )


async def count_threads(connection: Connection, threads: Sequence[Thread]) -> dict[Key, Counted]:
    """The figures of these threads by their definition, from their saved communications and the given marks.

    The threads must be locked. Every part is read from an index: a long thread costs what is unread in it.
    """
    if not threads:
        return {}
    rows = await connection.fetch(
        f"""
        SELECT k.account_id, k.thread_id, mark.read_through, unread.count, unread.since,
               coalesce(newest.position, '') AS newest_attention, active.count AS active_calls,
               latest.activity_at, latest.communication_id, coalesce(NOT sent.delivered, false) AS send_failed,
               named.contact_name, named.activity_at, named.communication_id
        FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::boolean[]
        ) AS k (
            account_id, thread_id, settled_through, unread_marks, auto_read_through, name_is_lost
        )
        CROSS JOIN LATERAL (
            SELECT coalesce(
                (
                    -- Between two manual unreads, activity reads up to where the later one begins, and no further.
                    SELECT least(furthest.reads_through, span.bound) COLLATE "C" AS reads_through
                    FROM (
                        SELECT lag(mark.at) OVER (ORDER BY mark.at) AS since, mark.at AS until,
                               rtrim(mark."from", E'\t') COLLATE "C" AS bound
                        FROM jsonb_to_recordset(k.unread_marks::jsonb) AS mark (at timestamptz, "from" text)
                        UNION ALL
                        SELECT max(mark.at), NULL, NULL
                        FROM jsonb_to_recordset(k.unread_marks::jsonb) AS mark (at timestamptz)
                    ) AS span
                    CROSS JOIN LATERAL (
                        SELECT c.reads_through FROM communications AS c
                        WHERE c.account_id = k.account_id AND c.thread_id = k.thread_id
                            AND c.reads_through > k.settled_through
                            AND (span.since IS NULL OR c.acted_at >= span.since)
                            AND (span.until IS NULL OR c.acted_at < span.until)
                        ORDER BY c.reads_through DESC
                        LIMIT 1
                    ) AS furthest
                    WHERE span.bound IS NULL OR span.bound > k.settled_through COLLATE "C"
                    ORDER BY 1 DESC
                    LIMIT 1
                ),
                k.settled_through
            ) AS read_through
        ) AS mark
        CROSS JOIN LATERAL (
            SELECT count(*) AS count, min(became.unread_at) AS since
            FROM communications AS c
            CROSS JOIN LATERAL (SELECT {columns.became_unread("k.unread_marks")} AS unread_at) AS became
            WHERE c.account_id = k.account_id AND c.thread_id = k.thread_id AND c.wants_attention
                AND c.position > mark.read_through
                AND (k.auto_read_through IS NULL OR became.unread_at > k.auto_read_through)
        ) AS unread
        LEFT JOIN LATERAL (
            SELECT c.position FROM communications AS c
            WHERE c.account_id = k.account_id AND c.thread_id = k.thread_id AND c.wants_attention
            ORDER BY c.position DESC
            LIMIT 1
        ) AS newest ON true
        CROSS JOIN LATERAL (
            SELECT count(*) AS count FROM communications AS c
            WHERE c.account_id = k.account_id AND c.thread_id = k.thread_id AND c.active
        ) AS active
        LEFT JOIN LATERAL (
            SELECT c.activity_at, c.communication_id FROM communications AS c
            WHERE c.account_id = k.account_id AND c.thread_id = k.thread_id
            ORDER BY c.activity_at DESC, c.communication_id DESC
            LIMIT 1
        ) AS latest ON true
        LEFT JOIN LATERAL (
            SELECT c.delivered FROM communications AS c
            WHERE c.account_id = k.account_id AND c.thread_id = k.thread_id AND c.delivered IS NOT NULL
            ORDER BY c.activity_at DESC, c.communication_id DESC
            LIMIT 1
        ) AS sent ON true
        -- Walks through the thread, newest first: only where the name was lost, which hardly ever happens.
        LEFT JOIN LATERAL (
            SELECT c.document::jsonb ->> 'contact_name' AS contact_name, c.activity_at, c.communication_id
            FROM communications AS c
            WHERE k.name_is_lost AND c.account_id = k.account_id AND c.thread_id = k.thread_id
                AND c.document::jsonb ->> 'contact_name' IS NOT NULL
            ORDER BY c.activity_at DESC, c.communication_id DESC
            LIMIT 1
        ) AS named ON true
        """,  # noqa: S608 - put together from constants; every value is an argument
        [thread.account_id for thread in threads],
        [thread.thread_id for thread in threads],
        [thread.state.settled_through for thread in threads],
        [columns.written(thread.state.unread_marks) for thread in threads],
        [thread.state.auto_read_through for thread in threads],
        [thread.name_is_lost for thread in threads],
    )
    return {
        (row[0], row[1]): Counted(
            read_through=Position(row[2]),
            unread=row[3],
            unread_since=row[4],
            newest_attention=Position(row[5]),
            active_calls=row[6],
            last_activity_at=row[7],
            latest_id=row[8],
            send_failed=row[9],
            name=Name(row[10], row[11], row[12]) if row[10] is not None else None,
        )
        for row in rows
    }


async def position_in_thread(
    connection: Connection, account_id: str, thread_id: str, communication_id: str
) -> Position | None:
    """Where a communication stands in a thread; None when it is not in it."""
    found = await connection.fetchval(
        "SELECT position FROM communications WHERE account_id = $1 AND communication_id = $2 AND thread_id = $3",
        account_id,
        communication_id,
        thread_id,
    )
    return cast("Position | None", found)


async def unread_threads(connection: Connection, account_id: str, inbox_id: str, after: str, limit: int) -> list[str]:
    """Threads of an inbox with something unread, in id order, a few at a time. Nothing is locked."""
    rows = await connection.fetch(
        """
        SELECT thread_id FROM threads
        WHERE account_id = $1 AND inbox_id = $2 AND unread > 0 AND thread_id > $3
        ORDER BY thread_id
        LIMIT $4
        """,
        account_id,
        inbox_id,
        after,
        limit,
    )
    return [row[0] for row in rows]


async def lock_threads_due(
    connection: Connection, account_id: str, inbox_id: str, through: Any, limit: int
) -> dict[Key, Thread]:
    """Threads in which something has been unread since `through` or longer; those that others hold are left out."""
    rows = await connection.fetch(
        f"""
        SELECT {", ".join(columns.THREAD)}
        FROM threads
        WHERE account_id = $1 AND inbox_id = $2 AND unread > 0 AND unread_since <= $3
        ORDER BY unread_since
        LIMIT $4
        FOR UPDATE SKIP LOCKED
        """,  # noqa: S608 - put together from constants; every value is an argument
        account_id,
        inbox_id,
        through,
        limit,
    )
    return {(row[0], row[1]): columns.thread_of(tuple(row.values())) for row in rows}


def _columns(keys: Collection[tuple[str, ...]]) -> list[list[str]]:
    return [list(column) for column in zip(*keys, strict=True)]
