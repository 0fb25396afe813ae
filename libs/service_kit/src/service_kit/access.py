"""What a person may do with an inbox: decided from the directory, in the order of A1 (404, then 403)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts import directory
from service_kit.http import Problem, forbidden, not_found


class Access(StrEnum):
    """How a person is tied to an inbox. `ADMIN` comes of `admins_see_all`: he may view, not act."""

    PERSONAL = "personal"
    CONNECTED = "connected"
    WATCHING = "watching"
    ADMIN = "admin"

    @property
    def may_act(self) -> bool:
        """Whether he may reply, call, and mark read or unread."""
        return self in (Access.PERSONAL, Access.CONNECTED)


@dataclass(frozen=True, slots=True)
class Person:
    """An active user of the account."""

    account_id: str
    user_id: str
    name: str
    role: directory.Role
    time_zone: str
    admins_see_all: bool

    @property
    def is_admin(self) -> bool:
        """Whether he administers the account."""
        return self.role == "admin"


def person_of(account_id: str, user: directory.User | None, account: directory.Account | None) -> Person:
    """The person behind a caller; a 403 `Problem` for an unknown or inactive one (A1)."""
    if user is None or account is None or user.deleted or account.deleted or not user.active:
        raise Problem(
            403,
            "Forbidden",
            "the token's user is unknown or not active in this account",
        )
    return Person(
        account_id=account_id,
        user_id=user.user_id,
        name=user.name,
        role=user.role,
        time_zone=user.time_zone or account.time_zone,
        admins_see_all=account.admins_see_all,
    )


def viewing(person: Person, tie: Access | None) -> Access:
    """How `person` may see an inbox's communications; 404 when he has no tie to it (I2)."""
    if tie is not None:
        return tie
    if person.is_admin and person.admins_see_all:
        return Access.ADMIN
    raise not_found("there is no such inbox")


def require_acting(access: Access) -> None:
    """403 for whoever may only look: a watcher, or an admin without a tie."""
    if not access.may_act:
        raise forbidden("only a connected user may do this in this inbox")


def may_administer(person: Person, inbox: directory.Inbox) -> bool:
    """Whether he may change an inbox's settings: admins, and the owner of a personal inbox (I10)."""
    return person.is_admin or (inbox.kind == "personal" and inbox.owner_id == person.user_id)
