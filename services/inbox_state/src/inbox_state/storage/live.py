"""The journal of what open streams are told, the rows that they show, who sees them, and tickets (decision 9)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from contracts.directory import Account, User
from inbox_state import live
from inbox_state.live import Moment, Note
from inbox_state.read_state import Position
from inbox_state.storage import columns
from inbox_state.storage.lists import ShownCommunication, ShownThread
from inbox_state.threads import Communication
from service_kit.database import Connection

CHANNEL: Final = "live_changes"
"""Every transaction that adds to the journal notifies it."""

InboxOfThread = tuple[str, str, str]
"""The account, the inbox, and the id of a thread or communication that is to be shown in it."""


async def note(connection: Connection, notes: Sequence[Note]) -> None:
    """Add to the journal in the transaction that changes what is noted, and wake the readers when it commits."""
    if not notes:
        return
    await connection.execute(
        f"""
        WITH noted AS (
            INSERT INTO live_changes (account_id, inbox_id, changes)
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        )
        SELECT pg_notify('{CHANNEL}', '')
        """,  # noqa: S608 - put together from a constant; every value is an argument
        [one.account_id for one in notes],
        [one.inbox_id for one in notes],
        [live.written(one.noted) for one in notes],
    )


class Journal(NamedTuple):
    """What was noted after one moment and up to another. Before `whole_from` notes were forgotten."""

    moment: Moment
    whole_from: int
    notes: list[Note]


async def noted_after(
    connection: Connection,
    moment: Moment | None,
    accounts: Collection[str],
    inboxes: Collection[str] | None = None,
    limit: int = 2**31,
) -> Journal:
    """What these accounts' transactions noted that were not committed at `moment` (None: nothing) and are now.

    With `inboxes`, only of those, and of the account as a whole; `limit` notes at most.

    A transaction that runs for hours costs nothing: what was committed meanwhile is not looked at again.
    """
    rows = await connection.fetch(
        """
        SELECT pg_snapshot_xmin(now.snapshot)::text::bigint, pg_snapshot_xmax(now.snapshot)::text::bigint,
               ARRAY(SELECT pg_snapshot_xip(now.snapshot)::text::bigint), now.whole_from,
               new.account_id, new.inbox_id, new.changes
        FROM (SELECT pg_current_snapshot() AS snapshot, (SELECT whole_from FROM live_floor) AS whole_from) AS now
        LEFT JOIN (
            (
                SELECT account_id, inbox_id, changes FROM live_changes
                WHERE changed_in >= $1 AND account_id = ANY ($3)
                    AND ($5::text[] IS NULL OR inbox_id IS NULL OR inbox_id = ANY ($5))
                    -- In a database that was restored elsewhere, notes of its former life lie in the future.
                    AND changed_in < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                LIMIT $4
            )
            UNION ALL
            (
                SELECT account_id, inbox_id, changes FROM live_changes
                WHERE changed_in = ANY ($2) AND account_id = ANY ($3)
                    AND ($5::text[] IS NULL OR inbox_id IS NULL OR inbox_id = ANY ($5))
            )
        ) AS new ON true
        """,
        moment.xmax if moment else 0,
        moment.running if moment else (),
        list(accounts) if moment else [],
        limit,
        None if inboxes is None else list(inboxes),
    )
    notes = [Note(row[4], row[5], live.read(row[6])) for row in rows if row[4] is not None]
    first = rows[0]
    return Journal(Moment(first[0], first[1], tuple(first[2])), first[3], notes)


async def forget_changes(connection: Connection, before: datetime, limit: int) -> int:
    """Delete the oldest notes, those of transactions that began before a time; says how many.

    Another replica that does the same is left to it.
    """
    floor = await connection.fetchval("SELECT whole_from FROM live_floor FOR UPDATE SKIP LOCKED")
    if floor is None:
        return 0
    last = await connection.fetchval(
        """
        SELECT max(changed_in) FROM (
            SELECT changed_in, written_at FROM live_changes ORDER BY changed_in LIMIT $2
        ) AS oldest
        WHERE written_at < $1
        """,
        before,
        limit,
    )
    if last is None:
        return 0
    deleted = await connection.execute("DELETE FROM live_changes WHERE changed_in <= $1", last)
    # A database that was restored elsewhere starts its transactions anew: then the floor has to come down.
    await connection.execute(
        """
        UPDATE live_floor SET whole_from = least(
            greatest(whole_from, $1 + 1), pg_snapshot_xmax(pg_current_snapshot())::text::bigint
        )
        """,
        last,
    )
    return int(deleted.split()[-1])


_COMMUNICATION: Final = columns.of("c", columns.COMMUNICATION)
_THREAD: Final = columns.of("t", columns.THREAD)
_THREAD_WIDTH: Final = len(columns.THREAD)
_NAMES: Final = """
    (SELECT name FROM contacts WHERE account_id = t.account_id AND contact_number = t.contact_number),
    (
        SELECT document ->> 'name' FROM directory_entities
        WHERE account_id = t.account_id AND entity = 'inbox' AND id = t.inbox_id AND NOT deleted
    )"""


@dataclass(frozen=True, slots=True)
class NamedThread:
    """A thread as a list shows it, with the name of its inbox."""

    shown: ShownThread
    inbox_name: str


@dataclass(frozen=True, slots=True)
class NamedCommunication:
    """A communication as a list shows it, with the name of its inbox."""

    shown: ShownCommunication
    inbox_name: str


async def shown_threads(connection: Connection, wanted: Collection[InboxOfThread]) -> list[NamedThread]:
    """Those of the threads that hold something, as they are now."""
    if not wanted:
        return []
    rows = await connection.fetch(
        f"""
        SELECT {_THREAD}, {_COMMUNICATION}, {_NAMES}
        FROM unnest($1::text[], $2::text[], $3::text[]) AS k (account_id, inbox_id, thread_id)
        CROSS JOIN LATERAL (
            SELECT * FROM threads
            WHERE account_id = k.account_id AND thread_id = k.thread_id AND inbox_id = k.inbox_id
            LIMIT 1
        ) AS t
        CROSS JOIN LATERAL (
            SELECT * FROM communications
            WHERE account_id = t.account_id AND communication_id = t.latest_id
            LIMIT 1
        ) AS c
        """,  # noqa: S608 - put together from constants above; every value is an argument
        *_columns(wanted),
    )
    return [NamedThread(_shown(row), row[-1]) for row in rows if row[-1] is not None]


async def shown_communications(connection: Connection, wanted: Collection[InboxOfThread]) -> list[NamedCommunication]:
    """Those of the communications that still stand in the inbox in which they are to be shown."""
    if not wanted:
        return []
    rows = await connection.fetch(
        f"""
        SELECT {_THREAD}, {_COMMUNICATION}, {_NAMES}
        FROM unnest($1::text[], $2::text[], $3::text[]) AS k (account_id, inbox_id, communication_id)
        CROSS JOIN LATERAL (
            SELECT * FROM communications
            WHERE account_id = k.account_id AND communication_id = k.communication_id AND inbox_id = k.inbox_id
            LIMIT 1
        ) AS c
        CROSS JOIN LATERAL (
            SELECT * FROM threads
            WHERE account_id = c.account_id AND thread_id = c.thread_id
            LIMIT 1
        ) AS t
        """,  # noqa: S608 - put together from constants above; every value is an argument
        *_columns(wanted),
    )
    return [NamedCommunication(_shown(row).latest, row[-1]) for row in rows if row[-1] is not None]


async def shown_in_threads(
    connection: Connection, wanted: Collection[tuple[str, str, str, Position | None]], limit: int
) -> list[NamedCommunication]:
    """Communications of whole threads (None), or those beyond a position that may be unread; so many of each thread."""
    if not wanted:
        return []
    rows = await connection.fetch(
        f"""
        SELECT {_THREAD}, {_COMMUNICATION}, {_NAMES}
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (account_id, inbox_id, thread_id, beyond)
        CROSS JOIN LATERAL (
            SELECT * FROM threads
            WHERE account_id = k.account_id AND thread_id = k.thread_id AND inbox_id = k.inbox_id
            LIMIT 1
        ) AS t
        CROSS JOIN LATERAL (
            (
                SELECT * FROM communications
                WHERE account_id = t.account_id AND thread_id = t.thread_id AND wants_attention
                    AND position > k.beyond
                LIMIT $5
            )
            UNION ALL
            (
                SELECT * FROM communications
                WHERE account_id = t.account_id AND thread_id = t.thread_id AND k.beyond IS NULL
                LIMIT $5
            )
        ) AS c
        """,  # noqa: S608 - put together from constants above; every value is an argument
        *_columns(wanted),
        limit,
    )
    return [NamedCommunication(_shown(row).latest, row[-1]) for row in rows if row[-1] is not None]


@dataclass(frozen=True, slots=True)
class Sees:
    """What decides what somebody may see: himself, his account, his ties, and the account's living inboxes."""

    user: User | None
    account: Account | None
    ties: frozenset[str]
    inboxes: frozenset[str]


