"""Automations, names of contacts, and preferences."""

from typing import Annotated

from fastapi import APIRouter, Depends
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
from inbox_state.live import ContactNamed, Note
from inbox_state.storage import live as live_storage
from inbox_state.storage import people
from inbox_state.storage import rules as rules_storage
from service_kit import audit, outbox
from service_kit.access import Person
from service_kit.clock import Clock, Identify
from service_kit.database import Database
from service_kit.http import (
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


def router(database: Database, sights: Sights, clock: Clock, identify: Identify) -> APIRouter:
    """The routes that set and tell how things are set."""
    routes = APIRouter(tags=["administration"])

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
                after = body.model_dump()
                entry = audit.Entry(identify(), at, sight.by, "changed", "automations", inbox_id, before, after)
                await audit.record(connection, account_id, [entry])
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
                action: audit.Action = "changed" if held else "created"
                entry = audit.Entry(
                    identify(), at, who.user_id, action, "contact", contact_number, before, {"name": name}
                )
                await audit.record(connection, who.account_id, [entry])
                await live_storage.note(connection, [Note(who.account_id, None, ContactNamed(contact_number))])
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

    return routes


def _body(automations: Automations) -> AutomationsBody:
    return AutomationsBody(
        auto_mark_as_read=AutoMarkAsReadBody(
            enabled=automations.auto_mark_enabled, after_hours=automations.auto_mark_after_hours
        ),
        manual_mark_as_read_only=automations.manual_mark_as_read_only,
    )
