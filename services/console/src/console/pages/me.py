"""My page: whether I can be rung, when I want quiet, what I mute, and how my inbox is shown."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console.pages.editing import Edit, Typed, is_refusal, print_of, zone_of_account
from console.rendering import Renderer
from console.services import Services
from console.visitors import Visitor, Visitors
from service_kit.http import Problem

PRESENCES: Final = ("available", "busy", "away", "offline")
VIEWS: Final = ("threaded", "unthreaded")
_NOTICES: Final = frozenset({"presence", "view", "notifications"})
_BY_DEFAULT: Final = {"from": "22:00", "to": "07:00"}

Done = Annotated[str, Query(max_length=20)]


def router(visitors: Visitors, services: Services, renderer: Renderer) -> APIRouter:
    """The routes of one's own page."""
    routes = APIRouter(prefix="/me")
    somebody = Annotated[Visitor, Depends(visitors.visitor)]

    async def stored(who: Visitor) -> Edit:
        held = await services.call(who.token, "notification", "GET", "me", "notification-preferences")
        return Edit(_values(held), print_of(held))

    async def page(
        who: Visitor, *, done: str = "", edit: Edit | None = None, wrong: Mapping[str, str] | None = None
    ) -> HTMLResponse:
        preferences = await services.call(who.token, "inbox_state", "GET", "me", "preferences")
        edit_shown = edit or await stored(who)
        names = {inbox["inbox_id"]: inbox["name"] for inbox in who.me["inboxes"]}
        muted = [*names, *(one for one in edit_shown.values["muted_inbox_ids"] if one not in names)]
        return renderer.page(
            "me.html",
            status=422 if edit or wrong else 200,
            me=who.me,
            section="me",
            notice=renderer.text(f"me.done.{done}") if done in _NOTICES else None,
            edit=edit_shown,
            wrong=wrong or {},
            view=preferences["view"],
            presences=PRESENCES,
            views=VIEWS,
            zone=who.me["time_zone"] or await zone_of_account(services, who.token),
            inboxes=[(inbox_id, names.get(inbox_id, inbox_id)) for inbox_id in muted],
            names=names,
            personal=[inbox for inbox in who.me["inboxes"] if inbox["access"] == "personal"],
        )

    @routes.get("")
    async def mine(who: somebody, done: Done = "") -> HTMLResponse:
        return await page(who, done=done)

    @routes.post("/presence")
    async def change_presence(request: Request, who: somebody) -> Response:
        status = Typed(await request.form()).text("status")
        return await put(who, "routing", ("me", "presence"), {"status": status}, "presence")

    @routes.post("/view")
    async def change_view(request: Request, who: somebody) -> Response:
        view = Typed(await request.form()).text("view")
        return await put(who, "inbox_state", ("me", "preferences"), {"view": view}, "view")

    async def put(who: Visitor, service: str, path: tuple[str, str], body: Any, done: str) -> Response:
        try:
            await services.call(who.token, service, "PUT", *path, body=body)
        except Problem as problem:
            if not is_refusal(problem):
                raise
            return await page(who, wrong={one.field: one.message for one in problem.body.errors or ()})
        return RedirectResponse(f"/me?done={done}", 303)

    @routes.post("/notifications")
    async def change_notifications(request: Request, who: somebody) -> Response:
        typed = Typed(await request.form())
        values = {
            "muted_inbox_ids": typed.many("muted_inbox_ids"),
            "is_quiet": typed.on("is_quiet"),
            "quiet_hours.from": typed.text("quiet_hours.from"),
            "quiet_hours.to": typed.text("quiet_hours.to"),
            "unsubscribed": typed.many("unsubscribed"),
        }
        edit = Edit(values, typed.text("seen"))
        now = await stored(who)
        if now.seen != edit.seen:
            return await page(who, edit=edit.overtaken(now))
        quiet = {"from": values["quiet_hours.from"], "to": values["quiet_hours.to"]} if values["is_quiet"] else None
        gone = [one.rpartition(":") for one in typed.many("unsubscribed")]
        body = {
            "muted_inbox_ids": values["muted_inbox_ids"],
            "quiet_hours": quiet,
            "unsubscribed": [{"inbox_id": inbox_id, "topic": topic} for inbox_id, _, topic in gone],
        }
        try:
            await services.call(who.token, "notification", "PUT", "me", "notification-preferences", body=body)
        except Problem as problem:
            if not is_refusal(problem):
                raise
            return await page(who, edit=edit.refused(problem))
        return RedirectResponse("/me?done=notifications", 303)

    return routes


def _values(held: Mapping[str, Any]) -> dict[str, Any]:
    quiet = held["quiet_hours"] or _BY_DEFAULT
    return {
        "muted_inbox_ids": held["muted_inbox_ids"],
        "is_quiet": held["quiet_hours"] is not None,
        "quiet_hours.from": quiet["from"],
        "quiet_hours.to": quiet["to"],
        "unsubscribed": [f"{one['inbox_id']}:{one['topic']}" for one in held["unsubscribed"] or ()],
    }
