"""A service's own copy of the directory: the newest snapshot of everything, and who is tied to which inbox.

What authorises stands in the service's tables, so every replica sees the same (architecture §2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from contracts import directory
from contracts.directory import Account, Entity, Inbox, Line, Snapshot, Team, User
from service_kit.access import Access, Person, person_of, viewing
from service_kit.auth import Caller
from service_kit.consuming import Received
from service_kit.database import Connection
from service_kit.http import not_found

S = TypeVar("S", bound=Snapshot)

EVENTS: Final = directory.EVENTS

_ENTITIES: Final[dict[type[Snapshot], Entity]] = {
    Account: "account",
    User: "user",
    Team: "team",
    Line: "line",
    Inbox: "inbox",
}


@dataclass(frozen=True, slots=True)
class Changed:
    """One entity that a batch really changed, as it was before (None: new) and as it is now."""

    account_id: str
    entity: Entity
    id: str
    before: Snapshot | None
    after: Snapshot


async def save(connection: Connection, received: Sequence[Received[Any]]) -> list[Changed]:
    """Keep the highest version of every entity in the batch, with the ties that follow; what changed is returned.

    Rows are locked in key order before they are compared: two replicas may hold the same partition for a
    moment during a rebalance.
    """
    newest: dict[tuple[str, str, str], Snapshot] = {}
    for one in received:
        snapshot: Snapshot = one.event.data
        key = (
            one.event.account_id,
            _ENTITIES[type(snapshot)],
            _id_of(one.event.account_id, snapshot),
        )
        if key not in newest or newest[key].version < snapshot.version:
            newest[key] = snapshot
    keys = sorted(newest)
    if not keys:
        return []
    columns = [list(column) for column in zip(*keys, strict=True)]
    await connection.execute(
        """
        INSERT INTO directory_entities (account_id, entity, id, version, deleted, document)
        SELECT account_id, entity, id, 0, true, '{}'
        FROM unnest($1::text[], $2::text[], $3::text[]) AS k (account_id, entity, id)
        ORDER BY 1, 2, 3
        ON CONFLICT DO NOTHING
        """,
        *columns,
    )
    rows = await connection.fetch(
        """
        SELECT account_id, entity, id, version, document
        FROM directory_entities
        WHERE (account_id, entity, id) IN (
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        )
        ORDER BY account_id, entity, id
        FOR UPDATE
        """,
        *columns,
    )
    changed: list[Changed] = []
    for row in rows:
        snapshot = newest[row["account_id"], row["entity"], row["id"]]
        if snapshot.version <= row["version"]:
            continue
        before = type(snapshot).model_validate(row["document"]) if row["version"] else None
        changed.append(Changed(row["account_id"], row["entity"], row["id"], before, snapshot))
    await connection.executemany(
        """
        UPDATE directory_entities SET version = $4, deleted = $5, document = $6
        WHERE account_id = $1 AND entity = $2 AND id = $3
        """,
        [
            (
                c.account_id,
                c.entity,
                c.id,
                c.after.version,
                c.after.deleted,
                c.after.model_dump(mode="json"),
            )
            for c in changed
        ],
    )
    await _save_ties(connection, changed)
    return changed


async def _save_ties(connection: Connection, changed: Iterable[Changed]) -> None:
    for change in changed:
        if not isinstance(change.after, Inbox):
            continue
        await connection.execute(
            "DELETE FROM directory_ties WHERE account_id = $1 AND inbox_id = $2",
            change.account_id,
            change.id,
        )
        if change.after.deleted:
            continue
        watching = {watcher.user_id: watcher.added_at for watcher in change.after.watchers}
        own = Access.PERSONAL if change.after.kind == "personal" else Access.CONNECTED
        ties = dict.fromkeys(watching, Access.WATCHING)
        ties |= dict.fromkeys(change.after.connected, own)
        await connection.executemany(
            """
            INSERT INTO directory_ties (account_id, user_id, inbox_id, access, watching_since)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (account_id, user_id, inbox_id)
            DO UPDATE SET access = excluded.access, watching_since = excluded.watching_since
            """,
            [
                (
                    change.account_id,
                    user_id,
                    change.id,
                    str(access),
                    watching.get(user_id),
                )
                for user_id, access in sorted(ties.items())
            ],
        )


async def entities(
    connection: Connection,
    kind: type[S],
    account_id: str,
    ids: Sequence[str] | None = None,
) -> dict[str, S]:
    """The living entities of one kind by id: all of an account's, or those named."""
    rows = await connection.fetch(
        """
        SELECT id, document FROM directory_entities
        WHERE account_id = $1 AND entity = $2 AND NOT deleted AND ($3::text[] IS NULL OR id = ANY($3))
        """,
        account_id,
        _ENTITIES[kind],
        ids,
    )
    return {row["id"]: kind.model_validate(row["document"]) for row in rows}


