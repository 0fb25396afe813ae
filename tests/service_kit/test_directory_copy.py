"""A service's copy of the directory: the newest snapshot wins, and ties follow the inbox (I1, I2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from contracts import directory
from contracts.directory import Account, Inbox, Snapshot, User, Watcher
from contracts.envelope import Event
from service_kit import directory_copy
from service_kit.access import Access
from service_kit.auth import Caller
from service_kit.consuming import Received
from service_kit.database import Database
from service_kit.http import Problem
from tests.support import FreshDatabase

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def received(snapshot: Snapshot) -> Received[Any]:
    types = {model: name for name, model in directory.EVENTS.items()}
    event = Event(
        id=f"e{snapshot.version}",
        source="/tests",
        type=types[type(snapshot)],
        time=NOON,
        account_id="acme",
        data=snapshot,
    )
    return Received(event, NOON, "directory-events", 0, snapshot.version)


def a_user(user_id: str, version: int = 1, **given: Any) -> User:
    return User(
        user_id=user_id,
        name=user_id.title(),
        email=f"{user_id}@example.com",
        role=given.pop("role", "agent"),
        version=version,
        **given,
    )


def an_inbox(version: int = 1, **given: Any) -> Inbox:
    return Inbox(inbox_id="sales", name="Sales", kind=given.pop("kind", "connected"), version=version, **given)


def a_caller(user_id: str) -> Caller:
    return Caller(account_id="acme", user_id=user_id, scopes=frozenset(), expires_at=NOON)


@pytest_asyncio.fixture
async def opened(database: FreshDatabase) -> AsyncIterator[Database]:
    connected = Database(database.dsn("inbox_state"), "inbox_state")
    await connected.open()
    yield connected
    await connected.close()


async def keep(database: Database, *snapshots: Snapshot) -> list[directory_copy.Changed]:
    async with database.transaction() as connection:
        return await directory_copy.save(connection, [received(snapshot) for snapshot in snapshots])


async def test_the_newest_version_wins_in_whatever_order_it_comes(opened: Database) -> None:
    assert len(await keep(opened, a_user("anna", 3, time_zone="Europe/Berlin"))) == 1
    assert await keep(opened, a_user("anna", 2), a_user("anna", 3)) == []
    changed = await keep(opened, a_user("anna", 5), a_user("anna", 4))
    assert [(change.before.version, change.after.version) for change in changed if change.before] == [(3, 5)]


async def test_what_is_deleted_is_gone_until_it_is_created_again(opened: Database) -> None:
    await keep(opened, an_inbox(1, connected=("anna",)))
    await keep(opened, an_inbox(2, connected=("anna",), deleted=True))
    async with opened.connection() as connection:
        assert await directory_copy.inbox(connection, "acme", "sales") is None
        assert await directory_copy.ties(connection, "acme", "anna") == {}
    await keep(opened, an_inbox(3, connected=("anna",)))
    async with opened.connection() as connection:
        assert await directory_copy.ties(connection, "acme", "anna") == {"sales": Access.CONNECTED}


async def test_who_is_both_agent_and_watcher_is_connected_and_still_watches(opened: Database) -> None:
    await keep(
        opened,
        an_inbox(
            1,
            connected=("anna",),
            watchers=(Watcher(user_id="anna", added_at=NOON), Watcher(user_id="wim", added_at=NOON)),
        ),
    )
    async with opened.connection() as connection:
        ties = await directory_copy.tied_users(connection, "acme", "sales")
        since = await connection.fetchval("SELECT watching_since FROM directory_ties WHERE user_id = 'anna'")
    assert ties == {"anna": Access.CONNECTED, "wim": Access.WATCHING}
    assert since == NOON


async def test_an_unknown_or_inactive_user_is_refused(opened: Database) -> None:
    await keep(opened, Account(name="Acme", time_zone="UTC", version=1), a_user("anna"), a_user("bo", active=False))
    async with opened.connection() as connection:
        assert (await directory_copy.person(connection, a_caller("anna"))).name == "Anna"
        for user_id in ("bo", "nobody"):
            with pytest.raises(Problem) as refused:
                await directory_copy.person(connection, a_caller(user_id))
            assert refused.value.body.status == 403


async def test_an_inbox_without_a_tie_does_not_exist_even_for_an_admin_unless_admins_see_all(opened: Database) -> None:
    await keep(opened, Account(name="Acme", time_zone="UTC", version=1), a_user("ada", role="admin"), an_inbox())
    async with opened.connection() as connection:
        ada = await directory_copy.person(connection, a_caller("ada"))
        with pytest.raises(Problem) as refused:
            await directory_copy.inbox_access(connection, ada, "sales")
        assert refused.value.body.status == 404
    await keep(opened, Account(name="Acme", time_zone="UTC", version=2, admins_see_all=True))
    async with opened.connection() as connection:
        ada = await directory_copy.person(connection, a_caller("ada"))
        _, access = await directory_copy.inbox_access(connection, ada, "sales")
    assert access is Access.ADMIN
    assert not access.may_act
