"""Every route of inbox_state against every kind of caller (A1, I2, I10). A route that the table lacks fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from contracts.directory import Account, Inbox, Line
from contracts.threads import thread_id
from inbox_state.http_api import router
from inbox_state.http_api.broadcast import Broadcast
from inbox_state.settings import InboxStateSettings
from service_kit.clock import new_id, utc_now
from service_kit.database import Database
from service_kit.publishing import Publisher
from service_kit.running import Service
from tests.inbox_state.words import ACCOUNT, CUSTOMER, HandClock, Office, a_text, a_user, the_office, the_sales_inbox
from tests.support import JWT_SECRET, FreshDatabase, bearer
from tests.support.matrix import Attempt, attempted, forged_tokens, routes_of

CALLERS = {
    "admin": bearer("adam", ACCOUNT),
    "agent": bearer("bert", ACCOUNT),
    "watcher": bearer("wilma", ACCOUNT),
    "owner": bearer("olga", ACCOUNT),
    "stranger": bearer("sten", ACCOUNT),
    "machine": bearer("ci", ACCOUNT, scope="directory"),
    "foreigner": bearer("maria", "globex"),
    "inactive": bearer("gone", ACCOUNT),
    "unknown": bearer("nobody", ACCOUNT),
}
"""Bert works Sales, Wilma watches it, Olga owns a personal inbox, Sten has no inbox, Maria administers Globex."""

SALES, OLGAS = thread_id(ACCOUNT, "sales", CUSTOMER, ""), thread_id(ACCOUNT, "olgas", CUSTOMER, "")
OLGAS_LINE = "+15550100009"
AT_NO_PRICE = {"inactive": 403, "unknown": 403}


def people(**answers: int) -> dict[str, int]:
    """The same for every active person, whatever the account; machines have no inboxes."""
    everybody = dict.fromkeys(("admin", "agent", "watcher", "owner", "stranger", "foreigner"), 200)
    return everybody | {"machine": 403} | AT_NO_PRICE | answers


def of_sales(**answers: int) -> dict[str, int]:
    """Seen by whoever is tied to Sales; to all others it does not exist."""
    return people(admin=404, owner=404, stranger=404, foreigner=404) | answers


def acting_in_sales(done: int = 200) -> dict[str, int]:
    """Done by whoever works Sales; a watcher may look on."""
    return of_sales(agent=done, watcher=403)


def of_olgas(done: int = 200) -> dict[str, int]:
    """Olga's alone."""
    return people(admin=404, agent=404, watcher=404, stranger=404, foreigner=404) | {"owner": done}


AUTOMATIONS: Any = {"auto_mark_as_read": {"enabled": True, "after_hours": 24}, "manual_mark_as_read_only": True}
MESSAGE: Any = {"to": CUSTOMER, "body": "Hello"}
CALL: Any = {"to": CUSTOMER}
COMING_BACK = 503
"""What who may open a stream is told here: this replica is stopping, so that no answer goes on for ever."""

