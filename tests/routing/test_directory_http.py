"""The directory over HTTP, through the real application and the real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest_asyncio

from contracts import directory
from contracts.directory import User
from contracts.envelope import decode
from routing.administration import put_user
from routing.directory import Directory
from routing.http_api.callers import Viewer
from routing.http_api.changing import Administration
from service_kit.auth import Caller
from service_kit.clock import new_id
from tests.routing.building import ACCOUNT, LINE, answered, at, ended, received, ringing, started, text_in
from tests.routing.conftest import Api, Desk

OTHER_LINE = "+12125550191"


@pytest_asyncio.fixture
async def office(empty_api: Api) -> AsyncIterator[Api]:
    """An account made over HTTP: Maria administers; Anna and Ben work `sales`, which Wim watches; Chloe `support`."""
    await ok(empty_api.put("/v1/account", {"name": "Acme", "time_zone": "Europe/Berlin"}))
    for user_id in ("maria", "anna", "ben", "chloe", "wim"):
        role = "admin" if user_id == "maria" else "agent"
        body = {"name": user_id.title(), "email": f"{user_id}@acme.example", "role": role}
        await ok(empty_api.put(f"/v1/users/{user_id}", body))
    await ok(empty_api.put("/v1/teams/first", {"name": "First", "members": ["ben"], "supervisors": ["maria"]}))
    await ok(empty_api.put("/v1/inboxes/sales", {"name": "Sales", "agents": {"users": ["anna"], "teams": ["first"]}}))
    await ok(empty_api.put("/v1/inboxes/support", {"name": "Support", "agents": {"users": ["chloe"]}}))
    await ok(empty_api.put("/v1/inboxes/sales/watchers/wim"))
    await ok(empty_api.put(f"/v1/lines/{LINE}", {"inbox_id": "sales", "primary": True}))
    yield empty_api


def person(name: str) -> dict[str, Any]:
    """The body of a user."""
    return {"name": name, "email": f"{name}@acme.example"}


async def ok(answer: Any) -> Any:
    """The body of an answer that went well."""
    response = await answer
    assert response.status_code in (200, 204), response.text
    return response.json() if response.content else None


async def refused(answer: Any, status: int, field: str | None = None) -> None:
    """An answer that refuses, as problem+json that names the field."""
    response = await answer
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    if field is not None:
        assert [error["field"] for error in response.json()["errors"]] == [field]


async def test_a_machine_creates_the_account_and_a_person_can_not(empty_api: Api) -> None:
    body = {"name": "Acme", "time_zone": "Europe/Berlin"}
    await refused(empty_api.get("/v1/account"), 404)
    await refused(empty_api.of("maria").put("/v1/account", body), 403)
    await refused(empty_api.put("/v1/users/anna", {"name": "Anna", "email": "anna@acme.example"}), 409)
    made = await ok(empty_api.put("/v1/account", body))
    assert (made["name"], made["admins_see_all"], made["version"]) == ("Acme", False, 1)


async def test_everything_that_was_put_is_published_as_a_snapshot(empty_desk: Desk, office: Api) -> None:
    rows = await empty_desk.rows("SELECT key, value, header_names, header_values FROM outbox ORDER BY id")
    events = [
        decode(row["value"], list(zip(row["header_names"], row["header_values"], strict=True)), directory.EVENTS)
        for row in rows
    ]
    keys = [row["key"].decode() for row in rows]
    assert keys[:2] == ["acme/account/acme", "acme/user/maria"]
    last = {key: event.data for key, event in zip(keys, events, strict=True)}  # type: ignore[union-attr] # all known
    assert last["acme/inbox/sales"].connected == ("anna", "ben")
    assert [watcher.user_id for watcher in last["acme/inbox/sales"].watchers] == ["wim"]
    assert last[f"acme/line/{LINE}"].primary


async def test_an_identical_put_changes_nothing(empty_desk: Desk, office: Api) -> None:
    await empty_desk.directory_events()
    for path in ("account", "users/anna", "teams/first", "inboxes/sales", f"lines/{LINE}"):
        as_admin = await ok(office.get(f"/v1/{path}"))
        assert await ok(office.put(f"/v1/{path}", as_admin)) == as_admin
    empty_desk.clock.now += timedelta(hours=1)
    first = await ok(office.put("/v1/inboxes/sales/watchers/wim"))
    assert first["added_at"] == at(3600).isoformat().replace("+00:00", "Z")
    assert await empty_desk.directory_events() == []


async def test_a_change_of_a_team_or_user_publishes_the_inboxes_that_it_changes(empty_desk: Desk, office: Api) -> None:
    await empty_desk.directory_events()
    await ok(office.put("/v1/teams/first", {"name": "First", "members": ["ben", "chloe"]}))
    team, inbox = await empty_desk.directory_events()
    assert team["members"] == ["ben", "chloe"]
    assert (inbox["inbox_id"], inbox["connected"]) == ("sales", ["anna", "ben", "chloe"])
    anna = await ok(office.get("/v1/users/anna"))
    await ok(office.put("/v1/users/anna", anna | {"active": False}))
    user, inbox = await empty_desk.directory_events()
    assert (user["active"], inbox["connected"]) == (False, ["ben", "chloe"])


async def test_who_leaves_a_team_leaves_the_layers_that_he_rang_in_through_it(office: Api) -> None:
    agents = {"users": ["anna"], "teams": ["first"]}
    layers = [{"users": ["ben", "anna"]}, {"users": ["ben"]}, {"teams": ["first"]}]
    await ok(office.put("/v1/inboxes/sales", {"name": "Sales", "agents": agents, "ring_layers": layers}))

    async def named() -> list[tuple[list[str], list[str]]]:
        inbox = await ok(office.get("/v1/inboxes/sales"))
        assert await ok(office.put("/v1/inboxes/sales", inbox)) == inbox, "what was read can be put back"
        return [(layer["users"], layer["teams"]) for layer in inbox["ring_layers"]]

    ben = await ok(office.get("/v1/users/ben"))
    await ok(office.put("/v1/users/ben", ben | {"active": False}))
    assert await named() == [(["ben", "anna"], []), (["ben"], []), ([], ["first"])], "an inactive agent keeps his place"
    await ok(office.put("/v1/teams/first", {"name": "First", "members": ["chloe"]}))
    assert await named() == [(["anna"], []), ([], ["first"])]
    await ok(office.delete("/v1/teams/first"))
    assert await named() == [(["anna"], [])]


async def test_versions_go_on_after_deletion_and_re_creation(empty_desk: Desk, office: Api) -> None:
    await empty_desk.directory_events()
    await ok(office.delete("/v1/teams/first"))
    team, inbox = await empty_desk.directory_events()
    assert (team["deleted"], team["version"], inbox["connected"]) == (True, 2, ["anna"])
    assert inbox["agents"]["teams"] == []
    await refused(office.get("/v1/teams/first"), 404)
    await refused(office.delete("/v1/teams/first"), 404)
    made = await ok(office.put("/v1/teams/first", {"name": "First"}))
    assert made["version"] == 3


async def test_lines_and_inboxes_come_back_with_the_next_version_and_nothing_of_before(
    empty_desk: Desk, office: Api
) -> None:
    await empty_desk.directory_events()
    line, inbox = await ok(office.get(f"/v1/lines/{LINE}")), await ok(office.get("/v1/inboxes/sales"))
    await ok(office.delete(f"/v1/lines/{LINE}"))
    await ok(office.delete("/v1/inboxes/sales"))
    line_gone, inbox_gone = await empty_desk.directory_events()
    assert (line_gone["deleted"], line_gone["version"]) == (True, line["version"] + 1)
    assert (inbox_gone["deleted"], inbox_gone["version"]) == (True, inbox["version"] + 1)
    again = await ok(office.put("/v1/inboxes/sales", {"name": "Sales"}))
    assert again["version"] == inbox["version"] + 2
    assert (await ok(office.get("/v1/inboxes/sales/members"))) == {"connected": [], "watching": []}
    assert (await ok(office.put(f"/v1/lines/{LINE}", {"inbox_id": "sales"})))["version"] == line["version"] + 2


async def test_an_inbox_in_use_can_not_be_deleted(office: Api) -> None:
    await refused(office.delete("/v1/inboxes/sales"), 409)
    await ok(office.put("/v1/account", {"name": "A", "time_zone": "UTC", "fallback_inbox_id": "support"}))
    await refused(office.delete("/v1/inboxes/support"), 409)
    await ok(office.put("/v1/account", {"name": "A", "time_zone": "UTC"}))
    await ok(office.delete("/v1/inboxes/support"))
    await ok(office.delete(f"/v1/lines/{LINE}"))
    await ok(office.delete("/v1/inboxes/sales"))
    assert (await ok(office.get("/v1/inboxes")))["items"] == []


async def test_a_primary_line_takes_that_from_the_other(office: Api) -> None:
    await ok(office.put(f"/v1/lines/{OTHER_LINE}", {"inbox_id": "sales", "primary": True}))
    lines = {line["line_number"]: line["primary"] for line in (await ok(office.get("/v1/lines")))["items"]}
    assert lines == {LINE: False, OTHER_LINE: True}


async def test_of_lines_that_all_become_primary_at_once_one_is(empty_desk: Desk, office: Api) -> None:
    numbers = [f"+1212555010{digit}" for digit in range(6)]
    await asyncio.gather(
        *(ok(office.put(f"/v1/lines/{number}", {"inbox_id": "sales", "primary": True})) for number in numbers)
    )
    lines = (await ok(office.get("/v1/lines", inbox_id="sales")))["items"]
    assert len(lines) == 7
    assert sum(line["primary"] for line in lines) == 1
    published = {one["line_number"]: one["primary"] for one in await empty_desk.directory_events() if "primary" in one}
    assert published == {line["line_number"]: line["primary"] for line in lines}


async def test_changes_asked_for_at_once_are_made_or_refused_each_by_itself(empty_desk: Desk, office: Api) -> None:
    versions = {one["user_id"]: one["version"] for one in await empty_desk.directory_events() if "user_id" in one}
    by_whom = {f"user-{number}": office if number % 2 else office.of("maria") for number in range(20)}
    bad = {"name": "Ghosts", "agents": {"users": ["nobody"]}}
    good = (ok(by.put(f"/v1/users/{who}", person(who))) for who, by in by_whom.items())
    changed = (ok(office.put("/v1/users/anna", person(f"anna-{number}"))) for number in range(5))
    # They go over several connections: in which order they arrive, nobody knows.
    await asyncio.gather(
        refused(office.put("/v1/inboxes/ghosts", bad), 422, "agents.users"),
        *good,
        refused(office.delete("/v1/inboxes/sales"), 409),
        *changed,
    )
    new = await ok(office.put("/v1/inboxes/new", {"name": "New", "agents": {"users": list(by_whom)}}))
    assert new["agents"]["users"] == list(by_whom)
    names = {user["user_id"]: user["name"] for user in (await ok(office.get("/v1/users", limit=200)))["items"]}
    assert names.items() >= {who: person(who)["name"] for who in by_whom}.items()
    audited = (await ok(office.get("/v1/audit", entity="user", limit=200)))["items"]
    by = {entry["entity_id"]: entry["by"] for entry in audited if entry["entity_id"] in by_whom}
    assert by == {who: "setup" if api is office else "maria" for who, api in by_whom.items()}
    published = [one for one in await empty_desk.directory_events() if one.get("user_id") == "anna"]
    assert [one["version"] for one in published] == [versions["anna"] + number for number in range(1, 6)]
    assert {one["name"] for one in published} == {f"anna-{number}" for number in range(5)}
    assert names["anna"] == published[-1]["name"]


async def test_what_can_not_be_written_fails_alone(empty_desk: Desk, office: Api) -> None:
    administration = Administration(empty_desk.database, empty_desk.directories, empty_desk.clock, new_id)
    viewer = Viewer(Caller(ACCOUNT, "setup", frozenset({"directory"}), at(7_200)), None)

    def named(name: str, user_id: str) -> Any:
        user = User(user_id=user_id, name=name, email="new@acme.example", role="agent", version=0)
        return administration.apply(viewer, lambda held: put_user(held, user))

    answers = await asyncio.gather(
        *(named(name, f"new-{at}") for at, name in enumerate(("Nora", "N\0l", "Nils"))), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Directory, asyncpg.UntranslatableCharacterError, Directory]
    known = (await ok(office.get("/v1/users", limit=200)))["items"]
    assert {"Nora", "Nils"} <= {user["name"] for user in known}
    assert len([user for user in known if user["user_id"].startswith("new-")]) == 2


async def test_a_line_that_moves_to_another_inbox_takes_primary_there(office: Api) -> None:
    await ok(office.put(f"/v1/lines/{OTHER_LINE}", {"inbox_id": "support", "primary": True}))
    await ok(office.put(f"/v1/lines/{LINE}", {"inbox_id": "support", "primary": True}))
    lines = {line["line_number"]: line["primary"] for line in (await ok(office.get("/v1/lines")))["items"]}
    assert lines == {LINE: True, OTHER_LINE: False}


BAD_INPUT: list[tuple[str, dict[str, Any] | None, str]] = [
    ("account", {"name": "A", "time_zone": "Mars/Olympus"}, "time_zone"),
    ("account", {"name": "A", "time_zone": "UTC", "fallback_inbox_id": "gone"}, "fallback_inbox_id"),
    ("account", {"time_zone": "UTC"}, "name"),
    ("users/dan", {"name": "Dan", "email": "no address"}, "email"),
    ("users/dan", {"name": "Dan\r\nBcc: x@y.example", "email": "dan@acme.example"}, "name"),
    ("users/dan", {"name": "Dan", "email": "dan@acme.example", "role": "owner"}, "role"),
    ("users/me", {"name": "Dan", "email": "dan@acme.example"}, "user_id"),
    ("users/-dan", {"name": "Dan", "email": "dan@acme.example"}, "user_id"),
    ("teams/t", {"name": "T", "members": ["nobody"]}, "members"),
    ("teams/t", {"name": "T", "supervisors": ["nobody"]}, "supervisors"),
    ("lines/+12125550199", {"inbox_id": "gone"}, "inbox_id"),
    ("lines/+12125550199", {"inbox_id": None, "primary": True}, "primary"),
    ("lines/hello", {"inbox_id": None}, "line_number"),
    ("lines/72", {"inbox_id": None}, "line_number"),
    ("lines/+12", {"inbox_id": None}, "line_number"),
    ("inboxes/all", {"name": "All"}, "inbox_id"),
    ("inboxes/i", {"name": "I", "kind": "personal"}, "owner_id"),
    ("inboxes/i", {"name": "I", "kind": "personal", "owner_id": "nobody"}, "owner_id"),
    ("inboxes/i", {"name": "I", "owner_id": "anna"}, "owner_id"),
    ("inboxes/i", {"name": "I", "agents": {"users": ["nobody"]}}, "agents.users"),
    ("inboxes/i", {"name": "I", "agents": {"teams": ["nobody"]}}, "agents.teams"),
    ("inboxes/i", {"name": "I", "ring_layers": [{"users": ["anna"]}]}, "ring_layers.0.users"),
    ("inboxes/i", {"name": "I", "ring_layers": [{"mode": "loud"}]}, "ring_layers.0.mode"),
    (
        "inboxes/i",
        {"name": "I", "business_hours": {"mon": [{"from": "9", "to": "17:00"}]}},
        "business_hours.mon.0.from",
    ),
    ("inboxes/sales/watchers/nobody", None, "user_id"),
]


async def test_bad_input_names_the_field_and_changes_nothing(empty_desk: Desk, office: Api) -> None:
    await empty_desk.directory_events()
    for path, body, field in BAD_INPUT:
        await refused(office.put(f"/v1/{path}", body), 422, field)
    assert await empty_desk.directory_events() == []


async def test_a_short_code_is_a_line(office: Api) -> None:
    assert (await ok(office.put("/v1/lines/72975", {"inbox_id": "sales"})))["line_number"] == "72975"


async def test_a_leading_space_in_a_number_is_a_plus(office: Api) -> None:
    assert (await ok(office.get(f"/v1/lines/ {LINE[1:]}")))["line_number"] == LINE


async def test_business_hours_come_back_as_they_were_put(office: Api) -> None:
    hours = {"mon": [{"from": "09:00", "to": "12:30"}, {"from": "22:00", "to": "06:00"}], "closures": ["2026-12-25"]}
    body = {"name": "Sales", "agents": {"users": ["anna"]}, "business_hours": hours, "time_zone": "America/Santiago"}
    made = await ok(office.put("/v1/inboxes/sales", body))
    assert made["business_hours"]["mon"] == hours["mon"]
    assert made["business_hours"]["closures"] == ["2026-12-25"]


async def test_lists_come_in_pages(office: Api) -> None:
    first = await ok(office.get("/v1/users", limit=3))
    second = await ok(office.get("/v1/users", limit=3, cursor=first["next_cursor"]))
    assert [user["user_id"] for user in first["items"] + second["items"]] == ["anna", "ben", "chloe", "maria", "wim"]
    assert second["next_cursor"] is None
    await refused(office.get("/v1/users", cursor="rubbish"), 422, "cursor")
    await refused(office.get("/v1/users", limit=1000), 422, "limit")


async def test_agents_see_their_inboxes_and_lines_and_no_addresses(office: Api) -> None:
    await ok(office.put(f"/v1/lines/{OTHER_LINE}", {"inbox_id": "support"}))
    for who, inboxes, lines in (
        ("anna", ["sales"], [LINE]),
        ("wim", ["sales"], [LINE]),
        ("chloe", ["support"], [OTHER_LINE]),
    ):
        agent = office.of(who)
        assert [inbox["inbox_id"] for inbox in (await ok(agent.get("/v1/inboxes")))["items"]] == inboxes
        assert [line["line_number"] for line in (await ok(agent.get("/v1/lines")))["items"]] == lines
        assert all("email" not in user for user in (await ok(agent.get("/v1/users")))["items"])
        assert "email" not in await ok(agent.get("/v1/users/maria"))
    assert (await ok(office.of("maria").get("/v1/users/anna")))["email"] == "anna@acme.example"


async def test_whoever_has_no_tie_finds_nothing_and_whoever_has_one_may_not_administer(office: Api) -> None:
    body = {"name": "x"}
    for path in ("inboxes/support", "inboxes/support/members", "inboxes/support/ring-plan", "inboxes/none"):
        await refused(office.of("anna").get(f"/v1/{path}"), 404)
    await refused(office.of("anna").put("/v1/inboxes/support", body), 404)
    await refused(office.of("anna").put("/v1/inboxes/new", body), 404)
    await refused(office.of("anna").put("/v1/inboxes/sales", {}), 403)
    await refused(office.of("anna").delete("/v1/inboxes/sales"), 403)
    await refused(office.of("chloe").put(f"/v1/lines/{LINE}", body), 404)
    await refused(office.of("anna").put(f"/v1/lines/{LINE}", {"primary": "?"}), 403)
    await refused(office.of("anna").put("/v1/users/anna", {}), 403)
    await refused(office.of("anna").put("/v1/account", {}), 403)
    await refused(office.of("anna").put("/v1/teams/first", {}), 403)
    await refused(office.of("wim").put("/v1/inboxes/sales/watchers/wim"), 403)
    await refused(office.of("anna").get("/v1/audit"), 403)
    await refused(office.of("anna").get("/v1/unrouted"), 403)


async def test_without_a_good_token_there_is_no_answer(office: Api) -> None:
    for headers in ({}, {"Authorization": "Bearer rubbish"}, {"Authorization": "Basic x"}):
        await refused(Api(office.client, headers).get("/v1/account"), 401)
        await refused(Api(office.client, headers).put("/v1/users/anna", {}), 401)
    await refused(office.of("nobody").get("/v1/me"), 403)
    await refused(office.of("anna", "globex").get("/v1/me"), 403)


async def test_a_deactivated_user_loses_access_at_once(office: Api) -> None:
    await ok(office.of("anna").get("/v1/me"))
    await ok(office.put("/v1/users/anna", {"name": "Anna", "email": "anna@acme.example", "active": False}))
    await refused(office.of("anna").get("/v1/me"), 403)


async def test_one_knows_oneself(office: Api) -> None:
    await ok(office.put("/v1/inboxes/own", {"name": "Own", "kind": "personal", "owner_id": "wim"}))
    me = await ok(office.of("wim").get("/v1/me"))
    assert (me["user_id"], me["role"], me["presence"]) == ("wim", "agent", "available")
    assert [(inbox["inbox_id"], inbox["access"]) for inbox in me["inboxes"]] == [
        ("own", "personal"),
        ("sales", "watching"),
    ]
    await refused(office.get("/v1/me"), 403)


async def test_members_have_names(office: Api) -> None:
    members = await ok(office.of("wim").get("/v1/inboxes/sales/members"))
    assert [(one["user_id"], one["name"]) for one in members["connected"]] == [("anna", "Anna"), ("ben", "Ben")]
    assert [(one["user_id"], one["name"]) for one in members["watching"]] == [("wim", "Wim")]
    await ok(office.delete("/v1/inboxes/sales/watchers/wim"))
    await refused(office.delete("/v1/inboxes/sales/watchers/wim"), 404)
    await refused(office.of("wim").get("/v1/inboxes/sales/members"), 404)


async def test_the_ring_plan_shows_who_would_ring(empty_desk: Desk, office: Api) -> None:
    body = {
        "name": "Sales",
        "agents": {"users": ["anna"], "teams": ["first"]},
        "ring_layers": [{"mode": "round_robin", "teams": ["first"], "ring_seconds": 10}, {"users": ["anna"]}],
        "business_hours": {"mon": [{"from": "09:00", "to": "17:00"}]},
    }
    await ok(office.put("/v1/inboxes/sales", body))
    assert await ok(office.of("anna").put("/v1/me/presence", {"status": "away"})) == {"status": "away"}
    plan = await ok(office.of("ben").get("/v1/inboxes/sales/ring-plan", at="2026-03-02T12:00:00+01:00"))
    assert plan == {
        "layers": [{"mode": "round_robin", "user_ids": ["ben"], "ring_seconds": 10}],
        "otherwise": "voicemail",
        "left_out": [{"user_id": "anna", "because": "away"}],
        "after_hours": False,
    }
    closed = await ok(office.get("/v1/inboxes/sales/ring-plan", at="2026-03-02T17:00:00+01:00"))
    assert (closed["layers"], closed["after_hours"]) == ([], True)
    await refused(office.get("/v1/inboxes/sales/ring-plan", at="2026-03-02T17:00:00"), 422, "at")
    await refused(office.of("ben").put("/v1/me/presence", {"status": "gone"}), 422, "status")


async def test_every_change_is_recorded_with_before_and_after(office: Api) -> None:
    await ok(office.of("maria").put("/v1/users/anna", {"name": "Anna B.", "email": "anna@acme.example"}))
    newest, *_ = (await ok(office.of("maria").get("/v1/audit")))["items"]
    assert (newest["by"], newest["action"], newest["entity"], newest["entity_id"]) == (
        "maria",
        "changed",
        "user",
        "anna",
    )
    assert (newest["before"]["name"], newest["after"]["name"]) == ("Anna", "Anna B.")
    pages, cursor = [], None
    while True:
        page = await ok(office.get("/v1/audit", limit=4, **({"cursor": cursor} if cursor else {})))
        pages += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(pages) == len({entry["id"] for entry in pages}) == 12
    assert pages[-1]["entity"] == "account"


async def test_mapping_a_line_routes_what_waited_for_it(empty_desk: Desk, office: Api) -> None:
    await empty_desk.take(started(line_number=OTHER_LINE), ended(20), text_in(30, line_number=OTHER_LINE))
    waiting = await ok(office.of("maria").get("/v1/unrouted"))
    assert waiting["items"] == [
        {
            "line_number": OTHER_LINE,
            "waiting": 2,
            "oldest_at": "2026-03-02T12:00:20Z",
            "newest_at": "2026-03-02T12:00:30Z",
        }
    ]
    await empty_desk.outbox()
    await ok(office.put(f"/v1/lines/{OTHER_LINE}", {"inbox_id": "support"}))
    while await empty_desk.conclusions.route_again():
        pass
    assert [routed["inbox_id"] for routed in await empty_desk.outbox()] == ["support", "support"]
    assert (await ok(office.get("/v1/unrouted")))["items"] == []


async def test_why_tells_the_facts_in_order_to_those_who_may_know(empty_desk: Desk, office: Api) -> None:
    await empty_desk.take(*[received(fact) for fact in (started(), ringing(2, "anna"), ended(20))])
    await empty_desk.take(started(call_id="a/b", line_number=OTHER_LINE), answered(3, call_id="a/b"))
    why = await ok(office.of("wim").get("/v1/communications/c1/why"))
    assert (why["status"], why["inbox_id"]) == ("missed", "sales")
    assert [line["what"] for line in why["because"]] == [
        "the call started",
        "Anna was rung",
        "the call ended",
        "it is in Sales because its line led there when it was first seen",
        "no ring plan was made: it was answered or over when it reached us",
        "it is missed, not abandoned: somebody was rung, and no person talked to the contact",
    ]
    assert [line["rule"] for line in why["because"]] == [None, None, None, "R1", "R4", "M1"]
    assert [line["at"] is None for line in why["because"]] == [False, False, False, True, True, True]
    await refused(office.of("chloe").get("/v1/communications/c1/why"), 404)
    await refused(office.of("maria").get("/v1/communications/c1/why"), 404)
    await refused(office.get("/v1/communications/c1/why"), 403)
    unrouted = await ok(office.of("maria").get("/v1/communications/a%2Fb/why"))
    assert unrouted["inbox_id"] is None
    await refused(office.of("anna").get("/v1/communications/a%2Fb/why"), 404)