async def what_they_see(connection: Connection, people: Collection[tuple[str, str]]) -> dict[tuple[str, str], Sees]:
    """What decides what these users, (account, user), may see; all in one statement each, however many there are."""
    keys = sorted(set(people))
    accounts = sorted({account_id for account_id, _ in keys})
    living = await connection.fetch(
        """
        SELECT e.account_id, e.entity, e.id, CASE WHEN e.entity = 'inbox' THEN NULL ELSE e.document END
        FROM directory_entities AS e
        WHERE NOT e.deleted AND e.account_id = ANY ($1)
            AND (
                e.entity IN ('account', 'inbox')
                OR e.entity = 'user' AND (e.account_id, e.id) IN (SELECT * FROM unnest($2::text[], $3::text[]))
            )
        """,
        accounts,
        *_columns(keys),
    )
    tied = await connection.fetch(
        """
        SELECT t.account_id, t.user_id, t.inbox_id
        FROM unnest($1::text[], $2::text[]) AS k (account_id, user_id)
        JOIN directory_ties AS t USING (account_id, user_id)
        """,
        *_columns(keys),
    )
    users: dict[tuple[str, str], User] = {}
    account_of: dict[str, Account] = {}
    inboxes: dict[str, set[str]] = {}
    ties: dict[tuple[str, str], set[str]] = {}
    for account_id, entity, id, document in living:
        match entity:
            case "account":
                account_of[account_id] = Account.model_validate(document)
            case "user":
                users[account_id, id] = User.model_validate(document)
            case _:
                inboxes.setdefault(account_id, set()).add(id)
    for account_id, user_id, inbox_id in tied:
        ties.setdefault((account_id, user_id), set()).add(inbox_id)
    return {
        key: Sees(
            users.get(key),
            account_of.get(key[0]),
            frozenset(ties.get(key, ())),
            frozenset(inboxes.get(key[0], ())),
        )
        for key in keys
    }


