"""The audit: who changed what, when, from what to what, for those who administer (A6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from service_kit import audit
from service_kit.auth import Caller, Tokens
from service_kit.clock import new_id, utc_now
from service_kit.database import Connection, Database
from service_kit.http import create_app
from service_kit.settings import TokenSettings
from tests.support import JWT_SECRET, FreshDatabase, bearer

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ADMIN = bearer("ada", "acme")


def changed(number: int, *, by: str = "ada", entity: str = "team") -> audit.Entry:
    at = NOON + timedelta(minutes=number)
    return audit.Entry(new_id(), at, by, "changed", entity, f"{entity}-{number % 2}", {"n": number - 1}, {"n": number})


@dataclass
class Office:
    """The audit of one service over HTTP, and the database behind it."""

    database: Database
    client: httpx.AsyncClient

    async def write(self, *entries: audit.Entry, account_id: str = "acme") -> None:
        async with self.database.transaction() as connection:
            await audit.record(connection, account_id, entries)

    async def read(self, headers: dict[str, str] = ADMIN, **query: Any) -> httpx.Response:
        return await self.client.get("/v1/audit/test", params=query, headers=headers)

    async def numbers(self, **query: Any) -> list[int]:
        return [entry["after"]["n"] for entry in (await self.read(**query)).json()["items"]]


@pytest_asyncio.fixture
async def office(database: FreshDatabase) -> AsyncIterator[Office]:
    async def is_ada(_: Connection, caller: Caller) -> bool:
        return caller.user_id == "ada"

    async def ready() -> dict[str, bool]:
        return {}

    opened = Database(database.dsn("notification"), "notification")
    await opened.open()
    app = create_app("notification", title="test", ready=ready, live=dict)
    app.state.tokens = Tokens(TokenSettings(jwt_secret=SecretStr(JWT_SECRET)), utc_now)
    app.include_router(audit.routes("/v1/audit/test", opened, is_ada))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield Office(opened, client)
    await opened.close()


async def test_a_change_is_shown_with_who_when_what_before_and_after(office: Office) -> None:
    entry = changed(1)
    await office.write(entry)
    answer = (await office.read()).json()
    assert answer == {
        "items": [
            {
                "id": entry.id,
                "at": "2026-03-02T12:01:00Z",
                "by": "ada",
                "action": "changed",
                "entity": "team",
                "entity_id": "team-1",
                "before": {"n": 0},
                "after": {"n": 1},
            }
        ],
        "next_cursor": None,
    }


async def test_pages_go_back_in_time_and_new_changes_do_not_shift_them(office: Office) -> None:
    await office.write(*(changed(number) for number in range(5)))
    first = (await office.read(limit=2)).json()
    await office.write(changed(5))
    second = (await office.read(limit=2, cursor=first["next_cursor"])).json()
    third = (await office.read(limit=2, cursor=second["next_cursor"])).json()
    assert [entry["after"]["n"] for page in (first, second, third) for entry in page["items"]] == [4, 3, 2, 1, 0]
    assert third["next_cursor"] is None


async def test_it_can_be_narrowed_by_what_by_whom_and_when(office: Office) -> None:
    await office.write(changed(0), changed(1, by="ci"), changed(2, entity="user"), changed(3))
    assert await office.numbers(entity="team") == [3, 1, 0]
    assert await office.numbers(entity="team", entity_id="team-1") == [3, 1]
    assert await office.numbers(by="ci") == [1]
    assert await office.numbers(**{"from": "2026-03-02T12:01:00Z", "to": "2026-03-02T13:03:00+01:00"}) == [2, 1]
    assert await office.numbers(entity="line") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [({"from": "2026-03-02T12:01:00"}, "from"), ({"cursor": "nonsense"}, "cursor"), ({"limit": 0}, "limit")],
)
async def test_a_bad_question_is_refused_by_name(office: Office, query: dict[str, Any], field: str) -> None:
    answer = await office.read(**query)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_it_is_for_administrators_and_machines_of_the_account(office: Office) -> None:
    await office.write(changed(1))
    assert (await office.read({})).status_code == 401
    assert (await office.read(bearer("anna", "acme"))).status_code == 403
    assert (await office.read(bearer("ci", "acme", scope="directory"))).status_code == 200
    assert (await office.read(bearer("ada", "other"))).json()["items"] == []
