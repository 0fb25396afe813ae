"""Who gets a report (P2)."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.directory import Agents, Inbox, Team, User, Watcher
from reporting.recipients import RecipientClass, reachable, supervises, user_ids

ADDED_AT = datetime(2026, 3, 1, tzinfo=UTC)
TEAMS = {
    "support": Team(version=1, team_id="support", name="Support", members=("anna", "bob"), supervisors=("sue",)),
    "sales": Team(version=1, team_id="sales", name="Sales", members=("carl",), supervisors=("sam",)),
}
INBOX = Inbox(
    version=1,
    inbox_id="support",
    name="Support",
    kind="connected",
    agents=Agents(users=("dora",), teams=("support", "gone")),
    connected=("anna", "bob", "dora"),
    watchers=(Watcher(user_id="anna", added_at=ADDED_AT), Watcher(user_id="wim", added_at=ADDED_AT)),
)


def a_user(user_id: str, *, active: bool = True, email: str = "somebody@example.com") -> User:
    return User(version=1, user_id=user_id, name=user_id.title(), email=email, role="agent", active=active)


def test_somebody_in_several_classes_is_chosen_once() -> None:
    assert user_ids(tuple(RecipientClass), INBOX, TEAMS) == ("anna", "bob", "dora", "sue", "wim")


def test_each_class_chooses_its_own() -> None:
    assert user_ids([RecipientClass.CONNECTED], INBOX, TEAMS) == ("anna", "bob", "dora")
    assert user_ids([RecipientClass.WATCHING], INBOX, TEAMS) == ("anna", "wim")
    assert user_ids([RecipientClass.TEAM_SUPERVISORS], INBOX, TEAMS) == ("sue",)
    assert user_ids([RecipientClass.TEAM_MEMBERS], INBOX, TEAMS) == ("anna", "bob")
    assert user_ids([], INBOX, TEAMS) == ()


def test_the_inactive_the_unknown_and_those_without_an_address_are_left_out() -> None:
    users = {"anna": a_user("anna"), "bob": a_user("bob", active=False), "sue": a_user("sue", email=" ")}

    assert [user.user_id for user in reachable(("anna", "bob", "sue", "wim"), users)] == ["anna"]


def test_only_the_supervisors_of_the_inboxs_own_teams_supervise_it() -> None:
    assert supervises("sue", INBOX, TEAMS)
    assert not supervises("sam", INBOX, TEAMS)
    assert not supervises("anna", INBOX, TEAMS)
