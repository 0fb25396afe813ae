"""HTTP in: report settings, reports over any range, and asking for one by hand (P3, P4, P7)."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    WithJsonSchema,
)

from contracts import directory
from reporting import days, recipients, reports, schedule, voice
from reporting.figures import FIGURES, Report, Row
from reporting.recipients import RecipientClass
from reporting.rendering import TITLES, csv_of, html
from reporting.schedule import ReportKind, ReportNotifications
from reporting.storage import schedules
from service_kit import audit, directory_copy
from service_kit.access import Person, may_administer
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

LONGEST_RANGE: Final = timedelta(days=366)
_MOST_IN_A_FILTER: Final = 1_000
_SEND_AT: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2999


def _everything_or_named(value: Any) -> tuple[str, ...] | None:
    if value is None or value == "all":
        return None
    named = isinstance(value, list | tuple) and all(isinstance(v, str) and 0 < len(v) <= 64 for v in value)
    if not named or len(value) > _MOST_IN_A_FILTER:
        raise ValueError(f'must be "all" or a list of at most {_MOST_IN_A_FILTER} ids')
    return tuple(dict.fromkeys(value))


def _time_of_day(value: Any) -> time:
    if isinstance(value, time):
        return value
    found = _SEND_AT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a time of day such as 07:00")
    return time(int(found[1]), int(found[2]))


Filter = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(_everything_or_named),
    PlainSerializer(lambda ids: "all" if ids is None else list(ids)),
    WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""`"all"`, or the ids that pass."""

TimeOfDay = Annotated[
    time,
    BeforeValidator(_time_of_day),
    PlainSerializer(lambda at: f"{at:%H:%M}"),
    WithJsonSchema({"type": "string", "pattern": f"^{_SEND_AT.pattern}$", "examples": ["07:00"]}),
]


class ReportNotificationsBody(BaseModel):
    """An inbox's report settings (P1 to P3). What is left out takes its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: StrictBool
    reports: Annotated[tuple[ReportKind, ...], Field(max_length=16)] = tuple(ReportKind)
    recipients: Annotated[tuple[RecipientClass, ...], Field(max_length=16)] = tuple(RecipientClass)
    lines: Filter = None
    users: Filter = None
    teams: Filter = None
    send_at: TimeOfDay = time(7)

    def settings(self) -> ReportNotifications:
        """The settings in the domain's terms; what is named twice counts once."""
        return ReportNotifications(
            enabled=self.enabled,
            reports=tuple(dict.fromkeys(self.reports)),
            recipients=tuple(dict.fromkeys(self.recipients)),
            lines=self.lines,
            users=self.users,
            teams=self.teams,
            send_at=self.send_at,
        )

    @classmethod
    def of(cls, settings: ReportNotifications) -> Self:
        """The settings as they are shown."""
        return cls(
            enabled=settings.enabled,
            reports=settings.reports,
            recipients=settings.recipients,
            lines=settings.lines,
            users=settings.users,
            teams=settings.teams,
            send_at=settings.send_at,
        )


class ReportPath(StrEnum):
    """The reports as paths name them."""

    DAILY_ACTIVITY = "daily-activity"
    VOICE_ANALYTICS = "voice-analytics"

    @property
    def kind(self) -> ReportKind:
        """The same report in settings and events."""
        return ReportKind(self.value.replace("-", "_"))


