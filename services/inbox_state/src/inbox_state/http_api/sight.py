"""Who sees what: checked before anything else of a request is looked at, in the order of A1 (401, 404, 403).

FastAPI solves dependencies before it validates a route's own parameters and body, so that 422 comes last.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from contracts.directory import Inbox
from inbox_state.storage import lists
from service_kit import directory_copy
from service_kit.access import Access, Person, may_administer, require_acting, viewing
from service_kit.auth import Caller, authenticated
from service_kit.database import Connection, Database
from service_kit.http import Problem, forbidden, not_found


@dataclass(frozen=True, slots=True)
class InboxSight:
    """A person before an inbox that he may see."""

    who: Person
    inbox: Inbox
    access: Access


@dataclass(frozen=True, slots=True)
class ThreadSight:
    """A person before a thread that he may see."""

    who: Person
    inbox: Inbox
    access: Access
    thread_id: str


@dataclass(frozen=True, slots=True)
class SettingsSight:
    """Somebody before an inbox's settings. `by` is the user, or the machine's own name for itself."""

    account_id: str
    by: str
    inbox: Inbox
    may_change: bool


class Sights:
    """The dependencies of the routes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def person(self, caller: Annotated[Caller, Depends(authenticated)]) -> Person:
        """An active user of the account. Machines see no communications."""
        async with self._database.connection() as connection:
            return await self._person(connection, caller)

    async def inbox(self, inbox_id: str, caller: Annotated[Caller, Depends(authenticated)]) -> InboxSight:
        """An inbox that the caller may see."""
        async with self._database.connection() as connection:
            who = await self._person(connection, caller)
            found, access = await directory_copy.inbox_access(connection, who, storable(inbox_id))
        return InboxSight(who, found, access)

    async def inbox_to_act_in(self, inbox_id: str, caller: Annotated[Caller, Depends(authenticated)]) -> InboxSight:
        """An inbox in which the caller may act."""
        sight = await self.inbox(inbox_id, caller)
        require_acting(sight.access)
        return sight

    async def thread(self, thread_id: str, caller: Annotated[Caller, Depends(authenticated)]) -> ThreadSight:
        """A thread of an inbox that the caller may see."""
        async with self._database.connection() as connection:
            who = await self._person(connection, caller)
            shown = await lists.thread(connection, who.account_id, storable(thread_id))
            if shown is None:
                raise not_found("there is no such thread")
            try:
                inbox, access = await directory_copy.inbox_access(connection, who, shown.thread.inbox_id)
            except Problem:
                # The answer must not tell a thread that exists from one that does not.
                raise not_found("there is no such thread") from None
        return ThreadSight(who, inbox, access, thread_id)

    async def thread_to_act_in(self, thread_id: str, caller: Annotated[Caller, Depends(authenticated)]) -> ThreadSight:
        """A thread in which the caller may act."""
        sight = await self.thread(thread_id, caller)
        require_acting(sight.access)
        return sight

    async def settings(self, inbox_id: str, caller: Annotated[Caller, Depends(authenticated)]) -> SettingsSight:
        """An inbox whose settings the caller may read: with any tie, as an admin, or as a machine."""
        async with self._database.connection() as connection:
            found = await directory_copy.inbox(connection, caller.account_id, storable(inbox_id))
            if caller.is_machine:
                if found is None:
                    raise not_found("there is no such inbox")
                return SettingsSight(caller.account_id, caller.user_id, found, True)
            who = await directory_copy.person(connection, caller)
            if found is None:
                raise not_found("there is no such inbox")
            if not who.is_admin:
                ties = await directory_copy.ties(connection, who.account_id, who.user_id)
                viewing(who, ties.get(inbox_id))
        return SettingsSight(who.account_id, who.user_id, found, may_administer(who, found))

    async def settings_to_change(
        self, inbox_id: str, caller: Annotated[Caller, Depends(authenticated)]
    ) -> SettingsSight:
        """An inbox whose settings the caller may change (I10)."""
        sight = await self.settings(inbox_id, caller)
        if not sight.may_change:
            raise forbidden("only admins, and the owner of a personal inbox, may change this")
        return sight

    @staticmethod
    async def _person(connection: Connection, caller: Caller) -> Person:
        if caller.is_machine:
            raise forbidden("a machine that administers sees no communications")
        return await directory_copy.person(connection, caller)


def storable(id: str) -> str:
    """An id as it may be looked up; 404 for one that Postgres can't even hold."""
    if "\0" in id:
        raise not_found("there is no such thing")
    return id
