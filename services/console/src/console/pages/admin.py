"""Administration of the account: its settings, users, teams, lines, inboxes, what is unrouted, and who changed what."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console.pages.editing import (
    ZONES,
    Edit,
    Times,
    Typed,
    id_from,
    is_refusal,
    only_if,
    people_to_choose,
    taken,
    teams_to_choose,
)
from console.rendering import Renderer, Text
from console.services import Services
from console.visitors import Visitor, Visitors
from service_kit.http import Problem, forbidden

_PAGE: Final = 50
_AUDITS: Final = {
    "routing": ("audit",),
    "inbox_state": ("audit", "inbox-state"),
    "notification": ("audit", "notification"),
    "reporting": ("audit", "reporting"),
}
_NOTICES: Final = frozenset({"saved", "created", "deleted", "mapped"})
_ENTITIES: Final = (
    *("account", "user", "team", "line", "inbox", "watcher_notifications", "report_notifications", "automations"),
    *("notification_preferences", "contact", "report"),
)

Done = Annotated[str, Query(max_length=20, description="What was just done, to say so.")]
Stored = Callable[[], Awaitable[Edit]]


async def save(
    services: Services,
    text: Text,
    who: Visitor,
    path: Sequence[str],
    body: Any,
    edit: Edit,
    stored: Stored,
    id_field: str = "",
) -> Edit | None:
    """Put something into the directory, only over what was seen; answers the form to show again if it was refused."""
    try:
        await services.call(who.token, "routing", "PUT", *path, body=body, headers=only_if(edit.seen))
    except Problem as problem:
        if not is_refusal(problem):
            raise
        if problem.body.status == 412:
            if not edit.seen:
                return edit.refused(taken(id_field, text("admin.form.taken")))
            return edit.overtaken(await stored())
        return edit.refused(problem)
    return None


def router(visitors: Visitors, services: Services, renderer: Renderer) -> APIRouter:
    """The routes of the account's administration."""
    routes = APIRouter(prefix="/admin")

    async def administrator(who: Annotated[Visitor, Depends(visitors.visitor)]) -> Visitor:
        # The services refuse whatever he would change; this spares him forms that can't succeed.
        if not who.is_admin:
            raise forbidden(renderer.text("admin.only_admins"))
        return who

    admin = Annotated[Visitor, Depends(administrator)]

    def page(
        template: str, who: Visitor, here: str, *, done: str = "", status: int = 200, **values: Any
    ) -> HTMLResponse:
        notice = renderer.text(f"admin.done.{done}") if done in _NOTICES else None
        return renderer.page(
            f"admin/{template}.html", status=status, me=who.me, section="admin", here=here, notice=notice, **values
        )

    async def users_of(who: Visitor) -> list[Any]:
        return await services.items(who.token, "routing", "users")

    async def teams_of(who: Visitor) -> list[Any]:
        return await services.items(who.token, "routing", "teams")

    async def inboxes_of(who: Visitor) -> list[tuple[str, str]]:
        found = await services.items(who.token, "routing", "inboxes")
        return [(inbox["inbox_id"], inbox["name"]) for inbox in sorted(found, key=lambda one: one["name"].casefold())]

    async def listed(who: Visitor, what: str, q: str, cursor: str | None) -> Any:
        query = {"q": q or None, "cursor": cursor, "limit": _PAGE}
        return await services.call(who.token, "routing", "GET", what, query=query)

    @routes.get("")
    async def home(_who: Annotated[Visitor, Depends(administrator)]) -> RedirectResponse:
        return RedirectResponse("/admin/inboxes", 303)

    @routes.get("/inboxes")
    async def inboxes(who: admin, q: str = "", cursor: str | None = None, done: Done = "") -> HTMLResponse:
        found = await listed(who, "inboxes", q, cursor)
        return page("inboxes", who, "inboxes", done=done, found=found, q=q)

    async def new_inbox_page(who: Visitor, edit: Edit, status: int = 200) -> HTMLResponse:
        people, teams = people_to_choose(await users_of(who), []), teams_to_choose(await teams_of(who))
        return page("inbox_new", who, "inboxes", status=status, edit=edit, people=people, teams=teams, zones=ZONES)

    @routes.get("/new/inbox")
    async def new_inbox(who: admin) -> HTMLResponse:
        values = {
            "inbox_id": "",
            "name": "",
            "kind": "connected",
            "owner_id": "",
            "agents.users": [],
            "agents.teams": [],
        }
        return await new_inbox_page(who, Edit(values | {"time_zone": ""}))

    @routes.post("/new/inbox")
    async def create_inbox(request: Request, who: admin) -> Response:
        typed = Typed(await request.form())
        values = {
            "inbox_id": typed.text("inbox_id"),
            "name": typed.text("name"),
            "kind": typed.text("kind"),
            "owner_id": typed.text("owner_id"),
            "agents.users": typed.many("agents.users"),
            "agents.teams": typed.many("agents.teams"),
            "time_zone": typed.text("time_zone"),
        }
        personal = values["kind"] == "personal"
        body = {
            "name": values["name"],
            "kind": values["kind"],
            "owner_id": (values["owner_id"] or None) if personal else None,
            "agents": {} if personal else {"users": values["agents.users"], "teams": values["agents.teams"]},
            "time_zone": values["time_zone"] or None,
        }
        inbox_id = str(values["inbox_id"]) or id_from(str(values["name"]))
        edit = _needing_an_id(renderer.text, Edit(values), "inbox_id", inbox_id)
        refused = (
            edit
            if edit.errors
            else await save(services, renderer.text, who, ("inboxes", inbox_id), body, edit, _nothing, "inbox_id")
        )
        if refused is not None:
            return await new_inbox_page(who, refused, 422)
        return RedirectResponse(f"/admin/inboxes/{quote(inbox_id)}/members?done=created", 303)

    async def stored_account(who: Visitor) -> Edit:
        try:
            headers, account = await services.exchange(who.token, "routing", "GET", "account")
        except Problem as problem:
            if problem.body.status != 404:
                raise
            return Edit({"name": "", "time_zone": "UTC", "fallback_inbox_id": "", "admins_see_all": False})
        names = ("name", "time_zone", "admins_see_all")
        values = {name: account[name] for name in names}
        return Edit(values | {"fallback_inbox_id": account["fallback_inbox_id"] or ""}, headers["ETag"])

    async def account_page(who: Visitor, edit: Edit, status: int = 200, done: str = "") -> HTMLResponse:
        inboxes = await inboxes_of(who)
        return page("account", who, "account", status=status, done=done, edit=edit, inboxes=inboxes, zones=ZONES)

    @routes.get("/account")
    async def account(who: admin, done: Done = "") -> HTMLResponse:
        return await account_page(who, await stored_account(who), done=done)

    @routes.post("/account")
    async def change_account(request: Request, who: admin) -> Response:
        typed = Typed(await request.form())
        values = {name: typed.text(name) for name in ("name", "time_zone", "fallback_inbox_id")}
        edit = Edit(values | {"admins_see_all": typed.on("admins_see_all")}, typed.text("seen"))
        body = {**edit.values, "fallback_inbox_id": values["fallback_inbox_id"] or None}
        refused = await save(
            services, renderer.text, who, ("account",), body, edit, lambda: stored_account(who), "name"
        )
        if refused is not None:
            return await account_page(who, refused, 422)
        return RedirectResponse("/admin/account?done=saved", 303)

    @routes.get("/users")
    async def users(who: admin, q: str = "", cursor: str | None = None, done: Done = "") -> HTMLResponse:
        return page("users", who, "users", done=done, found=await listed(who, "users", q, cursor), q=q)

    async def stored_user(who: Visitor, user_id: str) -> Edit:
        headers, user = await services.exchange(who.token, "routing", "GET", "users", user_id)
        names = ("user_id", "name", "email", "role", "rings", "active")
        values = {name: user[name] for name in names}
        values |= {"time_zone": user["time_zone"] or "", "endpoints": "\n".join(user["endpoints"])}
        return Edit(values, headers["ETag"])

    def user_page(who: Visitor, edit: Edit, *, new: bool, status: int = 200) -> HTMLResponse:
        return page("user", who, "users", status=status, edit=edit, new=new, zones=ZONES)

    @routes.get("/new/user")
    async def new_user(who: admin) -> HTMLResponse:
        values = {"user_id": "", "name": "", "email": "", "role": "agent", "rings": True, "active": True}
        return user_page(who, Edit(values | {"time_zone": "", "endpoints": ""}), new=True)

    @routes.get("/users/{user_id}")
    async def user(who: admin, user_id: str) -> HTMLResponse:
        return user_page(who, await stored_user(who, user_id), new=False)

    @routes.post("/new/user")
    @routes.post("/users/{user_id}")
    async def change_user(request: Request, who: admin, user_id: str = "") -> Response:
        typed = Typed(await request.form())
        values = {name: typed.text(name) for name in ("user_id", "name", "email", "role", "time_zone", "endpoints")}
        if user_id:
            values["user_id"] = user_id
        edit = Edit(values | {"rings": typed.on("rings"), "active": typed.on("active")}, typed.text("seen"))
        wanted = user_id or values["user_id"] or id_from(values["name"])
        edit = _needing_an_id(renderer.text, edit, "user_id", wanted)
        body = {
            **edit.values,
            "time_zone": values["time_zone"] or None,
            "endpoints": typed.lines("endpoints"),
        }
        refused = (
            edit
            if edit.errors
            else await save(
                services, renderer.text, who, ("users", wanted), body, edit, lambda: stored_user(who, wanted), "user_id"
            )
        )
        if refused is not None:
            return user_page(who, refused, new=not user_id, status=422)
        return RedirectResponse(f"/admin/users?done={'saved' if user_id else 'created'}", 303)

    @routes.get("/teams")
    async def teams(who: admin, q: str = "", cursor: str | None = None, done: Done = "") -> HTMLResponse:
        return page("teams", who, "teams", done=done, found=await listed(who, "teams", q, cursor), q=q)

    async def stored_team(who: Visitor, team_id: str) -> Edit:
        headers, team = await services.exchange(who.token, "routing", "GET", "teams", team_id)
        names = ("team_id", "name", "members", "supervisors")
        return Edit({name: team[name] for name in names}, headers["ETag"])

    async def team_page(who: Visitor, edit: Edit, *, new: bool, status: int = 200) -> HTMLResponse:
        chosen = [*edit.values["members"], *edit.values["supervisors"]]
        people = people_to_choose(await users_of(who), chosen)
        return page("team", who, "teams", status=status, edit=edit, new=new, people=people)

    @routes.get("/new/team")
    async def new_team(who: admin) -> HTMLResponse:
        return await team_page(who, Edit({"team_id": "", "name": "", "members": [], "supervisors": []}), new=True)

    @routes.get("/teams/{team_id}")
    async def team(who: admin, team_id: str) -> HTMLResponse:
        return await team_page(who, await stored_team(who, team_id), new=False)

    @routes.post("/new/team")
    @routes.post("/teams/{team_id}")
    async def change_team(request: Request, who: admin, team_id: str = "") -> Response:
        typed = Typed(await request.form())
        values = {
            "team_id": team_id or typed.text("team_id"),
            "name": typed.text("name"),
            "members": typed.many("members"),
            "supervisors": typed.many("supervisors"),
        }
        wanted = str(values["team_id"]) or id_from(str(values["name"]))
        edit = _needing_an_id(renderer.text, Edit(values, typed.text("seen")), "team_id", wanted)
        refused = (
            edit
            if edit.errors
            else await save(
                services,
                renderer.text,
                who,
                ("teams", wanted),
                values,
                edit,
                lambda: stored_team(who, wanted),
                "team_id",
            )
        )
        if refused is not None:
            return await team_page(who, refused, new=not team_id, status=422)
        return RedirectResponse(f"/admin/teams?done={'saved' if team_id else 'created'}", 303)

    @routes.post("/teams/{team_id}/delete")
    async def delete_team(request: Request, who: admin, team_id: str) -> Response:
        seen = Typed(await request.form()).text("seen")
        refused = await _deleted(services, who, ("teams", team_id), seen, lambda: stored_team(who, team_id))
        if refused is not None:
            return await team_page(who, refused, new=False, status=409)
        return RedirectResponse("/admin/teams?done=deleted", 303)

    @routes.get("/lines")
    async def lines(who: admin, cursor: str | None = None, done: Done = "") -> HTMLResponse:
        found = await services.call(who.token, "routing", "GET", "lines", query={"cursor": cursor, "limit": _PAGE})
        return page("lines", who, "lines", done=done, found=found, inboxes=dict(await inboxes_of(who)))

    async def stored_line(who: Visitor, number: str) -> Edit:
        headers, line = await services.exchange(who.token, "routing", "GET", "lines", number)
        names = ("line_number", "primary", "telephony_system", "rings_itself")
        values = {name: line[name] for name in names}
        return Edit(values | {"name": line["name"] or "", "inbox_id": line["inbox_id"] or ""}, headers["ETag"])

    async def line_page(who: Visitor, edit: Edit, *, new: bool, status: int = 200) -> HTMLResponse:
        return page("line", who, "lines", status=status, edit=edit, new=new, inboxes=await inboxes_of(who))

    @routes.get("/new/line")
    async def new_line(
        who: admin, number: Annotated[str, Query(max_length=64)] = "", inbox: Annotated[str, Query(max_length=64)] = ""
    ) -> HTMLResponse:
        values: dict[str, Any] = {"line_number": number, "name": "", "inbox_id": inbox, "telephony_system": "default"}
        return await line_page(who, Edit(values | {"primary": False, "rings_itself": False}), new=True)

    @routes.get("/lines/{number}")
    async def line(who: admin, number: str) -> HTMLResponse:
        return await line_page(who, await stored_line(who, number), new=False)

    @routes.post("/new/line")
    @routes.post("/lines/{number}")
    async def change_line(request: Request, who: admin, number: str = "") -> Response:
        typed = Typed(await request.form())
        values = {name: typed.text(name) for name in ("name", "inbox_id", "telephony_system")}
        values["line_number"] = number or typed.text("line_number")
        ticked = {name: typed.on(name) for name in ("primary", "rings_itself")}
        edit = Edit(values | ticked, typed.text("seen"))
        wanted = values["line_number"]
        if not wanted:
            edit = Edit(edit.values, edit.seen, {"line_number": renderer.text("admin.form.empty")})
        body = {
            **ticked,
            "name": values["name"] or None,
            "inbox_id": values["inbox_id"] or None,
            "telephony_system": values["telephony_system"] or "default",
        }
        refused = (
            edit
            if edit.errors
            else await save(
                services,
                renderer.text,
                who,
                ("lines", wanted),
                body,
                edit,
                lambda: stored_line(who, wanted),
                "line_number",
            )
        )
        if refused is not None:
            return await line_page(who, refused, new=not number, status=422)
        return RedirectResponse(f"/admin/lines?done={'saved' if number else 'created'}", 303)

    @routes.post("/lines/{number}/delete")
    async def delete_line(request: Request, who: admin, number: str) -> Response:
        seen = Typed(await request.form()).text("seen")
        refused = await _deleted(services, who, ("lines", number), seen, lambda: stored_line(who, number))
        if refused is not None:
            return await line_page(who, refused, new=False, status=409)
        return RedirectResponse("/admin/lines?done=deleted", 303)

    async def unrouted_page(
        who: Visitor, cursor: str | None, done: str = "", edit: Edit | None = None, status: int = 200
    ) -> HTMLResponse:
        query = {"cursor": cursor, "limit": _PAGE}
        found = await services.call(who.token, "routing", "GET", "unrouted", query=query)
        times, inboxes = await Times.of(services, who), await inboxes_of(who)
        shown = edit or Edit({"line_number": "", "inbox_id": ""})
        return page(
            "unrouted", who, "unrouted", done=done, status=status, found=found, times=times, inboxes=inboxes, edit=shown
        )

    @routes.get("/unrouted")
    async def unrouted(who: admin, cursor: str | None = None, done: Done = "") -> HTMLResponse:
        return await unrouted_page(who, cursor, done)

    @routes.post("/unrouted")
    async def map_line(request: Request, who: admin) -> Response:
        typed = Typed(await request.form())
        number = typed.text("line_number")
        edit = Edit({"line_number": number, "inbox_id": typed.text("inbox_id")})
        if not edit.values["inbox_id"]:
            asked = Edit(edit.values, errors={"inbox_id": renderer.text("admin.unrouted.choose")})
            return await unrouted_page(who, None, edit=asked, status=422)
        held: Mapping[str, Any] = {}
        try:
            headers, held = await services.exchange(who.token, "routing", "GET", "lines", number)
            edit = Edit(edit.values, headers["ETag"])
        except Problem as problem:
            if problem.body.status != 404:
                raise
        body = {**held, "inbox_id": edit.values["inbox_id"]}
        if held.get("inbox_id") is not None:
            return RedirectResponse("/admin/unrouted?done=mapped", 303)
        refused = await save(services, renderer.text, who, ("lines", number), body, edit, _nothing, "line_number")
        if refused is not None:
            return await unrouted_page(who, None, edit=refused, status=422)
        return RedirectResponse("/admin/unrouted?done=mapped", 303)

    @routes.get("/audit")
    async def audit(
        who: admin,
        entity: Annotated[str, Query(max_length=60)] = "",
        entity_id: Annotated[str, Query(max_length=255)] = "",
        by: Annotated[str, Query(max_length=255)] = "",
        to: Annotated[str, Query(max_length=60)] = "",
    ) -> HTMLResponse:
        wanted = {"entity": entity or None, "entity_id": entity_id or None, "by": by or None, "to": to or None}
        entries, silent, more = await _changes(services, who.token, wanted)
        names = {user["user_id"]: user["name"] for user in await users_of(who)}
        asked = {name: value for name, value in wanted.items() if value and name != "to"}
        older = f"/admin/audit?{urlencode({**asked, 'to': entries[-1]['at']})}" if more else None
        return page(
            "audit",
            who,
            "audit",
            entries=entries,
            entities=_ENTITIES,
            silent=silent,
            older=older,
            asked=asked,
            names=names,
            differences=differences,
            times=await Times.of(services, who),
        )

    return routes


