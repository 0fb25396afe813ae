"""One account's directory: who belongs to it, what it has, and what follows for membership (product §1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Literal, NamedTuple

from contracts.directory import Account, Entity, Inbox, Line, RingLayer, Snapshot, Team, User
from contracts.numbers import normalise


class InboxSettings(Inbox):
    """An inbox with what only routing needs to know of it."""

    ring_layers: tuple[RingLayer, ...] = ()


KINDS: Mapping[Entity, type[Snapshot]] = MappingProxyType(
    {"account": Account, "user": User, "team": Team, "line": Line, "inbox": InboxSettings}
)


class Mapped(NamedTuple):
    """Where a line leads, and by what: by its own mapping, or because the account has a fallback."""

    inbox_id: str
    by: Literal["line", "fallback"]


@dataclass(frozen=True)
class Directory:
    """What exists in one account now; what was deleted is not here. Never changed in place."""

    account_id: str
    account: Account | None = None
    users: Mapping[str, User] = field(default_factory=dict)
    teams: Mapping[str, Team] = field(default_factory=dict)
    lines: Mapping[str, Line] = field(default_factory=dict)
    inboxes: Mapping[str, InboxSettings] = field(default_factory=dict)

    def mapping_of(self, line_number: str) -> Mapped | None:
        """The inbox of what comes in on a line: its mapping, else the account's fallback, else none (R1, R3)."""
        line = self.lines.get(line_number)
        mapped = None if line is None else line.inbox_id
        if mapped is not None and mapped in self.inboxes:
            return Mapped(mapped, "line")
        fallback = None if self.account is None else self.account.fallback_inbox_id
        return Mapped(fallback, "fallback") if fallback is not None and fallback in self.inboxes else None

    def user_at(self, endpoint: str) -> str | None:
        """The user whom telephony knows by an endpoint; the active one, and the least id, where several are."""
        return self._by_endpoint.get(endpoint) or self._by_endpoint.get(normalise(endpoint))

    def zone_of(self, inbox: Inbox) -> str:
        """The zone of an inbox's clock: its own, else the account's."""
        return inbox.time_zone or ("UTC" if self.account is None else self.account.time_zone)

    def everything(self) -> Iterator[Snapshot]:
        """Every part of it."""
        if self.account is not None:
            yield self.account
        yield from chain(self.users.values(), self.teams.values(), self.inboxes.values(), self.lines.values())

    def members_by_team(self) -> dict[str, tuple[str, ...]]:
        """Each team's members."""
        return {team_id: team.members for team_id, team in self.teams.items()}

    @cached_property
    def _by_endpoint(self) -> dict[str, str]:
        # Written last wins, so the active users and the least ids come last.
        found: dict[str, str] = {}
        for user in sorted(self.users.values(), key=lambda user: (not user.active, user.user_id), reverse=True):
            for endpoint in user.endpoints:
                found[endpoint] = user.user_id
                found[normalise(endpoint)] = user.user_id
        found.pop("anonymous", None)
        return found


def directory_of(account_id: str, snapshots: Iterable[Snapshot]) -> Directory:
    """The directory that snapshots of living things make up; of two of one thing the later one counts."""
    return with_snapshots(Directory(account_id), snapshots)


def with_snapshots(directory: Directory, snapshots: Iterable[Snapshot]) -> Directory:
    """The same directory with these in place of what it held under their ids."""
    account = directory.account
    users, teams = dict(directory.users), dict(directory.teams)
    lines, inboxes = dict(directory.lines), dict(directory.inboxes)
    for snapshot in snapshots:
        match snapshot:
            case Account():
                account = snapshot
            case User():
                users[snapshot.user_id] = snapshot
            case Team():
                teams[snapshot.team_id] = snapshot
            case Line():
                lines[snapshot.line_number] = snapshot
            case InboxSettings():
                inboxes[snapshot.inbox_id] = snapshot
            case _:
                raise TypeError(f"{type(snapshot).__name__} is no part of a directory")
    return Directory(directory.account_id, account, users, teams, lines, inboxes)


def connected_users(directory: Directory, inbox: Inbox) -> tuple[str, ...]:
    """Who works an inbox: the active users of its agent list, directly or through a team; or its owner."""
    if inbox.kind == "personal":
        named = {inbox.owner_id} if inbox.owner_id else set()
    else:
        named = set(inbox.agents.users)
        for team_id in inbox.agents.teams:
            team = directory.teams.get(team_id)
            named.update(team.members if team is not None else ())
    return tuple(sorted(user_id for user_id in named if (user := directory.users.get(user_id)) and user.active))
