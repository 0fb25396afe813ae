"""Changes to the directory: each takes a directory and gives the one that would follow, or says why not (A2, R7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts.directory import Account, Entity, Line, RingLayer, Snapshot, Team, User, Watcher
from routing.directory import Directory, InboxSettings, connected_users

S = TypeVar("S", bound=Snapshot)


class Refused(Exception):
    """What was asked for breaks a rule; `field` is the part of the request that does."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class InUse(Exception):
    """What should be deleted is needed elsewhere (R7)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One entity as it was (None: new) and as it becomes (None: deleted)."""

    entity: Entity
    id: str
    before: Snapshot | None
    after: Snapshot | None

    @property
    def latest(self) -> Snapshot:
        """What to publish: as it becomes, or as it last was."""
        latest = self.before if self.after is None else self.after
        if latest is None:
            raise ValueError("a change has a before or an after")
        return latest


def put_account(directory: Directory, account: Account) -> Directory:
    """Create or replace the account."""
    _require_zone(account.time_zone)
    if account.fallback_inbox_id is not None:
        _require("fallback_inbox_id", [account.fallback_inbox_id], directory.inboxes, "inbox")
    return replace(directory, account=_versioned(account, directory.account))


def put_user(directory: Directory, user: User) -> Directory:
    """Create or replace a user. Deactivating him takes him out of every inbox at once (R7)."""
    _require_account(directory)
    if user.time_zone is not None:
        _require_zone(user.time_zone)
    user = _versioned(user, directory.users.get(user.user_id))
    return _settled(replace(directory, users={**directory.users, user.user_id: user}))


def put_team(directory: Directory, team: Team) -> Directory:
    """Create or replace a team. Whoever leaves it leaves the layers of the inboxes that he worked only through it."""
    _require_account(directory)
    _require("members", team.members, directory.users, "user")
    _require("supervisors", team.supervisors, directory.users, "user")
    team = _versioned(team, directory.teams.get(team.team_id))
    return _settled(replace(directory, teams={**directory.teams, team.team_id: team}))


def delete_team(directory: Directory, team_id: str) -> Directory:
    """Delete a team, and take it out of every inbox (R7)."""
    inboxes = {inbox_id: _without_team(inbox, team_id) for inbox_id, inbox in directory.inboxes.items()}
    return _settled(replace(directory, teams=_without(directory.teams, team_id), inboxes=inboxes))


def put_line(directory: Directory, line: Line) -> Directory:
    """Create or replace a line. A primary one takes that from the inbox's other line (contract §3)."""
    _require_account(directory)
    if line.inbox_id is not None:
        _require("inbox_id", [line.inbox_id], directory.inboxes, "inbox")
    elif line.primary:
        raise Refused("primary", "a line that is mapped to no inbox can't be its primary line")
    line = _versioned(line, directory.lines.get(line.line_number))
    lines = {**directory.lines, line.line_number: line}
    if line.primary:
        for other in directory.lines.values():
            if other.primary and other.inbox_id == line.inbox_id and other.line_number != line.line_number:
                lines[other.line_number] = other.model_copy(update={"primary": False})
    return replace(directory, lines=lines)


def delete_line(directory: Directory, line_number: str) -> Directory:
    """Delete a line."""
    return replace(directory, lines=_without(directory.lines, line_number))


def put_inbox(directory: Directory, inbox: InboxSettings) -> Directory:
    """Create or replace an inbox; its watchers stay as they are."""
    _require_account(directory)
    if inbox.time_zone is not None:
        _require_zone(inbox.time_zone)
    if inbox.kind == "personal":
        if inbox.owner_id is None:
            raise Refused("owner_id", "a personal inbox needs an owner")
        _require("owner_id", [inbox.owner_id], directory.users, "user")
        if inbox.agents.users or inbox.agents.teams:
            raise Refused("agents", "a personal inbox is worked by its owner alone")
    elif inbox.owner_id is not None:
        raise Refused("owner_id", "only a personal inbox has an owner")
    _require("agents.users", inbox.agents.users, directory.users, "user")
    _require("agents.teams", inbox.agents.teams, directory.teams, "team")
    _require_layers_within_agents(directory, inbox)
    held = directory.inboxes.get(inbox.inbox_id)
    inbox = _versioned(inbox.model_copy(update={"watchers": held.watchers if held else ()}), held)
    return _settled(replace(directory, inboxes={**directory.inboxes, inbox.inbox_id: inbox}))


def delete_inbox(directory: Directory, inbox_id: str) -> Directory:
    """Delete an inbox that is neither the fallback nor has lines mapped to it (R7)."""
    if directory.account is not None and directory.account.fallback_inbox_id == inbox_id:
        raise InUse("the inbox is the account's fallback")
    if any(line.inbox_id == inbox_id for line in directory.lines.values()):
        raise InUse("lines are mapped to the inbox")
    return replace(directory, inboxes=_without(directory.inboxes, inbox_id))


