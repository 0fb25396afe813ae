"""Who may do what (A1): 404 without a tie, then 403 without the right, then the request's body."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from contracts.directory import Inbox
from service_kit import directory_copy
from service_kit.access import Person, may_administer
from service_kit.auth import Caller
from service_kit.database import Connection
from service_kit.http import forbidden, not_found

Body = TypeVar("Body", bound=BaseModel)

MAX_BODY_BYTES: Final = 1_000_000


async def require_tie(connection: Connection, caller: Caller, inbox_id: str) -> tuple[Inbox, Person | None]:
    """The inbox and who calls (None: a machine); 404 unless it is there and he is tied to it or an admin (I2)."""
    person = None if caller.is_machine else await directory_copy.person(connection, caller)
    # Postgres can hold no U+0000.
    inbox = None if "\0" in inbox_id else await directory_copy.inbox(connection, caller.account_id, inbox_id)
    if inbox is None:
        raise not_found("there is no such inbox")
    if person is not None and not person.is_admin:
        await directory_copy.inbox_access(connection, person, inbox_id)
    return inbox, person


async def require_setting(connection: Connection, caller: Caller, inbox_id: str) -> None:
    """404 without a tie, then 403 for whoever may not change the inbox's settings (I10)."""
    inbox, person = await require_tie(connection, caller, inbox_id)
    if person is not None and not may_administer(person, inbox):
        raise forbidden("only an admin, or the owner of a personal inbox, may change this")


async def require_admin(connection: Connection, caller: Caller, inbox_id: str) -> None:
    """404 without a tie, then 403 for whoever does not administer the account; machines only set things up."""
    if caller.is_machine:
        raise forbidden("a machine may only read and put settings")
    _, person = await require_tie(connection, caller, inbox_id)
    if person is None or not person.is_admin:
        raise forbidden("only an admin may do this")


async def require_person(connection: Connection, caller: Caller) -> Person:
    """Who calls; 403 for a machine, which has nothing of its own."""
    if caller.is_machine:
        raise forbidden("a machine gets no e-mails")
    return await directory_copy.person(connection, caller)


async def asked(request: Request, kind: type[Body]) -> Body:
    """The request's body, read only now: FastAPI would refuse a bad one before it knows who asks (A1)."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise RequestValidationError([{"loc": ("body",), "msg": "is too large", "type": "too_large"}])
    try:
        return kind.model_validate_json(bytes(content))
    except ValidationError as error:
        raise RequestValidationError(
            [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors(include_url=False)]
        ) from None


def described(kind: type[BaseModel]) -> dict[str, Any]:
    """What the OpenAPI document says of a body that `asked` reads."""
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