TABLE = (
    Attempt("GET /v1/panel", "/v1/panel", people()),
    Attempt("GET /v1/inboxes/{inbox_id}/threads", "/v1/inboxes/sales/threads", of_sales()),
    Attempt("GET /v1/inboxes/{inbox_id}/threads", "/v1/inboxes/olgas/threads", of_olgas()),
    Attempt("GET /v1/inboxes/{inbox_id}/threads", "/v1/inboxes/all/threads", people()),
    Attempt("GET /v1/inboxes/{inbox_id}/threads", "/v1/inboxes/all/threads?q=hello&view=unthreaded", people()),
    Attempt(
        "GET /v1/inboxes/{inbox_id}/threads", "/v1/inboxes/sales/threads", of_sales(), headers={"Accept": "text/csv"}
    ),
    Attempt("GET /v1/threads/{thread_id}", f"/v1/threads/{SALES}", of_sales()),
    Attempt("GET /v1/threads/{thread_id}", f"/v1/threads/{OLGAS}", of_olgas()),
    Attempt("GET /v1/threads/{thread_id}/communications", f"/v1/threads/{SALES}/communications", of_sales()),
    Attempt("POST /v1/threads/{thread_id}/read", f"/v1/threads/{SALES}/read", acting_in_sales()),
    Attempt("POST /v1/threads/{thread_id}/read", f"/v1/threads/{OLGAS}/read", of_olgas()),
    Attempt("POST /v1/threads/{thread_id}/unread", f"/v1/threads/{SALES}/unread", acting_in_sales(), {"from": "m1"}),
    Attempt("POST /v1/inboxes/{inbox_id}/read", "/v1/inboxes/sales/read", acting_in_sales()),
    Attempt("POST /v1/inboxes/{inbox_id}/read", "/v1/inboxes/olgas/read", of_olgas()),
    Attempt("POST /v1/inboxes/{inbox_id}/messages", "/v1/inboxes/sales/messages", acting_in_sales(202), MESSAGE),
    Attempt("POST /v1/inboxes/{inbox_id}/messages", "/v1/inboxes/olgas/messages", of_olgas(202), MESSAGE),
    Attempt("POST /v1/inboxes/{inbox_id}/calls", "/v1/inboxes/sales/calls", acting_in_sales(202), CALL),
    Attempt("POST /v1/inboxes/{inbox_id}/calls", "/v1/inboxes/olgas/calls", of_olgas(202), CALL),
    Attempt(
        "GET /v1/inboxes/{inbox_id}/automations",
        "/v1/inboxes/sales/automations",
        of_sales(admin=200, machine=200),
    ),
    Attempt(
        "PUT /v1/inboxes/{inbox_id}/automations",
        "/v1/inboxes/sales/automations",
        of_sales(admin=200, machine=200, agent=403, watcher=403),
        AUTOMATIONS,
    ),
    Attempt(
        "PUT /v1/inboxes/{inbox_id}/automations",
        "/v1/inboxes/olgas/automations",
        of_olgas() | {"admin": 200, "machine": 200},
        AUTOMATIONS,
    ),
    Attempt(
        "PUT /v1/contacts/{number}", f"/v1/contacts/{CUSTOMER}", people(watcher=403, stranger=403), {"name": "Clara"}
    ),
    Attempt("GET /v1/me/preferences", "/v1/me/preferences", people()),
    Attempt("PUT /v1/me/preferences", "/v1/me/preferences", people(), {"view": "unthreaded"}),
    Attempt("GET /v1/stream", "/v1/stream", {**dict.fromkeys(people(), COMING_BACK), "machine": 403, **AT_NO_PRICE}),
    Attempt(
        "GET /v1/stream",
        "/v1/stream?inbox_id=sales",
        of_sales(agent=COMING_BACK, watcher=COMING_BACK),
    ),
    Attempt(
        "POST /v1/stream/tickets", "/v1/stream/tickets", {**dict.fromkeys(people(), 201), "machine": 403, **AT_NO_PRICE}
    ),
    Attempt(
        "GET /v1/audit/inbox-state",
        "/v1/audit/inbox-state",
        people(agent=403, watcher=403, owner=403, stranger=403, machine=200),
    ),
)


async def state_of(office: Office) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("communications", "threads", "searchable_threads", "automations", "contacts", "preferences", "requests")
    async with office.database.connection() as connection:
        state = {
            table: [
                tuple(row)
                for row in await connection.fetch(f"SELECT * FROM {table} WHERE account_id = $1 ORDER BY 1, 2", ACCOUNT)
            ]
            for table in tables
        }
        state["audit"] = [
            tuple(row)
            for row in await connection.fetch("SELECT id FROM audit WHERE account_id = $1 ORDER BY 1", ACCOUNT)
        ]
        state["outbox"] = [tuple(row) for row in await connection.fetch("SELECT id FROM outbox ORDER BY 1")]
    return state


