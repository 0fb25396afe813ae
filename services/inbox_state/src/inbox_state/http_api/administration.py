"""Automations, names of contacts, preferences, and who changed what."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, StringConstraints

from contracts.numbers import ANONYMOUS, normalise
from inbox_state import events
from inbox_state.automations import (
    DEFAULT_AFTER_HOURS,
    LEAST_AFTER_HOURS,
    MOST_AFTER_HOURS,
    Automations,
    changed_at,
)
from inbox_state.http_api.models import View
from inbox_state.http_api.sight import SettingsSight, Sights
from inbox_state.storage import audit, people
from inbox_state.storage import rules as rules_storage
from service_kit import directory_copy, outbox
from service_kit.access import Person
from service_kit.auth import Caller, authenticated
from service_kit.clock import Clock, Identify
from service_kit.database import Database
from service_kit.http import (
    Page,
    PageCursor,
    PageLimit,
    decode_cursor,
    encode_cursor,
    forbidden,
    invalid,
)


class AutoMarkAsReadBody(BaseModel):
    """Read what has been unread for longer than `after_hours` (I9)."""

    enabled: bool
    after_hours: Annotated[int, Field(ge=LEAST_AFTER_HOURS, le=MOST_AFTER_HOURS)] = DEFAULT_AFTER_HOURS


class AutomationsBody(BaseModel):
    """An inbox's automations; each part keeps to itself (I10)."""

    auto_mark_as_read: AutoMarkAsReadBody
    manual_mark_as_read_only: bool


class ContactName(BaseModel):
    """A contact's name (I17)."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Contact(ContactName):
    """A contact and its name."""

    contact_number: str


class Preferences(BaseModel):
    """What a user chose for himself (I3)."""

    view: View = "threaded"


class AuditEntry(BaseModel):
    """An administrative change (A6)."""

    id: int
    at: datetime
    by: str
    action: str
    entity: str
    entity_id: str
    before: Any
    after: Any


def router(database: Database, sights: Sights, clock: Clock, identify: Identify) -> APIRouter:
    """The routes that set and tell how things are set."""
    routes = APIRouter(tags=["administration"])

    async def admin(caller: Annotated[Caller, Depends(authenticated)]) -> Caller:
        if not caller.is_machine:
            async with database.connection() as connection:
                who = await directory_copy.person(connection, caller)
            if not who.is_admin:
                raise forbidden("only admins may read this")
        return caller

    async def somebody_who_acts(who: Annotated[Person, Depends(sights.person)]) -> Person:
        async with database.connection() as connection:
            if not who.is_admin and not await people.acts_somewhere(connection, who.account_id, who.user_id):
                raise forbidden("only admins and connected users name contacts")
        return who

    @routes.get("/inboxes/{inbox_id}/automations")
    async def read_automations(sight: Annotated[SettingsSight, Depends(sights.settings)]) -> AutomationsBody:
        """How unread turns into read by itself."""
        async with database.connection() as connection:
            automations, _ = await rules_storage.automations_of(connection, sight.account_id, sight.inbox.inbox_id)
        return _body(automations)

    @routes.put("/inboxes/{inbox_id}/automations")
    async def change_automations(
        sight: Annotated[SettingsSight, Depends(sights.settings_to_change)], body: AutomationsBody
    ) -> AutomationsBody:
        """Change both settings: admins, and the owner of a personal inbox (I10)."""
        account_id, inbox_id = sight.account_id, sight.inbox.inbox_id
        wanted = Automations(
            body.auto_mark_as_read.enabled, body.auto_mark_as_read.after_hours, body.manual_mark_as_read_only
        )
        async with database.transaction() as connection:
            held, last = await rules_storage.lock_automations(connection, account_id, inbox_id)
            if held != wanted:
                at = changed_at(clock(), last)
                await rules_storage.save_automations(connection, account_id, inbox_id, wanted, by=sight.by, at=at)
                before = _body(held).model_dump() if last else None
                await audit.record(
                    connection,
                    account_id,
                    audit.Entry(at, sight.by, "changed", "automations", inbox_id, before, body.model_dump()),
                )
                await outbox.add(connection, [events.automations_changed(account_id, inbox_id, wanted, at)])
        return body

    @routes.put("/contacts/{number}")
    async def name_contact(
        number: str, who: Annotated[Person, Depends(somebody_who_acts)], body: ContactName
    ) -> Contact:
        """Give a contact a name, for everybody in the account (I17)."""
        contact_number = normalise("+" + number[1:] if number.startswith(" ") else number)
        if contact_number == ANONYMOUS:
            raise invalid("number", "is no number of a contact")
        name = body.name.replace("\0", "\ufffd")
        async with database.transaction() as connection:
            held = await people.lock_contact_name(connection, who.account_id, contact_number)
            if held is None or held[0] != name:
                at = changed_at(clock(), held[1] if held else None)
                await people.save_contact_name(connection, who.account_id, contact_number, name, by=who.user_id, at=at)
                before = {"name": held[0]} if held else None
                await audit.record(
                    connection,
                    who.account_id,
                    audit.Entry(at, who.user_id, "named", "contact", contact_number, before, {"name": name}),
                )
                named = events.contact_named(who.account_id, contact_number, name, at, identify())
                await outbox.add(connection, [named])
        return Contact(contact_number=contact_number, name=name)

    @routes.get("/me/preferences")
    async def read_preferences(who: Annotated[Person, Depends(sights.person)]) -> Preferences:
        """What the caller chose."""
        async with database.connection() as connection:
            view = await people.view_of(connection, who.account_id, who.user_id)
        return Preferences.model_validate({"view": view}) if view else Preferences()

    @routes.put("/me/preferences")
    async def change_preferences(who: Annotated[Person, Depends(sights.person)], body: Preferences) -> Preferences:
        """Remember the caller's choice (I3)."""
        async with database.transaction() as connection:
            await people.save_view(connection, who.account_id, who.user_id, body.view)
        return body

    @routes.get("/audit/inbox-state")
    async def read_audit(
        caller: Annotated[Caller, Depends(admin)],
        limit: PageLimit = 50,
        cursor: Annotated[PageCursor, Query()] = None,
    ) -> Page[AuditEntry]:
        """Who changed what, newest first (A6)."""
        before_id = None
        if cursor is not None:
            (before_id,) = decode_cursor(cursor, 1)
            if not isinstance(before_id, int) or not 0 <= before_id < 2**63:
                raise invalid("cursor", "is not a cursor of this list")
        async with database.connection() as connection:
            entries = await audit.recorded(connection, caller.account_id, before_id=before_id, limit=limit + 1)
        items = [AuditEntry.model_validate(entry, from_attributes=True) for entry in entries[:limit]]
        return Page[AuditEntry](items=items, next_cursor=encode_cursor(items[-1].id) if len(entries) > limit else None)

    return routes


def _body(automations: Automations) -> AutomationsBody:
    return AutomationsBody(
        auto_mark_as_read=AutoMarkAsReadBody(
            enabled=automations.auto_mark_enabled, after_hours=automations.auto_mark_after_hours
        ),
        manual_mark_as_read_only=automations.manual_mark_as_read_only,
    )
