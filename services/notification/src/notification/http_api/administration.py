"""Whether and of what an inbox's watchers are told (N1, N5)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from notification.http_api.rights import asked, described, require_setting, require_tie
from notification.storage import administration as storage
from notification.storage import decisions
from notification.watcher_settings import (
    DEFAULT,
    DEFAULT_DIGEST_MINUTES,
    KINDS,
    MAX_DIGEST_MINUTES,
    EmailKind,
    WatcherSettings,
    put,
)
from service_kit import audit
from service_kit.auth import Caller, authenticated
from service_kit.clock import Clock, Identify
from service_kit.database import Database


class WatcherNotifications(BaseModel):
    """Whether an inbox's watchers get e-mails, of what, and for how long further ones are gathered (N1, N5)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    enabled: bool
    events: tuple[EmailKind, ...] = Field(default=KINDS, max_length=20)
    digest_minutes: int = Field(default=DEFAULT_DIGEST_MINUTES, ge=0, le=MAX_DIGEST_MINUTES)


def router(database: Database, clock: Clock, identify: Identify) -> APIRouter:
    """The routes of an inbox's settings."""
    routes = APIRouter(tags=["administration"])

    @routes.get("/inboxes/{inbox_id}/watcher-notifications")
    async def read_watcher_notifications(
        inbox_id: str, caller: Annotated[Caller, Depends(authenticated)]
    ) -> WatcherNotifications:
        """What the inbox's watchers are told."""
        async with database.connection() as connection:
            await require_tie(connection, caller, inbox_id)
            key = (caller.account_id, inbox_id)
            return _shown((await storage.watcher_settings(connection, [key])).get(key, DEFAULT))

    @routes.put("/inboxes/{inbox_id}/watcher-notifications", openapi_extra=described(WatcherNotifications))
    async def put_watcher_notifications(
        inbox_id: str, caller: Annotated[Caller, Depends(authenticated)], request: Request
    ) -> WatcherNotifications:
        """Change it: admins, and the owner of a personal inbox. The same again changes nothing (A4)."""
        async with database.connection() as connection:
            await require_setting(connection, caller, inbox_id)
        wanted = await asked(request, WatcherNotifications)
        async with database.transaction() as connection:
            now = clock()
            before = await storage.lock_watcher_settings(connection, caller.account_id, inbox_id)
            after = put(
                before,
                enabled=wanted.enabled,
                events=wanted.events,
                digest_minutes=wanted.digest_minutes,
                now=now,
            )
            if after != before:
                await storage.save_watcher_settings(connection, caller.account_id, inbox_id, after)
                await decisions.ask_to_re_evaluate(connection, [(caller.account_id, "inbox", inbox_id)])
                entry = audit.Entry(
                    id=identify(),
                    at=now,
                    by=caller.user_id,
                    action="changed",
                    entity="watcher_notifications",
                    entity_id=inbox_id,
                    before=_shown(before).model_dump(mode="json"),
                    after=_shown(after).model_dump(mode="json"),
                )
                await audit.record(connection, caller.account_id, [entry])
        return _shown(after)

    return routes


def _shown(settings: WatcherSettings) -> WatcherNotifications:
    return WatcherNotifications(
        enabled=settings.enabled, events=settings.events, digest_minutes=settings.digest_minutes
    )