@pytest_asyncio.fixture
async def whole_office(database: FreshDatabase, state_database: Database) -> AsyncIterator[Office]:
    """The office with Olga and Sten, another account beside it, and live streams that take nobody in."""
    settings = InboxStateSettings.model_validate(
        {
            "INBOX_STATE_DATABASE_URL": database.dsn("inbox_state"),
            "jwt_secret": SecretStr(JWT_SECRET),
            "log_level": "error",
        }
    )
    clock, broadcast = HandClock(), Broadcast(state_database)
    broadcast.let_go()
    service = Service(
        settings,
        name="inbox_state",
        title="inbox state",
        clock=utc_now,
        database=state_database,
        publisher=Publisher(settings, client_id="inbox_state"),
        routers=[router(state_database, utc_now, new_id, broadcast)],
    )
    office = Office(state_database, clock, service.app)
    await office.learn(*the_office())
    await office.learn(
        a_user("olga"),
        a_user("sten"),
        Inbox(version=1, inbox_id="olgas", name="Olga", kind="personal", owner_id="olga", connected=("olga",)),
        Line(version=1, line_number=OLGAS_LINE, inbox_id="olgas"),
    )
    await office.learn(
        Account(version=1, name="Globex", time_zone="UTC"), a_user("maria", role="admin"), account_id="globex"
    )
    await office.deliver(a_text("m1", 1, body="hello"), a_text("o1", 2, inbox_id="olgas", body="hello"))
    yield office


def client_of(office: Office) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=office.app), base_url="http://inbox-state")


async def test_the_table_has_every_route_and_no_other(whole_office: Office) -> None:
    assert attempted(TABLE) == routes_of(whole_office.app)
    assert {caller for attempt in TABLE for caller in attempt.answers} == set(CALLERS)


async def test_everybody_gets_the_answer_that_the_table_says(whole_office: Office) -> None:
    wrong: list[str] = []
    async with client_of(whole_office) as client:
        for attempt in TABLE:
            for caller, headers in CALLERS.items():
                before = await state_of(whole_office)
                answer = await attempt.by(client, headers)
                expected = attempt.answers[caller]
                if answer.status_code != expected:
                    wrong.append(f"{attempt.path} by {caller}: {answer.status_code}, not {expected}: {answer.text}")
                if answer.status_code >= 400 and answer.headers["content-type"] != "application/problem+json":
                    wrong.append(f"{attempt.path} by {caller}: {answer.headers['content-type']}")
                nothing = expected >= 400 or caller == "foreigner" or attempt.route.startswith("GET ")
                now = await state_of(whole_office)
                now["outbox"] = before["outbox"] if caller == "foreigner" else now["outbox"]
                if nothing and now != before:
                    wrong.append(f"{attempt.route} by {caller} changed something")
    assert not wrong, "\n".join(wrong)


async def test_a_token_that_is_not_good_opens_nothing(whole_office: Office) -> None:
    wrong: list[str] = []
    before = await state_of(whole_office)
    async with client_of(whole_office) as client:
        for attempt in TABLE:
            for what, token in forged_tokens("adam", ACCOUNT).items():
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                answer = await attempt.by(client, headers)
                if answer.status_code != 401:
                    wrong.append(f"{attempt.route} with {what}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)
    assert await state_of(whole_office) == before


@pytest.mark.parametrize("caller", ["foreigner", "stranger", "owner", "admin", "machine"])
async def test_nobody_sees_anything_of_an_inbox_that_he_has_no_tie_to(whole_office: Office, caller: str) -> None:
    async with client_of(whole_office) as client:
        for attempt in TABLE:
            if attempt.route.startswith("GET ") and "audit" not in attempt.route and "olgas" not in attempt.path:
                answer = await attempt.by(client, CALLERS[caller])
                for word in (SALES, "m1", "Sales"):
                    assert word not in answer.text, attempt.path


async def test_an_admin_who_sees_all_may_look_everywhere_and_act_nowhere(whole_office: Office) -> None:
    await whole_office.learn(Account(version=2, name="Acme", time_zone="Europe/Berlin", admins_see_all=True))
    await whole_office.learn(the_sales_inbox(2))
    wrong: list[str] = []
    async with client_of(whole_office) as client:
        for attempt in TABLE:
            if attempt.answers["admin"] != 404:
                continue
            expected = 200 if attempt.route.startswith("GET ") else 403
            if attempt.route == "GET /v1/stream":
                expected = COMING_BACK
            answer = await attempt.by(client, CALLERS["admin"])
            if answer.status_code != expected:
                wrong.append(f"{attempt.path}: {answer.status_code}, not {expected}")
    assert not wrong, "\n".join(wrong)
