"""Every administrative change of a service: who, when, what, before and after (A6).

Written in the transaction that makes the change, read by administrators, never changed nor deleted.
"""

# FastAPI reads the annotations of the routes below, which name local dependencies: they can't be postponed.

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict

from service_kit.auth import Caller, authenticated
from service_kit.database import Connection, Database
from service_kit.http import Page, PageCursor, PageLimit, decode_cursor, encode_cursor, forbidden, invalid

Action = Literal["created", "changed", "deleted", "sent"]

IsAdmin = Callable[[Connection, Caller], Awaitable[bool]]
"""Whether a person administers the account; a 403 `Problem` for one who is unknown or inactive."""


class Entry(NamedTuple):
    """One change. `before` is None for what was not there, `after` for what is gone; `id` is a UUIDv7."""

    id: str
    at: datetime
    by: str
    action: Action
    entity: str
    entity_id: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which changes are looked for; None: any."""

    entity: str | None = None
    entity_id: str | None = None
    by: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def record(connection: Connection, account_id: str, entries: Sequence[Entry]) -> None:
    """Write changes down, in the transaction that makes them."""
    await connection.executemany(
        """
        INSERT INTO audit (account_id, id, at, by, action, entity, entity_id, before, after)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        [(account_id, *entry) for entry in entries],
    )


async def recorded(
    connection: Connection, account_id: str, wanted: Wanted, before_id: str | None, limit: int
) -> list[Entry]:
    """An account's changes, newest first, those older than `before_id`."""
    rows = await connection.fetch(
        """
        SELECT id, at, by, action, entity, entity_id, before, after FROM audit
        WHERE account_id = $1 AND ($2::text IS NULL OR id < $2)
            AND ($3::text IS NULL OR entity = $3) AND ($4::text IS NULL OR entity_id = $4)
            AND ($5::text IS NULL OR by = $5)
            AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)
        ORDER BY id DESC
        LIMIT $8
        """,
        account_id,
        before_id,
        wanted.entity,
        wanted.entity_id,
        wanted.by,
        wanted.since,
        wanted.until,
        limit,
    )
    return [Entry(*row.values()) for row in rows]


class AuditEntry(BaseModel):
    """One administrative change, as administrators read it."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    at: datetime
    by: str
    action: Action
    entity: str
    entity_id: str
    before: Any
    after: Any


Text = Annotated[str | None, Query(max_length=255, pattern=r"^[^\x00]*$")]


def routes(path: str, database: Database, is_admin: IsAdmin) -> APIRouter:
    """`GET` of the audit at `path`, for administrators and for machines that administer."""
    api = APIRouter(tags=["audit"])

    async def administrator(caller: Annotated[Caller, Depends(authenticated)]) -> Caller:
        if not caller.is_machine:
            async with database.connection() as connection:
                if not await is_admin(connection, caller):
                    raise forbidden("only an administrator may read what was changed")
        return caller

    @api.get(path)
    async def read_audit(
        caller: Annotated[Caller, Depends(administrator)],
        entity: Text = None,
        entity_id: Text = None,
        by: Text = None,
        since: Annotated[AwareDatetime | None, Query(alias="from")] = None,
        until: Annotated[AwareDatetime | None, Query(alias="to")] = None,
        limit: PageLimit = 50,
        cursor: PageCursor = None,
    ) -> Page[AuditEntry]:
        """Who changed what, newest first: `from` a time on, and before `to`."""
        before_id = None
        if cursor is not None:
            (before_id,) = decode_cursor(cursor, 1)
            if not isinstance(before_id, str) or "\0" in before_id:
                raise invalid("cursor", "is not a cursor of this list")
        wanted = Wanted(entity, entity_id, by, since, until)
        async with database.connection() as connection:
            found = await recorded(connection, caller.account_id, wanted, before_id, limit + 1)
        items = [AuditEntry.model_validate(entry) for entry in found[:limit]]
        return Page[AuditEntry](items=items, next_cursor=encode_cursor(items[-1].id) if len(found) > limit else None)

    return api
