"""Threads and communications under lock: what the consumer, the timers and people's marks change.

Locks are taken in one order everywhere: communications, then threads, each in id order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, Final, cast

from inbox_state.read_state import Position, ReadState
from inbox_state.threads import Communication, Counted, Key, Thread
from service_kit.database import Connection, insert_new

_COMMUNICATION_COLUMNS: Final = (
    "account_id",
    "communication_id",
    "version",
    "thread_id",
    "left_thread_id",
    "inbox_id",
    "line_number",
    "kind",
    "active",
    "activity_at",
    "received_at",
    "wants_attention",
    "position",
    "actor_id",
    "acted_at",
    "reads_through",
    "delivered",
)
_THREAD_COLUMNS: Final = (
    "account_id",
    "thread_id",
    "inbox_id",
    "contact_number",
    "version",
    "unread",
    "active_calls",
    "last_activity_at",
    "latest_id",
    "send_failed",
    "read_through",
    "settled_through",
    "marked_unread_at",
    "marked_unread_from",
    "auto_read_through",
    "newest_attention",
    "unread_since",
)
_COMMUNICATION_VALUES: Final = attrgetter(*_COMMUNICATION_COLUMNS, "document")


async def lock_known_communications(connection: Connection, keys: Collection[Key]) -> dict[Key, Communication]:
    """Lock those of these communications that are known, and return them (without document). `keys` come sorted.

    What is not known yet is for `insert_communications`, which tells when somebody else was faster.
    """
    # LATERAL with a limit: always by primary key and in the order of the keys, however few rows there seem to be.
    rows = await connection.fetch(
        """
        SELECT c.* FROM unnest($1::text[], $2::text[]) AS k (account_id, communication_id)
        CROSS JOIN LATERAL (
            SELECT account_id, communication_id, version, thread_id, left_thread_id, inbox_id, line_number, kind,
                   active, activity_at, received_at, wants_attention, position, actor_id, acted_at, reads_through,
                   delivered
            FROM communications
            WHERE account_id = k.account_id AND communication_id = k.communication_id
            LIMIT 1 FOR UPDATE
        ) AS c
        """,
        *_columns(keys),
    )
    return {(row[0], row[1]): Communication(*row.values()) for row in rows}


async def insert_communications(connection: Connection, communications: Sequence[Communication]) -> None:
    """Write rows that nobody has made yet; raises `Raced` where somebody has."""
    rows = sorted(map(_COMMUNICATION_VALUES, communications))
    await insert_new(connection, "communications", (*_COMMUNICATION_COLUMNS, "document"), rows)


async def save_communications(connection: Connection, communications: Sequence[Communication]) -> None:
    """Write whole rows over rows that are locked."""
    if not communications:
        return
    columns = zip(*map(_COMMUNICATION_VALUES, communications), strict=True)
    await connection.execute(
        """
        INSERT INTO communications (
            account_id, communication_id, version, thread_id, left_thread_id, inbox_id, line_number, kind, active,
            activity_at, received_at, wants_attention, position, actor_id, acted_at, reads_through, delivered, document
        )
        SELECT * FROM unnest(
            $1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::boolean[], $10::timestamptz[], $11::timestamptz[], $12::boolean[], $13::text[], $14::text[],
            $15::timestamptz[], $16::text[], $17::boolean[], $18::text[]
        )
        ON CONFLICT (account_id, communication_id) DO UPDATE SET
            version = excluded.version, thread_id = excluded.thread_id, left_thread_id = excluded.left_thread_id,
            inbox_id = excluded.inbox_id, line_number = excluded.line_number, kind = excluded.kind,
            active = excluded.active, activity_at = excluded.activity_at, received_at = excluded.received_at,
            wants_attention = excluded.wants_attention, position = excluded.position,
            actor_id = excluded.actor_id, acted_at = excluded.acted_at, reads_through = excluded.reads_through,
            delivered = excluded.delivered, document = excluded.document
        """,
        *columns,
    )


async def open_threads(connection: Connection, opened: Collection[tuple[str, str, str, str]]) -> None:
    """Make these threads where they are not there yet: (account, thread, inbox, contact number)."""
    await connection.execute(
        """
        INSERT INTO threads (account_id, thread_id, inbox_id, contact_number)
        SELECT account_id, thread_id, inbox_id, contact_number
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
            AS k (account_id, thread_id, inbox_id, contact_number)
        ON CONFLICT DO NOTHING
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
        """
        SELECT t.* FROM unnest($1::text[], $2::text[]) AS k (account_id, thread_id)
        CROSS JOIN LATERAL (
            SELECT account_id, thread_id, inbox_id, contact_number, version, unread, active_calls, last_activity_at,
                   latest_id, send_failed, read_through, settled_through, marked_unread_at, marked_unread_from,
                   auto_read_through, newest_attention, unread_since
            FROM threads
            WHERE account_id = k.account_id AND thread_id = k.thread_id
            LIMIT 1 FOR UPDATE
        ) AS t
        """,
        *_columns(keys),
    )
    found = {(row[0], row[1]): thread_of(tuple(row.values())) for row in rows}
    return {(new[0], new[1]): Thread(*new) for new in opened} | found


