"""The tabs of one inbox: who is in it, its lines, whom it rings, whom it tells of what, and its automations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console.pages.admin import Done, save
from console.pages.editing import (
    ZONES,
    Edit,
    Times,
    Typed,
    is_refusal,
    known_by_now,
    people_to_choose,
    print_of,
    teams_to_choose,
    utc,
    zone_named,
    zone_of_account,
)
from console.rendering import Renderer
from console.services import Services
from console.visitors import Visitor, Visitors
from service_kit.clock import Clock
from service_kit.http import Problem

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MODES: Final = ("simultaneous", "round_robin", "random", "longest_idle")
KINDS: Final = ("missed_call", "voicemail", "abandoned_call", "inbound_message")
REPORTS: Final = ("daily_activity", "voice_analytics")
RECIPIENTS: Final = ("connected", "watching", "team_supervisors", "team_members")
OUTCOMES: Final = ("queued", "deferred", "sent", "refused", "expired", "withdrawn", "muted", "unsubscribed")
_HOURS_A_DAY: Final = 24
_NOTICES: Final = frozenset(
    {"saved", "created", "deleted", "watcher_added", "watcher_removed", "line_added", "line_removed"}
)
_BY_DEFAULT: Final = {"from": "09:00", "to": "17:00"}


def router(visitors: Visitors, services: Services, renderer: Renderer, clock: Clock) -> APIRouter:
    """The routes of an inbox's tabs."""
    routes = APIRouter(prefix="/admin/inboxes/{inbox_id}")
    somebody = Annotated[Visitor, Depends(visitors.visitor)]

    async def inbox_of(who: Visitor, inbox_id: str) -> tuple[str, dict[str, Any]]:
        headers, inbox = await services.exchange(who.token, "routing", "GET", "inboxes", inbox_id)
        return headers["ETag"], inbox

    def page(
        tab: str, who: Visitor, inbox: Mapping[str, Any], *, done: str = "", status: int = 200, **values: Any
    ) -> HTMLResponse:
        """A tab. What somebody may not change is shown as it is, without buttons; the services are the judges."""
        owner = inbox["kind"] == "personal" and inbox["owner_id"] == who.me["user_id"]
        return renderer.page(
            f"admin/inbox_{tab}.html",
            status=status,
            me=who.me,
            section="admin",
            here="inboxes",
            tab=tab,
            inbox=inbox,
            may_change=who.is_admin or (owner and tab in ("notifications", "reports", "automations")),
            notice=renderer.text(f"admin.done.{done}") if done in _NOTICES else None,
            **values,
        )

    def to(inbox_id: str, tab: str, done: str) -> RedirectResponse:
        return RedirectResponse(f"/admin/inboxes/{quote(inbox_id)}/{tab}?done={done}", 303)

    async def users_of(who: Visitor) -> list[Any]:
        return await services.items(who.token, "routing", "users")

    async def teams_of(who: Visitor) -> list[Any]:
        return await services.items(who.token, "routing", "teams")

    @routes.get("")
    async def first_tab(inbox_id: str, _who: somebody) -> RedirectResponse:
        return RedirectResponse(f"/admin/inboxes/{quote(inbox_id)}/members", 303)

    @routes.get("/settings")
    async def settings(inbox_id: str, who: somebody, done: Done = "") -> HTMLResponse:
        tag, inbox = await inbox_of(who, inbox_id)
        return page("settings", who, inbox, done=done, edit=_general(inbox, tag), zones=ZONES)

    @routes.post("/settings")
    async def change_settings(request: Request, inbox_id: str, who: somebody) -> Response:
        typed = Typed(await request.form())
        _, inbox = await inbox_of(who, inbox_id)
        edit = Edit({"name": typed.text("name"), "time_zone": typed.text("time_zone")}, typed.text("seen"))
        body = {**inbox, "name": edit.values["name"], "time_zone": edit.values["time_zone"] or None}

        async def stored() -> Edit:
            tag, now = await inbox_of(who, inbox_id)
            return _general(now, tag)

        refused = await save(services, renderer.text, who, ("inboxes", inbox_id), body, edit, stored)
        if refused is not None:
            return page("settings", who, inbox, status=422, edit=refused, zones=ZONES)
        return to(inbox_id, "settings", "saved")

    @routes.post("/delete")
    async def delete(request: Request, inbox_id: str, who: somebody) -> Response:
        seen = Typed(await request.form()).text("seen")
        try:
            await services.call(who.token, "routing", "DELETE", "inboxes", inbox_id, headers={"if-match": seen or '""'})
        except Problem as problem:
            if not is_refusal(problem):
                raise
            tag, inbox = await inbox_of(who, inbox_id)
            now = _general(inbox, tag)
            shown = now.overtaken(now) if problem.body.status == 412 else now.refused(problem)
            return page("settings", who, inbox, status=409, edit=shown, zones=ZONES)
        return RedirectResponse("/admin/inboxes?done=deleted", 303)

    async def members_page(
        who: Visitor, inbox_id: str, edit: Edit | None = None, *, watching: Edit | None = None, done: str = ""
    ) -> HTMLResponse:
        tag, inbox = await inbox_of(who, inbox_id)
        members = await services.call(who.token, "routing", "GET", "inboxes", inbox_id, "members")
        users, teams = await users_of(who), await teams_of(who)
        shown = edit or _agents(inbox, tag)
        watched = {watcher["user_id"] for watcher in members["watching"]}
        return page(
            "members",
            who,
            inbox,
            done=done,
            status=422 if edit or watching else 200,
            edit=shown,
            watching=watching or Edit({"user_id": ""}),
            members=members,
            people=people_to_choose(users, shown.values["agents.users"]),
            may_watch=[one for one in people_to_choose(users, []) if one[0] not in watched],
            teams=teams_to_choose(teams),
            through={team["team_id"]: team["members"] for team in teams},
            times=await Times.of(services, who),
        )

    @routes.get("/members")
    async def members(inbox_id: str, who: somebody, done: Done = "") -> HTMLResponse:
        return await members_page(who, inbox_id, done=done)

    @routes.post("/members")
    async def change_agents(request: Request, inbox_id: str, who: somebody) -> Response:
        typed = Typed(await request.form())
        _, inbox = await inbox_of(who, inbox_id)
        users, teams = typed.many("agents.users"), typed.many("agents.teams")
        edit = Edit({"agents.users": users, "agents.teams": teams}, typed.text("seen"))

        async def stored() -> Edit:
            tag, now = await inbox_of(who, inbox_id)
            return _agents(now, tag)

        # A ring layer may name only agents: who leaves the list leaves the layers.
        body = {**inbox, "agents": {"users": users, "teams": teams}, "ring_layers": _among(inbox, users, teams)}
        refused = await save(services, renderer.text, who, ("inboxes", inbox_id), body, edit, stored)
        return to(inbox_id, "members", "saved") if refused is None else await members_page(who, inbox_id, refused)

    @routes.post("/watchers")
    async def add_watcher(request: Request, inbox_id: str, who: somebody) -> Response:
        user_id = Typed(await request.form()).text("user_id")
        edit = Edit({"user_id": user_id})
        if not user_id:
            missing = Edit(edit.values, errors={"user_id": renderer.text("admin.members.choose_watcher")})
            return await members_page(who, inbox_id, watching=missing)
        try:
            await services.call(who.token, "routing", "PUT", "inboxes", inbox_id, "watchers", user_id)
        except Problem as problem:
            if not is_refusal(problem):
                raise
            return await members_page(who, inbox_id, watching=edit.refused(problem))
        return to(inbox_id, "members", "watcher_added")

    @routes.post("/watchers/remove")
    async def remove_watcher(request: Request, inbox_id: str, who: somebody) -> Response:
        user_id = Typed(await request.form()).text("user_id")
        try:
            await services.call(who.token, "routing", "DELETE", "inboxes", inbox_id, "watchers", user_id)
        except Problem as problem:
            if problem.body.status != 404:
                raise
            # He is gone already; or the inbox is not there, which is another answer.
            await inbox_of(who, inbox_id)
        return to(inbox_id, "members", "watcher_removed")

    async def lines_page(who: Visitor, inbox_id: str, *, done: str = "", adding: Edit | None = None) -> HTMLResponse:
        _, inbox = await inbox_of(who, inbox_id)
        lines = await services.items(who.token, "routing", "lines")
        here = [line for line in lines if line["inbox_id"] == inbox_id]
        others = [line for line in lines if line["inbox_id"] != inbox_id]
        names = {}
        if who.is_admin:
            names = {one["inbox_id"]: one["name"] for one in await services.items(who.token, "routing", "inboxes")}
        status = 422 if adding else 200
        adding = adding or Edit({"line_number": ""})
        return page("lines", who, inbox, done=done, status=status, lines=here, others=others, names=names, edit=adding)

    @routes.get("/lines")
    async def lines(inbox_id: str, who: somebody, done: Done = "") -> HTMLResponse:
        return await lines_page(who, inbox_id, done=done)

    @routes.post("/lines")
    async def change_lines(request: Request, inbox_id: str, who: somebody) -> Response:
        typed = Typed(await request.form())
        what = typed.text("do")
        # The line and the version of it that the form showed: one that went elsewhere meanwhile stays there.
        number, _, seen = typed.text("line").partition(" ")
        edit = Edit({"line_number": number})
        if not number:
            missing = Edit(edit.values, errors={"line_number": renderer.text("admin.line.choose")})
            return await lines_page(who, inbox_id, adding=missing)
        changes: dict[str, Any] = {"inbox_id": None, "primary": False}
        if what == "add":
            changes = {"inbox_id": inbox_id, "primary": False}
        elif what == "primary":
            changes = {"primary": True}
        try:
            _, line = await services.exchange(who.token, "routing", "GET", "lines", number)
            if what != "add" and line["inbox_id"] != inbox_id:
                return to(inbox_id, "lines", "saved")
            await services.call(
                who.token,
                "routing",
                "PUT",
                "lines",
                number,
                body={**line, **changes},
                headers={"if-match": f'"{seen}"'},
            )
        except Problem as problem:
            if not is_refusal(problem):
                raise
            refused = edit.refused(problem)
            if problem.body.status == 412:
                refused = replace(edit, message=renderer.text("admin.form.changed"))
            return await lines_page(who, inbox_id, adding=refused)
        return to(inbox_id, "lines", "line_added" if what == "add" else "line_removed" if what == "remove" else "saved")

    async def ringing_page(
        who: Visitor,
        inbox: Mapping[str, Any],
        edit: Edit,
        *,
        done: str = "",
        status: int = 200,
        at: str = "",
    ) -> HTMLResponse:
        users, teams = await users_of(who), await teams_of(who)
        names = {user["user_id"]: user["name"] for user in users}
        zone = zone_named(inbox["time_zone"] or await zone_of_account(services, who.token))
        wrong, when = None, clock()
        if at:
            try:
                when = datetime.fromisoformat(at).replace(tzinfo=zone)
            except ValueError:
                wrong = renderer.text("admin.ringing.no_time")
        plan = await services.call(
            who.token, "routing", "GET", "inboxes", inbox["inbox_id"], "ring-plan", query={"at": utc(when)}
        )
        agents = inbox["agents"]
        return page(
            "ringing",
            who,
            inbox,
            done=done,
            status=status,
            edit=edit,
            plan=plan,
            plan_at=f"{when.astimezone(zone):%Y-%m-%dT%H:%M}",
            plan_wrong=wrong,
            zone=zone.key,
            names=names,
            people=[(user_id, names.get(user_id, user_id)) for user_id in agents["users"]]
            if inbox["kind"] == "connected"
            else [],
            teams=[one for one in teams_to_choose(teams) if one[0] in agents["teams"]],
            zones=ZONES,
            modes=MODES,
            days=DAYS,
        )

    @routes.get("/ringing")
    async def ringing(
        inbox_id: str, who: somebody, done: Done = "", at: Annotated[str, Query(max_length=40)] = ""
    ) -> HTMLResponse:
        tag, inbox = await inbox_of(who, inbox_id)
        return await ringing_page(who, inbox, _ringing(inbox, tag), done=done, at=at)

    @routes.post("/ringing")
    async def change_ringing(request: Request, inbox_id: str, who: somebody) -> Response:
        typed = Typed(await request.form())
        _, inbox = await inbox_of(who, inbox_id)
        edit = Edit(_typed_ringing(typed), typed.text("seen"))
        step = typed.text("do")
        if step:
            # Buttons that add or take away a row: nothing is stored yet.
            return await ringing_page(who, inbox, replace(edit, values=_reshaped(edit.values, step)))
        hours = edit.values["business_hours"]
        empty = {
            f"ring_layers.{place}.users": renderer.text("admin.ringing.choose")
            for place, layer in enumerate(edit.values["ring_layers"])
            if not (layer["users"] or layer["teams"])
        }
        if empty:
            return await ringing_page(who, inbox, replace(edit, errors=empty), status=422)
        body = {
            **inbox,
            "ring_layers": edit.values["ring_layers"],
            "business_hours": hours if edit.values["has_hours"] else None,
        }

        async def stored() -> Edit:
            tag, now = await inbox_of(who, inbox_id)
            return _ringing(now, tag)

        refused = await save(services, renderer.text, who, ("inboxes", inbox_id), body, edit, stored)
        if refused is not None:
            return await ringing_page(who, inbox, refused, status=422)
        return to(inbox_id, "ringing", "saved")

    async def save_setting(
        who: Visitor, service: str, path: Sequence[str], body: Any, edit: Edit, stored: Edit
    ) -> Edit | None:
        """Put a setting that has no tag of its service: what was seen is compared here, right before."""
        if stored.seen != edit.seen:
            return edit.overtaken(stored)
        try:
            await services.call(who.token, service, "PUT", *path, body=body)
        except Problem as problem:
            if not is_refusal(problem):
                raise
            return edit.refused(problem)
        return None

    async def stored_notifications(who: Visitor, inbox_id: str) -> Edit:
        path = ("inboxes", inbox_id, "watcher-notifications")
        held = await known_by_now(services, who.token, "notification", *path)
        return Edit(held, print_of(held))

    @routes.get("/notifications")
    async def notifications(inbox_id: str, who: somebody, done: Done = "") -> HTMLResponse:
        _, inbox = await inbox_of(who, inbox_id)
        edit = await stored_notifications(who, inbox_id)
        return page("notifications", who, inbox, done=done, edit=edit, kinds=KINDS)

    @routes.post("/notifications")
    async def change_notifications(request: Request, inbox_id: str, who: somebody) -> Response:
        typed = Typed(await request.form())
        _, inbox = await inbox_of(who, inbox_id)
        values = {
            "enabled": typed.on("enabled"),
            "events": typed.many("events"),
            "digest_minutes": typed.number("digest_minutes"),
        }
        edit = Edit(values, typed.text("seen"))
        if values["enabled"] and not values["events"]:
            refused: Edit | None = replace(edit, errors={"events": renderer.text("admin.notifications.choose")})
        else:
            path = ("inboxes", inbox_id, "watcher-notifications")
            stored = await stored_notifications(who, inbox_id)
            refused = await save_setting(who, "notification", path, values, edit, stored)
        if refused is not None:
            return page("notifications", who, inbox, status=422, edit=refused, kinds=KINDS)
        return to(inbox_id, "notifications", "saved")

    async def stored_reports(who: Visitor, inbox_id: str) -> Edit:
        path = ("inboxes", inbox_id, "report-notifications")
        held = await known_by_now(services, who.token, "reporting", *path)
        return Edit(_filters(held), print_of(held))

    async def reports_page(
        who: Visitor, inbox: Mapping[str, Any], edit: Edit, *, done: str = "", status: int = 200
    ) -> HTMLResponse:
        lines = await services.items(who.token, "routing", "lines", query={"inbox_id": inbox["inbox_id"]})
        members = await services.call(who.token, "routing", "GET", "inboxes", inbox["inbox_id"], "members")
        teams = await teams_of(who)
        return page(
            "reports",
            who,
            inbox,
            done=done,
            status=status,
            edit=edit,
            kinds=REPORTS,
            classes=RECIPIENTS,
            options_of={
                "lines": _with_chosen(
                    [(line["line_number"], line["name"] or line["line_number"]) for line in lines], edit, "lines"
                ),
                "users": _with_chosen([(one["user_id"], one["name"]) for one in members["connected"]], edit, "users"),
                "teams": _with_chosen(
                    [one for one in teams_to_choose(teams) if one[0] in inbox["agents"]["teams"]], edit, "teams"
                ),
            },
        )

    @routes.get("/reports")
    async def reports(inbox_id: str, who: somebody, done: Done = "") -> HTMLResponse:
        _, inbox = await inbox_of(who, inbox_id)
        return await reports_page(who, inbox, await stored_reports(who, inbox_id), done=done)

    @routes.post("/reports")
    async def change_reports(request: Request, inbox_id: str, who: somebody) -> Response:
        typed = Typed(await request.form())
        _, inbox = await inbox_of(who, inbox_id)
        values: dict[str, Any] = {
            "enabled": typed.on("enabled"),
            "reports": typed.many("reports"),
            "recipients": typed.many("recipients"),
            "send_at": typed.text("send_at"),
        }
        for name in ("lines", "users", "teams"):
            values[f"all_{name}"] = typed.text(f"which_{name}") != "some"
            values[name] = typed.many(name)
        edit = Edit(values, typed.text("seen"))
        errors = {}
        if values["enabled"]:
            errors = {
                name: renderer.text(f"admin.reports.choose_{name}")
                for name in ("reports", "recipients")
                if not values[name]
            }
        for name in ("lines", "users", "teams"):
            if not values[f"all_{name}"] and not values[name]:
                errors[name] = renderer.text("admin.reports.choose_some")
        if errors:
            return await reports_page(who, inbox, replace(edit, errors=errors), status=422)
        body = {name: values[name] for name in ("enabled", "reports", "recipients", "send_at")}
        body |= {name: "all" if values[f"all_{name}"] else values[name] for name in ("lines", "users", "teams")}
        path = ("inboxes", inbox_id, "report-notifications")
        refused = await save_setting(who, "reporting", path, body, edit, await stored_reports(who, inbox_id))
        if refused is not None:
            return await reports_page(who, inbox, refused, status=422)
        return to(inbox_id, "reports", "saved")

    async def stored_automations(who: Visitor, inbox_id: str) -> Edit:
        path = ("inboxes", inbox_id, "automations")
        held = await known_by_now(services, who.token, "inbox_state", *path)
        timer = held["auto_mark_as_read"]
        in_days = timer["after_hours"] % _HOURS_A_DAY == 0
        values = {
            "auto_mark_as_read.enabled": timer["enabled"],
            "auto_mark_as_read.after_hours": timer["after_hours"] // (_HOURS_A_DAY if in_days else 1),
            "unit": "days" if in_days else "hours",
            "manual_mark_as_read_only": held["manual_mark_as_read_only"],
        }
        return Edit(values, print_of(held))

    @routes.get("/automations")
    async def automations(inbox_id: str, who: somebody, done: Done = "") -> HTMLResponse:
        _, inbox = await inbox_of(who, inbox_id)
        return page("automations", who, inbox, done=done, edit=await stored_automations(who, inbox_id))

    @routes.post("/automations")
    async def change_automations(request: Request, inbox_id: str, who: somebody) -> Response:
        typed = Typed(await request.form())
        _, inbox = await inbox_of(who, inbox_id)
        period = typed.number("auto_mark_as_read.after_hours")
        values = {
            "auto_mark_as_read.enabled": typed.on("auto_mark_as_read.enabled"),
            "auto_mark_as_read.after_hours": period,
            "unit": "hours" if typed.text("unit") == "hours" else "days",
            "manual_mark_as_read_only": typed.on("manual_mark_as_read_only"),
        }
        edit = Edit(values, typed.text("seen"))
        hours = period * _HOURS_A_DAY if isinstance(period, int) and values["unit"] == "days" else period
        stated = {"enabled": values["auto_mark_as_read.enabled"], "after_hours": hours}
        body = {"auto_mark_as_read": stated, "manual_mark_as_read_only": values["manual_mark_as_read_only"]}
        path = ("inboxes", inbox_id, "automations")
        refused = await save_setting(who, "inbox_state", path, body, edit, await stored_automations(who, inbox_id))
        if refused is not None:
            if refused.error("auto_mark_as_read.after_hours"):
                told = {"auto_mark_as_read.after_hours": renderer.text("admin.automations.bounds")}
                refused = replace(refused, errors={**refused.errors, **told})
            return page("automations", who, inbox, status=422, edit=refused)
        return to(inbox_id, "automations", "saved")

    @routes.get("/deliveries")
    async def deliveries(
        inbox_id: str,
        who: somebody,
        outcome: Annotated[str, Query(max_length=40)] = "",
        user: Annotated[str, Query(max_length=64)] = "",
        cursor: str | None = None,
    ) -> HTMLResponse:
        _, inbox = await inbox_of(who, inbox_id)
        query = {"outcome": outcome if outcome in OUTCOMES else None, "user": user or None, "cursor": cursor}
        found = await services.call(who.token, "notification", "GET", "inboxes", inbox_id, "deliveries", query=query)
        names = {one["user_id"]: one["name"] for one in await users_of(who)}
        older = None
        # This list leaves out what is null, the cursor of its last page as well.
        if found.get("next_cursor"):
            asked = {"outcome": outcome, "user": user, "cursor": found["next_cursor"]}
            older = f"?{urlencode({name: value for name, value in asked.items() if value})}"
        return page(
            "deliveries",
            who,
            inbox,
            found=found["items"],
            older=older,
            outcome=outcome,
            user=user,
            outcomes=OUTCOMES,
            names=names,
            times=await Times.of(services, who),
        )

    return routes


