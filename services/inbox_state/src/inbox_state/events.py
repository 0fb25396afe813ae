"""What inbox_state says to others: its events, made from its own state (contract §2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import orjson

from contracts import commands, inbox_events
from contracts.commands import Command, PlaceCall, SendMessage
from contracts.envelope import Event
from contracts.fields import key_of
from contracts.inbox_events import AutoMarkAsRead, AutomationsChanged, CallRequested, ContactNamed, MessageRequested
from contracts.topics import INBOX_EVENTS, TELEPHONY_COMMANDS
from inbox_state.automations import Automations
from inbox_state.threads import Thread
from service_kit.publishing import Outgoing, outgoing

SOURCE: Final = "/connected-inbox/inbox_state"
_SOURCE_HEADER: Final = ("ce_source", SOURCE.encode())
_SPECVERSION_HEADER: Final = ("ce_specversion", b"1.0")
_JSON_HEADER: Final = ("content-type", b"application/json")
_THREAD_CHANGED_HEADER: Final = ("ce_type", inbox_events.THREAD_CHANGED.encode())
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def thread_changed(thread: Thread, traceparent: str | None = None) -> Outgoing:
    """A thread as it now is (`ThreadChanged`). The same version makes the same bytes, so that a repetition is one.

    Only `traceparent` may differ: the trace that the change belongs to.

    Encoded by hand, since one follows from nearly every record; a test holds it to the model.
    """
    version = thread.version
    data: dict[str, object] = {
        "thread_id": thread.thread_id,
        "inbox_id": thread.inbox_id,
        "contact_number": thread.contact_number,
        "unread": thread.unread,
        "active_calls": thread.active_calls,
        "version": version,
    }
    if thread.last_activity_at is not None:
        data["last_activity_at"] = thread.last_activity_at
    headers = [
        _SPECVERSION_HEADER,
        ("ce_id", f"{thread.thread_id}/{version}".encode()),
        _SOURCE_HEADER,
        _THREAD_CHANGED_HEADER,
        ("ce_time", _time_of(version)),
        ("ce_accountid", thread.account_id.encode()),
        _JSON_HEADER,
    ]
    if traceparent is not None:
        headers.append(("ce_traceparent", traceparent.encode()))
    return Outgoing(
        topic=INBOX_EVENTS.name,
        key=f"{thread.account_id}/{thread.thread_id}".encode(),
        value=orjson.dumps(data),
        headers=headers,
    )


@lru_cache(maxsize=100)
def _time_of(version: int) -> bytes:
    # Threads that change together get their versions from one moment.
    return (_EPOCH + timedelta(microseconds=version)).isoformat().encode()


def automations_changed(account_id: str, inbox_id: str, automations: Automations, at: datetime) -> Outgoing:
    """An inbox's automations as they are from `at` on."""
    return outgoing(
        INBOX_EVENTS,
        key_of(account_id, inbox_id),
        Event(
            id=f"{inbox_id}/automations/{at.isoformat()}",
            source=SOURCE,
            type=inbox_events.AUTOMATIONS_CHANGED,
            time=at,
            account_id=account_id,
            data=AutomationsChanged(
                inbox_id=inbox_id,
                auto_mark_as_read=AutoMarkAsRead(
                    enabled=automations.auto_mark_enabled, after_hours=automations.auto_mark_after_hours
                ),
                manual_mark_as_read_only=automations.manual_mark_as_read_only,
                changed_at=at,
            ),
        ),
    )


def message_requested(account_id: str, thread_id: str, requested: MessageRequested) -> Outgoing:
    """A fact for routing: somebody asked for a text to be sent (I14)."""
    return _requested(account_id, thread_id, inbox_events.MESSAGE_REQUESTED, requested.message_id, requested)


def call_requested(account_id: str, thread_id: str, requested: CallRequested) -> Outgoing:
    """A fact for routing: somebody asked for a call to be placed (I14)."""
    return _requested(account_id, thread_id, inbox_events.CALL_REQUESTED, requested.call_id, requested)


def _requested(
    account_id: str, thread_id: str, event_type: str, event_id: str, requested: MessageRequested | CallRequested
) -> Outgoing:
    event = Event(
        id=event_id,
        source=SOURCE,
        type=event_type,
        time=requested.requested_at,
        account_id=account_id,
        data=requested,
        origin_at=requested.requested_at,
    )
    return outgoing(INBOX_EVENTS, key_of(account_id, thread_id), event)


def send_message(account_id: str, requested: MessageRequested, system: str) -> Outgoing:
    """The command that makes the line's telephony system send the text."""
    command = SendMessage(
        command_id=requested.command_id,
        system=system,
        expires_at=requested.expires_at,
        message_id=requested.message_id,
        from_number=requested.line_number,
        to_number=requested.contact_number,
        body=requested.body,
        media=requested.media,
        user_id=requested.user_id,
    )
    return _commanded(account_id, requested.message_id, commands.SEND_MESSAGE, requested.requested_at, command)


def place_call(account_id: str, requested: CallRequested, system: str, endpoints: tuple[str, ...]) -> Outgoing:
    """The command that makes the line's telephony system connect the user, at his endpoints, with the contact."""
    command = PlaceCall(
        command_id=requested.command_id,
        system=system,
        expires_at=requested.expires_at,
        call_id=requested.call_id,
        from_number=requested.line_number,
        to_number=requested.contact_number,
        user_id=requested.user_id,
        endpoints=endpoints,
    )
    return _commanded(account_id, requested.call_id, commands.PLACE_CALL, requested.requested_at, command)


def _commanded(account_id: str, communication_id: str, event_type: str, at: datetime, command: Command) -> Outgoing:
    event = Event(
        id=command.command_id,
        source=SOURCE,
        type=event_type,
        time=at,
        account_id=account_id,
        data=command,
        # Nobody wants a call placed, or a text sent, that has waited for a broker until it was forgotten.
        expires_at=command.expires_at,
    )
    return outgoing(TELEPHONY_COMMANDS, key_of(communication_id), event)


def contact_named(account_id: str, number: str, name: str, at: datetime, event_id: str) -> Outgoing:
    """A contact has a name that beats what telephony says (I17)."""
    return outgoing(
        INBOX_EVENTS,
        key_of(account_id, number),
        Event(
            id=event_id,
            source=SOURCE,
            type=inbox_events.CONTACT_NAMED,
            time=at,
            account_id=account_id,
            data=ContactNamed(contact_number=number, name=name, named_at=at),
        ),
    )
