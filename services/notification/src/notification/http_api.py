"""HTTP in: what watchers are told, and who was told (contract §3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from notification import storage
from notification.storage import AuditEntry
from notification.watcher_settings import (
    DEFAULT,
    DEFAULT_DIGEST_MINUTES,
    KINDS,
    MAX_DIGEST_MINUTES,
    EmailKind,
    WatcherSettings,
    put,
)
from service_kit import directory_copy
from service_kit.auth import Caller, authenticated
from service_kit.clock import Clock, Identify
from service_kit.database import Connection, Database
from service_kit.http import (
    Page,
    PageCursor,
    PageLimit,
    decode_cursor,
    encode_cursor,
    forbidden,
    invalid,
    not_found,
)

_PUT_ACTION: Final = "watcher_notifications_put"

AuthenticatedCaller = Annotated[Caller, Depends(authenticated)]


class WatcherNotifications(BaseModel):
    """Whether an inbox's watchers get e-mails, of what, and for how long further ones are gathered (N1, N5)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    enabled: bool
    events: tuple[EmailKind, ...] = Field(default=KINDS, max_length=20)
    digest_minutes: int = Field(default=DEFAULT_DIGEST_MINUTES, ge=0, le=MAX_DIGEST_MINUTES)


Outcome = Literal["queued", "deferred", "sent", "refused", "expired", "withdrawn"]


class ToldOf(BaseModel):
    """A communication that an e-mail tells of, and as what."""

    communication_id: str
    kind: EmailKind


class Delivery(BaseModel):
    """One e-mail and what came of it (N7). `queued`: not tried yet; `deferred`: to be tried again."""

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


class Change(BaseModel):
    """One administrative change: who, when, what, before and after (A6)."""

    id: str
    at: datetime
    user_id: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def router(database: Database, clock: Clock, identify: Identify) -> APIRouter:
    """The service's endpoints. Rights are checked before a request's body is looked at (A1)."""
    api = APIRouter(prefix="/v1")

    @api.get("/inboxes/{inbox_id}/watcher-notifications", response_model=WatcherNotifications)
    async def read_watcher_notifications(inbox_id: str, caller: AuthenticatedCaller) -> WatcherNotifications:
        async with database.connection() as connection:
            await _require_tie(connection, caller, inbox_id)
            key = (caller.account_id, inbox_id)
            return _shown((await storage.watcher_settings(connection, [key])).get(key, DEFAULT))

    @api.put(
        "/inboxes/{inbox_id}/watcher-notifications",
        response_model=WatcherNotifications,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": WatcherNotifications.model_json_schema()}},
            }
        },
    )
    async def put_watcher_notifications(
        inbox_id: str, caller: AuthenticatedCaller, request: Request
    ) -> WatcherNotifications:
        async with database.connection() as connection:
            await _require_administrator(connection, caller, inbox_id)
        asked = await _asked(request)
        async with database.transaction() as connection:
            now = clock()
            before = await storage.lock_watcher_settings(connection, caller.account_id, inbox_id)
            after = put(
                before,
                enabled=asked.enabled,
                events=asked.events,
                digest_minutes=asked.digest_minutes,
                now=now,
            )
            if after != before:
                await storage.save_watcher_settings(connection, caller.account_id, inbox_id, after)
                await storage.ask_to_re_evaluate(connection, [(caller.account_id, "inbox", inbox_id)])
                await storage.add_audit_entry(
                    connection,
                    caller.account_id,
                    AuditEntry(
                        id=identify(),
                        at=now,
                        user_id=caller.user_id,
                        action=_PUT_ACTION,
                        subject=inbox_id,
                        before=_shown(before).model_dump(mode="json"),
                        after=_shown(after).model_dump(mode="json"),
                    ),
                )
        return _shown(after)

    @api.get("/inboxes/{inbox_id}/deliveries", response_model=Page[Delivery], response_model_exclude_none=True)
    async def list_deliveries(
        inbox_id: str, caller: AuthenticatedCaller, limit: PageLimit = 50, cursor: PageCursor = None
    ) -> Page[Delivery]:
        async with database.connection() as connection:
            await _require_administrator(connection, caller, inbox_id, machine_may=False)
            rows = await storage.deliveries(
                connection, caller.account_id, inbox_id, _delivery_cursor(cursor), limit + 1
            )
        items = [_delivery(row) for row in rows[:limit]]
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(
            items=items,
            next_cursor=encode_cursor(last["queued_at"].isoformat(), last["email_id"]) if last else None,
        )

    @api.get("/audit/notification", response_model=Page[Change])
    async def list_changes(
        caller: AuthenticatedCaller, limit: PageLimit = 50, cursor: PageCursor = None
    ) -> Page[Change]:
        async with database.connection() as connection:
            person = await directory_copy.person(connection, caller)
            if not person.is_admin:
                raise forbidden("only an admin may read what was changed")
            entries = await storage.audit_entries(connection, caller.account_id, _change_cursor(cursor), limit + 1)
        return Page(
            items=[Change.model_validate(entry, from_attributes=True) for entry in entries[:limit]],
            next_cursor=encode_cursor(entries[limit - 1].id) if len(entries) > limit else None,
        )

    return api


