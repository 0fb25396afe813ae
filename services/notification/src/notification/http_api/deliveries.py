"""Every e-mail about an inbox, and what came of it (N7)."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel

from notification.http_api.rights import require_admin
from notification.storage import deliveries as storage
from notification.watcher_settings import EmailKind
from service_kit.auth import Caller, authenticated
from service_kit.database import Database
from service_kit.http import Page, PageCursor, PageLimit, decode_cursor, encode_cursor, invalid

Outcome = Literal["queued", "deferred", "sent", "refused", "expired", "withdrawn", "muted", "unsubscribed"]

Kind = Literal["missed_call", "voicemail", "abandoned_call", "inbound_message", "daily_activity", "voice_analytics"]
"""What a delivery is about: what watchers are told of, and reports."""


class ToldOf(BaseModel):
    """A communication that an e-mail tells of, and as what."""

    communication_id: str
    kind: EmailKind


class Delivery(BaseModel):
    """One e-mail and what came of it.

    `queued`: not tried yet (a digest waits for its time); `deferred`: to be tried again; `expired`: given up after
    five days; `withdrawn`: its reader was no longer to have it; `muted`, `unsubscribed`: he did not want it.
    """

    email_id: str
    purpose: Literal["watcher", "digest", "report"]
    user_id: str
    communications: list[ToldOf]
    report: str | None = None
    date: str | None = None
    outcome: Outcome
    detail: str | None = None
    attempts: int
    queued_at: datetime
    due_at: datetime
    next_attempt_at: datetime | None = None
    finished_at: datetime | None = None


def router(database: Database) -> APIRouter:
    """The routes that tell who was told."""
    routes = APIRouter(tags=["deliveries"])

    async def administered(inbox_id: str, caller: Annotated[Caller, Depends(authenticated)]) -> Caller:
        async with database.connection() as connection:
            await require_admin(connection, caller, inbox_id)
        return caller

    @routes.get("/inboxes/{inbox_id}/deliveries", response_model_exclude_none=True)
    async def list_deliveries(
        inbox_id: str,
        caller: Annotated[Caller, Depends(administered)],
        outcome: Annotated[list[Outcome] | None, Query(description="One or several.")] = None,
        user: Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$", description="A reader's id.")] = None,
        kind: Annotated[list[Kind] | None, Query(description="One or several.")] = None,
        since: Annotated[AwareDatetime | None, Query(description="Queued then or later.")] = None,
        until: Annotated[AwareDatetime | None, Query(description="Queued before then.")] = None,
        limit: PageLimit = 50,
        cursor: PageCursor = None,
    ) -> Page[Delivery]:
        """The e-mails to the inbox's watchers and its reports, newest first. For admins."""
        wanted = storage.Wanted(tuple(outcome or ()), user, tuple(kind or ()), since, until)
        before = _before(cursor)
        async with database.connection() as connection:
            rows = await storage.deliveries(connection, caller.account_id, inbox_id, wanted, before, limit + 1)
        items = [_delivery(row) for row in rows[:limit]]
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(
            items=items,
            next_cursor=encode_cursor(last["queued_at"].isoformat(), last["email_id"]) if last else None,
        )

    return routes


def _delivery(row: dict[str, Any]) -> Delivery:
    return Delivery(
        email_id=row["email_id"],
        purpose=row["purpose"],
        user_id=row["user_id"],
        communications=[ToldOf.model_validate(told) for told in row["told"]],
        report=row["report_kind"],
        date=row["report_date"],
        outcome=row["outcome"],
        detail=row["detail"],
        attempts=row["attempts"],
        queued_at=row["queued_at"],
        due_at=row["due_at"],
        next_attempt_at=None if row["finished_at"] else row["next_attempt_at"],
        finished_at=row["finished_at"],
    )


def _before(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    at, email_id = decode_cursor(cursor, 2)
    try:
        queued_at = datetime.fromisoformat(at)
    except (TypeError, ValueError):
        raise invalid("cursor", "is not a cursor of this list") from None
    if queued_at.tzinfo is None or not isinstance(email_id, str) or "\0" in email_id:
        raise invalid("cursor", "is not a cursor of this list")
    return queued_at, email_id
