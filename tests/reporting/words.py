"""The words that reporting's tests are written with: an account, its days, its communications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from contracts import directory
from contracts.communications import CommunicationChanged, Participant
from contracts.envelope import Event
from contracts.fields import Data
from contracts.topics import DIRECTORY_EVENTS
from reporting.facts import fact_of
from reporting.http_api import router
from reporting.reports import INPUTS
from reporting.storage import rows
from service_kit import directory_copy, input_progress
from service_kit.auth import Tokens, sign
from service_kit.clock import new_id
from service_kit.consuming import Received
from service_kit.database import Database
from service_kit.http import create_app
from service_kit.settings import TokenSettings
from tests.support import JWT_SECRET

ACCOUNT = "acme"
BERLIN = ZoneInfo("Europe/Berlin")
DAY = date(2026, 3, 13)
NOON = datetime(2026, 3, 13, 11, tzinfo=UTC)
"""Noon in Berlin on `DAY`."""
NEXT_MORNING = datetime(2026, 3, 14, 6, 30, tzinfo=UTC)
"""Half past seven in Berlin on the day after, half an hour after reports go out."""
GRACE = timedelta(minutes=10)

LINE = "+4930100001"
OTHER_LINE = "+4930100002"
CONTACT = "+4915110000001"

USERS = {
    "ada": "admin",
    "anna": "agent",
    "bob": "agent",
    "sue": "agent",
    "wim": "agent",
    "stranger": "agent",
}
TEAMS = {"first": (("anna",), ("sue",)), "second": (("anna", "bob"), ())}


class Ticking:
    """A clock that shows what it is set to."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def received(data: Data, *, type_: str, account_id: str = ACCOUNT, time: datetime = NOON) -> Received[Any]:
    """A decoded record."""
    event = Event(id=new_id(), source="/connected-inbox/tests", type=type_, time=time, account_id=account_id, data=data)
    return Received(event=event, appended_at=time, topic=DIRECTORY_EVENTS.name, partition=0, offset=0)


def the_account(*, time_zone: str = "Europe/Berlin", version: int = 1) -> directory.Account:
    return directory.Account(version=version, name="Acme", time_zone=time_zone)


def the_inbox(inbox_id: str = "support", *, name: str = "Support", version: int = 1) -> directory.Inbox:
    """Anna and Bob are connected through teams that Sue supervises; Wim watches."""
    return directory.Inbox(
        version=version,
        inbox_id=inbox_id,
        name=name,
        kind="connected",
        agents=directory.Agents(teams=tuple(TEAMS)),
        connected=("anna", "bob"),
        watchers=(directory.Watcher(user_id="wim", added_at=NOON - timedelta(days=30)),),
    )


def the_directory(account_id: str = ACCOUNT, *, time_zone: str = "Europe/Berlin") -> list[Received[Any]]:
    """Everything that an account has."""
    snapshots: list[tuple[str, Data]] = [
        (directory.ACCOUNT, the_account(time_zone=time_zone)),
        (directory.INBOX, the_inbox()),
        *(
            (
                directory.USER,
                directory.User(
                    version=1,
                    user_id=user_id,
                    name=user_id.title(),
                    email=f"{user_id}@example.com",
                    role="admin" if role == "admin" else "agent",
                ),
            )
            for user_id, role in USERS.items()
        ),
        *(
            (
                directory.TEAM,
                directory.Team(
                    version=1, team_id=team_id, name=team_id.title(), members=members, supervisors=supervisors
                ),
            )
            for team_id, (members, supervisors) in TEAMS.items()
        ),
        *(
            (directory.LINE, directory.Line(version=1, line_number=number, inbox_id="support", name=name))
            for number, name in ((LINE, "Main"), (OTHER_LINE, None))
        ),
    ]
    return [received(data, type_=type_, account_id=account_id) for type_, data in snapshots]


async def know(database: Database, records: Sequence[Received[Any]]) -> None:
    """Let the service's copy of the directory know these."""
    async with database.transaction() as connection:
        await directory_copy.save(connection, records)


async def keep(database: Database, *snapshots: CommunicationChanged, account_id: str = ACCOUNT) -> None:
    """Let reporting keep these communications."""
    async with database.transaction() as connection:
        await rows.save_communications(connection, [fact_of(account_id, snapshot) for snapshot in snapshots])


async def have_read_through(database: Database, through: datetime, *, partitions: int = 3) -> None:
    """All input is read through this time."""
    async with database.transaction() as connection:
        await input_progress.save(
            connection, {(topic.name, partition): through for topic in INPUTS for partition in range(partitions)}
        )


def a_call(
    communication_id: str,
    started_at: datetime = NOON,
    *,
    direction: Any = "inbound",
    status: Any = "completed",
    waited: float = 10,
    talked: float | None = 60,
    user_id: str | None = "anna",
    participants: tuple[Participant, ...] = (),
    version: int = 1,
    **fields: Any,
) -> CommunicationChanged:
    """A call that somebody answered, unless `talked` is None."""
    answered_at = None if talked is None else started_at + timedelta(seconds=waited)
    ended_at = started_at + timedelta(seconds=waited + (talked or 0))
    unread = direction == "inbound" and talked is None
    return CommunicationChanged.model_validate(
        {
            "communication_id": communication_id,
            "kind": "call",
            "direction": direction,
            "status": status,
            "inbox_id": "support",
            "line_number": LINE,
            "contact_number": CONTACT,
            "user_id": user_id,
            "participants": participants,
            "started_at": started_at,
            "answered_at": answered_at,
            "ended_at": ended_at,
            "activity_at": ended_at,
            "unread_at": ended_at if unread else None,
            "received_at": ended_at,
            "wait_seconds": waited,
            "talk_seconds": talked,
            "version": version,
            **fields,
        }
    )


def a_missed_call(communication_id: str, started_at: datetime = NOON, **fields: Any) -> CommunicationChanged:
    return a_call(communication_id, started_at, **{"status": "missed", "talked": None, "user_id": None, **fields})


def a_message(
    communication_id: str, at: datetime = NOON, *, direction: str = "inbound", **fields: Any
) -> CommunicationChanged:
    """A text from the contact, or with `direction="outbound"` one to him."""
    inbound = direction == "inbound"
    return CommunicationChanged.model_validate(
        {
            "communication_id": communication_id,
            "kind": "message",
            "direction": direction,
            "status": "received" if inbound else "delivered",
            "inbox_id": "support",
            "line_number": LINE,
            "contact_number": CONTACT,
            "started_at": at,
            "activity_at": at,
            "unread_at": at if inbound else None,
            "received_at": at,
            "body": "hello",
            "version": 1,
            **fields,
        }
    )


def an_app(database: Database, clock: Ticking) -> FastAPI:
    """Reporting's HTTP application, with development tokens."""

    async def ready() -> Mapping[str, bool]:
        return {}

    app = create_app("reporting", title="reporting", ready=ready, live=dict)
    app.state.tokens = Tokens(TokenSettings.model_validate({"jwt_secret": JWT_SECRET}), clock)
    app.include_router(router(database, clock, new_id, GRACE))
    return app


def a_client(app: FastAPI) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app), base_url="http://reporting")


def token(user_id: str, clock: Ticking, account_id: str = ACCOUNT) -> dict[str, str]:
    """The `Authorization` header of a person, signed when the clock says."""
    signed = sign(JWT_SECRET, user_id=user_id, account_id=account_id, now=clock.now, lasts=timedelta(hours=1))
    return {"Authorization": f"Bearer {signed}"}
