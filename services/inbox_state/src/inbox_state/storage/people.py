"""What people set for themselves and for contacts, what they asked to be sent, and the names they see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from contracts.directory import Line
from inbox_state.searching import words_of
from service_kit.database import Connection


async def inbox_names(connection: Connection, account_id: str, inboxes: Sequence[str] | None = None) -> dict[str, str]:
    """Names of living inboxes by id: of those given, or of all the account's."""
    rows = await connection.fetch(
        """
        SELECT id, document ->> 'name' FROM directory_entities
        WHERE account_id = $1 AND entity = 'inbox' AND NOT deleted AND ($2::text[] IS NULL OR id = ANY ($2))
        """,
        account_id,
        inboxes,
    )
    return {row[0]: row[1] for row in rows}


async def inboxes_of_team(connection: Connection, account_id: str, team_id: str) -> set[str]:
    """The living inboxes that a team works."""
    rows = await connection.fetch(
        """
        SELECT id FROM directory_entities
        WHERE account_id = $1 AND entity = 'inbox' AND NOT deleted AND document -> 'agents' -> 'teams' ? $2
        """,
        account_id,
        team_id,
    )
    return {row[0] for row in rows}


async def lines_of_inbox(connection: Connection, account_id: str, inbox_id: str) -> list[Line]:
    """The lines that are mapped to an inbox now."""
    rows = await connection.fetch(
        """
        SELECT document FROM directory_entities
        WHERE account_id = $1 AND entity = 'line' AND NOT deleted AND document ->> 'inbox_id' = $2
        """,
        account_id,
        inbox_id,
    )
    return [Line.model_validate(row[0]) for row in rows]


async def acts_somewhere(connection: Connection, account_id: str, user_id: str) -> bool:
    """Whether a user is connected to any inbox of the account."""
    return bool(
        await connection.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM directory_ties
                WHERE account_id = $1 AND user_id = $2 AND access IN ('connected', 'personal')
            )
            """,
            account_id,
            user_id,
        )
    )


async def view_of(connection: Connection, account_id: str, user_id: str) -> str | None:
    """The view that a user chose; None while he chose none."""
    return cast(
        "str | None",
        await connection.fetchval(
            "SELECT view FROM preferences WHERE account_id = $1 AND user_id = $2", account_id, user_id
        ),
    )


async def save_view(connection: Connection, account_id: str, user_id: str, view: str) -> None:
    """Remember a user's choice of view (I3)."""
    await connection.execute(
        """
        INSERT INTO preferences (account_id, user_id, view) VALUES ($1, $2, $3)
        ON CONFLICT (account_id, user_id) DO UPDATE SET view = excluded.view
        """,
        account_id,
        user_id,
        view,
    )


async def lock_contact_name(connection: Connection, account_id: str, number: str) -> tuple[str, datetime] | None:
    """A contact's given name and when it was given, locked; None while it has none."""
    row = await connection.fetchrow(
        "SELECT name, named_at FROM contacts WHERE account_id = $1 AND contact_number = $2 FOR UPDATE",
        account_id,
        number,
    )
    return (row[0], row[1]) if row else None


async def save_contact_name(
    connection: Connection, account_id: str, number: str, name: str, *, by: str, at: datetime
) -> None:
    """Give a contact a name; a newer one that came in between stays."""
    await connection.execute(
        """
        INSERT INTO contacts (account_id, contact_number, name, named_at, named_by, words)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (account_id, contact_number) DO UPDATE
        SET name = excluded.name, named_at = excluded.named_at, named_by = excluded.named_by, words = excluded.words
        WHERE contacts.named_at < excluded.named_at
        """,
        account_id,
        number,
        name,
        at,
        by,
        words_of(name),
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was made before under the same key: what it asked for, and what it was answered."""

    digest: bytes
    answer: str | None


async def claim_request(
    connection: Connection,
    account_id: str,
    user_id: str,
    key: str,
    *,
    digest: bytes,
    communication_id: str,
    at: datetime,
) -> Answered | None:
    """Take an idempotency key for this transaction; None when it was free, else the request that has it.

    Waits for a request under the same key that is still running: its outcome is ours too (I14).
    """
    claimed = await connection.fetchval(
        """
        INSERT INTO requests (account_id, user_id, idempotency_key, digest, communication_id, requested_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT DO NOTHING
        RETURNING true
        """,
        account_id,
        user_id,
        key,
        digest,
        communication_id,
        at,
    )
    if claimed:
        return None
    row = await connection.fetchrow(
        "SELECT digest, answer FROM requests WHERE account_id = $1 AND user_id = $2 AND idempotency_key = $3",
        account_id,
        user_id,
        key,
    )
    assert row is not None
    return Answered(row[0], row[1])


async def keep_answer(connection: Connection, account_id: str, user_id: str, key: str, answer: str) -> None:
    """Remember what a request was answered, for whoever sends it again."""
    await connection.execute(
        "UPDATE requests SET answer = $4 WHERE account_id = $1 AND user_id = $2 AND idempotency_key = $3",
        account_id,
        user_id,
        key,
        answer,
    )


async def forget_requests(connection: Connection, before: datetime, limit: int) -> int:
    """Delete the oldest idempotency keys, those of requests made before a time; says how many."""
    deleted = await connection.execute(
        """
        DELETE FROM requests WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM requests WHERE requested_at < $1 ORDER BY requested_at LIMIT $2
            FOR UPDATE SKIP LOCKED
        ))
        """,
        before,
        limit,
    )
    return int(deleted.split()[-1])
