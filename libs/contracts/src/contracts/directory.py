"""Who belongs to an account and what it has: full snapshots, the last one of what is gone says so (contract §2)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from contracts.business_hours import BusinessHours
from contracts.commands import RingMode
from contracts.fields import Data, Instant

Role = Literal["admin", "agent"]
Entity = Literal["account", "user", "team", "line", "inbox"]


class Snapshot(Data):
    """What every directory snapshot has. Readers keep the highest version of each entity."""

    version: int
    deleted: bool = False


class Account(Snapshot):
    """One customer organisation."""

    name: str
    time_zone: str
    fallback_inbox_id: str | None = None
    admins_see_all: bool = False


class User(Snapshot):
    """A person. `rings: false` leaves him out of ring plans; an inactive one has no access."""

    user_id: str
    name: str
    email: str
    role: Role
    time_zone: str | None = None
    rings: bool = True
    active: bool = True
    endpoints: tuple[str, ...] = ()


class Team(Snapshot):
    """A group of users; a supervisor need not be a member."""

    team_id: str
    name: str
    members: tuple[str, ...] = ()
    supervisors: tuple[str, ...] = ()


class Line(Snapshot):
    """One of the account's phone numbers."""

    line_number: str
    inbox_id: str | None = None
    name: str | None = None
    primary: bool = False
    telephony_system: str = "default"
    rings_itself: bool = False


class Agents(Data):
    """Who works an inbox: users, and teams with all their members."""

    users: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()


class RingLayer(Data):
    """Who is rung together, for how long, and in what order."""

    mode: RingMode = "simultaneous"
    users: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    ring_seconds: Annotated[int, Field(ge=1, le=600)] = 30


class Watcher(Data):
    """A user who was added by hand to watch an inbox."""

    user_id: str
    added_at: Instant


class Inbox(Snapshot):
    """Where communications land. `connected` and `watchers` are resolved: active users only are connected.

    `business_hours` are read on the clock of `time_zone`, else of the account's; without them it is always open.
    """

    inbox_id: str
    name: str
    kind: Literal["connected", "personal"]
    owner_id: str | None = None
    agents: Agents = Agents()
    connected: tuple[str, ...] = ()
    watchers: tuple[Watcher, ...] = ()
    time_zone: str | None = None
    business_hours: BusinessHours | None = None


ACCOUNT: Final = "directory.account.v1"
USER: Final = "directory.user.v1"
TEAM: Final = "directory.team.v1"
LINE: Final = "directory.line.v1"
INBOX: Final = "directory.inbox.v1"

EVENTS: Final[dict[str, type[Data]]] = {
    ACCOUNT: Account,
    USER: User,
    TEAM: Team,
    LINE: Line,
    INBOX: Inbox,
}
