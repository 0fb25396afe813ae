"""HTTP in: report settings, reports over any range, and asking for one by hand (P3, P4, P7)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Self
from uuid import UUID

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
from reporting import days, recipients, reports, schedule, storage
from reporting.figures import FIGURES, Report, Row
from reporting.recipients import RecipientClass
from reporting.rendering import csv_of, html
from reporting.schedule import ReportKind, ReportNotifications
from service_kit import directory_copy
from service_kit.access import Person, may_administer
from service_kit.auth import Caller, authenticated
from service_kit.clock import Clock, Identify
from service_kit.database import Connection, Database
from service_kit.http import (
    Page,
    PageCursor,
    PageLimit,
    Problem,
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


class AuditBody(BaseModel):
    """One administrative change (A6)."""

    id: str
    at: datetime
    user_id: str
    action: str
    subject: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Seen:
    """An inbox that the caller may see, and whether he may change its settings and send its reports."""

    account_id: str
    user_id: str
    inbox: directory.Inbox
    may_set: bool
    may_send: bool


def router(database: Database, clock: Clock, identify: Identify, grace: timedelta) -> APIRouter:
    """Reporting's endpoints."""
    api = APIRouter(prefix="/v1")

    async def settings_seen(caller: Annotated[Caller, Depends(authenticated)], inbox_id: str) -> Seen:
        async with database.connection() as connection:
            if caller.is_machine:
                inbox = await directory_copy.inbox(connection, caller.account_id, inbox_id)
                if inbox is None:
                    raise not_found("there is no such inbox")
                return Seen(caller.account_id, caller.user_id, inbox, may_set=True, may_send=False)
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

    async def admin(caller: Annotated[Caller, Depends(authenticated)]) -> Person:
        async with database.connection() as connection:
            person = await directory_copy.person(connection, caller)
        if caller.is_machine or not person.is_admin:
            raise forbidden("only an admin may see what was changed")
        return person

    @api.get("/inboxes/{inbox_id}/report-notifications")
    async def get_report_notifications(
        seen: Annotated[Seen, Depends(settings_seen)],
    ) -> ReportNotificationsBody:
        """An inbox's report settings, for whoever is tied to it and for admins."""
        async with database.connection() as connection:
            settings = await storage.report_notifications(connection, seen.account_id, seen.inbox.inbox_id)
        return ReportNotificationsBody.of(settings)

    @api.put("/inboxes/{inbox_id}/report-notifications")
    async def put_report_notifications(
        seen: Annotated[Seen, Depends(settings_set)], body: ReportNotificationsBody
    ) -> ReportNotificationsBody:
        """Set an inbox's report settings. Reports begin with the first day that ends afterwards."""
        after = body.settings()
        now = clock()
        async with database.transaction() as connection:
            before = await storage.report_notifications(connection, seen.account_id, seen.inbox.inbox_id, lock=True)
            await storage.save_report_notifications(connection, seen.account_id, seen.inbox.inbox_id, after)
            await _plan(connection, seen, before, after, now, grace)
            if before != after:
                await storage.add_audit_entry(
                    connection,
                    storage.AuditEntry(
                        account_id=seen.account_id,
                        id=identify(),
                        at=now,
                        user_id=seen.user_id,
                        action="report_notifications.put",
                        subject=f"inbox/{seen.inbox.inbox_id}",
                        before=ReportNotificationsBody.of(before).model_dump(mode="json"),
                        after=ReportNotificationsBody.of(after).model_dump(mode="json"),
                    ),
                )
        return ReportNotificationsBody.of(after)

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
        _require_made(kind)
        first, last = _range(request.query_params)
        async with database.transaction() as connection:
            around = await reports.people(connection, seen.account_id, seen.inbox)
            zone = reports.zone_of(around.account)
            if days.span_of(first, last, zone).is_empty:
                raise not_found(f"{zone.key} has no {first.isoformat()}, and a skipped date has no report")
            settings = await storage.report_notifications(connection, seen.account_id, seen.inbox.inbox_id)
            made = await reports.daily_activity(connection, seen.account_id, around, settings, first, last)
        return _answer(request.headers.get("accept", ""), kind, made)

    @api.post("/inboxes/{inbox_id}/reports/{report}/send", status_code=202)
    async def send_report(seen: Annotated[Seen, Depends(report_sent)], report: str, body: SendBody) -> dict[str, str]:
        """Send a past day's report once to each recipient who has not had it, when what came until now is read."""
        kind = _kind(report)
        _require_made(kind)
        day = _day("date", body.date)
        now = clock()
        async with database.transaction() as connection:
            zone = reports.zone_of(await directory_copy.account(connection, seen.account_id))
            if not days.exists(day, zone):
                raise invalid("date", f"is no date in {zone.key}")
            if not schedule.is_past(day, now, zone):
                raise invalid("date", f"is not over yet in {zone.key}")
            await storage.ask_for_report(connection, seen.account_id, seen.inbox.inbox_id, kind, day, now)
            await storage.add_audit_entry(
                connection,
                storage.AuditEntry(
                    account_id=seen.account_id,
                    id=identify(),
                    at=now,
                    user_id=seen.user_id,
                    action="report.send",
                    subject=f"inbox/{seen.inbox.inbox_id}",
                    before=None,
                    after={"report": kind, "date": day.isoformat()},
                ),
            )
        return {"inbox_id": seen.inbox.inbox_id, "report": kind, "date": day.isoformat()}

    @api.get("/audit/reporting")
    async def get_audit(
        person: Annotated[Person, Depends(admin)], limit: PageLimit = 50, cursor: PageCursor = None
    ) -> Page[AuditBody]:
        """Every administrative change of reporting, newest first, for admins (A6)."""
        async with database.connection() as connection:
            entries = await storage.audit_entries(connection, person.account_id, _entry_id(cursor), limit + 1)
        items = [
            AuditBody(
                id=entry.id,
                at=entry.at,
                user_id=entry.user_id,
                action=entry.action,
                subject=entry.subject,
                before=entry.before,
                after=entry.after,
            )
            for entry in entries[:limit]
        ]
        more = len(entries) > limit
        return Page(items=items, next_cursor=encode_cursor(items[-1].id) if more else None)

    return api


