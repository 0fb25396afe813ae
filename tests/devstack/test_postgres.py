"""The embedded Postgres keeps what was committed, and its roles keep to their schemas (A5)."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from contracts.topics import SERVICES
from devstack.postgres import DATABASE, EmbeddedPostgres, create_service_roles, dsn, new_passwords
from tests.support import FreshDatabase


async def test_committed_rows_survive_a_sigkill(private_postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(private_postgres.admin_dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    await asyncio.to_thread(private_postgres.kill)
    await asyncio.to_thread(private_postgres.start)
    with psycopg.connect(private_postgres.admin_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


async def test_an_immediate_stop_cuts_sessions_off_and_loses_nothing(private_postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(private_postgres.admin_dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        connection.commit()
        connection.execute("INSERT INTO kept VALUES (2)")
        await asyncio.to_thread(private_postgres.stop_immediately)
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    await asyncio.to_thread(private_postgres.start)
    with psycopg.connect(private_postgres.admin_dsn) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]


def test_a_password_is_needed(private_postgres: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(dsn(private_postgres.admin_dsn, user="postgres", password="wrong"))


def test_roles_can_be_made_again_with_new_passwords(private_postgres: EmbeddedPostgres) -> None:
    first = create_service_roles(private_postgres.admin_dsn, DATABASE, new_passwords())
    second = create_service_roles(private_postgres.admin_dsn, DATABASE, new_passwords())
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(first["routing"])
    with psycopg.connect(second["routing"]) as connection:
        assert connection.execute("SELECT current_schema").fetchone() == ("routing",)


@pytest.mark.parametrize("service", SERVICES)
def test_a_role_reads_and_writes_no_schema_but_its_own(database: FreshDatabase, service: str) -> None:
    with psycopg.connect(database.admin_dsn) as admin:
        tables = admin.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY (%s)", (list(SERVICES),)
        ).fetchall()
    assert {schema for schema, _ in tables} == set(SERVICES)
    with psycopg.connect(database.dsn(service), autocommit=True) as connection:
        for schema, table in tables:
            reading = f'SELECT FROM "{schema}"."{table}" LIMIT 0'
            if schema == service:
                connection.execute(reading)
            else:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(reading)


@pytest.mark.parametrize(
    "attempt",
    [
        "CREATE TABLE public.mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "SET ROLE reporting",
        "CREATE TABLE reporting.mine (id int)",
        "SELECT pg_read_file('postgresql.conf')",
    ],
)
def test_a_role_makes_nothing_outside_its_schema(database: FreshDatabase, attempt: str) -> None:
    with (
        psycopg.connect(database.dsn("routing"), autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(attempt)
