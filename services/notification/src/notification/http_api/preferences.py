"""What a reader sets for himself: muted inboxes, quiet hours, and what he no longer wants (N6)."""

import re
from collections.abc import Iterable, Sequence
from datetime import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from contracts.fields import ClientId
from notification import wording
from notification.http_api.rights import asked, described, require_person
from notification.preferences import DEFAULT, Preferences, Subscription, Topic
from notification.quiet_hours import Quiet, QuietHours
from notification.storage import administration as storage
from service_kit import audit, directory_copy
from service_kit.access import Person
from service_kit.auth import Caller, authenticated
from service_kit.clock import Clock, Identify
from service_kit.database import Connection, Database

_MOST: Final = 1_000
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def _time_of_day(value: Any) -> Any:
    if isinstance(value, time):
        return value
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a time of day such as 22:00")
    return time(int(found[1]), int(found[2]))


TimeOfDay = Annotated[
    time,
    BeforeValidator(_time_of_day),
    PlainSerializer(lambda at: f"{at:%H:%M}"),
    WithJsonSchema({"type": "string", "pattern": f"^{_TIME.pattern}$", "examples": ["22:00"]}),
]


class QuietHoursBody(BaseModel):
    """Every day from `from` until just before `to`, on the reader's wall clock.

    Over midnight where `to` is not later; all day where both are the same, so that everything comes once a day.
    """

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)

    begins: Annotated[TimeOfDay, Field(alias="from")]
    ends: Annotated[TimeOfDay, Field(alias="to")]


class Unsubscription(BaseModel):
    """What a reader no longer gets of one inbox."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inbox_id: ClientId
    topic: Topic


class NotificationPreferences(BaseModel):
    """What a reader wants. `unsubscribed` stays as it is where a request leaves it out."""

    model_config = ConfigDict(extra="forbid")

    muted_inbox_ids: Annotated[tuple[ClientId, ...], Field(max_length=_MOST)] = ()
    quiet_hours: QuietHoursBody | None = None
    unsubscribed: Annotated[tuple[Unsubscription, ...] | None, Field(max_length=_MOST)] = None


def router(database: Database, clock: Clock, identify: Identify) -> APIRouter:
    """The routes of a reader's own preferences."""
    routes = APIRouter(tags=["preferences"])

    @routes.get("/me/notification-preferences")
    async def read_preferences(caller: Annotated[Caller, Depends(authenticated)]) -> NotificationPreferences:
        """What the caller wants."""
        async with database.connection() as connection:
            person = await require_person(connection, caller)
            held = (await storage.preferences_of(connection, person.account_id, [person.user_id])).get(person.user_id)
            return _shown(held or DEFAULT, await _unsubscribed(connection, person))

    @routes.put("/me/notification-preferences", openapi_extra=described(NotificationPreferences))
    async def put_preferences(
        caller: Annotated[Caller, Depends(authenticated)], request: Request
    ) -> NotificationPreferences:
        """Change it, from now on. What quiet hours held comes at the new ones' end, or at once."""
        async with database.connection() as connection:
            person = await require_person(connection, caller)
        wanted = await asked(request, NotificationPreferences)
        async with database.transaction() as connection:
            now = clock()
            held = await storage.lock_preferences(connection, person.account_id, person.user_id)
            gone = await _unsubscribed(connection, person)
            before = _shown(held, gone)
            await _require_ties(connection, person, wanted, held, gone)
            after = Preferences(
                muted_inbox_ids=tuple(dict.fromkeys(wanted.muted_inbox_ids)),
                quiet_hours=QuietHours(wanted.quiet_hours.begins, wanted.quiet_hours.ends)
                if wanted.quiet_hours
                else None,
            )
            if after != held:
                await storage.save_preferences(connection, person.account_id, person.user_id, after)
            if after.quiet_hours != held.quiet_hours:
                zone = wording.zone(person.time_zone)
                quiet_until = Quiet(after.quiet_hours, zone).until(now) if after.quiet_hours else None
                await storage.let_digests_go(connection, person.account_id, person.user_id, quiet_until or now)
            if wanted.unsubscribed is not None:
                asked_for = set(wanted.unsubscribed)
                for one in gone - asked_for:
                    await storage.subscribe_again(connection, _subscription(person, one))
                for one in asked_for - gone:
                    await storage.unsubscribe(connection, _subscription(person, one), now)
                gone = asked_for
            shown = _shown(after, gone)
            if shown != before:
                entry = audit.Entry(
                    id=identify(),
                    at=now,
                    by=caller.user_id,
                    action="changed",
                    entity="notification_preferences",
                    entity_id=person.user_id,
                    before=before.model_dump(mode="json"),
                    after=shown.model_dump(mode="json"),
                )
                await audit.record(connection, person.account_id, [entry])
        return shown

    return routes


async def _unsubscribed(connection: Connection, person: Person) -> set[Unsubscription]:
    found = await storage.unsubscribed(connection, person.account_id, [person.user_id])
    return {Unsubscription(inbox_id=inbox_id, topic=topic) for _, inbox_id, topic in found}


async def _require_ties(
    connection: Connection,
    person: Person,
    wanted: NotificationPreferences,
    held: Preferences,
    gone: Iterable[Unsubscription],
) -> None:
    """422 for an inbox that is not the caller's, unless it stood there already: ties come and go."""
    ties = await directory_copy.ties(connection, person.account_id, person.user_id)
    known = {*ties, *held.muted_inbox_ids, *(one.inbox_id for one in gone)}
    named: Sequence[tuple[tuple[str | int, ...], str]] = [
        *((("muted_inbox_ids", index), inbox_id) for index, inbox_id in enumerate(wanted.muted_inbox_ids)),
        *((("unsubscribed", index, "inbox_id"), one.inbox_id) for index, one in enumerate(wanted.unsubscribed or ())),
    ]
    wrong = [
        {"loc": ("body", *place), "msg": "is no inbox of yours", "type": "unknown_inbox"}
        for place, inbox_id in named
        if inbox_id not in known
    ]
    if wrong:
        raise RequestValidationError(wrong)


def _subscription(person: Person, one: Unsubscription) -> Subscription:
    return Subscription(person.account_id, one.inbox_id, person.user_id, one.topic)


def _shown(preferences: Preferences, gone: Iterable[Unsubscription]) -> NotificationPreferences:
    quiet = preferences.quiet_hours
    return NotificationPreferences(
        muted_inbox_ids=preferences.muted_inbox_ids,
        quiet_hours=QuietHoursBody.model_validate({"from": quiet.begins, "to": quiet.ends}) if quiet else None,
        unsubscribed=tuple(sorted(gone, key=lambda one: (one.inbox_id, one.topic))),
    )