def add_watcher(directory: Directory, inbox_id: str, user_id: str, now: datetime) -> Directory:
    """Let a user watch an inbox; one who does already keeps the time since which he has."""
    _require("user_id", [user_id], directory.users, "user")
    inbox = directory.inboxes[inbox_id]
    if any(watcher.user_id == user_id for watcher in inbox.watchers):
        return directory
    watchers = (*inbox.watchers, Watcher(user_id=user_id, added_at=now))
    return _with_watchers(directory, inbox, watchers)


def remove_watcher(directory: Directory, inbox_id: str, user_id: str) -> Directory:
    """Let a user no longer watch an inbox."""
    inbox = directory.inboxes[inbox_id]
    watchers = tuple(watcher for watcher in inbox.watchers if watcher.user_id != user_id)
    return _with_watchers(directory, inbox, watchers)


def changes(before: Directory, after: Directory) -> list[Change]:
    """What differs, in the order in which readers should learn of it: people before what refers to them."""
    found: list[Change] = []
    if after.account != before.account:
        found.append(Change("account", after.account_id, before.account, after.account))
    found.extend(_differences("user", before.users, after.users))
    found.extend(_differences("team", before.teams, after.teams))
    found.extend(_differences("inbox", before.inboxes, after.inboxes))
    found.extend(_differences("line", before.lines, after.lines))
    return found


def _differences(entity: Entity, before: Mapping[str, S], after: Mapping[str, S]) -> Iterable[Change]:
    if before is after:
        return
    for entity_id in sorted({*before, *after}):
        was, becomes = before.get(entity_id), after.get(entity_id)
        if was is not becomes and was != becomes:
            yield Change(entity, entity_id, was, becomes)


def _settled(directory: Directory) -> Directory:
    """The same directory with everybody's membership worked out anew, and no layer naming who is not in `agents`."""
    inboxes: dict[str, InboxSettings] = {}
    for inbox_id, inbox in directory.inboxes.items():
        connected = connected_users(directory, inbox)
        layers = _layers_within_agents(directory, inbox)
        if connected != inbox.connected or layers != inbox.ring_layers:
            inbox = inbox.model_copy(update={"connected": connected, "ring_layers": layers})
        inboxes[inbox_id] = inbox
    return replace(directory, inboxes=inboxes)


def _with_watchers(directory: Directory, inbox: InboxSettings, watchers: tuple[Watcher, ...]) -> Directory:
    watched = inbox.model_copy(update={"watchers": watchers})
    return replace(directory, inboxes={**directory.inboxes, inbox.inbox_id: watched})


def _without_team(inbox: InboxSettings, team_id: str) -> InboxSettings:
    if team_id not in inbox.agents.teams:
        return inbox
    agents = inbox.agents.model_copy(update={"teams": tuple(t for t in inbox.agents.teams if t != team_id)})
    return inbox.model_copy(update={"agents": agents})


def _without(entities: Mapping[str, S], id: str) -> dict[str, S]:
    return {key: entity for key, entity in entities.items() if key != id}


def _versioned(new: S, held: S | None) -> S:
    # What is stored tells the next version: so that an identical PUT is found to change nothing.
    return new.model_copy(update={"version": held.version if held is not None else 0})


def _require_account(directory: Directory) -> None:
    if directory.account is None:
        raise InUse("the account does not exist yet: PUT /v1/account first")


def _require_zone(time_zone: str) -> None:
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused("time_zone", "is no IANA time zone, such as Europe/Berlin") from None


def _require(field: str, ids: Iterable[str], known: Mapping[str, object], what: str) -> None:
    for named in ids:
        if named not in known:
            raise Refused(field, f"there is no {what} {named}")


def _require_layers_within_agents(directory: Directory, inbox: InboxSettings) -> None:
    allowed = _agents(directory, inbox)
    for place, layer in enumerate(inbox.ring_layers):
        for user_id in layer.users:
            if user_id not in allowed:
                raise Refused(f"ring_layers.{place}.users", f"{user_id} is not in agents")
        for team_id in layer.teams:
            if team_id not in inbox.agents.teams:
                raise Refused(f"ring_layers.{place}.teams", f"{team_id} is not in agents")


def _layers_within_agents(directory: Directory, inbox: InboxSettings) -> tuple[RingLayer, ...]:
    if not inbox.ring_layers:
        return ()
    users, teams = _agents(directory, inbox), set(inbox.agents.teams)
    layers: list[RingLayer] = []
    for layer in inbox.ring_layers:
        if users.issuperset(layer.users) and teams.issuperset(layer.teams):
            layers.append(layer)
            continue
        left = {
            "users": tuple(user_id for user_id in layer.users if user_id in users),
            "teams": tuple(team_id for team_id in layer.teams if team_id in teams),
        }
        # What was emptied goes: with no layer at all everybody connected rings.
        if left["users"] or left["teams"]:
            layers.append(layer.model_copy(update=left))
    return tuple(layers)


def _agents(directory: Directory, inbox: InboxSettings) -> set[str]:
    """The users of an inbox's agent list, active or not, of its teams, and its owner."""
    named = set(inbox.agents.users)
    for team_id in inbox.agents.teams:
        named.update(directory.teams[team_id].members)
    if inbox.owner_id is not None:
        named.add(inbox.owner_id)
    return named
