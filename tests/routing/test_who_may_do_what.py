"""Every route of routing against every kind of caller (A1, I2). A route that the table lacks fails the test."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.directory import Account, Agents, Line, Team, Watcher
from routing.directory import Directory, directory_of
from tests.routing.building import ACCOUNT, CONTACT, LINE, NOON, inbox, started, user
from tests.routing.conftest import Desk, app_of, served
from tests.support import bearer
from tests.support.matrix import Attempt, attempted, forged_tokens, routes_of

OWN_LINE = "+12125550191"

CALLERS = {
    "admin": bearer("maria", ACCOUNT),
    "agent": bearer("anna", ACCOUNT),
    "watcher": bearer("wim", ACCOUNT),
    "stranger": bearer("sten", ACCOUNT),
    "machine": bearer("ci", ACCOUNT, scope="directory"),
    "foreigner": bearer("maria", "globex"),
    "foreign machine": bearer("ci", "globex", scope="directory"),
    "inactive": bearer("gone", ACCOUNT),
    "unknown": bearer("nobody", ACCOUNT),
}
"""Anna works `sales`, Wim watches it, Sten has no tie to it, and Maria of Globex administers another account."""

AT_NO_PRICE = {"inactive": 403, "unknown": 403}


def everybody(**answers: int) -> dict[str, int]:
    """The same for everybody in the account; `foreigner` finds what his own account has under these ids."""
    same = dict.fromkeys(("admin", "agent", "watcher", "stranger", "machine", "foreigner"), 200) | AT_NO_PRICE | answers
    return same | {"foreign machine": 403 if same["machine"] == 403 else same["foreigner"]}


def tied(**answers: int) -> dict[str, int]:
    """For whoever is tied to `sales`, and for whoever administers; to the others it does not exist."""
    return everybody(**({"stranger": 404, "foreigner": 404} | answers))


def administrators(tie: int = 403, none: int = 403, *, foreigner: int = 200, done: int = 200) -> dict[str, int]:
    """For administrators. `tie` and `none`: what people with and without a tie get; `done`: what succeeds."""
    return AT_NO_PRICE | {
        "admin": done,
        "machine": done,
        "agent": tie,
        "watcher": tie,
        "stranger": none,
        "foreigner": foreigner,
        "foreign machine": foreigner,
    }


PERSON: Any = {"name": "Anna", "email": "anna@acme.example"}
SALES: Any = {"name": "Sales", "agents": {"users": ["anna"]}}

TABLE = (
    Attempt("GET /v1/account", "/v1/account", everybody()),
    Attempt("PUT /v1/account", "/v1/account", administrators(), {"name": "Acme", "time_zone": "Europe/Berlin"}),
    Attempt("GET /v1/users", "/v1/users", everybody()),
    Attempt("GET /v1/users/{user_id}", "/v1/users/anna", everybody(foreigner=404)),
    Attempt("PUT /v1/users/{user_id}", "/v1/users/anna", administrators(), PERSON),
    Attempt("GET /v1/me", "/v1/me", everybody(machine=403)),
    Attempt("PUT /v1/me/presence", "/v1/me/presence", everybody(machine=403), {"status": "away"}),
    Attempt("GET /v1/teams", "/v1/teams", everybody()),
    Attempt("GET /v1/teams/{team_id}", "/v1/teams/first", everybody(foreigner=404)),
    Attempt("PUT /v1/teams/{team_id}", "/v1/teams/first", administrators(), {"name": "First"}),
    Attempt("DELETE /v1/teams/{team_id}", "/v1/teams/first", administrators(foreigner=404, done=204)),
    Attempt("GET /v1/inboxes", "/v1/inboxes", everybody()),
    Attempt("GET /v1/inboxes/{inbox_id}", "/v1/inboxes/sales", tied()),
    Attempt("PUT /v1/inboxes/{inbox_id}", "/v1/inboxes/sales", administrators(none=404, foreigner=422), SALES),
    Attempt("DELETE /v1/inboxes/{inbox_id}", "/v1/inboxes/sales", administrators(none=404, foreigner=404, done=409)),
    Attempt("GET /v1/inboxes/{inbox_id}/members", "/v1/inboxes/sales/members", tied()),
    Attempt(
        "PUT /v1/inboxes/{inbox_id}/watchers/{user_id}",
        "/v1/inboxes/sales/watchers/sten",
        administrators(none=404, foreigner=404),
    ),
    Attempt(
        "DELETE /v1/inboxes/{inbox_id}/watchers/{user_id}",
        "/v1/inboxes/sales/watchers/wim",
        administrators(none=404, foreigner=404, done=204),
    ),
    Attempt("GET /v1/inboxes/{inbox_id}/ring-plan", "/v1/inboxes/sales/ring-plan", tied()),
    Attempt("GET /v1/lines", "/v1/lines", everybody()),
    Attempt("GET /v1/lines/{line_number}", f"/v1/lines/{LINE}", tied()),
    Attempt(
        "PUT /v1/lines/{line_number}",
        f"/v1/lines/{LINE}",
        administrators(none=404, foreigner=422),
        {"inbox_id": "sales"},
    ),
    Attempt(
        "DELETE /v1/lines/{line_number}",
        f"/v1/lines/{LINE}",
        administrators(none=404, foreigner=404, done=204),
    ),
    Attempt("GET /v1/unrouted", "/v1/unrouted", administrators()),
    # An administrator without a tie reads no communications, unless the account says so.
    Attempt(
        "GET /v1/communications/{communication_id:path}/why",
        "/v1/communications/c1/why",
        tied(admin=404, machine=403),
    ),
    Attempt("GET /v1/audit", "/v1/audit", administrators()),
)


def acme() -> Directory:
    return directory_of(
        ACCOUNT,
        [
            Account(version=1, name="Acme", time_zone="Europe/Berlin"),
            user("maria", role="admin"),
            user("anna"),
            user("wim"),
            user("sten"),
            user("gone", active=False),
            Team(version=1, team_id="first", name="First"),
            inbox("sales", "anna", agents=Agents(users=("anna",)), watchers=(Watcher(user_id="wim", added_at=NOON),)),
            inbox("others", "sten"),
            Line(version=1, line_number=LINE, inbox_id="sales"),
            Line(version=1, line_number=OWN_LINE, inbox_id="others"),
        ],
    )


def globex() -> Directory:
    return directory_of("globex", [Account(version=1, name="Globex", time_zone="UTC"), user("maria", role="admin")])


async def state_of(desk: Desk) -> list[dict[str, Any]]:
    return await desk.rows(
        "SELECT account_id, entity, id, deleted, document FROM directory_records WHERE account_id = $1 ORDER BY 2, 3",
        ACCOUNT,
    )


@pytest.fixture
async def desk(empty_desk: Desk) -> Desk:
    await empty_desk.settle_directory(acme())
    await empty_desk.settle_directory(globex())
    await empty_desk.take(started())
    return empty_desk


async def test_the_table_has_every_route_and_no_other(desk: Desk) -> None:
    assert attempted(TABLE) == routes_of(app_of(desk))


async def test_everybody_gets_the_answer_that_the_table_says(desk: Desk) -> None:
    wrong: list[str] = []
    async with served(desk) as api:
        for attempt in TABLE:
            for caller, headers in CALLERS.items():
                before = await state_of(desk)
                answer = await attempt.by(api.client, headers)
                expected = attempt.answers[caller]
                if answer.status_code != expected:
                    wrong.append(f"{attempt.route} by {caller}: {answer.status_code}, not {expected}: {answer.text}")
                if answer.status_code >= 400 and answer.headers["content-type"] != "application/problem+json":
                    wrong.append(f"{attempt.route} by {caller}: {answer.headers['content-type']}")
                if (expected >= 400 or caller.startswith("foreign")) and await state_of(desk) != before:
                    wrong.append(f"{attempt.route} by {caller} changed something")
                await desk.settle_directory(acme())
                await desk.settle_directory(globex())
    assert not wrong, "\n".join(wrong)


async def test_a_token_that_is_not_good_opens_nothing(desk: Desk) -> None:
    wrong: list[str] = []
    before = await state_of(desk)
    async with served(desk) as api:
        for attempt in TABLE:
            for what, token in forged_tokens("maria", ACCOUNT).items():
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                answer = await attempt.by(api.client, headers)
                if answer.status_code != 401:
                    wrong.append(f"{attempt.route} with {what}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)
    assert await state_of(desk) == before


async def test_nobody_sees_anything_of_another_account(desk: Desk) -> None:
    async with served(desk) as api:
        for attempt in TABLE:
            if attempt.route.startswith("GET "):
                for caller in ("foreigner", "foreign machine"):
                    answer = await attempt.by(api.client, CALLERS[caller])
                    for word in ("Acme", "Anna", "anna", "Sales", LINE, CONTACT):
                        assert word not in answer.text, attempt.route


@pytest.mark.parametrize("caller", ["agent", "watcher", "stranger"])
async def test_agents_see_no_addresses_anywhere(desk: Desk, caller: str) -> None:
    async with served(desk) as api:
        for attempt in TABLE:
            answer = await attempt.by(api.client, CALLERS[caller])
            assert "acme.example" not in answer.text, attempt.route