class SendBody(BaseModel):
    """Which day's report to send."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: str


class ReportedInbox(BaseModel):
    """An inbox whose reports the caller may read."""

    inbox_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Seen:
    """An inbox that the caller may see, and whether he may change its settings, send its reports, read its calls."""

    account_id: str
    user_id: str
    inbox: directory.Inbox
    may_set: bool
    may_send: bool
    may_read: bool


def router(database: Database, clock: Clock, identify: Identify, grace: timedelta) -> APIRouter:
    """Reporting's endpoints."""
    api = APIRouter(prefix="/v1")

    async def settings_seen(caller: Annotated[Caller, Depends(authenticated)], inbox_id: str) -> Seen:
        async with database.connection() as connection:
            if caller.is_machine:
                inbox = await directory_copy.inbox(connection, caller.account_id, inbox_id)
                if inbox is None:
                    raise not_found("there is no such inbox")
                return Seen(caller.account_id, caller.user_id, inbox, may_set=True, may_send=False, may_read=False)
            person = await directory_copy.person(connection, caller)
            return await _seen(connection, person, inbox_id, by_supervisors=False)

    async def settings_set(seen: Annotated[Seen, Depends(settings_seen)]) -> Seen:
        if not seen.may_set:
            raise forbidden("only an admin may change an inbox's report settings")
        return seen

    async def report_seen(caller: Annotated[Caller, Depends(authenticated)], inbox_id: str) -> Seen:
        if caller.is_machine:
            raise forbidden("reports are for people")
        async with database.connection() as connection:
            person = await directory_copy.person(connection, caller)
            return await _seen(connection, person, inbox_id, by_supervisors=True)

    async def report_sent(seen: Annotated[Seen, Depends(report_seen)]) -> Seen:
        if not seen.may_send:
            raise forbidden("only an admin may send a report")
        return seen

    @api.get("/inboxes/{inbox_id}/report-notifications")
    async def get_report_notifications(
        seen: Annotated[Seen, Depends(settings_seen)],
    ) -> ReportNotificationsBody:
        """An inbox's report settings, for whoever is tied to it and for admins."""
        async with database.connection() as connection:
            settings = await schedules.report_notifications(connection, seen.account_id, seen.inbox.inbox_id)
        return ReportNotificationsBody.of(settings)

    @api.put("/inboxes/{inbox_id}/report-notifications")
    async def put_report_notifications(
        seen: Annotated[Seen, Depends(settings_set)], body: ReportNotificationsBody
    ) -> ReportNotificationsBody:
        """Set an inbox's report settings. Reports begin with the first day that ends afterwards."""
        after = body.settings()
        now = clock()
        async with database.transaction() as connection:
            before = await schedules.report_notifications(connection, seen.account_id, seen.inbox.inbox_id, lock=True)
            await schedules.save_report_notifications(connection, seen.account_id, seen.inbox.inbox_id, after)
            await _plan(connection, seen, before, after, now, grace)
            if before != after:
                entry = audit.Entry(
                    id=identify(),
                    at=now,
                    by=seen.user_id,
                    action="changed",
                    entity="report_notifications",
                    entity_id=seen.inbox.inbox_id,
                    before=ReportNotificationsBody.of(before).model_dump(mode="json"),
                    after=ReportNotificationsBody.of(after).model_dump(mode="json"),
                )
                await audit.record(connection, seen.account_id, [entry])
        return ReportNotificationsBody.of(after)

    @api.get("/reports/inboxes")
    async def inboxes_to_report_on(
        caller: Annotated[Caller, Depends(authenticated)], limit: PageLimit = 50, cursor: PageCursor = None
    ) -> Page[ReportedInbox]:
        """The inboxes whose reports the caller may read: for an administrator all, else his own and his teams'."""
        if caller.is_machine:
            raise forbidden("reports are for people")
        after = "" if cursor is None else decode_cursor(cursor, 1)[0]
        if not isinstance(after, str):
            raise invalid("cursor", "is not a cursor of this list")
        async with database.connection() as connection:
            person = await directory_copy.person(connection, caller)
            user_id = None if person.is_admin else person.user_id
            found = await directory_copy.inboxes_to_report_on(connection, person.account_id, user_id, after, limit + 1)
        items = [ReportedInbox(inbox_id=inbox.inbox_id, name=inbox.name) for inbox in found[:limit]]
        return Page(items=items, next_cursor=encode_cursor(items[-1].inbox_id) if len(found) > limit else None)

    @api.get(
        "/inboxes/{inbox_id}/reports/{report}",
        response_class=Response,
        description=_description(),
        responses={200: {"content": {"application/json": {}, "text/csv": {}, "text/html": {}}}},
    )
    async def get_report(
        request: Request,
        seen: Annotated[Seen, Depends(report_seen)],
        report: str,
    ) -> Response:
        kind = _kind(report)
        first, last = _range(request.query_params)
        async with database.transaction() as connection:
            around = await reports.people(connection, seen.account_id, seen.inbox)
            zone = reports.zone_of(around.account)
            if days.span_of(first, last, zone).is_empty:
                raise not_found(f"{zone.key} has no {first.isoformat()}, and a skipped date has no report")
            settings = await schedules.report_notifications(connection, seen.account_id, seen.inbox.inbox_id)
            made = await reports.make(connection, seen.account_id, around, settings, kind, first, last)
        return await _answer(request.headers.get("accept", ""), made if seen.may_read else made.without_contents())

    @api.post("/inboxes/{inbox_id}/reports/{report}/send", status_code=202)
    async def send_report(seen: Annotated[Seen, Depends(report_sent)], report: str, body: SendBody) -> dict[str, str]:
        """Send a past day's report once to each recipient who has not had it, when what came until now is read."""
        kind = _kind(report)
        day = _day("date", body.date)
        now = clock()
        async with database.transaction() as connection:
            zone = reports.zone_of(await directory_copy.account(connection, seen.account_id))
            if not days.exists(day, zone):
                raise invalid("date", f"is no date in {zone.key}")
            if not schedule.is_past(day, now, zone):
                raise invalid("date", f"is not over yet in {zone.key}")
            await schedules.ask_for_report(connection, seen.account_id, seen.inbox.inbox_id, kind, day, now)
            entry = audit.Entry(
                id=identify(),
                at=now,
                by=seen.user_id,
                action="sent",
                entity="report",
                entity_id=seen.inbox.inbox_id,
                before=None,
                after={"report": kind, "date": day.isoformat()},
            )
            await audit.record(connection, seen.account_id, [entry])
        return {"inbox_id": seen.inbox.inbox_id, "report": kind, "date": day.isoformat()}

    api.include_router(audit.routes("/audit/reporting", database, directory_copy.is_admin))
    return api


