"""The directory and its history of changes, in Postgres."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from contracts.directory import Account, Entity, Line, Snapshot, User
from routing.administration import Change
from routing.directory import KINDS, Directory, InboxSettings, directory_of
from service_kit.database import Connection

_ACCOUNTS_HELD: Final = 1_000


async def lock_directory(connection: Connection, account_id: str) -> Directory:
    """Lock an account's directory against every other change, and load it."""
    await connection.execute(
        "INSERT INTO directory_revisions (account_id) VALUES ($1) ON CONFLICT DO NOTHING", account_id
    )
    await connection.execute("SELECT FROM directory_revisions WHERE account_id = $1 FOR UPDATE", account_id)
    return await load_directory(connection, account_id)


async def load_directory(connection: Connection, account_id: str) -> Directory:
    """An account's directory as it is now; an empty one for an account that nobody created."""
    rows = await connection.fetch(
        "SELECT entity, version, document FROM directory_records WHERE account_id = $1 AND NOT deleted",
        account_id,
    )
    return directory_of(account_id, (_snapshot(row["entity"], row["version"], row["document"]) for row in rows))


def _snapshot(entity: str, version: int, document: dict[str, Any]) -> Snapshot:
    return KINDS[cast("Entity", entity)].model_validate(document | {"version": version})


async def save_changes(
    connection: Connection, account_id: str, changes: Sequence[Change], now: datetime
) -> list[tuple[Change, Snapshot]]:
    """Write what changed, under `lock_directory`, and give each change the snapshot to publish.

    Versions go on where a deleted entity's stopped.
    """
    saved: list[tuple[Change, Snapshot]] = []
    for change in changes:
        snapshot = change.latest
        document = snapshot.model_dump(mode="json", exclude={"version", "deleted"})
        version = await connection.fetchval(
            """
            INSERT INTO directory_records AS r (account_id, entity, id, version, deleted, document, changed_at)
            VALUES ($1, $2, $3, 1, $4, $5, $6)
            ON CONFLICT (account_id, entity, id) DO UPDATE
            SET version = r.version + 1, deleted = excluded.deleted, document = excluded.document,
                changed_at = excluded.changed_at
            RETURNING version
            """,
            account_id,
            change.entity,
            change.id,
            change.after is None,
            document,
            now,
        )
        saved.append((change, snapshot.model_copy(update={"version": version, "deleted": change.after is None})))
    await connection.execute("UPDATE directory_revisions SET revision = revision + 1 WHERE account_id = $1", account_id)
    return saved


