"""Who gets a report, and who may look at one (P2, P7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from contracts.directory import Inbox, Team, User


class RecipientClass(StrEnum):
    """The kinds of people that a report can be sent to."""

    CONNECTED = "connected"
    WATCHING = "watching"
    TEAM_SUPERVISORS = "team_supervisors"
    TEAM_MEMBERS = "team_members"


def user_ids(classes: Collection[RecipientClass], inbox: Inbox, teams: Mapping[str, Team]) -> tuple[str, ...]:
    """The users of these classes, each once. `teams` are the account's; only the inbox's own count."""
    chosen: set[str] = set()
    of_inbox = [teams[team_id] for team_id in inbox.agents.teams if team_id in teams]
    for wanted in classes:
        match wanted:
            case RecipientClass.CONNECTED:
                chosen.update(inbox.connected)
            case RecipientClass.WATCHING:
                chosen.update(watcher.user_id for watcher in inbox.watchers)
            case RecipientClass.TEAM_SUPERVISORS:
                chosen.update(user_id for team in of_inbox for user_id in team.supervisors)
            case RecipientClass.TEAM_MEMBERS:
                chosen.update(user_id for team in of_inbox for user_id in team.members)
    return tuple(sorted(chosen))


def reachable(chosen: Collection[str], users: Mapping[str, User]) -> tuple[User, ...]:
    """Those who can be written to: known, active, with an address."""
    return tuple(
        users[user_id]
        for user_id in chosen
        if user_id in users and users[user_id].active and users[user_id].email.strip()
    )


def supervises(user_id: str, inbox: Inbox, teams: Mapping[str, Team]) -> bool:
    """Whether somebody supervises one of the inbox's teams."""
    return any(user_id in teams[team_id].supervisors for team_id in inbox.agents.teams if team_id in teams)
