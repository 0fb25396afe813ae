"""The panel, the lists and the threads: looking changes nothing (I12)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response

from contracts.fields import Kind
from contracts.numbers import normalise
from inbox_state.http_api.export import ROWS_AT_ONCE, exported, wants_csv
from inbox_state.http_api.models import (
    CommunicationRow,
    Panel,
    PanelRow,
    ThreadRow,
    View,
    communication_row,
    thread_row,
)
from inbox_state.http_api.sight import Sights, ThreadSight, storable
from inbox_state.searching import sought
from inbox_state.storage import lists, people
from inbox_state.storage.lists import Filters, Place, ShownCommunication
from service_kit import directory_copy
from service_kit.access import Access, Person
from service_kit.auth import Caller, authenticated
from service_kit.database import Connection, Database
from service_kit.http import Page, PageCursor, PageLimit, Problem, decode_cursor, encode_cursor, invalid

ALL = "all"


@dataclass(frozen=True, slots=True)
class InboxesInSight:
    """A person, and the inboxes that he asked for and may see: their names by id."""

    who: Person
    names: dict[str, str]


class AskedFor:
    """What a list is narrowed to (I5)."""

    def __init__(
        self,
        unread: bool | None = None,
        active: bool | None = None,
        failed: Annotated[
            bool | None,
            Query(description="Threads whose last text failed; unthreaded: what failed."),
        ] = None,
        kind: Kind | None = None,
        line: Annotated[str | None, Query(max_length=64, description="One of the account's numbers.")] = None,
        team: Annotated[str | None, Query(max_length=64, description="Inboxes that this team works.")] = None,
        q: Annotated[
            str | None,
            Query(max_length=200, description="Number (beginning or last digits), name, or words of the text."),
        ] = None,
    ) -> None:
        self.unread, self.active, self.failed, self.kind = unread, active, failed, kind
        self.line, self.team, self.q = line, team, q

    def filters(self) -> Filters:
        """As the lists take them; 422 for a search in which there is nothing to look for."""
        looked_for = sought(self.q) if self.q and not self.q.isspace() else None
        if looked_for is None and self.q and not self.q.isspace():
            raise invalid("q", "holds no number and no word")
        return Filters(self.unread, self.active, self.failed, self.kind, _number(self.line), looked_for)


def router(database: Database, sights: Sights) -> APIRouter:
    """The routes that only read."""
    routes = APIRouter(tags=["views"])

    async def inboxes_in_sight(inbox_id: str, caller: Annotated[Caller, Depends(authenticated)]) -> InboxesInSight:
        if inbox_id != ALL:
            sight = await sights.inbox(inbox_id, caller)
            return InboxesInSight(sight.who, {inbox_id: sight.inbox.name})
        who = await sights.person(caller)
        async with database.connection() as connection:
            return InboxesInSight(who, {id: name for id, (name, _) in (await _inboxes_of(connection, who)).items()})

    @routes.get("/panel")
    async def panel(who: Annotated[Person, Depends(sights.person)]) -> Panel:
        """The caller's personal, connected and watching inboxes, with what waits in them (I1)."""
        async with database.connection() as connection:
            inboxes = await _inboxes_of(connection, who)
            figures = await lists.panel_figures(connection, who.account_id, list(inboxes))
        order = {access: rank for rank, access in enumerate(Access)}
        rows = [
            PanelRow(
                inbox_id=inbox_id,
                name=name,
                access=access.value,
                unread=figures[inbox_id].unread,
                active_calls=figures[inbox_id].active_calls,
                last_activity_at=figures[inbox_id].last_activity_at,
            )
            for inbox_id, (name, access) in inboxes.items()
        ]
        return Panel(items=sorted(rows, key=lambda row: (order[Access(row.access)], row.name, row.inbox_id)))

    @routes.get(
        "/inboxes/{inbox_id}/threads",
        response_model=Page[ThreadRow] | Page[CommunicationRow],
        responses={200: {"content": {"text/csv": {}}}},
    )
    async def list_threads(
        inbox_id: str,
        caller: Annotated[Caller, Depends(authenticated)],
        sight: Annotated[InboxesInSight, Depends(inboxes_in_sight)],
        asked: Annotated[AskedFor, Depends()],
        view: Annotated[View | None, Query(description="The caller's preference when it is not given.")] = None,
        limit: PageLimit = 50,
        cursor: PageCursor = None,
        accept: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> Page[ThreadRow] | Page[CommunicationRow] | Response:
        """One inbox's list, or that of `all` inboxes: a row per contact, or (unthreaded) per communication (I3).

        `Accept: text/csv` exports the whole unthreaded list, whatever the page.
        """
        filters = asked.filters()
        if wants_csv(accept):
            if view == "threaded":
                raise Problem(406, "Not Acceptable", "only the unthreaded list comes as CSV")
            return await export(inbox_id, caller, sight, asked, filters)
        after = _place(cursor)
        who = sight.who
        async with database.connection() as connection:
            names = await _narrowed(connection, sight, asked.team)
            chosen = view or await people.view_of(connection, who.account_id, who.user_id)
            if chosen == "unthreaded":
                shown = await lists.communications_page(
                    connection, who.account_id, list(names), filters, after, limit + 1
                )
                return _page_of_communications(shown, limit, names)
            threads = await lists.threads_page(connection, who.account_id, list(names), filters, after, limit + 1)
        cursor_of_next = None
        if len(threads) > limit:
            last = threads[limit - 1].thread
            cursor_of_next = encode_cursor(last.active_calls > 0, last.last_activity_at, last.thread_id)
        rows = [thread_row(shown, names[shown.thread.inbox_id]) for shown in threads[:limit]]
        return Page[ThreadRow](items=rows, next_cursor=cursor_of_next)

    async def export(
        inbox_id: str, caller: Caller, sight: InboxesInSight, asked: AskedFor, filters: Filters
    ) -> Response:
        after: Place | None = None
        seen = False

        async def next_rows() -> list[CommunicationRow]:
            nonlocal after, seen
            # Looked at again for each page: who loses an inbox while he exports gets no more of it (I2).
            now = await inboxes_in_sight(inbox_id, caller) if seen else sight
            seen = True
            async with database.connection() as connection:
                names = await _narrowed(connection, now, asked.team)
                shown = await lists.communications_page(
                    connection, now.who.account_id, list(names), filters, after, ROWS_AT_ONCE
                )
            if shown:
                last = shown[-1].row
                after = Place(last.active, last.activity_at, last.communication_id)
            return [communication_row(one, names[one.row.inbox_id]) for one in shown]

        return await exported(f"communications-{inbox_id}", next_rows)

    @routes.get("/threads/{thread_id}")
    async def read_thread(sight: Annotated[ThreadSight, Depends(sights.thread)]) -> ThreadRow:
        """One thread. Opening it leaves unread what is unread (I12)."""
        async with database.connection() as connection:
            return await row_of_thread(connection, sight)

    @routes.get("/threads/{thread_id}/communications")
    async def list_communications(
        sight: Annotated[ThreadSight, Depends(sights.thread)], limit: PageLimit = 50, cursor: PageCursor = None
    ) -> Page[CommunicationRow]:
        """A thread's communications, newest first, those of its inbox only (I16)."""
        after = _place(cursor)
        async with database.connection() as connection:
            shown = await lists.communications_of_thread(
                connection, sight.who.account_id, sight.thread_id, after, limit + 1
            )
        return _page_of_communications(shown, limit, {sight.inbox.inbox_id: sight.inbox.name})

    return routes


async def row_of_thread(connection: Connection, sight: ThreadSight) -> ThreadRow:
    """A thread as it is now."""
    shown = await lists.thread(connection, sight.who.account_id, sight.thread_id)
    assert shown is not None
    return thread_row(shown, sight.inbox.name)


async def _inboxes_of(connection: Connection, who: Person) -> dict[str, tuple[str, Access]]:
    """The living inboxes that a person may see, by id, with name and access."""
    ties = await directory_copy.ties(connection, who.account_id, who.user_id)
    sees_all = who.is_admin and who.admins_see_all
    names = await people.inbox_names(connection, who.account_id, None if sees_all else list(ties))
    return {inbox_id: (name, ties.get(inbox_id, Access.ADMIN)) for inbox_id, name in names.items()}


async def _narrowed(connection: Connection, sight: InboxesInSight, team: str | None) -> dict[str, str]:
    if team is None:
        return sight.names
    of_team = await people.inboxes_of_team(connection, sight.who.account_id, team.replace("\0", "\ufffd"))
    return {id: name for id, name in sight.names.items() if id in of_team}


def _page_of_communications(
    shown: Sequence[ShownCommunication], limit: int, names: dict[str, str]
) -> Page[CommunicationRow]:
    next_cursor = None
    if len(shown) > limit:
        last = shown[limit - 1].row
        next_cursor = encode_cursor(last.active, last.activity_at, last.communication_id)
    return Page[CommunicationRow](
        items=[communication_row(one, names[one.row.inbox_id]) for one in shown[:limit]], next_cursor=next_cursor
    )


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    match decode_cursor(cursor, 3):
        case [bool() as active, str() as at, str() as id] if "\0" not in id:
            try:
                instant = datetime.fromisoformat(at)
            except ValueError:
                raise invalid("cursor", "is not a cursor of this list") from None
            if instant.tzinfo is not None:
                return Place(active, instant, storable(id))
    raise invalid("cursor", "is not a cursor of this list")


def _number(line: str | None) -> str | None:
    # In a query `+` means a space: a number that begins with one lost its plus on the way.
    return normalise("+" + line[1:] if line.startswith(" ") else line) if line else None
