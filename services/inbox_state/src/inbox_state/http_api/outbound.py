"""Texts and calls that people send from an inbox: visible at once, carried out by telephony (I13, I14)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Response
from pydantic import BaseModel, StringConstraints, model_validator

from contracts.communications import CommunicationChanged
from contracts.directory import Line, User
from contracts.fields import Media, RawNumber
from contracts.inbox_events import CallRequested, MessageRequested
from inbox_state import events, outbound, threads
from inbox_state.http_api.models import CommunicationRow, communication_row
from inbox_state.http_api.sight import InboxSight, Sights
from inbox_state.keeping import changes_in, fold_and_save
from inbox_state.outbound import Chosen, NoLine, NotOfThisInbox
from inbox_state.read_state import manual_only_at
from inbox_state.storage import lists, people
from inbox_state.storage import rules as rules_storage
from inbox_state.storage import threads as storage
from service_kit import directory_copy, outbox
from service_kit.clock import Clock, Identify
from service_kit.database import Connection, Database
from service_kit.http import conflict, invalid
from service_kit.publishing import Outgoing

_MESSAGE_EXPIRES_AFTER: Final = timedelta(minutes=10)
_CALL_EXPIRES_AFTER: Final = timedelta(seconds=60)
_MOST_MEDIA: Final = 20

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$")]


class MessageToSend(BaseModel):
    """A text. `from` is one of the inbox's own numbers; chosen when not given (I13)."""

    to: RawNumber
    body: Annotated[str, StringConstraints(max_length=20_000)]
    media: tuple[Media, ...] = ()
    from_: RawNumber | None = None

    model_config = {"validate_by_alias": True, "alias_generator": lambda name: name.rstrip("_")}

    @model_validator(mode="after")
    def _something_to_send(self) -> "MessageToSend":
        if not self.body.strip() and not self.media:
            raise ValueError("body must not be empty when there is no media")
        if len(self.media) > _MOST_MEDIA:
            raise ValueError(f"media must not hold more than {_MOST_MEDIA} files")
        return self


