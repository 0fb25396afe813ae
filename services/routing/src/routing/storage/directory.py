"""The directory and its history of changes, in Postgres."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, cast

from contracts.directory import Account, Entity, Line, Snapshot, User
from routing.administration import Change
from routing.directory import KINDS, Directory, InboxSettings, directory_of
from service_kit.database import Connection

_ACCOUNTS_HELD: Final = 1_000


async def _lock_revision(connection: Connection, account_id: str) -> int:
    locking = "SELECT revision FROM directory_revisions WHERE account_id = $1 FOR UPDATE"
    revision: int | None = await connection.fetchval(locking, account_id)
    if revision is None:
        await connection.execute(
            "INSERT INTO directory_revisions (account_id) VALUES ($1) ON CONFLICT DO NOTHING", account_id
        )
        revision = await connection.fetchval(locking, account_id)
    return revision or 0


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
    """Write what changed, under `Directories.locked`, and give each change the snapshot to publish.

    Versions go on where a deleted entity's stopped. `next_revision` has to follow in the same transaction.
    """
    rows = await connection.fetch(
        """
        INSERT INTO directory_records AS r (account_id, entity, id, version, deleted, document, changed_at)
        SELECT $1, n.entity, n.id, 1, n.deleted, n.document, $2
        FROM unnest($3::text[], $4::text[], $5::boolean[], $6::jsonb[]) AS n (entity, id, deleted, document)
        ON CONFLICT (account_id, entity, id) DO UPDATE
        SET version = r.version + 1, deleted = excluded.deleted, document = excluded.document,
            changed_at = excluded.changed_at
        RETURNING entity, id, version
        """,
        account_id,
        now,
        [change.entity for change in changes],
        [change.id for change in changes],
        [change.after is None for change in changes],
        [change.latest.model_dump(mode="json", exclude={"version", "deleted"}) for change in changes],
    )
    versions = {(row["entity"], row["id"]): row["version"] for row in rows}
    return [
        (
            change,
            change.latest.model_copy(
                update={"version": versions[change.entity, change.id], "deleted": change.after is None}
            ),
        )
        for change in changes
    ]


async def next_revision(connection: Connection, account_id: str) -> int:
    """Tell every process that what it holds of the account's directory is outdated, and give the new revision."""
    revision: int = await connection.fetchval(
        "UPDATE directory_revisions SET revision = revision + 1 WHERE account_id = $1 RETURNING revision", account_id
    )
    return revision


class Directories:
    """Directories as a process last saw them, each used only while its account's revision is still the same."""

    def __init__(self, at_most: int = _ACCOUNTS_HELD) -> None:
        self._at_most = at_most
        self._held: OrderedDict[str, tuple[int, Directory]] = OrderedDict()

    async def current(self, connection: Connection, account_ids: Iterable[str]) -> dict[str, Directory]:
        """The directories of these accounts, not older than this statement."""
        accounts = sorted(set(account_ids))
        rows = await connection.fetch(
            "SELECT account_id, revision FROM directory_revisions WHERE account_id = ANY($1::text[])", accounts
        )
        return await self._of(connection, accounts, {row["account_id"]: row["revision"] for row in rows})

    async def locked(self, connection: Connection, account_id: str) -> Directory:
        """An account's directory as it is now, and nobody else changes it until this transaction ends."""
        revision = await _lock_revision(connection, account_id)
        return (await self._of(connection, [account_id], {account_id: revision}))[account_id]

    def keep(self, directory: Directory, revision: int) -> None:
        """Hold a directory as a change left it, once that is committed: a revision that was rolled back comes again."""
        held = self._held.get(directory.account_id)
        if held is None or held[0] < revision:
            self._held[directory.account_id] = (revision, directory)

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
                if len(self._held) > self._at_most:
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


@dataclass(frozen=True, slots=True)
class Only:
    """Which records of a kind are wanted: those with these values (None: any), and with a part of a text in them.

    `part` is looked for in the id and in the fields `within`; `among` are the ids that may be shown at all.
    """

    values: Mapping[str, str | bool | None] = field(default_factory=dict)
    part: str | None = None
    within: tuple[str, ...] = ("name",)
    among: Sequence[str] | None = None


async def records(
    connection: Connection, account_id: str, entity: Entity, after: str, limit: int, only: Only | None = None
) -> list[Snapshot]:
    """A page of what exists of one kind, by id beyond `after`."""
    only = only or Only()
    rows = await connection.fetch(
        """
        SELECT version, document FROM directory_records
        WHERE account_id = $1 AND entity = $2 AND id > $3 AND NOT deleted
            AND ($5::text[] IS NULL OR id = ANY($5))
            AND document @> $6
            AND ($7::text IS NULL OR strpos(lower(id), lower($7)) > 0 OR EXISTS (
                SELECT FROM unnest($8::text[]) AS f (name) WHERE strpos(lower(document ->> f.name), lower($7)) > 0
            ))
        ORDER BY id LIMIT $4
        """,
        account_id,
        entity,
        after,
        limit,
        only.among,
        {name: value for name, value in only.values.items() if value is not None},
        only.part,
        only.within,
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


async def next_account(connection: Connection, after: str) -> str | None:
    """The first account beyond `after` that has, or had, anything."""
    account_id: str | None = await connection.fetchval(
        "SELECT min(account_id) FROM directory_records WHERE account_id > $1", after
    )
    return account_id


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entity as it was last published."""

    entity: Entity
    id: str
    snapshot: Snapshot
    changed_at: datetime


async def hold_still(connection: Connection, account_id: str) -> None:
    """Nobody changes the account's directory until this transaction ends."""
    await connection.execute("SELECT FROM directory_revisions WHERE account_id = $1 FOR SHARE", account_id)


async def recorded(
    connection: Connection, account_id: str, after: tuple[str, str], since: datetime | None, limit: int
) -> list[Recorded]:
    """A page of all that an account has or had, by kind and id beyond `after`, changed at `since` or later."""
    rows = await connection.fetch(
        """
        SELECT entity, id, version, deleted, document, changed_at FROM directory_records
        WHERE account_id = $1 AND (entity, id) > ($2, $3) AND ($4::timestamptz IS NULL OR changed_at >= $4)
        ORDER BY entity, id LIMIT $5
        """,
        account_id,
        *after,
        since,
        limit,
    )
    return [
        Recorded(
            row["entity"],
            row["id"],
            _snapshot(row["entity"], row["version"], row["document"]).model_copy(update={"deleted": row["deleted"]}),
            row["changed_at"],
        )
        for row in rows
    ]


async def telephony_systems(connection: Connection) -> list[str]:
    """The telephony systems that have lines, over all accounts. Reads every record: for now and then."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT document ->> 'telephony_system' AS system FROM directory_records
        WHERE entity = 'line' AND NOT deleted ORDER BY 1
        """
    )
    return [row["system"] for row in rows]
