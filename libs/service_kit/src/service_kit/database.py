"""Postgres for one service: its own role, its own schema, one transaction in sight (A5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import as_file, files
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import asyncpg
import orjson
import psycopg
import yoyo
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
"""What a function of `storage.py` is given: a connection, usually inside a transaction."""

T = TypeVar("T")

_DATA_CLASSES: Final = ("22", "23", "54")


class Database:
    """A pool of connections whose search path is the service's schema."""

    def __init__(self, dsn: str, schema: str, *, pool_size: int = 10) -> None:
        self._dsn = dsn
        self._schema = schema
        self._pool_size = pool_size
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Connect; raises what asyncpg raises when the server can't be reached."""
        self._pool = await asyncpg.create_pool(
            self._dsn,
            min_size=1,
            max_size=self._pool_size,
            command_timeout=60,
            max_inactive_connection_lifetime=300,
            init=prepare,
            reset=_nothing,
            server_settings=self._session(),
        )

    async def close(self) -> None:
        """Let go of every connection, within ten seconds."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            async with asyncio.timeout(10):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One READ COMMITTED transaction: commits when the block ends, rolls back when it raises."""
        async with (
            self._connected.acquire(timeout=30) as connection,
            connection.transaction(),
        ):
            yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for reading, outside any transaction."""
        async with self._connected.acquire(timeout=30) as connection:
            yield connection

    async def answers(self) -> bool:
        """Whether the server answers within two seconds."""
        try:
            async with asyncio.timeout(2), self.connection() as connection:
                return bool(await connection.fetchval("SELECT true"))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False

    async def listening(self) -> asyncpg.Connection[asyncpg.Record]:
        """A connection of its own, outside the pool, for LISTEN. The caller closes it."""
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            self._dsn, timeout=10, command_timeout=60, server_settings=self._session()
        )
        try:
            await prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _session(self) -> dict[str, str]:
        return {
            "search_path": self._schema,
            "application_name": self._schema,
            "timezone": "UTC",
            # Statements over whole batches look costly to the planner, and compiling them costs more.
            "jit": "off",
            # Every statement is planned for what is there now. Otherwise a connection keeps the plan that was made
            # while a table was small, and reads through it for each record once it is not (decision 39).
            "plan_cache_mode": "force_custom_plan",
            "lock_timeout": "30s",
            "idle_in_transaction_session_timeout": "120s",
        }

    @property
    def _connected(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is None:
            raise asyncpg.InterfaceError("the database pool is not open")
        return self._pool


async def _nothing(_connection: object) -> None:
    # What asyncpg's own reset undoes (session locks, cursors, LISTEN, SET) nobody does on a pooled connection, and it
    # costs a round trip after every transaction. A transaction that was left open is rolled back all the same.
    return


class Raced(Exception):
    """Another transaction made a row first that this one was about to make: run this one again from its start."""


async def until_not_raced(transaction: Callable[[], Awaitable[T]]) -> T:
    """Run a whole transaction again each time that it raises `Raced`.

    The other one has committed by then, so the next run finds its row and locks it.
    """
    while True:
        try:
            return await transaction()
        except Raced:
            continue


async def insert_new(
    connection: Connection, table: str, columns: Sequence[str], records: Sequence[Sequence[Any]]
) -> None:
    """COPY rows that nobody has made yet; raises `Raced` where somebody has. Bring them in the order of their key.

    What is written here is one row and one entry in each index. Making a bare key first, to have something to
    lock, and writing the rest over it costs all of that twice.
    """
    if not records:
        return
    try:
        await connection.copy_records_to_table(table, columns=list(columns), records=records)
    except asyncpg.UniqueViolationError:
        raise Raced from None
    except (OverflowError, TypeError, ValueError) as error:
        # COPY's encoder says plainly what a statement's encoder says as DataError.
        raise asyncpg.DataError(f"{table}: {type(error).__name__} while encoding") from None


def as_json(columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """Whole rows as `json_to_recordset` takes them, which is how a statement is given many of them (decision 40)."""
    names = tuple(columns)
    return [dict(zip(names, row, strict=True)) for row in rows]


def refuses_data(error: BaseException) -> bool:
    """Whether Postgres (or its driver) refused what a record holds, rather than being away (architecture §4)."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "").startswith(_DATA_CLASSES)
    return isinstance(error, asyncpg.DataError | UnicodeEncodeError)


def is_transient(error: BaseException) -> bool:
    """Whether trying again later can help: the server is away, busy, or a lock was not to be had."""
    if refuses_data(error):
        return False
    return isinstance(error, OSError | TimeoutError | asyncpg.PostgresError | asyncpg.InterfaceError)


_SHARED_TABLES: Final = {
    "routing": ("input_progress",),
    "inbox_state": ("directory_copy",),
    "notification": ("directory_copy",),
    "reporting": ("directory_copy", "input_progress"),
}
"""What a service has of the tables that are defined once, beside the outbox and the audit of every service."""


def migrate(dsn: str, package: str) -> list[str]:
    """Bring a service's schema up to date and name what was applied; safe with several replicas at once.

    `package` is the service's Python package and names its schema. First come the tables that services share,
    then the service's own `migrations/*.sql`. Who comes second waits for the first one's end and finds nothing to do.
    """
    with _alone(dsn, package), _migrations(dsn, package) as (backend, migrations):
        # yoyo's own lock is a row that outlives whoever was killed holding it. Nobody else can be at work here.
        backend.break_lock()
        with backend.lock():
            due = backend.to_apply(migrations)
            backend.apply_migrations(due)
            return [migration.id for migration in due]


def pending_migrations(dsn: str, package: str) -> list[str]:
    """What `migrate` would apply now."""
    with _migrations(dsn, package) as (backend, migrations):
        return [migration.id for migration in backend.to_apply(migrations)]


@contextmanager
def _alone(dsn: str, package: str) -> Iterator[None]:
    """Nobody else migrates this schema meanwhile; a lock that ends with its connection, however that ends."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('connected_inbox_migrations'), hashtext(%s))", (package,))
        yield


@contextmanager
def _migrations(dsn: str, package: str) -> Iterator[tuple[Any, Any]]:
    with (
        as_file(files("service_kit") / "migrations") as shared,
        as_file(files(package) / "migrations") as own,
    ):
        rooms = ("outbox", "audit", *_SHARED_TABLES[package])
        migrations = yoyo.read_migrations(*(str(shared / room) for room in rooms), str(own))
        backend = yoyo.get_backend(_with_query(dsn, schema=package))
        try:
            yield backend, migrations
        finally:
            backend.connection.close()


async def prepare(connection: Any) -> None:
    """Make json columns Python values on this connection, and back, by orjson."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
        format="binary",
    )
    await connection.set_type_codec(
        "json",
        schema="pg_catalog",
        encoder=orjson.dumps,
        decoder=orjson.loads,
        format="binary",
    )


def _with_query(dsn: str, **query: str) -> str:
    parts = urlsplit(dsn)
    joined = "&".join(filter(None, (parts.query, urlencode(query, quote_via=quote))))
    return urlunsplit(("postgresql+psycopg", parts.netloc, parts.path, joined, ""))
