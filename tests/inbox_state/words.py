"""The words that tests of inbox_state are written with: an office, its snapshots, and whoever looks at them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx

from contracts import communications, directory
from contracts.communications import CommunicationChanged
from contracts.directory import Account, Agents, Inbox, Line, Snapshot, User, Watcher
from contracts.envelope import Event
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS
from inbox_state.consumer import condensed, handlers
from inbox_state.timers import timers
from service_kit.consuming import Outcome, Received
from service_kit.database import Database
from tests.support import bearer

ACCOUNT = "acme"
NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CUSTOMER = "+15550123001"
NEIGHBOUR = "+15550123002"
SALES_LINE = "+15550100001"
SALES_SECOND_LINE = "+15550100002"
SUPPORT_LINE = "+15550100003"

_offsets = count()


def at(minutes: float) -> datetime:
    """So many minutes after nine on the tests' day."""
    return NINE + timedelta(minutes=minutes)


@dataclass
class HandClock:
    """A clock that stands until it is set."""

    now: datetime = field(default_factory=lambda: at(60))

    def __call__(self) -> datetime:
        return self.now


def snapshot(id: str, minutes: float, **given: Any) -> CommunicationChanged:
    """A communication as routing says it is; whatever is not given is an inbound text to Sales."""
    when = at(minutes)
    fields: dict[str, Any] = {
        "communication_id": id,
        "kind": "message",
        "direction": "inbound",
        "status": "received",
        "inbox_id": "sales",
        "line_number": SALES_LINE,
        "contact_number": CUSTOMER,
        "started_at": when,
        "activity_at": when,
        "received_at": when,
        "version": 1,
    }
    return CommunicationChanged.model_validate(fields | given)


def a_text(id: str, minutes: float, **given: Any) -> CommunicationChanged:
    """A contact's text."""
    return snapshot(id, minutes, **{"body": f"text {id}", "unread_at": at(minutes)} | given)


def a_reply(id: str, minutes: float, by: str | None = "anna", **given: Any) -> CommunicationChanged:
    """A text that an agent sent with a telephone of his own; `by=None`: an automatic one."""
    return snapshot(id, minutes, **{"direction": "outbound", "status": "sent", "user_id": by, "body": "reply"} | given)


def a_ringing_call(id: str, minutes: float, **given: Any) -> CommunicationChanged:
    """A contact's call that nobody has answered yet."""
    return snapshot(id, minutes, **{"kind": "call", "status": "ringing"} | given)


def an_answered_call(id: str, minutes: float, by: str = "anna", **given: Any) -> CommunicationChanged:
    """A contact's call that somebody talks in."""
    return snapshot(
        id, minutes, **{"kind": "call", "status": "in_progress", "user_id": by, "answered_at": at(minutes)} | given
    )


def a_missed_call(id: str, minutes: float, status: str = "missed", **given: Any) -> CommunicationChanged:
    """A contact's call that ended without a person."""
    return snapshot(
        id, minutes, **{"kind": "call", "status": status, "ended_at": at(minutes), "unread_at": at(minutes)} | given
    )


def newer(of: CommunicationChanged, **changes: Any) -> CommunicationChanged:
    """The next version of a communication."""
    return CommunicationChanged.model_validate(of.model_dump() | {"version": of.version + 1} | changes)


def received(
    data: CommunicationChanged | Snapshot, account_id: str = ACCOUNT, origin_at: datetime | None = None
) -> Received[Any]:
    """A record as the kit hands it over."""
    types: Mapping[type[Any], str] = {
        CommunicationChanged: communications.CHANGED,
        Account: directory.ACCOUNT,
        User: directory.USER,
        Line: directory.LINE,
        Inbox: directory.INBOX,
    }
    offset = next(_offsets)
    event = Event(
        id=str(offset),
        source="/connected-inbox/routing",
        type=types[type(data)],
        time=NINE,
        account_id=account_id,
        data=data,
        origin_at=origin_at,
    )
    return Received(event, NINE, "any", 0, offset)