async def _require_tie(connection: Connection, caller: Caller, inbox_id: str) -> None:
    """404 unless the inbox is there and the caller is tied to it or administers it (I2)."""
    if not caller.is_machine:
        person = await directory_copy.person(connection, caller)
        if not person.is_admin:
            await directory_copy.inbox_access(connection, person, inbox_id)
            return
    if await directory_copy.inbox(connection, caller.account_id, inbox_id) is None:
        raise not_found("there is no such inbox")


async def _require_administrator(
    connection: Connection, caller: Caller, inbox_id: str, *, machine_may: bool = True
) -> None:
    """404 without a tie, then 403 for whoever does not administer (A1)."""
    if caller.is_machine and not machine_may:
        raise forbidden("a machine may only read and put settings")
    await _require_tie(connection, caller, inbox_id)
    if caller.is_machine:
        return
    person = await directory_copy.person(connection, caller)
    if not person.is_admin:
        raise forbidden("only an admin may do this")


async def _asked(request: Request) -> WatcherNotifications:
    """The request's body, read only now: FastAPI would refuse a bad one before it knows who asks (A1)."""
    try:
        return WatcherNotifications.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError(
            [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors(include_url=False)]
        ) from None


def _shown(settings: WatcherSettings) -> WatcherNotifications:
    return WatcherNotifications(
        enabled=settings.enabled, events=settings.events, digest_minutes=settings.digest_minutes
    )


def _delivery(row: dict[str, Any]) -> Delivery:
    waiting = row["outcome"] is None
    # A detail without an outcome is what kept an attempt from success.
    outcome: Outcome = row["outcome"] or ("deferred" if row["detail"] else "queued")
    return Delivery(
        email_id=row["email_id"],
        purpose=row["purpose"],
        user_id=row["user_id"],
        communications=[ToldOf.model_validate(told) for told in row["told"]],
        report=row["report_kind"],
        date=row["report_date"],
        outcome=outcome,
        detail=row["detail"],
        attempts=row["attempts"],
        queued_at=row["queued_at"],
        due_at=row["due_at"],
        next_attempt_at=row["next_attempt_at"] if waiting else None,
        finished_at=row["finished_at"],
    )


def _delivery_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    at, email_id = _texts(decode_cursor(cursor, 2))
    try:
        return datetime.fromisoformat(at), email_id
    except ValueError:
        raise invalid("cursor", "is not a cursor of this list") from None


def _change_cursor(cursor: str | None) -> str | None:
    return _texts(decode_cursor(cursor, 1))[0] if cursor is not None else None


def _texts(parts: Sequence[Any]) -> list[str]:
    if not all(isinstance(part, str) for part in parts):
        raise invalid("cursor", "is not a cursor of this list")
    return list(parts)