async def account(connection: Connection, account_id: str) -> Account | None:
    """The account, None while it is not known here."""
    return (await entities(connection, Account, account_id, [account_id])).get(account_id)


async def user(connection: Connection, account_id: str, user_id: str) -> User | None:
    """A user, active or not; None while he is not known here."""
    return (await entities(connection, User, account_id, [user_id])).get(user_id)


async def inbox(connection: Connection, account_id: str, inbox_id: str) -> Inbox | None:
    """A living inbox."""
    return (await entities(connection, Inbox, account_id, [inbox_id])).get(inbox_id)


async def inboxes_to_report_on(
    connection: Connection, account_id: str, user_id: str | None, after: str, limit: int
) -> list[Inbox]:
    """The next living inboxes, by id, that a user is tied to or supervises a team of; for None, all of an account's."""
    rows = await connection.fetch(
        """
        SELECT document FROM directory_entities AS inbox
        WHERE account_id = $1 AND entity = 'inbox' AND NOT deleted AND id > $3 AND ($2::text IS NULL
            OR id IN (SELECT inbox_id FROM directory_ties WHERE account_id = $1 AND user_id = $2)
            OR document -> 'agents' -> 'teams' ?| ARRAY(
                SELECT id FROM directory_entities
                WHERE account_id = $1 AND entity = 'team' AND NOT deleted AND document -> 'supervisors' ? $2
            ))
        ORDER BY id
        LIMIT $4
        """,
        account_id,
        user_id,
        after,
        limit,
    )
    return [Inbox.model_validate(row["document"]) for row in rows]


async def person(connection: Connection, caller: Caller) -> Person:
    """The person behind a caller; a 403 `Problem` for an unknown or inactive one (A1)."""
    who = await user(connection, caller.account_id, caller.user_id)
    return person_of(caller.account_id, who, await account(connection, caller.account_id))


async def is_admin(connection: Connection, caller: Caller) -> bool:
    """Whether a person administers the account; a 403 `Problem` for an unknown or inactive one (A1)."""
    return (await person(connection, caller)).is_admin


async def ties(connection: Connection, account_id: str, user_id: str) -> dict[str, Access]:
    """The inboxes that a user is tied to, and how."""
    rows = await connection.fetch(
        "SELECT inbox_id, access FROM directory_ties WHERE account_id = $1 AND user_id = $2",
        account_id,
        user_id,
    )
    return {row["inbox_id"]: Access(row["access"]) for row in rows}


async def inbox_access(connection: Connection, who: Person, inbox_id: str) -> tuple[Inbox, Access]:
    """An inbox and how a person may see it; 404 when there is none or he has no tie to it (I2)."""
    found = await inbox(connection, who.account_id, inbox_id)
    if found is None:
        raise not_found("there is no such inbox")
    tie = await connection.fetchval(
        "SELECT access FROM directory_ties WHERE account_id = $1 AND user_id = $2 AND inbox_id = $3",
        who.account_id,
        who.user_id,
        inbox_id,
    )
    return found, viewing(who, Access(tie) if tie else None)


async def tied_users(connection: Connection, account_id: str, inbox_id: str) -> dict[str, Access]:
    """Who is tied to an inbox, and how."""
    rows = await connection.fetch(
        "SELECT user_id, access FROM directory_ties WHERE account_id = $1 AND inbox_id = $2",
        account_id,
        inbox_id,
    )
    return {row["user_id"]: Access(row["access"]) for row in rows}


def _id_of(account_id: str, snapshot: Snapshot) -> str:
    match snapshot:
        case Account():
            return account_id
        case User():
            return snapshot.user_id
        case Team():
            return snapshot.team_id
        case Line():
            return snapshot.line_number
        case Inbox():
            return snapshot.inbox_id
        case _:
            raise TypeError(f"{type(snapshot).__name__} is no entity of the directory")
