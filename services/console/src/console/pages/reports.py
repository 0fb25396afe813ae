"""Reports: daily activity and voice analytics of any day or range, in the console's frame, as CSV, and to print."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console.pages.editing import Edit, Typed, is_refusal, zone_named, zone_of_account
from console.rendering import Renderer
from console.services import Services
from console.visitors import Visitor, Visitors
from service_kit.clock import Clock
from service_kit.http import Problem, not_found

KINDS: Final = ("daily-activity", "voice-analytics")
_FRAMED: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; base-uri 'none'; "
    "form-action 'none'"
)
"""For the report itself, which has styles of its own and pictures within, and no script may run in it."""
_NOTICES: Final = frozenset({"sent"})

Text = Annotated[str, Query(max_length=40)]


def router(visitors: Visitors, services: Services, renderer: Renderer, clock: Clock) -> APIRouter:
    """The routes of reports."""
    routes = APIRouter(prefix="/reports")
    somebody = Annotated[Visitor, Depends(visitors.visitor)]

    async def inboxes_of(who: Visitor) -> list[tuple[str, str]]:
        """An administrator's are all, anybody else's those that he is tied to or whose teams he supervises."""
        found = await services.items(who.token, "reporting", "reports", "inboxes")
        return [(inbox["inbox_id"], inbox["name"]) for inbox in sorted(found, key=lambda one: one["name"].casefold())]

    async def yesterday(who: Visitor) -> date:
        zone = zone_named(await zone_of_account(services, who.token))
        return clock().astimezone(zone).date() - timedelta(days=1)

    @routes.get("")
    async def choose(who: somebody, request: Request, inbox: Annotated[str, Query(max_length=64)] = "") -> Response:
        """Where the choice of an inbox, a report and its days leads."""
        query = request.query_params
        known = await inboxes_of(who)
        if not known and not inbox:
            return renderer.page("reports/none.html", me=who.me, section="reports")
        kind = query.get("report", KINDS[0])
        first, last = query.get("from", ""), query.get("to", "")
        span = _query(first or last, last or first) if first or last else {"date": (await yesterday(who)).isoformat()}
        chosen = quote(inbox or known[0][0], safe="")
        return RedirectResponse(f"/reports/{chosen}/{quote(kind, safe='')}?{urlencode(span)}", 303)

    async def report_page(
        who: Visitor, inbox_id: str, kind: str, asked: Mapping[str, str], *, done: str = "", told: str | None = None
    ) -> HTMLResponse:
        if kind not in KINDS:
            raise not_found(renderer.text("reports.no_such"))
        known = await inboxes_of(who)
        edit = Edit(
            {"from": asked.get("date") or asked.get("from", ""), "to": asked.get("date") or asked.get("to", "")}
        )
        document: Mapping[str, Any] | None = None
        try:
            document = await services.call(
                who.token, "reporting", "GET", "inboxes", inbox_id, "reports", kind, query=asked
            )
        except Problem as problem:
            skipped = problem.body.status == 404 and inbox_id in dict(known) and _day(asked.get("date")) is not None
            if not (is_refusal(problem) or skipped):
                raise
            edit = edit.refused(problem)
            if asked.get("date") and edit.errors:
                edit = Edit(edit.values, errors={"from": edit.errors.get("date", next(iter(edit.errors.values())))})
        until = await yesterday(who)
        first, last = _day(edit.values["from"]), _day(edit.values["to"])
        return renderer.page(
            "reports/report.html",
            status=200 if document is not None else 422,
            me=who.me,
            section="reports",
            notice=renderer.text(f"reports.done.{done}") if done in _NOTICES else None,
            told=told,
            inbox_id=inbox_id,
            inboxes=known if inbox_id in dict(known) else [*known, (inbox_id, inbox_id)],
            inbox_name=dict(known).get(inbox_id, inbox_id),
            kind=kind,
            kinds=KINDS,
            edit=edit,
            document=document,
            here=f"/reports/{quote(inbox_id, safe='')}",
            query=urlencode(asked),
            before=_beside(first, last, -1),
            after=_beside(first, last, 1),
            is_day=first is not None and first == last,
            spans=_spans(until),
            may_send=who.is_admin and first is not None and first == last and first <= until,
        )

    @routes.get("/{inbox_id}/{kind}")
    async def report(request: Request, inbox_id: str, kind: str, who: somebody, done: Text = "") -> Response:
        asked = {name: value for name in ("date", "from", "to") if (value := request.query_params.get(name))}
        if not asked:
            day = (await yesterday(who)).isoformat()
            return RedirectResponse(f"/reports/{quote(inbox_id, safe='')}/{quote(kind, safe='')}?date={day}", 303)
        return await report_page(who, inbox_id, kind, asked, done=done)

    async def rendered(who: Visitor, inbox_id: str, kind: str, request: Request, media_type: str) -> tuple[Any, Any]:
        asked = {name: value for name in ("date", "from", "to") if (value := request.query_params.get(name))}
        return await services.exchange(
            who.token,
            "reporting",
            "GET",
            "inboxes",
            inbox_id,
            "reports",
            kind,
            query=asked,
            headers={"accept": media_type},
        )

    @routes.get("/{inbox_id}/{kind}/page")
    async def alone(request: Request, inbox_id: str, kind: str, who: somebody) -> Response:
        """The report as the service draws it, for the frame and for the printer."""
        _, content = await rendered(who, inbox_id, kind, request, "text/html")
        return HTMLResponse(
            content,
            headers={
                "Content-Security-Policy": _FRAMED,
                "X-Frame-Options": "SAMEORIGIN",
                "Cache-Control": "no-store",
            },
        )

    @routes.get("/{inbox_id}/{kind}/csv")
    async def table(request: Request, inbox_id: str, kind: str, who: somebody) -> Response:
        headers, content = await rendered(who, inbox_id, kind, request, "text/csv")
        given = {"Content-Disposition": headers.get("Content-Disposition", "attachment"), "Cache-Control": "no-store"}
        return Response(content, media_type="text/csv", headers=given)

    @routes.post("/{inbox_id}/{kind}/send")
    async def send(request: Request, inbox_id: str, kind: str, who: somebody) -> Response:
        day = Typed(await request.form()).text("date")
        path = ("inboxes", inbox_id, "reports", kind, "send")
        try:
            await services.call(who.token, "reporting", "POST", *path, body={"date": day})
        except Problem as problem:
            if not is_refusal(problem):
                raise
            return await report_page(who, inbox_id, kind, {"date": day}, told=problem.body.detail)
        here = f"/reports/{quote(inbox_id, safe='')}/{quote(kind, safe='')}"
        return RedirectResponse(f"{here}?{urlencode({'date': day, 'done': 'sent'})}", 303)

    return routes


def _query(first: str, last: str) -> dict[str, str]:
    return {"date": first} if first == last else {"from": first, "to": last}


def _day(text: str | None) -> date | None:
    try:
        return datetime.strptime(text or "", "%Y-%m-%d").date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        return None


def _beside(first: date | None, last: date | None, step: int) -> str | None:
    """The query of as many days before or after."""
    if first is None or last is None or last < first:
        return None
    by = (last - first + timedelta(days=1)) * step
    try:
        return urlencode(_query((first + by).isoformat(), (last + by).isoformat()))
    except OverflowError:
        return None


def _spans(until: date) -> dict[str, str]:
    """The spans that people ask for most, up to the last whole day."""

    def days(count: int) -> str:
        return urlencode(_query((until - timedelta(days=count - 1)).isoformat(), until.isoformat()))

    return {"yesterday": days(1), "week": days(7), "month": days(30)}
