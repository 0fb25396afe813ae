"""Every route of notification against every kind of caller (A1, I2). A route that the table lacks fails the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr

from contracts.directory import Watcher
from notification.http_api import router
from notification.preferences import Subscription
from service_kit.auth import Gate, Tokens
from service_kit.clock import new_id, utc_now
from service_kit.http import create_app
from service_kit.settings import TokenSettings
from tests.notification.conftest import LINKS, Notifying, received
from tests.notification.words import ACCOUNT, CALLER, LONG_AGO, a_call, a_user, an_account, an_inbox
from tests.support import JWT_SECRET, bearer
from tests.support.matrix import Attempt, attempted, forged_tokens, routes_of

CALLERS = {
    "admin": bearer("ada", ACCOUNT),
    "connected": bearer("carl", ACCOUNT),
    "watcher": bearer("wendy", ACCOUNT),
    "owner": bearer("olga", ACCOUNT),
    "stranger": bearer("steve", ACCOUNT),
    "machine": bearer("ci", ACCOUNT, scope="directory"),
    "foreigner": bearer("ada", "globex"),
    "inactive": bearer("ian", ACCOUNT),
    "unknown": bearer("nobody", ACCOUNT),
}
"""Carl works `support`, Wendy watches it; Olga owns `olgas` and has no tie to `support`; Ada of Globex administers
another account, which has inboxes of its own."""

NEVER = {"inactive": 403, "unknown": 403}


def tied(**answers: int) -> dict[str, int]:
    """Settings: readable with any tie, and by whoever administers; the others are told that nothing is there."""
    known = dict.fromkeys(("admin", "connected", "watcher", "machine"), 200)
    return known | {"owner": 404, "stranger": 404, "foreigner": 404} | NEVER | answers


def administrators(**answers: int) -> dict[str, int]:
    """403 with a tie, 404 without, for whoever does not administer."""
    return tied(connected=403, watcher=403) | answers


def everybody(**answers: int) -> dict[str, int]:
    people = ("admin", "connected", "watcher", "owner", "stranger", "foreigner")
    return dict.fromkeys(people, 200) | {"machine": 403} | NEVER | answers


def whoever_has_the_link() -> dict[str, int]:
    return dict.fromkeys(CALLERS, 200)


SETTINGS: Any = {"enabled": True, "events": ["voicemail"], "digest_minutes": 0}
SIGNED = LINKS.signed(Subscription(ACCOUNT, "support", "wendy", "watcher_emails"))

TABLE = (
    Attempt("GET /v1/inboxes/{inbox_id}/watcher-notifications", "/v1/inboxes/support/watcher-notifications", tied()),
    Attempt(
        "PUT /v1/inboxes/{inbox_id}/watcher-notifications",
        "/v1/inboxes/support/watcher-notifications",
        administrators(),
        SETTINGS,
    ),
    Attempt(
        "GET /v1/inboxes/{inbox_id}/watcher-notifications",
        "/v1/inboxes/olgas/watcher-notifications",
        tied(owner=200, connected=404, watcher=404),
    ),
    Attempt(
        "PUT /v1/inboxes/{inbox_id}/watcher-notifications",
        "/v1/inboxes/olgas/watcher-notifications",
        administrators(owner=200, connected=404, watcher=404),
        SETTINGS,
    ),
    Attempt(
        "GET /v1/inboxes/{inbox_id}/deliveries",
        "/v1/inboxes/support/deliveries",
        administrators(machine=403),
    ),
    Attempt("GET /v1/me/notification-preferences", "/v1/me/notification-preferences", everybody()),
    Attempt(
        "PUT /v1/me/notification-preferences",
        "/v1/me/notification-preferences",
        everybody(),
        {"quiet_hours": {"from": "22:00", "to": "07:00"}},
    ),
    Attempt("GET /v1/unsubscribe/{signed}", f"/v1/unsubscribe/{SIGNED}", whoever_has_the_link()),
    Attempt("POST /v1/unsubscribe/{signed}", f"/v1/unsubscribe/{SIGNED}", whoever_has_the_link()),
    Attempt(
        "GET /v1/audit/notification",
        "/v1/audit/notification",
        {"admin": 200, "machine": 200, "foreigner": 200}
        | dict.fromkeys(("connected", "watcher", "owner", "stranger"), 403)
        | NEVER,
    ),
)

OPEN = {"GET /v1/unsubscribe/{signed}", "POST /v1/unsubscribe/{signed}"}


async def _nothing() -> dict[str, bool]:
    return {}


@pytest.fixture
def app(notifying: Notifying) -> FastAPI:
    tokens = Tokens(TokenSettings(jwt_secret=SecretStr(JWT_SECRET)), utc_now)
    app = create_app("notification", title="test", ready=_nothing, live=dict)
    app.state.tokens = tokens
    app.add_middleware(Gate, tokens=tokens)
    app.include_router(router(notifying.database, notifying.clock, new_id, LINKS))
    return app


@pytest_asyncio.fixture
async def http(notifying: Notifying, app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    await notifying.know(
        [
            an_account(),
            a_user("ada", role="admin"),
            *(a_user(name) for name in ("carl", "wendy", "olga", "steve")),
            a_user("ian", active=False),
            an_inbox("wendy", connected=("carl",)),
            an_inbox(inbox_id="olgas", name="Olga's", kind="personal", owner_id="olga", connected=("olga",)),
        ]
    )
    abroad = [
        an_account(name="Globex"),
        a_user("ada", role="admin", email="ada@globex.example"),
        an_inbox(inbox_id="theirs", watchers=(Watcher(user_id="ada", added_at=LONG_AGO),)),
    ]
    await notifying.listening.hear_directory([received(one, account_id="globex") for one in abroad])
    await notifying.turn_on()
    await notifying.hear(a_call("missed"))
    await notifying.work()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def state_of(notifying: Notifying) -> list[list[Any]]:
    """All that requests may change in the account."""
    async with notifying.database.connection() as connection:
        return [
            [tuple(row) for row in await connection.fetch(f"SELECT * FROM {table} WHERE account_id = $1", ACCOUNT)]
            for table in ("watcher_settings", "notification_preferences", "unsubscriptions", "audit")
        ]


async def test_the_table_has_every_route_and_no_other(app: FastAPI) -> None:
    assert attempted(TABLE) == routes_of(app)


async def test_everybody_gets_the_answer_that_the_table_says(http: httpx.AsyncClient, notifying: Notifying) -> None:
    wrong: list[str] = []
    for attempt in TABLE:
        for caller, headers in CALLERS.items():
            before = await state_of(notifying)
            answer = await attempt.by(http, headers)
            expected = attempt.answers[caller]
            if answer.status_code != expected:
                wrong.append(f"{attempt.route} by {caller}: {answer.status_code}, not {expected}: {answer.text}")
            if answer.status_code >= 400 and answer.headers["content-type"] != "application/problem+json":
                wrong.append(f"{attempt.route} by {caller}: {answer.headers['content-type']}")
            outside = caller == "foreigner" and attempt.route not in OPEN
            if (expected >= 400 or outside) and await state_of(notifying) != before:
                wrong.append(f"{attempt.route} by {caller} changed something")
            if attempt.body is not None:
                # Rights come before the body: who may not put is not told what is wrong with what he sent.
                method, path = attempt.route.partition(" ")[0], attempt.path
                bad = await http.request(method, path, content=b"{not json", headers=headers)
                if bad.status_code != (422 if expected == 200 else expected):
                    wrong.append(f"{attempt.route} with no JSON by {caller}: {bad.status_code}")
    assert not wrong, "\n".join(wrong)


async def test_a_token_that_is_not_good_opens_nothing(http: httpx.AsyncClient, notifying: Notifying) -> None:
    wrong: list[str] = []
    before = await state_of(notifying)
    for attempt in TABLE:
        if attempt.route in OPEN:
            continue
        for what, token in forged_tokens("ada", ACCOUNT).items():
            answer = await attempt.by(http, {"Authorization": f"Bearer {token}"} if token else {})
            if answer.status_code != 401:
                wrong.append(f"{attempt.route} with {what}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)
    assert await state_of(notifying) == before


async def test_nobody_sees_anything_of_another_account(http: httpx.AsyncClient) -> None:
    for attempt in TABLE:
        if attempt.route.startswith("GET ") and attempt.route not in OPEN:
            answer = await attempt.by(http, CALLERS["foreigner"])
            for word in ("Acme", "wendy", "Support", "call-1", CALLER):
                assert word not in answer.text, attempt.route


async def test_no_answer_holds_an_address_or_what_a_caller_said(http: httpx.AsyncClient) -> None:
    for attempt in TABLE:
        for headers in CALLERS.values():
            answer = await attempt.by(http, headers)
            assert "@example.com" not in answer.text, attempt.route
            assert CALLER not in answer.text, attempt.route
