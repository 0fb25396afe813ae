"""What waits for a mapping, and what made a communication what it is."""

from typing import Annotated

from fastapi import APIRouter, Depends

from routing import why
from routing.communications import stand
from routing.facts import moment
from routing.http_api.bodies import UnroutedLine, Why, WhyLine
from routing.http_api.callers import Doors, Viewer, tie_of
from routing.http_api.paging import page_of, position
from routing.storage import communications as storage
from routing.storage import directory as directory_storage
from routing.storage.directory import Directories
from service_kit.database import Database
from service_kit.http import Page, PageCursor, PageLimit, not_found


def router(database: Database, directories: Directories, before: Doors) -> APIRouter:
    """Endpoints about communications."""
    some = APIRouter(prefix="/v1")
    anybody = Annotated[Viewer, Depends(before.viewing)]
    admin = Annotated[Viewer, Depends(before.administering)]

    @some.get("/unrouted", tags=["routing"])
    async def unrouted(viewer: admin, limit: PageLimit = 50, cursor: PageCursor = None) -> Page[UnroutedLine]:
        """What waits for a mapping, per line (R3)."""
        async with database.connection() as connection:
            rows = await storage.unrouted_by_line(connection, viewer.account_id, position(cursor), limit + 1)
        return page_of([UnroutedLine(**row) for row in rows], limit, lambda line: line.line_number)

    @some.get("/communications/{communication_id:path}/why", tags=["routing"])
    async def why_so(viewer: anybody, communication_id: str) -> Why:
        """Every fact and decision that made a communication what it is, in order."""
        person = viewer.known_person()
        async with database.connection() as connection:
            found = await storage.communication(connection, viewer.account_id, communication_id)
            if found is None:
                raise not_found("there is no such communication")
            communication, inbox_id = found
            inbox = None
            if inbox_id is not None:
                inbox = await directory_storage.inbox(connection, viewer.account_id, inbox_id)
            tied = inbox is not None and tie_of(inbox, person.user_id) is not None
            # What no inbox has is seen by those who can give it one.
            if not tied and not (person.is_admin and (inbox_id is None or person.admins_see_all)):
                raise not_found("there is no such communication")
            known = (await directories.current(connection, [viewer.account_id]))[viewer.account_id]
        standing = stand(communication, known)
        shown = standing.call or standing.message
        return Why(
            communication_id=communication_id,
            status=None if shown is None else shown.status,
            inbox_id=inbox_id,
            because=[
                WhyLine(at=None if line.at is None else moment(line.at), what=line.what, rule=line.rule)
                for line in why.explain(communication, standing, inbox_id, known)
            ],
        )

    return some