def _needing_an_id(text: Text, edit: Edit, name: str, wanted: str) -> Edit:
    """A form that can't be sent, if no id was typed and none can be made from the name."""
    if wanted:
        return edit
    empty = "name" if not edit.values.get("name") else name
    return Edit(edit.values, edit.seen, {empty: text("admin.form.empty")})


async def _nothing() -> Edit:
    return Edit()


async def _deleted(services: Services, who: Visitor, path: Sequence[str], seen: str, stored: Stored) -> Edit | None:
    """Delete what was seen; answers the form to show again if that was refused."""
    try:
        await services.call(who.token, "routing", "DELETE", *path, headers={"if-match": seen or '""'})
    except Problem as problem:
        if not is_refusal(problem):
            raise
        now = await stored()
        return now.overtaken(now) if problem.body.status == 412 else now.refused(problem)
    return None


async def _changes(
    services: Services, token: str, wanted: Mapping[str, str | None]
) -> tuple[list[dict[str, Any]], list[str], bool]:
    """The newest changes of all services, which of them did not answer, and whether there are older ones.

    A page ends between two instants, never within one, so that the next one, before the last time of this one,
    leaves nothing out.
    """
    found: list[dict[str, Any]] = []
    pages: dict[str, str | None] = {}
    oldest: dict[str, datetime] = {}
    silent: list[str] = []

    async def read_on(service: str, cursor: str | None) -> None:
        query = {**wanted, "limit": _PAGE, "cursor": cursor}
        page = await services.call(token, service, "GET", *_AUDITS[service], query=query)
        found.extend({**entry, "service": service} for entry in page["items"])
        pages[service] = page["next_cursor"]
        if page["items"]:
            oldest[service] = _at(page["items"][-1])

    for service in _AUDITS:
        try:
            await read_on(service, None)
        except Problem as problem:
            if problem.body.status != 503:
                raise
            silent.append(service)
    if not found:
        return [], silent, False
    found.sort(key=_at, reverse=True)
    until = _at(found[min(_PAGE, len(found)) - 1])
    for service, cursor in list(pages.items()):
        while cursor is not None and oldest[service] >= until:
            await read_on(service, cursor)
            cursor = pages[service]
    shown = [entry for entry in found if _at(entry) >= until]
    shown.sort(key=lambda entry: (_at(entry), entry["id"]), reverse=True)
    return shown, silent, len(shown) < len(found) or any(pages.values())


def _at(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["at"])


def differences(before: Any, after: Any, under: str = "") -> list[tuple[str, Any, Any]]:
    """What a change changed: `(field, before, after)`, fields within fields with dots."""
    if not (isinstance(before, Mapping) or isinstance(after, Mapping)):
        return [] if before == after else [(under, before, after)]
    old = before if isinstance(before, Mapping) else {}
    new = after if isinstance(after, Mapping) else {}
    found: list[tuple[str, Any, Any]] = []
    for name in [*old, *(name for name in new if name not in old)]:
        found.extend(differences(old.get(name), new.get(name), f"{under}.{name}" if under else str(name)))
    return found
