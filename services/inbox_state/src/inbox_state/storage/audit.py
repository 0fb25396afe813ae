"""Who changed what: the administrative changes of inbox_state (A6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service_kit.database import Connection


@dataclass(frozen=True, slots=True)
class Entry:
    """One change. `before` is None for what was not there, `id` None until it is written."""

    at: datetime
    by: str
    action: str
    entity: str
    entity_id: str
    before: Any
    after: Any
    id: int | None = None


async def record(connection: Connection, account_id: str, entry: Entry) -> None:
    """Write a change down in the transaction that makes it."""
    await connection.execute(
        """
        INSERT INTO audit (account_id, at, by, action, entity, entity_id, before, after)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        account_id,
        entry.at,
        entry.by,
        entry.action,
        entry.entity,
        entry.entity_id,
        entry.before,
        entry.after,
    )


async def recorded(connection: Connection, account_id: str, *, before_id: int | None, limit: int) -> list[Entry]:
    """An account's changes, newest first, from before `before_id` on."""
    rows = await connection.fetch(
        """
        SELECT at, by, action, entity, entity_id, before, after, id FROM audit
        WHERE account_id = $1 AND id < $2
        ORDER BY id DESC
        LIMIT $3
        """,
        account_id,
        before_id if before_id is not None else 2**63 - 1,
        limit,
    )
    return [Entry(*row.values()) for row in rows]