async def _seen(connection: Connection, person: Person, inbox_id: str, *, by_supervisors: bool) -> Seen:
    """The inbox, or 404 for whoever is neither tied to it nor an admin, nor, if that counts, a supervisor (P7)."""
    inbox = await directory_copy.inbox(connection, person.account_id, inbox_id)
    if inbox is None:
        raise not_found("there is no such inbox")
    is_tied = inbox_id in await directory_copy.ties(connection, person.account_id, person.user_id)
    teams = await directory_copy.entities(connection, directory.Team, person.account_id, list(inbox.agents.teams))
    supervises = by_supervisors and recipients.supervises(person.user_id, inbox, teams)
    seen = Seen(
        account_id=person.account_id,
        user_id=person.user_id,
        inbox=inbox,
        may_set=may_administer(person, inbox),
        may_send=person.is_admin,
        # An administrator sees how it went everywhere, but reads communications only where I2 lets him.
        may_read=is_tied or supervises or (person.is_admin and person.admins_see_all),
    )
    if not (seen.may_set or is_tied or supervises):
        raise not_found("there is no such inbox")
    return seen


async def _plan(
    connection: Connection,
    seen: Seen,
    before: ReportNotifications,
    after: ReportNotifications,
    now: datetime,
    grace: timedelta,
) -> None:
    """Write when each report is due next, now that the settings have changed."""
    account_id, inbox_id = seen.account_id, seen.inbox.inbox_id
    zone = reports.zone_of(await directory_copy.account(connection, account_id))
    for kind in ReportKind:
        held = await schedules.lock_schedule(connection, account_id, inbox_id, kind)
        next_date = schedule.replanned(before, after, kind, held, now, zone)
        if next_date is None:
            await schedules.delete_schedule(connection, account_id, inbox_id, kind)
        else:
            due = schedule.due(next_date, after.send_at, zone, grace)
            await schedules.save_schedule(connection, account_id, inbox_id, kind, due)


def _kind(report: str) -> ReportKind:
    try:
        return ReportPath(report.replace("_", "-")).kind
    except ValueError:
        raise not_found("there is no such report") from None


