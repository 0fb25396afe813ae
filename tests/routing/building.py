"""The words that routing's tests are written with: telephony events as the consumer gets them, and a directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from contracts import inbox_events, telephony
from contracts.directory import Account, Agents, Line, Snapshot, Team, User
from contracts.envelope import Event
from contracts.fields import Data
from contracts.topics import INBOX_EVENTS, TELEPHONY_EVENTS
from routing.communications import Communication, Standing, merge, merge_request, snapshot, stand
from routing.directory import Directory, InboxSettings, directory_of
from service_kit.consuming import Received

ACCOUNT = "acme"
LINE = "+12125550190"
CONTACT = "+12125550123"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday."""

_ids = count(1)


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def event(
    type_: str, seconds: float = 0, *, id: str | None = None, account_id: str = ACCOUNT, **data: Any
) -> Event[Any]:
    """A telephony event, so many seconds after noon."""
    model: type[Data] = telephony.EVENTS[f"telephony.{type_}.v1"]
    return Event(
        id=id or f"e{next(_ids)}",
        source="/pbx",
        type=f"telephony.{type_}.v1",
        time=at(seconds),
        account_id=account_id,
        data=model.model_validate(data),
    )


def received(event: Event[Any], *, after: float = 1, appended_at: datetime | None = None) -> Received[Any]:
    """An event as it is consumed; it reached us `after` seconds after it happened, or at `appended_at`."""
    topic = TELEPHONY_EVENTS if event.type in telephony.EVENTS else INBOX_EVENTS
    return Received(event, appended_at or event.time + timedelta(seconds=after), topic.name, 0, 0, b"key")


def inbound(**data: Any) -> dict[str, Any]:
    """Where an inbound call or message takes place."""
    return {"direction": "inbound", "line_number": LINE, "contact_number": CONTACT} | data


def outbound(**data: Any) -> dict[str, Any]:
    """Where an outbound call or message takes place."""
    return inbound(direction="outbound") | data


def started(seconds: float = 0, call_id: str = "c1", **data: Any) -> Event[Any]:
    """An inbound call begins."""
    return event("call.started", seconds, call_id=call_id, **inbound(**data))


def placed(seconds: float = 0, call_id: str = "c1", **data: Any) -> Event[Any]:
    """An outbound call begins."""
    return event("call.started", seconds, call_id=call_id, **outbound(**data))


def ringing(seconds: float, *user_ids: str, call_id: str = "c1", **data: Any) -> Event[Any]:
    """The call rings at users."""
    return event("call.ringing", seconds, call_id=call_id, user_ids=list(user_ids), **data)


def answered(seconds: float, user_id: str | None = "anna", call_id: str = "c1", **data: Any) -> Event[Any]:
    """A person talks to the contact."""
    return event("call.answered", seconds, call_id=call_id, user_id=user_id, **data)


def leg(seconds: float, state: str, user_id: str | None = "anna", call_id: str = "c1", **data: Any) -> Event[Any]:
    """Something becomes of one user's leg."""
    return event("call.leg", seconds, call_id=call_id, leg_id="leg", user_id=user_id, state=state, **data)


def queued(seconds: float, inbox_id: str | None = None, call_id: str = "c1", **data: Any) -> Event[Any]:
    """The caller waits for agents."""
    return event("call.queued", seconds, call_id=call_id, inbox_id=inbox_id, **data)


def ended(seconds: float, outcome: str | None = None, call_id: str = "c1", **data: Any) -> Event[Any]:
    """The contact's leg ends."""
    return event("call.ended", seconds, call_id=call_id, outcome=outcome, **data)


def recorded(seconds: float, call_id: str = "c1", **data: Any) -> Event[Any]:
    """The caller left a recording."""
    recording: dict[str, Any] = {"recording_url": "https://pbx.example/r1", "duration_seconds": 7.5}
    return event("voicemail.recorded", seconds, call_id=call_id, **(recording | data))


