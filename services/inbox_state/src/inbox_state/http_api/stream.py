"""The live stream, and tickets for those who can't send a header with it (I15)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel

from inbox_state import live
from inbox_state.http_api.broadcast import Broadcast
from inbox_state.http_api.sight import Sights
from inbox_state.http_api.streams import EventStream
from inbox_state.http_api.views import ALL
from inbox_state.live import Moment
from inbox_state.storage import live as storage
from service_kit.access import Person
from service_kit.auth import Caller, authenticated, unauthenticated
from service_kit.clock import Clock
from service_kit.database import Database
from service_kit.http import invalid

_TICKET_LASTS: Final = timedelta(seconds=30)

LastId = Annotated[str, Query(max_length=1_000, description="The id of the last event seen: resumes after it.")]


class Ticket(BaseModel):
    """Opens one stream, as `?ticket=`, until `expires_at`."""

    ticket: str
    expires_at: datetime


class Opening:
    """Somebody who may open a stream, and the one inbox that it is to be for."""

    def __init__(self, who: Person, wanted: str | None, expires_at: datetime) -> None:
        self.who = who
        self.wanted = wanted
        self.expires_at = expires_at


def router(
    database: Database, sights: Sights, clock: Clock, draw_secret: Callable[[], str], broadcast: Broadcast
) -> APIRouter:
    """The routes of what is live."""
    routes = APIRouter(tags=["live"])

    async def caller_of(request: Request, ticket: Annotated[str | None, Query(max_length=200)] = None) -> Caller:
        if not ticket:
            caller = await authenticated(request)
        else:
            async with database.connection() as connection:
                taken = await storage.take_ticket(connection, _digest(ticket), clock())
            if taken is None:
                raise unauthenticated("the ticket was used, has expired, or never was")
            account_id, user_id, expires_at = taken
            caller = Caller(account_id, user_id, frozenset(), expires_at)
        if caller.expires_at <= clock():
            raise unauthenticated("the token has expired")
        return caller

    async def opening(caller: Annotated[Caller, Depends(caller_of)], inbox_id: str | None = None) -> Opening:
        if not inbox_id or inbox_id == ALL:
            return Opening(await sights.person(caller), None, caller.expires_at)
        sight = await sights.inbox(inbox_id, caller)
        return Opening(sight.who, inbox_id, caller.expires_at)

    @routes.get(
        "/stream",
        response_class=Response,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "Server-sent events, until either ends."}
        },
    )
    async def stream(
        request: Request,
        to: Annotated[Opening, Depends(opening)],
        after: LastId = "",
        last_event_id: Annotated[str, Header(max_length=1_000)] = "",
    ) -> EventStream:
        """What changes, as it changes: `thread`, `communication`, `gone` and `reset` events, each with an `id`.

        All inboxes of the caller, or the one that is named. `Last-Event-ID`, or `after`, resumes.
        """
        since = _moment("Last-Event-ID", last_event_id) or _moment("after", after)
        hang_up = partial(request.app.state.hang_up, request.scope)
        client = broadcast.open(to.who.account_id, to.who.user_id, to.wanted, since, hang_up)
        seconds = (to.expires_at - clock()).total_seconds()
        return EventStream(client, seconds, broadcast.heartbeat, broadcast.closed)

    @routes.post("/stream/tickets", status_code=201)
    async def make_ticket(
        caller: Annotated[Caller, Depends(authenticated)], who: Annotated[Person, Depends(sights.person)]
    ) -> Ticket:
        """A ticket for browsers, whose EventSource sends no header: good for one stream of the caller's, for 30 s."""
        ticket, expires_at = draw_secret(), clock() + _TICKET_LASTS
        async with database.transaction() as connection:
            await storage.keep_ticket(
                connection,
                _digest(ticket),
                who.account_id,
                who.user_id,
                token_expires_at=caller.expires_at,
                expires_at=expires_at,
            )
        return Ticket(ticket=ticket, expires_at=expires_at)

    return routes


def _digest(ticket: str) -> bytes:
    return sha256(ticket.encode()).digest()


def _moment(field: str, text: str) -> Moment | None:
    if not text:
        return None
    moment = live.moment_of(text)
    if moment is None:
        raise invalid(field, "is no id of this stream")
    return moment
