"""What administrators and watchers may see and put over HTTP (N1, N7, A1, A2, A4, A6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from notification.http_api import router
from service_kit.auth import Tokens
from service_kit.clock import new_id, utc_now
from service_kit.http import create_app
from service_kit.settings import TokenSettings
from tests.notification.conftest import Notifying
from tests.notification.words import ACCOUNT, a_call, a_user, an_account, an_inbox
from tests.support import JWT_SECRET, bearer

SETTINGS = "/v1/inboxes/support/watcher-notifications"
ON = {"enabled": True, "events": ["missed_call", "voicemail"], "digest_minutes": 0}

ADMIN = bearer("ada", ACCOUNT)
WATCHER = bearer("wendy", ACCOUNT)
CONNECTED = bearer("carl", ACCOUNT)
STRANGER = bearer("steve", ACCOUNT)
INACTIVE = bearer("ian", ACCOUNT)
UNKNOWN = bearer("nobody", ACCOUNT)
OTHER_ACCOUNT = bearer("ada", "other")
MACHINE = bearer("ci", ACCOUNT, scope="directory")
MACHINE_OF_ANOTHER = bearer("ci", "other", scope="directory")


async def _nothing() -> dict[str, bool]:
    return {}


@pytest_asyncio.fixture
async def http(notifying: Notifying) -> AsyncIterator[httpx.AsyncClient]:
    """The service's HTTP side, for an account with an admin, an agent, a watcher, a stranger and an inactive user."""
    await notifying.know(
        [
            an_account(),
            a_user("ada", role="admin"),
            a_user("wendy"),
            a_user("carl"),
            a_user("steve"),
            a_user("ian", active=False),
            an_inbox("wendy", connected=("carl",)),
        ]
    )
    app = create_app("notification", title="test", ready=_nothing, live=dict)
    app.state.tokens = Tokens(TokenSettings(jwt_secret=SecretStr(JWT_SECRET)), utc_now)
    app.include_router(router(notifying.database, notifying.clock, new_id))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_an_inbox_begins_with_emails_off_and_all_kinds_chosen(http: httpx.AsyncClient) -> None:
    answer = await http.get(SETTINGS, headers=WATCHER)
    assert answer.status_code == 200
    assert answer.json() == {
        "enabled": False,
        "events": ["missed_call", "voicemail", "abandoned_call", "inbound_message"],
        "digest_minutes": 5,
    }


@pytest.mark.parametrize(
    ("who", "reads", "puts", "lists"),
    [
        (ADMIN, 200, 200, 200),
        (WATCHER, 200, 403, 403),
        (CONNECTED, 200, 403, 403),
        (STRANGER, 404, 404, 404),
        (INACTIVE, 403, 403, 403),
        (UNKNOWN, 403, 403, 403),
        (OTHER_ACCOUNT, 403, 403, 403),
        (MACHINE, 200, 200, 403),
        (MACHINE_OF_ANOTHER, 404, 404, 403),
        ({}, 401, 401, 401),
        ({"Authorization": "Bearer nonsense"}, 401, 401, 401),
    ],
)
async def test_rights(http: httpx.AsyncClient, who: dict[str, str], reads: int, puts: int, lists: int) -> None:
    assert (await http.get(SETTINGS, headers=who)).status_code == reads
    assert (await http.put(SETTINGS, headers=who, json=ON)).status_code == puts
    assert (await http.get("/v1/inboxes/support/deliveries", headers=who)).status_code == lists
    # Rights come before the body: who may not put is not told what is wrong with what he sent (A1).
    bad = await http.put(SETTINGS, headers=who, content=b"{not json")
    assert bad.status_code == (422 if puts == 200 else puts)
    assert bad.headers["content-type"] == "application/problem+json"


async def test_an_inbox_that_is_not_there_is_404_for_an_admin(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/inboxes/none/watcher-notifications", headers=ADMIN)).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "enabled"),
        ({"enabled": "yes"}, "enabled"),
        ({"enabled": True, "events": ["nonsense"]}, "events.0"),
        ({"enabled": True, "digest_minutes": -1}, "digest_minutes"),
        ({"enabled": True, "digest_minutes": 1.5}, "digest_minutes"),
        ({"enabled": True, "digest": 1}, "digest"),
    ],
)
async def test_bad_input_names_the_field_and_changes_nothing(
    http: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await http.put(SETTINGS, headers=ADMIN, json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await http.get(SETTINGS, headers=ADMIN)).json()["enabled"] is False


async def test_a_change_is_recorded_once_with_before_and_after(http: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await http.put(SETTINGS, headers=ADMIN, json=ON)).json() == ON
    assert (await http.put(SETTINGS, headers=MACHINE, json={"enabled": False})).status_code == 200
    page = (await http.get("/v1/audit/notification", headers=ADMIN, params={"limit": 1})).json()
    (newest,) = page["items"]
    assert newest["user_id"] == "ci"
    assert newest["before"] == ON
    assert newest["after"]["enabled"] is False
    rest = (await http.get("/v1/audit/notification", headers=ADMIN, params={"cursor": page["next_cursor"]})).json()
    assert [(one["user_id"], one["subject"], one["after"]) for one in rest["items"]] == [("ada", "support", ON)]
    assert rest["next_cursor"] is None
    assert (await http.get("/v1/audit/notification", headers=WATCHER)).status_code == 403


async def test_an_admin_lists_every_delivery_and_its_outcome(http: httpx.AsyncClient, notifying: Notifying) -> None:
    await http.put(SETTINGS, headers=ADMIN, json=ON)
    for n in range(5):
        await notifying.hear(a_call("missed", communication_id=f"call-{n}"))
        await notifying.work()
    path = "/v1/inboxes/support/deliveries"
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = (
            await http.get(path, headers=ADMIN, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += page["items"]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert sorted(one["communications"][0]["communication_id"] for one in seen) == [f"call-{n}" for n in range(5)]
    assert {(one["user_id"], one["outcome"], one["communications"][0]["kind"]) for one in seen} == {
        ("wendy", "sent", "missed_call")
    }
    assert (await http.get(path, headers=ADMIN, params={"cursor": "nonsense"})).status_code == 422