def _general(inbox: Mapping[str, Any], tag: str) -> Edit:
    return Edit({"name": inbox["name"], "time_zone": inbox["time_zone"] or ""}, tag)


def _agents(inbox: Mapping[str, Any], tag: str) -> Edit:
    return Edit({f"agents.{what}": inbox["agents"][what] for what in ("users", "teams")}, tag)


def _among(inbox: Mapping[str, Any], users: Sequence[str], teams: Sequence[str]) -> list[dict[str, Any]]:
    """The ring layers, cut to these agents; a layer of nobody goes."""
    cut = [
        {
            **layer,
            "users": [user for user in layer["users"] if user in users],
            "teams": [team for team in layer["teams"] if team in teams],
        }
        for layer in inbox["ring_layers"]
    ]
    return [layer for layer in cut if layer["users"] or layer["teams"]]


def _ringing(inbox: Mapping[str, Any], tag: str) -> Edit:
    hours = inbox["business_hours"]
    week = hours or {day: [dict(_BY_DEFAULT)] if day in DAYS[:5] else [] for day in DAYS} | {"closures": []}
    values = {"ring_layers": inbox["ring_layers"], "has_hours": hours is not None, "business_hours": week}
    return Edit(values, tag)


def _typed_ringing(typed: Typed) -> dict[str, Any]:
    layers: list[dict[str, Any]] = []
    while typed.on(f"{(place := f'ring_layers.{len(layers)}')}.mode"):
        layers.append(
            {
                "mode": typed.text(f"{place}.mode"),
                "users": typed.many(f"{place}.users"),
                "teams": typed.many(f"{place}.teams"),
                "ring_seconds": typed.number(f"{place}.ring_seconds"),
            }
        )
    week: dict[str, Any] = {}
    for day in DAYS:
        opens, closes = (
            [value for value in typed.data.getlist(f"business_hours.{day}.{end}") if isinstance(value, str)]
            for end in ("from", "to")
        )
        spans = zip(opens, closes, strict=False)
        week[day] = [{"from": begin, "to": end} for begin, end in spans if begin or end]
    week["closures"] = typed.lines("business_hours.closures")
    return {"ring_layers": layers, "has_hours": typed.text("hours") == "set", "business_hours": week}