def consumed(data: CommunicationChanged, account_id: str = ACCOUNT, origin_at: datetime | None = None) -> Received[Any]:
    """A communication's record as the kit hands it over: condensed."""
    one = received(data, account_id, origin_at)
    one.event.data = condensed(one.event)
    return one


def a_user(user_id: str, version: int = 1, **given: Any) -> User:
    """A person of the account, an agent unless it is said otherwise."""
    fields: dict[str, Any] = {"name": user_id.title(), "email": f"{user_id}@acme.example", "role": "agent"}
    return User.model_validate({"user_id": user_id, "version": version} | fields | given)


def the_sales_inbox(version: int = 1, **given: Any) -> Inbox:
    """Sales: worked by Anna and Bert, watched by Wilma."""
    fields: dict[str, Any] = {
        "inbox_id": "sales",
        "name": "Sales",
        "kind": "connected",
        "agents": Agents(users=("anna", "bert")),
        "connected": ("anna", "bert"),
        "watchers": (Watcher(user_id="wilma", added_at=NINE),),
        "version": version,
    }
    return Inbox.model_validate(fields | given)


def the_office() -> list[Snapshot]:
    """Anna and Bert work Sales, Wilma watches it; Sue works Support; Anna has an inbox of her own; Adam administers."""
    return [
        Account(version=1, name="Acme", time_zone="Europe/Berlin"),
        a_user("anna", endpoints=("sip:1001@pbx",)),
        a_user("bert"),
        a_user("wilma"),
        a_user("sue"),
        a_user("adam", role="admin"),
        a_user("gone", active=False),
        the_sales_inbox(),
        Inbox(version=1, inbox_id="support", name="Support", kind="connected", connected=("sue",)),
        Inbox(version=1, inbox_id="annas", name="Anna", kind="personal", owner_id="anna", connected=("anna",)),
        Line(version=1, line_number=SALES_LINE, inbox_id="sales", telephony_system="pbx"),
        Line(version=1, line_number=SALES_SECOND_LINE, inbox_id="sales", primary=True),
        Line(version=1, line_number=SUPPORT_LINE, inbox_id="support"),
    ]


@dataclass
class Office:
    """inbox_state at work in the office: what Kafka would deliver, and whoever calls over HTTP."""

    database: Database
    clock: HandClock
    app: Any

    async def learn(self, *snapshots: Snapshot, account_id: str = ACCOUNT) -> None:
        """Take in directory snapshots."""
        handle = handlers(self.database, self.clock)[DIRECTORY_EVENTS].handle
        await handle([received(one, account_id) for one in snapshots])

    async def deliver(self, *snapshots: CommunicationChanged, account_id: str = ACCOUNT) -> Outcome:
        """Take in communications as one batch; what follows from it is returned."""
        handle = handlers(self.database, self.clock)[COMMUNICATION_EVENTS].handle
        return await handle([consumed(one, account_id) for one in snapshots])

    async def tick(self) -> None:
        """Let the timers do all that is due."""
        for timer in timers(self.database, self.clock, timedelta(seconds=60)):
            while await timer.work():
                pass

    def as_(self, user_id: str, *, scope: str = "", account_id: str = ACCOUNT) -> httpx.AsyncClient:
        """Whoever calls the API."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app),
            base_url="http://inbox-state",
            headers=bearer(user_id, account_id, scope=scope),
        )

    async def threads(self, user_id: str = "anna", inbox: str = "sales", **query: Any) -> list[dict[str, Any]]:
        """The list as somebody sees it, its first page."""
        answer = await self.as_(user_id).get(f"/v1/inboxes/{inbox}/threads", params=query)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def the_thread(self, user_id: str = "anna") -> dict[str, Any]:
        """The only thread of Sales."""
        (only,) = await self.threads(user_id)
        return only

    async def unread(self, user_id: str = "anna", inbox: str = "sales") -> int:
        """How much is unread in an inbox, as somebody's panel says."""
        answer = await self.as_(user_id).get("/v1/panel")
        return int({row["inbox_id"]: row for row in answer.json()["items"]}[inbox]["unread"])


def ids_of(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """The latest communication of each row, or the row's own id."""
    return [(item.get("latest") or item)["communication_id"] for item in items]
