"""The account's inboxes: their settings, who is tied to them, and who would ring."""

import random
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime

from routing import administration as deciding
from routing.business_hours import is_open
from routing.consumer.ringing import Ringer
from routing.directory import Directory, InboxSettings
from routing.http_api.bodies import (
    BusinessHoursBody,
    InboxBody,
    InboxView,
    LeftOut,
    Member,
    Members,
    RingPlanLayer,
    RingPlanView,
    WatchingMember,
)
from routing.http_api.callers import Doors, Viewer, visible_inbox
from routing.http_api.changing import Administration, OnlyIf
from routing.http_api.paging import SearchText, page_of, position
from routing.http_api.people import client_id
from routing.storage import communications as communications_storage
from routing.storage import directory as storage
from routing.storage.directory import Directories
from service_kit.clock import Clock
from service_kit.database import Database
from service_kit.http import Page, PageCursor, PageLimit, not_found
from service_kit.preconditions import Preconditions, entity_tag


def router(
    database: Database, directories: Directories, before: Doors, administration: Administration, clock: Clock
) -> APIRouter:
    """Endpoints about inboxes."""
    inboxes = APIRouter(prefix="/v1/inboxes", tags=["directory"])
    anybody = Annotated[Viewer, Depends(before.viewing)]
    admin = Annotated[Viewer, Depends(before.administering_inbox)]
    stated = Annotated[Preconditions, Depends()]

    @inboxes.get("")
    async def every(
        viewer: anybody,
        q: SearchText = None,
        kind: Literal["connected", "personal"] | None = None,
        limit: PageLimit = 50,
        cursor: PageCursor = None,
    ) -> Page[InboxView]:
        """The account's inboxes, for an agent those that he is tied to; `q` is a part of a name or id."""
        async with database.connection() as connection:
            among = None
            if not viewer.administers:
                tied = await storage.inboxes_of(connection, viewer.account_id, viewer.known_person().user_id)
                among = [inbox.inbox_id for inbox in tied]
            only = storage.Only({"kind": kind}, q, among=among)
            found = await storage.records(connection, viewer.account_id, "inbox", position(cursor), limit + 1, only)
        views = [_view(inbox) for inbox in found if isinstance(inbox, InboxSettings)]
        return page_of(views, limit, lambda view: view.inbox_id)

    @inboxes.get("/{inbox_id}")
    async def one(viewer: anybody, inbox_id: str, seen: stated, response: Response) -> InboxView:
        """One inbox."""
        async with database.connection() as connection:
            view = _view(await visible_inbox(connection, viewer, inbox_id))
        seen.show(response, entity_tag(view.version))
        return view

    @inboxes.put("/{inbox_id}")
    async def put(viewer: admin, inbox_id: str, body: InboxBody, seen: stated, response: Response) -> InboxView:
        """Create or replace an inbox."""
        snapshot = body.snapshot(client_id("inbox_id", inbox_id))
        after = await administration.apply(
            viewer,
            lambda held: deciding.put_inbox(held, snapshot),
            OnlyIf(seen, lambda held: held.inboxes.get(inbox_id)),
        )
        view = _view(after.inboxes[inbox_id])
        response.headers["ETag"] = entity_tag(view.version)
        return view

    @inboxes.delete("/{inbox_id}", status_code=204)
    async def delete(viewer: admin, inbox_id: str, seen: stated) -> Response:
        """Delete an inbox; 409 while it is the fallback or has lines (R7)."""
        await administration.apply(
            viewer,
            lambda held: deciding.delete_inbox(_having(held, inbox_id), inbox_id),
            OnlyIf(seen, lambda held: held.inboxes.get(inbox_id)),
        )
        return Response(status_code=204)

    @inboxes.get("/{inbox_id}/members")
    async def members(viewer: anybody, inbox_id: str) -> Members:
        """Who works the inbox, and who watches it."""
        async with database.connection() as connection:
            inbox = await visible_inbox(connection, viewer, inbox_id)
            known = (await directories.current(connection, [viewer.account_id]))[viewer.account_id]
        return Members(
            connected=[Member(user_id=user_id, name=_name(known, user_id)) for user_id in inbox.connected],
            watching=[_watching(known, inbox, watcher.user_id) for watcher in inbox.watchers],
        )

    @inboxes.put("/{inbox_id}/watchers/{user_id}")
    async def watch(viewer: admin, inbox_id: str, user_id: str) -> WatchingMember:
        """Let a user watch the inbox."""
        now = clock()
        after = await administration.apply(
            viewer, lambda held: deciding.add_watcher(_having(held, inbox_id), inbox_id, user_id, now)
        )
        return _watching(after, after.inboxes[inbox_id], user_id)

    @inboxes.delete("/{inbox_id}/watchers/{user_id}", status_code=204)
    async def unwatch(viewer: admin, inbox_id: str, user_id: str) -> Response:
        """Let a user no longer watch the inbox."""

        def without(held: Directory) -> Directory:
            watchers = _having(held, inbox_id).inboxes[inbox_id].watchers
            if all(watcher.user_id != user_id for watcher in watchers):
                raise not_found("there is no such watcher")
            return deciding.remove_watcher(held, inbox_id, user_id)

        await administration.apply(viewer, without)
        return Response(status_code=204)

    @inboxes.get("/{inbox_id}/ring-plan")
    async def ring_plan(
        viewer: anybody, inbox_id: str, at: Annotated[AwareDatetime | None, Query()] = None
    ) -> RingPlanView:
        """Who would ring for a call at this time, by who is there now."""
        async with database.connection() as connection:
            inbox = await visible_inbox(connection, viewer, inbox_id)
            known = (await directories.current(connection, [viewer.account_id]))[viewer.account_id]
            talking = await communications_storage.talking_users(connection, viewer.account_id, [])
            ringer = await Ringer.at(connection, known, inbox, frozenset(talking), looking_only=True)
        when = clock() if at is None else at
        decided = ringer.decide(
            random.Random(inbox_id),  # noqa: S311 - a preview's order of a random layer is any order
            is_open=is_open(inbox.business_hours, known.zone_of(inbox), when),
        )
        return RingPlanView(
            layers=[
                RingPlanLayer(mode=layer.mode, user_ids=list(layer.user_ids), ring_seconds=layer.ring_seconds)
                for layer in decided.layers
            ],
            left_out=[LeftOut(user_id=user_id, because=because) for user_id, because in decided.left_out],
            after_hours=decided.after_hours,
        )

    return inboxes


def _having(directory: Directory, inbox_id: str) -> Directory:
    if inbox_id not in directory.inboxes:
        raise not_found("there is no such inbox")
    return directory


def _name(directory: Directory, user_id: str) -> str:
    user = directory.users.get(user_id)
    return user_id if user is None else user.name


def _watching(directory: Directory, inbox: InboxSettings, user_id: str) -> WatchingMember:
    added_at = next(watcher.added_at for watcher in inbox.watchers if watcher.user_id == user_id)
    return WatchingMember(user_id=user_id, name=_name(directory, user_id), added_at=added_at)


def _view(inbox: InboxSettings) -> InboxView:
    hours = inbox.business_hours
    return InboxView.model_validate(
        inbox.model_dump(exclude={"business_hours"})
        | {"business_hours": None if hours is None else BusinessHoursBody.of(hours)}
    )
