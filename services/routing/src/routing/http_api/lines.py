"""The account's lines."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from contracts.directory import Line
from contracts.numbers import is_line
from routing import administration as deciding
from routing.directory import Directory
from routing.http_api.bodies import LineBody, LineView
from routing.http_api.callers import Doors, Viewer, line_of, visible_line
from routing.http_api.changing import Administration, OnlyIf
from routing.http_api.paging import page_of, position
from routing.storage import directory as storage
from service_kit.database import Database
from service_kit.http import Page, PageCursor, PageLimit, invalid, not_found
from service_kit.preconditions import Preconditions, entity_tag


def router(database: Database, before: Doors, administration: Administration) -> APIRouter:
    """Endpoints about lines."""
    lines = APIRouter(prefix="/v1/lines", tags=["directory"])
    anybody = Annotated[Viewer, Depends(before.viewing)]
    admin = Annotated[Viewer, Depends(before.administering_line)]
    stated = Annotated[Preconditions, Depends()]

    @lines.get("")
    async def every(
        viewer: anybody,
        inbox_id: Annotated[str | None, Query(max_length=64)] = None,
        limit: PageLimit = 50,
        cursor: PageCursor = None,
    ) -> Page[LineView]:
        """The account's lines, for an agent those of the inboxes that he is tied to; of one inbox if it is named."""
        after = position(cursor)
        async with database.connection() as connection:
            if viewer.administers:
                only = storage.Only({"inbox_id": inbox_id})
                found = await storage.records(connection, viewer.account_id, "line", after, limit + 1, only)
            else:
                tied = await storage.inboxes_of(connection, viewer.account_id, viewer.known_person().user_id)
                ids = [inbox.inbox_id for inbox in tied if inbox_id in (None, inbox.inbox_id)]
                found = await storage.lines_of(connection, viewer.account_id, ids, after, limit + 1)
        views = [_view(line) for line in found if isinstance(line, Line)]
        return page_of(views, limit, lambda view: view.line_number)

    @lines.get("/{line_number}")
    async def one(viewer: anybody, line_number: str, seen: stated, response: Response) -> LineView:
        """One line."""
        async with database.connection() as connection:
            view = _view(await visible_line(connection, viewer, line_of(line_number)))
        seen.show(response, entity_tag(view.version))
        return view

    @lines.put("/{line_number}")
    async def put(viewer: admin, line_number: str, body: LineBody, seen: stated, response: Response) -> LineView:
        """Create or replace a line. Mapping it also routes what waited for that (R3)."""
        number = line_of(line_number)
        if not is_line(number):
            raise invalid("line_number", "must be a full number, such as +12125550100, or a short code")
        snapshot = body.snapshot(number)
        after = await administration.apply(
            viewer,
            lambda held: deciding.put_line(held, snapshot),
            OnlyIf(seen, lambda held: held.lines.get(number)),
        )
        view = _view(after.lines[number])
        response.headers["ETag"] = entity_tag(view.version)
        return view

    @lines.delete("/{line_number}", status_code=204)
    async def delete(viewer: admin, line_number: str, seen: stated) -> Response:
        """Delete a line. What has come in on it stays where it is (R2)."""
        number = line_of(line_number)

        def without(held: Directory) -> Directory:
            if number not in held.lines:
                raise not_found("there is no such line")
            return deciding.delete_line(held, number)

        await administration.apply(viewer, without, OnlyIf(seen, lambda held: held.lines.get(number)))
        return Response(status_code=204)

    return lines


def _view(line: Line) -> LineView:
    return LineView.model_validate(line.model_dump())