async def keep_ticket(
    connection: Connection,
    digest: bytes,
    account_id: str,
    user_id: str,
    *,
    token_expires_at: datetime,
    expires_at: datetime,
) -> None:
    """Let somebody open one stream with a ticket."""
    await connection.execute(
        """
        INSERT INTO stream_tickets (digest, account_id, user_id, token_expires_at, expires_at)
        VALUES ($1, $2, $3, $4, $5)
        """,
        digest,
        account_id,
        user_id,
        token_expires_at,
        expires_at,
    )


async def take_ticket(connection: Connection, digest: bytes, now: datetime) -> tuple[str, str, datetime] | None:
    """Use a ticket up, on whatever replica: its account, user and token's expiry; None for one that is no good."""
    row = await connection.fetchrow(
        """
        DELETE FROM stream_tickets WHERE digest = $1
        RETURNING account_id, user_id, token_expires_at, expires_at > $2
        """,
        digest,
        now,
    )
    return (row[0], row[1], row[2]) if row and row[3] else None


async def forget_tickets(connection: Connection, now: datetime) -> None:
    """Delete tickets that nobody used in time."""
    await connection.execute("DELETE FROM stream_tickets WHERE expires_at <= $1", now)


def _columns(keys: Collection[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*keys, strict=True)]


def _shown(row: asyncpg.Record) -> ShownThread:
    values = tuple(row.values())
    thread = columns.thread_of(values[:_THREAD_WIDTH])
    communication = Communication(*values[_THREAD_WIDTH:-2])
    return ShownThread(thread, ShownCommunication(communication, values[-2], thread.state))