class CallToPlace(BaseModel):
    """A call. `from` is one of the inbox's own numbers; chosen when not given (I13)."""

    to: RawNumber
    from_: RawNumber | None = None

    model_config = {"validate_by_alias": True, "alias_generator": lambda name: name.rstrip("_")}


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asked for, once it is clear with which line and to whom it goes."""

    account_id: str
    inbox_id: str
    line: Line
    contact_number: str
    user_id: str
    communication_id: str
    command_id: str
    requested_at: datetime


def router(database: Database, sights: Sights, clock: Clock, identify: Identify) -> APIRouter:
    """The routes with which connected users write and call."""
    routes = APIRouter(tags=["outbound"])

    @routes.post("/inboxes/{inbox_id}/messages", status_code=202, response_model=CommunicationRow)
    async def send_message(
        sight: Annotated[InboxSight, Depends(sights.inbox_to_act_in)],
        body: MessageToSend,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Send a text from the inbox's own number. It shows at once as `queued`; telephony moves it on."""
        text = body.body.replace("\0", "\ufffd")

        def message(request: Request, thread_id: str) -> tuple[CommunicationChanged, list[Outgoing]]:
            requested = MessageRequested(
                message_id=request.communication_id,
                inbox_id=request.inbox_id,
                line_number=request.line.line_number,
                contact_number=request.contact_number,
                user_id=request.user_id,
                body=text,
                media=body.media,
                requested_at=request.requested_at,
                command_id=request.command_id,
                expires_at=request.requested_at + _MESSAGE_EXPIRES_AFTER,
            )
            return queued(request, "message", text, body.media), [
                events.message_requested(request.account_id, thread_id, requested),
                events.send_message(request.account_id, requested, request.line.telephony_system),
            ]

        return await ask(sight, "messages", body, body.to, body.from_, idempotency_key, message)

    @routes.post("/inboxes/{inbox_id}/calls", status_code=202, response_model=CommunicationRow)
    async def place_call(
        sight: Annotated[InboxSight, Depends(sights.inbox_to_act_in)],
        body: CallToPlace,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Call a contact from the inbox's own number. It shows at once as `queued`; telephony moves it on."""
        async with database.connection() as connection:
            caller = await directory_copy.user(connection, sight.who.account_id, sight.who.user_id)

        def call(request: Request, thread_id: str) -> tuple[CommunicationChanged, list[Outgoing]]:
            requested = CallRequested(
                call_id=request.communication_id,
                inbox_id=request.inbox_id,
                line_number=request.line.line_number,
                contact_number=request.contact_number,
                user_id=request.user_id,
                requested_at=request.requested_at,
                command_id=request.command_id,
                expires_at=request.requested_at + _CALL_EXPIRES_AFTER,
            )
            return queued(request, "call", None, ()), [
                events.call_requested(request.account_id, thread_id, requested),
                events.place_call(request.account_id, requested, request.line.telephony_system, _endpoints(caller)),
            ]

        return await ask(sight, "calls", body, body.to, body.from_, idempotency_key, call)

    async def ask(
        sight: InboxSight,
        what: str,
        body: BaseModel,
        to: str,
        from_: str | None,
        key: str | None,
        make: Callable[[Request, str], tuple[CommunicationChanged, list[Outgoing]]],
    ) -> Response:
        """Keep a request, once per idempotency key, and let telephony and routing know in the same transaction."""
        account_id, inbox_id, user_id = sight.who.account_id, sight.inbox.inbox_id, sight.who.user_id
        communication_id, now = identify(), clock()
        async with database.transaction() as connection:
            if key is not None:
                digest = sha256(f"{what}\n{inbox_id}\n{body.model_dump_json()}".encode()).digest()
                before = await people.claim_request(
                    connection, account_id, user_id, key, digest=digest, communication_id=communication_id, at=now
                )
                if before is not None:
                    if before.digest != digest:
                        raise invalid("Idempotency-Key", "was used for another request")
                    return _accepted(before.answer or "")
            lines = await people.lines_of_inbox(connection, account_id, inbox_id)
            contact_number = outbound.recipient_of(to, lines)
            if contact_number is None:
                raise invalid("to", "is no number that can be answered")
            thread_id = threads.thread_of(account_id, inbox_id, contact_number, communication_id)
            request = Request(
                account_id,
                inbox_id,
                await _line(connection, account_id, thread_id, lines, from_),
                contact_number,
                user_id,
                communication_id,
                identify(),
                now,
            )
            snapshot, outgoings = make(request, thread_id)
            await keep(connection, request, snapshot, outgoings)
            shown = await lists.communication(connection, account_id, communication_id)
            assert shown is not None
            answer = communication_row(shown, sight.inbox.name).model_dump_json()
            if key is not None:
                await people.keep_answer(connection, account_id, user_id, key, answer)
        return _accepted(answer)

    return routes


async def keep(
    connection: Connection, request: Request, snapshot: CommunicationChanged, outgoings: list[Outgoing]
) -> None:
    """Show a requested communication in its thread at once; it is the activity that its echo will not repeat (I7)."""
    account_id, inbox_id = request.account_id, request.inbox_id
    document = snapshot.model_dump_json(exclude_none=True)
    now = threads.communication_of(account_id, snapshot, document)
    opened = (account_id, now.thread_id, inbox_id, request.contact_number)
    await storage.open_threads(connection, [opened])
    touched = await storage.lock_threads(connection, [(account_id, now.thread_id)])
    rules = await rules_storage.rules_of(connection, [(account_id, inbox_id)])
    history = rules[account_id, inbox_id].history
    if not manual_only_at(history, request.requested_at):
        # Who writes here has the whole thread before him.
        now.reads_through = touched[account_id, now.thread_id].newest_attention or None
    await storage.insert_communications(connection, [now])
    await fold_and_save(connection, touched, changes_in(touched, [(None, now)]), rules, request.requested_at)
    await outbox.add(connection, [*outgoings, *(events.thread_changed(thread) for thread in touched.values())])


def queued(request: Request, kind: str, body: str | None, media: tuple[Media, ...]) -> CommunicationChanged:
    """What a request looks like until telephony says more. Any snapshot of routing is newer than version 0."""
    at = request.requested_at
    return CommunicationChanged.model_validate(
        {
            "communication_id": request.communication_id,
            "kind": kind,
            "direction": "outbound",
            "status": "queued",
            "inbox_id": request.inbox_id,
            "line_number": request.line.line_number,
            "contact_number": request.contact_number,
            "user_id": request.user_id,
            "requested_at": at,
            "started_at": at,
            "activity_at": at,
            "received_at": at,
            "body": body,
            "media": media,
            "version": 0,
        }
    )


async def _line(connection: Connection, account_id: str, thread_id: str, lines: list[Line], asked: str | None) -> Line:
    shown = await lists.thread(connection, account_id, thread_id)
    latest = shown.latest.row.line_number if shown else None
    match outbound.choose_line(lines, asked=asked, latest=latest):
        case Chosen(line):
            return line
        case NoLine() as choice:
            raise conflict(outbound.because_of(choice))
        case NotOfThisInbox() as choice:
            raise invalid("from", outbound.because_of(choice))


def _endpoints(user: User | None) -> tuple[str, ...]:
    return user.endpoints if user else ()


def _accepted(answer: str) -> Response:
    return Response(answer, status_code=202, media_type="application/json")
