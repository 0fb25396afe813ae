"""Migrations: several at once are as good as one, and who is killed holds nobody up."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from service_kit.database import Database, migrate, pending_migrations
from tests.support.databases import FreshDatabase


async def test_of_several_at_once_one_works_and_the_others_find_nothing_to_do(database: FreshDatabase) -> None:
    where = database.dsn("reporting")
    with psycopg.connect(database.admin_dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA reporting CASCADE")
        connection.execute("CREATE SCHEMA reporting AUTHORIZATION reporting")
    everything = await asyncio.to_thread(pending_migrations, where, "reporting")
    assert everything
    done = await asyncio.gather(*(asyncio.to_thread(migrate, where, "reporting") for _ in range(4)))
    assert sorted(done, key=len) == [[], [], [], everything]
    assert pending_migrations(where, "reporting") == []


def test_a_lock_that_a_killed_one_left_behind_is_no_lock(database: FreshDatabase) -> None:
    where = database.dsn("routing")
    with psycopg.connect(where, autocommit=True, options="-c search_path=routing") as connection:
        connection.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
    assert migrate(where, "routing") == []


async def test_what_a_url_asks_of_tls_holds_for_services_and_migrations_alike(database: FreshDatabase) -> None:
    # The tests' server speaks no TLS: whoever insists on it is refused, and is not let in without.
    insisting = database.dsn("routing") + "?sslmode=verify-full&sslrootcert=system"
    with pytest.raises(psycopg.OperationalError, match="SSL"):
        migrate(insisting, "routing")
    with pytest.raises(ConnectionError, match="SSL"):
        await Database(database.dsn("routing") + "?sslmode=require", "routing").open()
