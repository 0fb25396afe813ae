"""The account's lines."""

import re
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from contracts.directory import Line
from contracts.numbers import is_e164
from routing import administration as deciding
from routing.directory import Directory
from routing.http_api.bodies import LineBody, LineView
from routing.http_api.callers import Doors, Viewer, line_of, visible_line
from routing.http_api.changing import Administration
from routing.http_api.paging import page_of, position
from routing.storage import directory as storage
from service_kit.database import Database
from service_kit.http import Page, PageCursor, PageLimit, invalid, not_found

_SHORT_CODE: Final = re.compile(r"[0-9]{3,8}")


def router(database: Database, before: Doors, administration: Administration) -> APIRouter:
    """Endpoints about lines."""
    lines = APIRouter(prefix="/v1/lines", tags=["directory"])
    anybody = Annotated[Viewer, Depends(before.viewing)]
    admin = Annotated[Viewer, Depends(before.administering_line)]

    @lines.get("")
    async def every(viewer: anybody, limit: PageLimit = 50, cursor: PageCursor = None) -> Page[LineView]:
        """The account's lines; for an agent those of the inboxes that he is tied to."""
        after = position(cursor)
        async with database.connection() as connection:
            if viewer.administers:
                found = await storage.records(connection, viewer.account_id, "line", after, limit + 1)
            else:
                tied = await storage.inboxes_of(connection, viewer.account_id, viewer.known_person().user_id)
                ids = [inbox.inbox_id for inbox in tied]
                found = await storage.lines_of(connection, viewer.account_id, ids, after, limit + 1)
        views = [_view(line) for line in found if isinstance(line, Line)]
        return page_of(views, limit, lambda view: view.line_number)

    @lines.get("/{line_number}")
    async def one(viewer: anybody, line_number: str) -> LineView:
        """One line."""
        async with database.connection() as connection:
            return _view(await visible_line(connection, viewer, line_of(line_number)))

    @lines.put("/{line_number}")
    async def put(viewer: admin, line_number: str, body: LineBody) -> LineView:
        """Create or replace a line. Mapping it also routes what waited for that (R3)."""
        number = line_of(line_number)
        if not (is_e164(number) or _SHORT_CODE.fullmatch(number)):
            raise invalid("line_number", "is no phone number, such as +12125550100")
        snapshot = body.snapshot(number)
        after = await administration.apply(viewer, lambda held: deciding.put_line(held, snapshot))
        return _view(after.lines[number])

    @lines.delete("/{line_number}", status_code=204)
    async def delete(viewer: admin, line_number: str) -> Response:
        """Delete a line. What has come in on it stays where it is (R2)."""
        number = line_of(line_number)

        def without(held: Directory) -> Directory:
            if number not in held.lines:
                raise not_found("there is no such line")
            return deciding.delete_line(held, number)

        await administration.apply(viewer, without)
        return Response(status_code=204)

    return lines


def _view(line: Line) -> LineView:
    return LineView.model_validate(line.model_dump())