async def _seen(connection: Connection, person: Person, inbox_id: str, *, by_supervisors: bool) -> Seen:
    """The inbox, or 404 for whoever is neither tied to it nor an admin, nor, if that counts, a supervisor (P7)."""
    inbox = await directory_copy.inbox(connection, person.account_id, inbox_id)
    if inbox is None:
        raise not_found("there is no such inbox")
    seen = Seen(
        account_id=person.account_id,
        user_id=person.user_id,
        inbox=inbox,
        may_set=may_administer(person, inbox),
        may_send=person.is_admin,
    )
    if seen.may_set or inbox_id in await directory_copy.ties(connection, person.account_id, person.user_id):
        return seen
    if by_supervisors:
        teams = await directory_copy.entities(connection, directory.Team, person.account_id, list(inbox.agents.teams))
        if recipients.supervises(person.user_id, inbox, teams):
            return seen
    raise not_found("there is no such inbox")


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
        held = await storage.lock_schedule(connection, account_id, inbox_id, kind)
        next_date = schedule.replanned(before, after, kind, held, now, zone)
        if next_date is None:
            await storage.delete_schedule(connection, account_id, inbox_id, kind)
        else:
            due = schedule.due(next_date, after.send_at, zone, grace)
            await storage.save_schedule(connection, account_id, inbox_id, kind, due)


def _kind(report: str) -> ReportKind:
    try:
        return ReportPath(report.replace("_", "-")).kind
    except ValueError:
        raise not_found("there is no such report") from None


def _require_made(kind: ReportKind) -> None:
    if kind not in schedule.SENT:
        raise Problem(501, "Not Implemented", f"{kind} is not made by this version yet")


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


def _entry_id(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    (entry_id,) = decode_cursor(cursor, 1)
    try:
        return str(UUID(entry_id))
    except (ValueError, AttributeError, TypeError):
        raise invalid("cursor", "is not a cursor of this list") from None


def _answer(accept: str, kind: ReportKind, report: Report) -> Response:
    vary = {"Vary": "Accept"}
    match _wanted(accept):
        case "text/csv":
            name = f"{ReportPath(kind.replace('_', '-'))}-{report.inbox_id}-{report.first.isoformat()}.csv"
            return Response(
                csv_of(report),
                media_type="text/csv",
                headers=vary | {"Content-Disposition": f'attachment; filename="{name}"'},
            )
        case "text/html":
            return Response(html(report), media_type="text/html", headers=vary)
        case _:
            return JSONResponse(_document(kind, report), headers=vary)


def _wanted(accept: str) -> str:
    """The first media type of an Accept header that a report comes in; JSON where there is none."""
    for part in accept.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media_type in ("application/json", "text/csv", "text/html") and "q=0" not in parameters:
            return media_type
    return "application/json"


def _document(kind: ReportKind, report: Report) -> dict[str, Any]:
    return {
        "inbox_id": report.inbox_id,
        "report": kind,
        "from": report.first.isoformat(),
        "to": report.last.isoformat(),
        "time_zone": report.time_zone,
        "complete": report.complete,
        "totals": report.totals,
        "previous": report.previous,
        **{section: [_row(row) for row in rows] for section, rows in report.sections.items()},
    }


def _row(row: Row) -> dict[str, Any]:
    return {"key": row.key, "name": row.name, **row.values}


def _description() -> str:
    figures = "\n".join(f"- `{figure.name}` ({figure.unit}): {figure.meaning}" for figure in FIGURES)
    return (
        "A report for `date`, or for `from` to `to` (both included), by days of the account's zone, for admins, "
        "tied users and supervisors of the inbox's teams. JSON unless `Accept` names `text/csv` or `text/html`.\n\n"
        f"{figures}"
    )