def _range(query: Mapping[str, str]) -> tuple[date, date]:
    """The dates that a request asks for: `date`, or `from` and `to`, both included."""
    if "date" in query:
        for field in ("from", "to"):
            if field in query:
                raise invalid(field, "can't be given together with date")
        day = _day("date", query["date"])
        return day, day
    if "from" not in query and "to" not in query:
        raise invalid("date", "must be given, or from and to")
    for field in ("from", "to"):
        if field not in query:
            raise invalid(field, "must be given")
    first, last = _day("from", query["from"]), _day("to", query["to"])
    if last < first:
        raise invalid("to", "must not be before from")
    if last - first >= LONGEST_RANGE:
        raise invalid("to", f"must be less than {LONGEST_RANGE.days} days after from")
    return first, last


def _day(field: str, text: str) -> date:
    try:
        day = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise invalid(field, "must be a date such as 2026-03-01")
    return day


async def _answer(accept: str, report: Report) -> Response:
    vary = {"Vary": "Accept"}
    match _wanted(accept):
        case "text/csv":
            name = f"{ReportPath(report.kind.replace('_', '-'))}-{report.inbox_id}-{report.first.isoformat()}.csv"
            return Response(
                csv_of(report),
                media_type="text/csv",
                headers=vary | {"Content-Disposition": f'attachment; filename="{name}"'},
            )
        case "text/html":
            # Drawing takes a good part of a second, in which other requests go on.
            return Response(await asyncio.to_thread(html, report), media_type="text/html", headers=vary)
        case _:
            return JSONResponse(_document(report), headers=vary)


def _wanted(accept: str) -> str:
    """The first media type of an Accept header that a report comes in; JSON where there is none."""
    for part in accept.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media_type in ("application/json", "text/csv", "text/html") and "q=0" not in parameters:
            return media_type
    return "application/json"


def _document(report: Report) -> dict[str, Any]:
    document: dict[str, Any] = {
        "inbox_id": report.inbox_id,
        "report": report.kind,
        "from": report.first.isoformat(),
        "to": report.last.isoformat(),
        "time_zone": report.time_zone,
        "complete": report.complete,
        "totals": report.totals,
        "previous": report.previous,
        **{section: [_row(row) for row in rows] for section, rows in report.sections.items()},
    }
    if report.kind is ReportKind.VOICE_ANALYTICS:
        document |= {
            "topics": [
                {"topic": topic.topic, "calls": topic.calls, "sentiment_score": topic.sentiment_score}
                for topic in report.topics
            ],
            "worth_a_listen": [
                {
                    **_call(report, call),
                    "reasons": [{"reason": reason.name, "words": reason.words} for reason in voice.reasons(call)],
                }
                for call in report.worth_a_listen
            ],
            "summaries": [_call(report, call) for call in report.summaries],
        }
    return document


def _call(report: Report, call: voice.Call) -> dict[str, Any]:
    return {
        "communication_id": call.communication_id,
        "started_at": call.started_at.isoformat().replace("+00:00", "Z"),
        "direction": call.direction,
        "line_number": call.line_number,
        "line_name": report.names.get(call.line_number),
        "user_id": call.user_id,
        "user_name": report.names.get(call.user_id) if call.user_id else None,
        "contact_number": call.contact_number,
        "contact_name": call.contact_name,
        "talk_seconds": call.talk_seconds,
        "held_seconds": call.held_seconds,
        "sentiment_label": call.sentiment_label,
        "sentiment_score": call.sentiment_score,
        "agent_talk_share": call.agent_share,
        "summary": call.summary,
        "analyser": "connected_inbox" if call.is_by_us else "telephony",
    }


def _row(row: Row) -> dict[str, Any]:
    return {"key": row.key, "name": row.name, **row.values}


def _description() -> str:
    figures = "\n\n".join(
        f"{TITLES[kind]}:\n\n"
        + "\n".join(f"- `{one.name}` ({one.unit}): {one.meaning} {one.formula}" for one in figures)
        for kind, figures in FIGURES.items()
    )
    return (
        "A report for `date`, or for `from` to `to` (both included), by days of the account's zone, for admins, "
        "tied users and supervisors of the inbox's teams. JSON unless `Accept` names `text/csv` or `text/html`.\n\n"
        f"{figures}"
    )
