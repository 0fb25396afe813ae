"""How far a service has read its input, over all of its replicas: who concludes from silence asks here first.

A timer that finds nothing must know whether there is nothing or whether it has not been read yet (architecture,
"Time").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from service_kit.consuming import Partition, Progress
from service_kit.database import Connection, Database


def noted_in(database: Database) -> Progress:
    """What a `Consumer` calls as it goes on: it writes down through which time each partition has been read."""

    async def note(through: Mapping[Partition, datetime]) -> None:
        async with database.transaction() as connection:
            await save(connection, through)

    return note


async def save(connection: Connection, through: Mapping[Partition, datetime]) -> None:
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