class Directories:
    """Directories as a process last saw them, each used only while its account's revision is still the same."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, tuple[int, Directory]] = OrderedDict()

    async def current(self, connection: Connection, account_ids: Iterable[str]) -> dict[str, Directory]:
        """The directories of these accounts, not older than this statement."""
        accounts = sorted(set(account_ids))
        rows = await connection.fetch(
            "SELECT account_id, revision FROM directory_revisions WHERE account_id = ANY($1::text[])", accounts
        )
        return await self._of(connection, accounts, {row["account_id"]: row["revision"] for row in rows})

    async def held_still(self, connection: Connection, account_ids: Iterable[str]) -> dict[str, Directory]:
        """The same, and nobody changes them until this transaction ends."""
        accounts = sorted(set(account_ids))
        await connection.execute(
            """
            INSERT INTO directory_revisions (account_id) SELECT * FROM unnest($1::text[])
            ON CONFLICT DO NOTHING
            """,
            accounts,
        )
        rows = await connection.fetch(
            """
            SELECT account_id, revision FROM directory_revisions
            WHERE account_id = ANY($1::text[]) ORDER BY account_id FOR SHARE
            """,
            accounts,
        )
        return await self._of(connection, accounts, {row["account_id"]: row["revision"] for row in rows})

    async def _of(
        self, connection: Connection, accounts: Sequence[str], revisions: Mapping[str, int]
    ) -> dict[str, Directory]:
        found: dict[str, Directory] = {}
        for account_id in accounts:
            revision = revisions.get(account_id, 0)
            held = self._held.get(account_id)
            if held is None or held[0] != revision:
                # Read after the revision: it can only be newer, and is then read again next time.
                held = (revision, await load_directory(connection, account_id))
                self._held[account_id] = held
                if len(self._held) > _ACCOUNTS_HELD:
                    self._held.popitem(last=False)
            found[account_id] = held[1]
        return found


async def account(connection: Connection, account_id: str) -> Account | None:
    """The account, None where nobody created it."""
    found = await record(connection, account_id, "account", account_id)
    return found if isinstance(found, Account) else None


async def user(connection: Connection, account_id: str, user_id: str) -> User | None:
    """A user, active or not."""
    found = await record(connection, account_id, "user", user_id)
    return found if isinstance(found, User) else None


async def line(connection: Connection, account_id: str, line_number: str) -> Line | None:
    """A line that is not deleted."""
    found = await record(connection, account_id, "line", line_number)
    return found if isinstance(found, Line) else None


async def inbox(connection: Connection, account_id: str, inbox_id: str) -> InboxSettings | None:
    """An inbox that is not deleted."""
    found = await record(connection, account_id, "inbox", inbox_id)
    return found if isinstance(found, InboxSettings) else None


async def record(connection: Connection, account_id: str, entity: Entity, id: str) -> Snapshot | None:
    """Anything that exists in the account, by kind and id."""
    row = await connection.fetchrow(
        """
        SELECT version, document FROM directory_records
        WHERE account_id = $1 AND entity = $2 AND id = $3 AND NOT deleted
        """,
        account_id,
        entity,
        id,
    )
    return None if row is None else _snapshot(entity, row["version"], row["document"])


async def records(
    connection: Connection, account_id: str, entity: Entity, after: str, limit: int, only: Sequence[str] | None = None
) -> list[Snapshot]:
    """A page of what exists of one kind, by id beyond `after`; of the ids `only` where those are given."""
    rows = await connection.fetch(
        """
        SELECT version, document FROM directory_records
        WHERE account_id = $1 AND entity = $2 AND id > $3 AND NOT deleted
            AND ($5::text[] IS NULL OR id = ANY($5))
        ORDER BY id LIMIT $4
        """,
        account_id,
        entity,
        after,
        limit,
        only,
    )
    return [_snapshot(entity, row["version"], row["document"]) for row in rows]


async def inboxes_of(connection: Connection, account_id: str, user_id: str) -> list[InboxSettings]:
    """The inboxes that a user is tied to: works, owns or watches."""
    rows = await connection.fetch(
        """
        SELECT version, document FROM directory_records
        WHERE account_id = $1 AND entity = 'inbox' AND NOT deleted AND (
            document -> 'connected' ? $2
            OR document -> 'watchers' @> jsonb_build_array(jsonb_build_object('user_id', $2::text))
        )
        ORDER BY id
        """,
        account_id,
        user_id,
    )
    return [InboxSettings.model_validate(row["document"] | {"version": row["version"]}) for row in rows]


async def lines_of(
    connection: Connection, account_id: str, inbox_ids: Sequence[str], after: str, limit: int
) -> list[Snapshot]:
    """A page of the lines that are mapped to these inboxes."""
    rows = await connection.fetch(
        """
        SELECT version, document FROM directory_records
        WHERE account_id = $1 AND entity = 'line' AND NOT deleted AND id > $3
            AND document ->> 'inbox_id' = ANY($2::text[])
        ORDER BY id LIMIT $4
        """,
        account_id,
        list(inbox_ids),
        after,
        limit,
    )
    return [_snapshot("line", row["version"], row["document"]) for row in rows]


async def add_audit(
    connection: Connection,
    account_id: str,
    by: str,
    entries: Sequence[tuple[str, Change, dict[str, Any] | None, dict[str, Any] | None]],
    now: datetime,
) -> None:
    """Record who changed what, from what to what (A6). `entries` are `(id, change, before, after)`."""
    await connection.executemany(
        """
        INSERT INTO audit (account_id, id, at, by, action, entity, entity_id, before, after)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        [
            (account_id, entry_id, now, by, _action(change), change.entity, change.id, before, after)
            for entry_id, change, before, after in entries
        ],
    )


def _action(change: Change) -> str:
    if change.after is None:
        return "deleted"
    return "created" if change.before is None else "changed"


async def audit(connection: Connection, account_id: str, before: str | None, limit: int) -> list[dict[str, Any]]:
    """A page of the account's administrative changes, newest first."""
    rows = await connection.fetch(
        """
        SELECT id, at, by, action, entity, entity_id, before, after FROM audit
        WHERE account_id = $1 AND ($2::text IS NULL OR id < $2)
        ORDER BY id DESC LIMIT $3
        """,
        account_id,
        before,
        limit,
    )
    return [dict(row) for row in rows]