def thread_of(values: Sequence[Any]) -> Thread:
    """A thread from its columns in the order in which `lock_threads` reads them."""
    return Thread(
        values[0],
        values[1],
        values[2],
        values[3],
        values[4],
        values[5],
        values[6],
        values[7],
        values[8],
        values[9],
        ReadState(values[10], values[11], values[12], values[13], values[14]),
        values[15],
        values[16],
        is_new=False,
    )


async def save_threads(connection: Connection, threads: Sequence[Thread]) -> None:
    """Write whole rows over rows that are locked, and new ones. Raises `Raced`, see `lock_threads`."""
    await insert_new(
        connection, "threads", _THREAD_COLUMNS, sorted(_thread_values(thread) for thread in threads if thread.is_new)
    )
    known = [_thread_values(thread) for thread in threads if not thread.is_new]
    if not known:
        return
    columns = zip(*known, strict=True)
    await connection.execute(
        """
        INSERT INTO threads (
            account_id, thread_id, inbox_id, contact_number, version, unread, active_calls, last_activity_at, latest_id,
            send_failed, read_through, settled_through, marked_unread_at, marked_unread_from, auto_read_through,
            newest_attention, unread_since
        )
        SELECT * FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::int[], $7::int[], $8::timestamptz[],
            $9::text[], $10::boolean[], $11::text[], $12::text[], $13::timestamptz[], $14::text[], $15::timestamptz[],
            $16::text[], $17::timestamptz[]
        )
        ON CONFLICT (account_id, thread_id) DO UPDATE SET
            version = excluded.version, unread = excluded.unread, active_calls = excluded.active_calls,
            last_activity_at = excluded.last_activity_at, latest_id = excluded.latest_id,
            send_failed = excluded.send_failed, read_through = excluded.read_through,
            settled_through = excluded.settled_through, marked_unread_at = excluded.marked_unread_at,
            marked_unread_from = excluded.marked_unread_from, auto_read_through = excluded.auto_read_through,
            newest_attention = excluded.newest_attention, unread_since = excluded.unread_since
        """,
        *columns,
    )


def _thread_values(thread: Thread) -> tuple[Any, ...]:
    state = thread.state
    return (
        thread.account_id,
        thread.thread_id,
        thread.inbox_id,
        thread.contact_number,
        thread.version,
        thread.unread,
        thread.active_calls,
        thread.last_activity_at,
        thread.latest_id,
        thread.send_failed,
        state.read_through,
        state.settled_through,
        state.marked_unread_at,
        state.marked_unread_from,
        state.auto_read_through,
        thread.newest_attention,
        thread.unread_since,
    )


async def count_threads(connection: Connection, threads: Sequence[Thread]) -> dict[Key, Counted]:
    """The figures of these threads by their definition, from their saved communications and the given marks.

    The threads must be locked. Every part is read from an index: a long thread costs what is unread in it.
    """
    if not threads:
        return {}
    rows = await connection.fetch(
        """
        SELECT k.account_id, k.thread_id, mark.read_through, unread.count, unread.since,
               coalesce(newest.position, '') AS newest_attention, active.count AS active_calls,
               latest.activity_at, latest.communication_id, coalesce(NOT sent.delivered, false) AS send_failed
        FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::timestamptz[]
        ) AS k (
            account_id, thread_id, settled_through, marked_unread_at, marked_unread_from, auto_read_through
        )
        CROSS JOIN LATERAL (
            SELECT coalesce(
                (
                    SELECT c.reads_through FROM communications AS c
                    WHERE c.account_id = k.account_id AND c.thread_id = k.thread_id
                        AND c.reads_through > k.settled_through
                        AND (k.marked_unread_at IS NULL OR c.acted_at >= k.marked_unread_at)
                    ORDER BY c.reads_through DESC
                    LIMIT 1
                ),
                k.settled_through
            ) AS read_through
        ) AS mark
        CROSS JOIN LATERAL (
            SELECT count(*) AS count, min(became.unread_at) AS since
            FROM communications AS c
            CROSS JOIN LATERAL (
                SELECT CASE
                    WHEN c.position >= k.marked_unread_from THEN greatest(c.received_at, k.marked_unread_at)
                    ELSE c.received_at
                END AS unread_at
            ) AS became
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
        """,
        [thread.account_id for thread in threads],
        [thread.thread_id for thread in threads],
        [thread.state.settled_through for thread in threads],
        [thread.state.marked_unread_at for thread in threads],
        [thread.state.marked_unread_from for thread in threads],
        [thread.state.auto_read_through for thread in threads],
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
        """
        SELECT account_id, thread_id, inbox_id, contact_number, version, unread, active_calls, last_activity_at,
               latest_id, send_failed, read_through, settled_through, marked_unread_at, marked_unread_from,
               auto_read_through, newest_attention, unread_since
        FROM threads
        WHERE account_id = $1 AND inbox_id = $2 AND unread > 0 AND unread_since <= $3
        ORDER BY unread_since
        LIMIT $4
        FOR UPDATE SKIP LOCKED
        """,
        account_id,
        inbox_id,
        through,
        limit,
    )
    return {(row[0], row[1]): thread_of(tuple(row.values())) for row in rows}


def _columns(keys: Collection[tuple[str, ...]]) -> list[list[str]]:
    return [list(column) for column in zip(*keys, strict=True)]