def _reshaped(values: Mapping[str, Any], step: str) -> dict[str, Any]:
    """The form after one of its buttons that add, move or take away a row."""
    layers, week = list(values["ring_layers"]), dict(values["business_hours"])
    what, _, which = step.partition(":")
    if what == "add_layer":
        layers.append({"mode": "simultaneous", "users": [], "teams": [], "ring_seconds": 30})
    elif what == "add_span" and which in DAYS:
        week[which] = [*week[which], {"from": "", "to": ""}]
    elif which.isdigit() and int(which) < len(layers):
        place = int(which)
        layer = layers.pop(place)
        if what == "up":
            layers.insert(max(0, place - 1), layer)
    return {**values, "ring_layers": layers, "business_hours": week}


def _filters(held: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: held[name] for name in ("enabled", "reports", "recipients", "send_at")}
    for name in ("lines", "users", "teams"):
        values[f"all_{name}"] = held[name] == "all"
        values[name] = [] if held[name] == "all" else held[name]
    return values


def _with_chosen(options: Sequence[tuple[str, str]], edit: Edit, name: str) -> list[tuple[str, str]]:
    """What can be ticked, and what is ticked already though it is no longer there."""
    known = {one for one, _ in options}
    return [*options, *((one, one) for one in edit.values[name] if one not in known)]
