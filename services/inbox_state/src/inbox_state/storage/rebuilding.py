"""Emptying what can be derived again, and keeping what can't: people's doing, and what was decided once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from inbox_state.threads import KeptReading, Key
from service_kit.database import Connection

DERIVED: Final = (
    "communications",
    "directory_entities",
    "directory_ties",
    "live_changes",
    "searchable_texts",
)
"""Emptied: everything in them comes again from what routing publishes, or from the communications themselves."""

KEPT: Final = (
    "audit",
    "automations",
    "contacts",
    "inbox_read_states",
    "kept_readings",
    "live_floor",
    "outbox",
    "preferences",
    "requests",
    "searchable_threads",
    "stream_tickets",
    "threads",
)
"""Not emptied: what came over HTTP stands in them alone. Of threads the marks are kept, and their figures go; what
they are found by is written with a thread's row, which stays."""


class Emptied(NamedTuple):
    """How much was emptied, and how many decisions were set aside for it to come back to."""

    communications: int
    threads: int
    readings: int


async def empty(connection: Connection) -> Emptied:
    """Empty what is derived, in the caller's transaction. Whoever works on it meanwhile waits for its end."""
    # In the order in which everybody locks.
    await connection.execute("LOCK TABLE communications, threads IN EXCLUSIVE MODE")
    readings = await connection.execute(
        """
        INSERT INTO kept_readings
            (account_id, communication_id, inbox_id, actor_id, acted_at, received_at, reads_through)
        SELECT account_id, communication_id, inbox_id, actor_id, acted_at, received_at, reads_through
        FROM communications WHERE acted_at IS NOT NULL
        ON CONFLICT (account_id, communication_id) DO UPDATE SET
            inbox_id = excluded.inbox_id, actor_id = excluded.actor_id, acted_at = excluded.acted_at,
            received_at = excluded.received_at, reads_through = excluded.reads_through
        """
    )
    communications = await connection.fetchval("SELECT count(*) FROM communications")
    for table in DERIVED:
        if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table):
            await connection.execute(f"DELETE FROM {table}")  # noqa: S608 - put together from a constant
    threads = await connection.execute(
        """
        UPDATE threads SET
            unread = 0, active_calls = 0, last_activity_at = NULL, latest_id = NULL, send_failed = false,
            read_through = settled_through, newest_attention = '', unread_since = NULL
        """
    )
    # What a dropped stream missed can't be told any more: it has to load again.
    await connection.execute("UPDATE live_floor SET whole_from = pg_current_xact_id()::text::bigint")
    return Emptied(communications, _rows(threads), _rows(readings))


async def kept_readings(connection: Connection, keys: Collection[Key]) -> dict[Key, KeptReading]:
    """What was decided of these communications before they were emptied; by primary key, and usually nothing."""
    # Asked first, because to ask for each is a hundredth of what a batch costs, and hardly anybody ever rebuilds.
    if not keys or not await connection.fetchval("SELECT EXISTS (SELECT FROM kept_readings)"):
        return {}
    accounts, ids = zip(*sorted(keys), strict=True)
    rows = await connection.fetch(
        """
        SELECT account_id, communication_id, inbox_id, actor_id, acted_at, received_at, reads_through
        FROM unnest($1::text[], $2::text[]) AS k (account_id, communication_id)
        JOIN kept_readings USING (account_id, communication_id)
        """,
        list(accounts),
        list(ids),
    )
    return {(row[0], row[1]): KeptReading(*tuple(row)[2:]) for row in rows}


def _rows(status: str) -> int:
    return int(status.rpartition(" ")[2])