def text_in(seconds: float = 0, message_id: str = "m1", body: str = "hello", **data: Any) -> Event[Any]:
    """A text comes in."""
    return event("message.received", seconds, message_id=message_id, body=body, **inbound(**data))


def text_out(seconds: float = 0, message_id: str = "m1", **data: Any) -> Event[Any]:
    """A text goes out."""
    return event("message.sent", seconds, message_id=message_id, **outbound(**data))


def status(seconds: float, status: str, message_id: str = "m1", **data: Any) -> Event[Any]:
    """A text's status is reported."""
    return event("message.status", seconds, message_id=message_id, status=status, **data)


def text_requested(seconds: float = 0, message_id: str = "m1", **data: Any) -> Event[Any]:
    """A connected user asks for a text to be sent."""
    request = {
        "message_id": message_id,
        "inbox_id": "sales",
        "line_number": LINE,
        "contact_number": CONTACT,
        "user_id": "anna",
        "body": "as typed",
        "requested_at": at(seconds),
        "command_id": f"send-{message_id}",
        "expires_at": at(seconds + 600),
    }
    return _requested(inbox_events.MESSAGE_REQUESTED, inbox_events.MessageRequested, request | data)


def call_requested(seconds: float = 0, call_id: str = "c1", **data: Any) -> Event[Any]:
    """A connected user asks for a call to be placed."""
    request = {
        "call_id": call_id,
        "inbox_id": "sales",
        "line_number": LINE,
        "contact_number": CONTACT,
        "user_id": "anna",
        "requested_at": at(seconds),
        "command_id": f"call-{call_id}",
        "expires_at": at(seconds + 60),
    }
    return _requested(inbox_events.CALL_REQUESTED, inbox_events.CallRequested, request | data)


def _requested(type_: str, model: type[Data], data: dict[str, Any]) -> Event[Any]:
    return Event(
        id=f"e{next(_ids)}",
        source="/connected-inbox/inbox_state",
        type=type_,
        time=data["requested_at"],
        account_id=ACCOUNT,
        data=model.model_validate(data),
    )


def user(user_id: str, **settings: Any) -> User:
    """A user."""
    base: dict[str, Any] = {"name": user_id.title(), "email": f"{user_id}@acme.example", "role": "agent"}
    return User(version=1, user_id=user_id, **(base | settings))


def inbox(inbox_id: str, *connected: str, **settings: Any) -> InboxSettings:
    """An inbox that these users work."""
    base: dict[str, Any] = {"name": inbox_id.title(), "kind": "connected", "agents": Agents(users=connected)}
    return InboxSettings(version=1, inbox_id=inbox_id, **(base | {"connected": connected} | settings))


def a_directory(*more: Snapshot, fallback: str | None = None) -> Directory:
    """Anna and Ben in `sales`, Chloe in `support`; the line leads to `sales`."""
    return directory_of(
        ACCOUNT,
        [
            Account(version=1, name="Acme", time_zone="Europe/Berlin", fallback_inbox_id=fallback),
            user("anna", endpoints=("sip:1001@pbx",)),
            user("ben"),
            user("chloe"),
            Team(version=1, team_id="night", name="Night", members=("chloe",)),
            inbox("sales", "anna", "ben"),
            inbox("support", "chloe"),
            Line(version=1, line_number=LINE, inbox_id="sales"),
            *more,
        ],
    )


def folded(
    facts: Sequence[Event[Any] | Received[Any]], directory: Directory | None = None
) -> tuple[Communication, Standing]:
    """The communication that events make, one after another."""
    known = directory or a_directory()
    communication = Communication(ACCOUNT, "c1")
    for fact in facts:
        one = fact if isinstance(fact, Received) else received(fact)
        if one.event.type in telephony.EVENTS:
            merge(communication, one.event, one.appended_at, known)
        else:
            merge_request(communication, one.event.data)
    return communication, stand(communication, known)


def shown(*facts: Event[Any] | Received[Any], directory: Directory | None = None) -> dict[str, Any]:
    """The snapshot that events make."""
    return snapshot(*folded(facts, directory))
