"""A set-up file says what is wrong with it before anything is asked of anybody."""

from __future__ import annotations

from datetime import time
from importlib import resources

import pytest

from devstack.setup_file import NotASetup, parse

SMALL = """
account: {account_id: acme, name: Acme, time_zone: Europe/Berlin, fallback_inbox_id: support}
users:
  anna: {name: Anna, email: anna@acme.example, endpoints: [sip:1001@pbx]}
  ben: {name: Ben, email: ben@acme.example, rings: false}
  zoe: {name: Zoe, email: zoe@acme.example, active: false}
teams:
  team-1: {name: One, members: [anna, ben, zoe], supervisors: [ben]}
inboxes:
  support:
    name: Support
    agents: {teams: [team-1]}
    business_hours: {mon: [{from: 09:00, to: 17:00}], closures: [2026-12-25]}
    watchers: [ben]
lines:
  +49 30 901820: {inbox_id: support, primary: true}
"""


def wrong_with(text: str) -> str:
    with pytest.raises(NotASetup) as refused:
        parse(text)
    return str(refused.value)


def test_clock_times_and_numbers_are_what_they_look_like() -> None:
    setup = parse(SMALL)
    hours = setup.inboxes["support"].business_hours
    assert hours is not None
    assert hours.week()[0] == ((time(9), time(17)),)
    assert hours.week()[1] == ()
    assert list(setup.lines) == ["+4930901820"]


def test_what_is_put_is_what_the_file_says() -> None:
    setup = parse(SMALL)
    assert setup.account.brief("account_id") == {
        "name": "Acme",
        "time_zone": "Europe/Berlin",
        "fallback_inbox_id": "support",
    }
    assert setup.inboxes["support"].brief("watchers")["business_hours"] == {
        "mon": [{"from": "09:00", "to": "17:00"}],
        "closures": ["2026-12-25"],
    }


def test_connected_are_the_active_users_of_the_agent_list() -> None:
    assert parse(SMALL).connected("support") == ("anna", "ben")


def test_the_simulator_rings_nobody_who_does_not_ring() -> None:
    (line,) = parse(SMALL).for_simulation().lines
    assert (line.number, line.inbox_id, line.user_ids) == ("+4930901820", "support", ("anna",))


def test_an_unknown_key_is_a_mistake_and_named() -> None:
    assert "users.anna.e_mail" in wrong_with(SMALL.replace("email: anna", "e_mail: anna"))


def test_a_name_that_is_nowhere_is_named_with_its_place() -> None:
    complaint = wrong_with(SMALL.replace("watchers: [ben]", "watchers: [bert]"))
    assert "inboxes.support.watchers names user 'bert'" in complaint
    assert "account.fallback_inbox_id names inbox 'sales'" in wrong_with(
        SMALL.replace("fallback_inbox_id: support", "fallback_inbox_id: sales")
    )


def test_a_key_that_stands_twice_is_a_mistake() -> None:
    assert "'anna' stands there twice" in wrong_with(SMALL.replace("  ben: {name", "  anna: {name"))


@pytest.mark.parametrize("text", ["", "- a\n- b", "account: [", "just words"])
def test_what_is_no_set_up_is_refused(text: str) -> None:
    assert wrong_with(text)


def test_a_line_is_a_full_number_or_a_short_code() -> None:
    assert list(parse(SMALL.replace("+49 30 901820", "72975")).lines) == ["72975"]


@pytest.mark.parametrize("number", ["hello", "030 901820", "72", "+12"])
def test_a_line_that_is_neither_is_named(number: str) -> None:
    complaint = wrong_with(SMALL.replace("+49 30 901820", number))
    assert f"lines.{number}" in complaint
    assert "full number, such as +12125550100, or a short code" in complaint


def test_the_demo_account_is_a_set_up_with_everything_on() -> None:
    setup = parse(resources.files("devstack").joinpath("demo_account.yaml").read_text(encoding="utf-8"))
    assert len(setup.users) == 8
    assert {inbox.kind for inbox in setup.inboxes.values()} == {"connected", "personal"}
    for inbox in setup.inboxes.values():
        assert inbox.watchers
        assert inbox.watcher_notifications is not None
        assert inbox.watcher_notifications.digest_minutes == 0
        assert inbox.report_notifications is not None
        assert inbox.report_notifications.enabled
