"""The account, its users and teams, and the caller himself."""

import re
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from contracts.directory import Account, Role, Team, User
from contracts.fields import CLIENT_ID_PATTERN, RESERVED_IDS
from routing import administration as deciding
from routing.directory import Directory
from routing.http_api.bodies import (
    AccountBody,
    AccountView,
    Me,
    PresenceBody,
    TeamBody,
    TeamView,
    TiedInbox,
    UserBody,
    UserForAdmins,
    UserView,
)
from routing.http_api.callers import Doors, Viewer, tie_of
from routing.http_api.changing import Administration, OnlyIf
from routing.http_api.paging import SearchText, page_of, position
from routing.ring_plan import Presence
from routing.storage import communications as communications_storage
from routing.storage import directory as storage
from service_kit.clock import Clock, Identify
from service_kit.database import Database
from service_kit.http import Page, PageCursor, PageLimit, invalid, not_found
from service_kit.preconditions import Preconditions, entity_tag

_CLIENT_ID: Final = re.compile(CLIENT_ID_PATTERN)


def router(
    database: Database, before: Doors, administration: Administration, clock: Clock, identify: Identify
) -> APIRouter:
    """Endpoints about people."""
    people = APIRouter(prefix="/v1", tags=["directory"])
    anybody = Annotated[Viewer, Depends(before.viewing)]
    admin = Annotated[Viewer, Depends(before.administering)]
    stated = Annotated[Preconditions, Depends()]

    @people.get("/account")
    async def account(viewer: anybody, seen: stated, response: Response) -> AccountView:
        """The account."""
        async with database.connection() as connection:
            found = await storage.account(connection, viewer.account_id)
        view = _account_view(viewer.account_id, found)
        seen.show(response, entity_tag(view.version))
        return view

    @people.put("/account")
    async def put_account(viewer: admin, body: AccountBody, seen: stated, response: Response) -> AccountView:
        """Create or replace the account."""
        after = await administration.apply(
            viewer,
            lambda held: deciding.put_account(held, body.snapshot()),
            OnlyIf(seen, lambda held: held.account),
        )
        view = _account_view(viewer.account_id, after.account)
        response.headers["ETag"] = entity_tag(view.version)
        return view

    @people.get("/users")
    async def users(
        viewer: anybody,
        q: SearchText = None,
        role: Role | None = None,
        active: bool | None = None,
        limit: PageLimit = 50,
        cursor: PageCursor = None,
    ) -> Page[UserForAdmins | UserView]:
        """The account's users, the inactive as well; `q` is a part of a name, id, or (for admins) e-mail address."""
        only = storage.Only({"role": role, "active": active}, q, ("name", "email") if viewer.administers else ("name",))
        async with database.connection() as connection:
            found = await storage.records(connection, viewer.account_id, "user", position(cursor), limit + 1, only)
        views = [_user_view(viewer, user) for user in found if isinstance(user, User)]
        return page_of(views, limit, lambda view: view.user_id)

    @people.get("/users/{user_id}")
    async def user(viewer: anybody, user_id: str, seen: stated, response: Response) -> UserForAdmins | UserView:
        """One user."""
        async with database.connection() as connection:
            found = await storage.user(connection, viewer.account_id, user_id)
        if found is None:
            raise not_found("there is no such user")
        # An agent is shown less of the same version: another representation, another tag.
        seen.show(response, entity_tag(found.version, "" if viewer.administers else "-public"))
        return _user_view(viewer, found)

    @people.put("/users/{user_id}")
    async def put_user(
        viewer: admin, user_id: str, body: UserBody, seen: stated, response: Response
    ) -> UserForAdmins | UserView:
        """Create or replace a user."""
        snapshot = body.snapshot(client_id("user_id", user_id))
        after = await administration.apply(
            viewer,
            lambda held: deciding.put_user(held, snapshot),
            OnlyIf(seen, lambda held: held.users.get(user_id)),
        )
        response.headers["ETag"] = entity_tag(after.users[user_id].version)
        return _user_view(viewer, after.users[user_id])

    @people.get("/teams")
    async def teams(
        viewer: anybody, q: SearchText = None, limit: PageLimit = 50, cursor: PageCursor = None
    ) -> Page[TeamView]:
        """The account's teams; `q` is a part of a name or id."""
        only = storage.Only(part=q)
        async with database.connection() as connection:
            found = await storage.records(connection, viewer.account_id, "team", position(cursor), limit + 1, only)
        views = [_team_view(team) for team in found if isinstance(team, Team)]
        return page_of(views, limit, lambda view: view.team_id)

    @people.get("/teams/{team_id}")
    async def team(viewer: anybody, team_id: str, seen: stated, response: Response) -> TeamView:
        """One team."""
        async with database.connection() as connection:
            found = await storage.record(connection, viewer.account_id, "team", team_id)
        if not isinstance(found, Team):
            raise not_found("there is no such team")
        seen.show(response, entity_tag(found.version))
        return _team_view(found)

    @people.put("/teams/{team_id}")
    async def put_team(viewer: admin, team_id: str, body: TeamBody, seen: stated, response: Response) -> TeamView:
        """Create or replace a team."""
        snapshot = body.snapshot(client_id("team_id", team_id))
        after = await administration.apply(
            viewer,
            lambda held: deciding.put_team(held, snapshot),
            OnlyIf(seen, lambda held: held.teams.get(team_id)),
        )
        response.headers["ETag"] = entity_tag(after.teams[team_id].version)
        return _team_view(after.teams[team_id])

    @people.delete("/teams/{team_id}", status_code=204)
    async def delete_team(viewer: admin, team_id: str, seen: stated) -> Response:
        """Delete a team, which takes it out of every inbox (R7)."""

        def without(held: Directory) -> Directory:
            if team_id not in held.teams:
                raise not_found("there is no such team")
            return deciding.delete_team(held, team_id)

        await administration.apply(viewer, without, OnlyIf(seen, lambda held: held.teams.get(team_id)))
        return Response(status_code=204)

    @people.get("/me")
    async def me(viewer: anybody) -> Me:
        """The caller, and the inboxes that he is tied to."""
        person = viewer.known_person()
        async with database.connection() as connection:
            found = await storage.user(connection, viewer.account_id, person.user_id)
            tied = await storage.inboxes_of(connection, viewer.account_id, person.user_id)
            presences = await communications_storage.presences(connection, viewer.account_id, [person.user_id])
        if found is None:
            raise not_found("there is no such user")
        return Me(
            **_user_view_for_all(found).model_dump(),
            presence=presences[person.user_id].status if person.user_id in presences else "available",
            inboxes=[
                TiedInbox(inbox_id=inbox.inbox_id, name=inbox.name, access=access)
                for inbox in tied
                if (access := tie_of(inbox, person.user_id)) is not None
            ],
        )

    @people.put("/me/presence")
    async def put_presence(viewer: anybody, body: PresenceBody) -> PresenceBody:
        """Say whether one can be rung now; the last one to say so wins, here or from telephony (R5)."""
        person = viewer.known_person()
        presence = Presence(body.status, clock(), identify())
        async with database.transaction() as connection:
            await communications_storage.save_presences(connection, {(viewer.account_id, person.user_id): presence})
        return body

    return people


def client_id(field: str, text: str) -> str:
    """An id out of a path that something is to be created under; 422 for one that no client may choose."""
    if text in RESERVED_IDS:
        raise invalid(field, "is a reserved word")
    if not _CLIENT_ID.fullmatch(text):
        raise invalid(field, f"must match {CLIENT_ID_PATTERN}")
    return text


def _account_view(account_id: str, account: Account | None) -> AccountView:
    if account is None:
        raise not_found("the account does not exist yet")
    return AccountView(account_id=account_id, **account.model_dump(exclude={"deleted"}))


def _user_view_for_all(user: User) -> UserView:
    return UserView.model_validate(user.model_dump())


def _user_view(viewer: Viewer, user: User) -> UserForAdmins | UserView:
    if viewer.administers:
        return UserForAdmins.model_validate(user.model_dump())
    return _user_view_for_all(user)


def _team_view(team: Team) -> TeamView:
    return TeamView.model_validate(team.model_dump())
