"""Marking read and unread by hand (I11)."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from contracts.fields import CommunicationId
from inbox_state import events
from inbox_state.http_api.models import ThreadRow
from inbox_state.http_api.sight import InboxSight, Sights, ThreadSight
from inbox_state.http_api.views import row_of_thread
from inbox_state.keeping import mark_and_save
from inbox_state.read_state import Position, ReadState, marked_read, marked_unread
from inbox_state.storage import threads as storage
from inbox_state.threads import Thread
from service_kit import outbox
from service_kit.clock import Clock
from service_kit.database import Connection, Database
from service_kit.http import invalid

_AT_ONCE = 500


class ReadThrough(BaseModel):
    """Through which communication the user has seen the thread; all that it holds when not given."""

    through: CommunicationId | None = None


class UnreadFrom(BaseModel):
    """From which communication on the thread is to be unread."""

    from_: CommunicationId = Field(alias="from")


class Marked(BaseModel):
    """How many communications became read."""

    marked: int


def router(database: Database, sights: Sights, clock: Clock) -> APIRouter:
    """The routes with which connected users mark things."""
    routes = APIRouter(tags=["marks"])

    @routes.post("/threads/{thread_id}/read")
    async def mark_read(
        sight: Annotated[ThreadSight, Depends(sights.thread_to_act_in)], body: ReadThrough | None = None
    ) -> ThreadRow:
        """Mark a thread read through what the user has seen: what arrived since stays unread."""
        through = body.through if body else None
        async with database.transaction() as connection:
            thread = await _locked(connection, sight)
            position = thread.newest_attention
            if through is not None:
                position = await _position(connection, sight, through, "through")
            await _mark(connection, [thread], lambda it: marked_read(it.state, position), clock)
            return await row_of_thread(connection, sight)

    @routes.post("/threads/{thread_id}/unread")
    async def mark_unread(
        sight: Annotated[ThreadSight, Depends(sights.thread_to_act_in)], body: UnreadFrom
    ) -> ThreadRow:
        """Mark a thread unread from a communication on."""
        async with database.transaction() as connection:
            thread = await _locked(connection, sight)
            position = await _position(connection, sight, body.from_, "from")
            now = clock()
            await _mark(connection, [thread], lambda it: marked_unread(it.state, position, now), clock)
            return await row_of_thread(connection, sight)

    @routes.post("/inboxes/{inbox_id}/read")
    async def mark_inbox_read(sight: Annotated[InboxSight, Depends(sights.inbox_to_act_in)]) -> Marked:
        """Mark a whole inbox read, as it is when each of its threads is reached."""
        account_id, inbox_id = sight.who.account_id, sight.inbox.inbox_id
        marked, after = 0, ""
        while True:
            # Many small transactions: a large inbox must not hold up what comes in meanwhile.
            async with database.transaction() as connection:
                ids = await storage.unread_threads(connection, account_id, inbox_id, after, _AT_ONCE)
                if not ids:
                    return Marked(marked=marked)
                locked = await storage.lock_threads(connection, [(account_id, id) for id in ids])
                marked += sum(thread.unread for thread in locked.values())
                await _mark(
                    connection,
                    list(locked.values()),
                    lambda thread: marked_read(thread.state, thread.newest_attention),
                    clock,
                )
                after = ids[-1]

    return routes


async def _locked(connection: Connection, sight: ThreadSight) -> Thread:
    key = (sight.who.account_id, sight.thread_id)
    return (await storage.lock_threads(connection, [key]))[key]


async def _position(connection: Connection, sight: ThreadSight, communication_id: str, field: str) -> Position:
    found = await storage.position_in_thread(
        connection, sight.who.account_id, sight.thread_id, communication_id.replace("\0", "\ufffd")
    )
    if found is None:
        raise invalid(field, "is no communication of this thread")
    return found


async def _mark(
    connection: Connection, threads: list[Thread], mark: Callable[[Thread], ReadState], clock: Clock
) -> None:
    changed = await mark_and_save(connection, threads, mark, clock())
    await outbox.add(connection, [events.thread_changed(thread) for thread in changed])
