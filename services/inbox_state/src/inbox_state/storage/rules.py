"""What decides over unread: who is connected, and the inboxes' automations, as they were and as they are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from inbox_state.automations import Automations
from inbox_state.read_state import ManualOnly
from service_kit.database import Connection

InboxKey = tuple[str, str]
"""The account and the inbox."""


@dataclass(slots=True)
class Rules:
    """What is in force in one inbox. `connected` are those of its people who may act (I7)."""

    connected: set[str] = field(default_factory=set)
    history: list[ManualOnly] = field(default_factory=list)
    auto_read_through: datetime | None = None


async def rules_of(connection: Connection, inboxes: Collection[InboxKey]) -> dict[InboxKey, Rules]:
    """The rules of these inboxes, those that nobody ever set among them."""
    rules = {key: Rules() for key in inboxes}
    if not rules:
        return rules
    rows = await connection.fetch(
        """
        SELECT k.account_id, k.inbox_id, s.auto_read_through,
               ARRAY(
                   SELECT t.user_id FROM directory_ties AS t
                   WHERE t.account_id = k.account_id AND t.inbox_id = k.inbox_id
                       AND t.access IN ('connected', 'personal')
               ),
               ARRAY(
                   SELECT ROW (a.changed_at, a.manual_mark_as_read_only) FROM automations AS a
                   WHERE a.account_id = k.account_id AND a.inbox_id = k.inbox_id
                   ORDER BY a.changed_at
               )
        FROM unnest($1::text[], $2::text[]) AS k (account_id, inbox_id)
        LEFT JOIN inbox_read_states AS s ON s.account_id = k.account_id AND s.inbox_id = k.inbox_id
        """,
        *(list(column) for column in zip(*rules, strict=True)),
    )
    for account_id, inbox_id, auto_read_through, connected, history in rows:
        rules[account_id, inbox_id] = Rules(
            set(connected), [ManualOnly(changed_at, on) for changed_at, on in history], auto_read_through
        )
    return rules


async def lock_automations(
    connection: Connection, account_id: str, inbox_id: str
) -> tuple[Automations, datetime | None]:
    """Keep others from changing an inbox's automations, and read them with the time of their last change."""
    await connection.execute(
        "INSERT INTO inbox_read_states (account_id, inbox_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        account_id,
        inbox_id,
    )
    await connection.execute(
        "SELECT FROM inbox_read_states WHERE account_id = $1 AND inbox_id = $2 FOR UPDATE", account_id, inbox_id
    )
    return await automations_of(connection, account_id, inbox_id)


async def automations_of(connection: Connection, account_id: str, inbox_id: str) -> tuple[Automations, datetime | None]:
    """An inbox's automations and when they were last changed; the defaults while nobody set them."""
    row = await connection.fetchrow(
        """
        SELECT auto_mark_enabled, auto_mark_after_hours, manual_mark_as_read_only, changed_at
        FROM automations
        WHERE account_id = $1 AND inbox_id = $2
        ORDER BY changed_at DESC
        LIMIT 1
        """,
        account_id,
        inbox_id,
    )
    return (Automations(row[0], row[1], row[2]), row[3]) if row else (Automations(), None)


async def save_automations(
    connection: Connection, account_id: str, inbox_id: str, automations: Automations, *, by: str, at: datetime
) -> None:
    """Add to the history of an inbox that is locked; what was in force before stays readable."""
    await connection.execute(
        """
        INSERT INTO automations (
            account_id, inbox_id, changed_at, changed_by, auto_mark_enabled, auto_mark_after_hours,
            manual_mark_as_read_only
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        account_id,
        inbox_id,
        at,
        by,
        automations.auto_mark_enabled,
        automations.auto_mark_after_hours,
        automations.manual_mark_as_read_only,
    )


async def inboxes_with_auto_mark(connection: Connection) -> list[tuple[str, str, Automations]]:
    """Every inbox whose auto-mark is on."""
    rows = await connection.fetch(
        """
        SELECT account_id, inbox_id, auto_mark_enabled, auto_mark_after_hours, manual_mark_as_read_only
        FROM (
            SELECT DISTINCT ON (account_id, inbox_id) * FROM automations
            ORDER BY account_id, inbox_id, changed_at DESC
        ) AS latest
        WHERE auto_mark_enabled
        """
    )
    return [(row[0], row[1], Automations(row[2], row[3], row[4])) for row in rows]


async def raise_auto_read(connection: Connection, account_id: str, inbox_id: str, through: datetime) -> None:
    """Let auto-read of an inbox reach through a time; it never goes back (I9)."""
    await connection.execute(
        """
        INSERT INTO inbox_read_states (account_id, inbox_id, auto_read_through) VALUES ($1, $2, $3)
        ON CONFLICT (account_id, inbox_id) DO UPDATE SET auto_read_through = excluded.auto_read_through
        WHERE inbox_read_states.auto_read_through IS NULL
            OR inbox_read_states.auto_read_through < excluded.auto_read_through
        """,
        account_id,
        inbox_id,
        through,
    )
