"""Who calls routing, and what he may do: in the order of A1, 401 and 403 for nobody known, 404, then 403."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends

from contracts.directory import Line
from contracts.numbers import normalise
from routing.directory import InboxSettings
from routing.storage import directory as storage
from service_kit.access import Person, person_of
from service_kit.auth import Caller, authenticated
from service_kit.database import Connection, Database
from service_kit.http import forbidden, not_found


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person of the account, or (`person` is None) a machine that administers it."""

    caller: Caller
    person: Person | None

    @property
    def account_id(self) -> str:
        """The account that everything he sees belongs to."""
        return self.caller.account_id

    @property
    def administers(self) -> bool:
        """Whether he may change the directory and read e-mail addresses."""
        return self.person is None or self.person.is_admin

    def known_person(self) -> Person:
        """The person; 403 for a machine."""
        if self.person is None:
            raise forbidden("this is for people, not for machines")
        return self.person


async def viewer_of(connection: Connection, caller: Caller) -> Viewer:
    """Who is behind a token: a machine by its scope, a person by the directory; 403 for an unknown one."""
    if caller.is_machine:
        return Viewer(caller, None)
    user = await storage.user(connection, caller.account_id, caller.user_id)
    account = await storage.account(connection, caller.account_id)
    return Viewer(caller, person_of(caller.account_id, user, account))


async def administers(connection: Connection, caller: Caller) -> bool:
    """Whether somebody may change the directory; 403 for an unknown or inactive person."""
    return (await viewer_of(connection, caller)).administers


def tie_of(inbox: InboxSettings, user_id: str) -> Literal["personal", "connected", "watching"] | None:
    """How a user is tied to an inbox; who works and watches it is connected (I1)."""
    if user_id in inbox.connected:
        return "personal" if inbox.kind == "personal" else "connected"
    return "watching" if any(watcher.user_id == user_id for watcher in inbox.watchers) else None


async def visible_inbox(connection: Connection, viewer: Viewer, inbox_id: str) -> InboxSettings:
    """An inbox that the viewer is tied to or administers; 404 as if there were none otherwise (I2)."""
    inbox = await storage.inbox(connection, viewer.account_id, inbox_id)
    if inbox is None:
        raise not_found("there is no such inbox")
    if not viewer.administers and tie_of(inbox, viewer.known_person().user_id) is None:
        raise not_found("there is no such inbox")
    return inbox


def line_of(text: str) -> str:
    """A line's number out of a path: a leading space was a `+` (contract §3)."""
    return normalise("+" + text[1:] if text.startswith(" ") else text)


Viewing = Callable[..., Awaitable[Viewer]]


@dataclass(frozen=True, slots=True)
class Doors:
    """The dependencies that stand before the endpoints: a body is looked at only behind them (A1)."""

    viewing: Viewing
    administering: Viewing
    administering_inbox: Viewing
    administering_line: Viewing


def doors(database: Database) -> Doors:
    """The doors of this service, over its own directory."""

    async def viewing(caller: Annotated[Caller, Depends(authenticated)]) -> Viewer:
        async with database.connection() as connection:
            return await viewer_of(connection, caller)

    async def administering(viewer: Annotated[Viewer, Depends(viewing)]) -> Viewer:
        if not viewer.administers:
            raise forbidden("only an administrator may do this")
        return viewer

    async def administering_inbox(inbox_id: str, viewer: Annotated[Viewer, Depends(viewing)]) -> Viewer:
        if not viewer.administers:
            async with database.connection() as connection:
                await visible_inbox(connection, viewer, inbox_id)
        return await administering(viewer)

    async def administering_line(line_number: str, viewer: Annotated[Viewer, Depends(viewing)]) -> Viewer:
        if not viewer.administers:
            async with database.connection() as connection:
                await visible_line(connection, viewer, line_of(line_number))
        return await administering(viewer)

    return Doors(viewing, administering, administering_inbox, administering_line)


async def visible_line(connection: Connection, viewer: Viewer, line_number: str) -> Line:
    """A line that the viewer administers, or whose inbox he is tied to; 404 otherwise (I2)."""
    line = await storage.line(connection, viewer.account_id, line_number)
    if line is None:
        raise not_found("there is no such line")
    if not viewer.administers:
        if line.inbox_id is None:
            raise not_found("there is no such line")
        await visible_inbox(connection, viewer, line.inbox_id)
    return line
