"""What a day's report costs an account with millions of communications behind it, against one that has few.

Compared are days of the same size, each with as much on the same weekday a week before, which a report reads too: a day
of 100,000 communications of an account that has 10 million in all, and the same day of one that has only those two
days; and a day of 5,000 of the same 10 million, with that of an account of 10,000 in all.
"""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import asyncpg
import httpx
from rich.console import Console
from rich.table import Table

from contracts import directory
from contracts.envelope import Event
from contracts.topics import DIRECTORY_EVENTS
from service_kit import directory_copy
from service_kit.auth import sign
from service_kit.clock import utc_now
from service_kit.consuming import Received
from service_kit.database import Database
from tests.bench.servers import SECRET, Bench
from tests.support.http import http_client

WEEK: Final = timedelta(days=7)
BUSY, QUIET = 100_000, 5_000
BUSY_DAY: Final = date(2026, 3, 13)
QUIET_DAY: Final = date(2026, 3, 15)
SAMPLES: Final = {BUSY: 30, QUIET: 200}
"""The cheap ones more often: the worst of thirty is what the machine did meanwhile, not a percentile."""
LIMIT: Final = 2.0
USERS: Final = tuple(f"user-{number}" for number in range(20))

FILL = """
    INSERT INTO reporting.communications (
        account_id, communication_id, version, inbox_id, line_number, contact_number, thread_id, kind, direction,
        status, user_id, started_at, answered_at, wait_seconds, talk_seconds, talk_shares, turn, turn_at, unread_at,
        received_at
    )
    SELECT
        $1, 'c' || ($2::date - '2020-01-01'::date) || '-' || n, 1, 'support', '+1212555010' || n % 5,
        '+1917' || (n * 7919::bigint) % 20011, md5($1 || (n * 7919::bigint) % 20011)::uuid,
        CASE WHEN n % 10 < 7 THEN 'call' ELSE 'message' END,
        CASE WHEN n % 10 IN (5, 6, 9) THEN 'outbound' ELSE 'inbound' END,
        CASE WHEN n % 10 IN (7, 8) THEN 'received' WHEN n % 10 = 9 THEN 'delivered' WHEN n % 10 = 4 THEN 'missed'
            ELSE 'completed' END,
        CASE WHEN n % 10 IN (4, 7, 8) THEN NULL ELSE 'user-' || n % 20 END,
        at,
        CASE WHEN n % 10 < 7 AND n % 10 <> 4 THEN at + interval '10 seconds' END,
        CASE WHEN n % 10 < 7 THEN n % 40 END,
        CASE WHEN n % 10 < 7 AND n % 10 <> 4 THEN 60 + n % 300 END,
        CASE WHEN n % 10 < 7 AND n % 10 <> 4
            THEN jsonb_build_array(jsonb_build_array('user-' || n % 20, 60 + n % 300)) END,
        CASE WHEN n % 10 IN (7, 8) THEN 'contact' WHEN n % 10 <> 4 THEN 'agent' END,
        CASE WHEN n % 10 <> 4 THEN at END,
        CASE WHEN n % 10 IN (4, 7, 8) THEN at END,
        at
    FROM generate_series(1, $3::int) AS n
    CROSS JOIN LATERAL (SELECT $2::date::timestamptz + n * (interval '1 day' / ($3::int + 1)) AS at) AS begun
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One account and day: how much it has in all, and on that day and a week before it."""

    account_id: str
    day: date
    size: int
    in_all: int


async def measure(bench: Bench, total: int, console: Console) -> None:
    """Fill three accounts, and ask for the same days of all of them by turns, over HTTP."""
    days = max(total // BUSY, 9)
    cases = (
        Case("large", BUSY_DAY, BUSY, days * BUSY),
        Case("two-days", BUSY_DAY, BUSY, 2 * BUSY),
        Case("large", QUIET_DAY, QUIET, days * BUSY),
        Case("small", QUIET_DAY, QUIET, 2 * QUIET),
    )
    console.print(f"filling accounts with {days * BUSY:,}, {2 * BUSY:,} and {2 * QUIET:,} communications")
    began = time.perf_counter()
    await _fill(bench, days)
    console.print(f"filled in {time.perf_counter() - began:.0f} s")
    bench.service("reporting")
    await bench.ready("reporting")
    taken: dict[Case, list[float]] = {case: [] for case in cases}
    async with http_client(bench.url("reporting"), timeout=60) as client:
        for number in range(max(SAMPLES.values()) + 2):
            for case in random.Random(number).sample(cases, len(cases)):
                if number >= SAMPLES[case.size] + 2:
                    continue
                seconds = await _report(client, case)
                # The first two fill caches.
                if number >= 2:
                    taken[case].append(seconds)
    table = Table(
        "communications that day", "in all", "p50", "p99", "p99, of the account with few", title="A day's report"
    )
    for many, few in ((cases[0], cases[1]), (cases[2], cases[3])):
        for case in (few, many):
            ratio = _p99(taken[case]) / _p99(taken[few])
            wanted = "" if case is few else f" (at most {LIMIT})"
            table.add_row(
                f"{case.size:,}",
                f"{case.in_all:,}",
                f"{statistics.median(taken[case]) * 1000:,.0f} ms",
                f"{_p99(taken[case]) * 1000:,.0f} ms",
                f"{ratio:.2f}{wanted}",
            )
    console.print(table)


async def _fill(bench: Bench, days: int) -> None:
    """The rows as they come over the days; indexes are made afterwards, which takes a fraction of the time."""
    database = Database(bench.dsns["reporting"], "reporting", pool_size=2)
    await database.open()
    async with database.transaction() as connection:
        for account_id in ("large", "two-days", "small"):
            await directory_copy.save(connection, _directory(account_id))
    await database.close()
    admin = await asyncpg.connect(bench.admin_dsn)
    try:
        indexes = await admin.fetch(
            "SELECT indexname, indexdef FROM pg_indexes "
            "WHERE schemaname = 'reporting' AND tablename = 'communications' AND indexname <> 'communications_pkey'"
        )
        await admin.execute("SET search_path = reporting; SET maintenance_work_mem = '512MB'; SET timezone = 'UTC'")
        for index in indexes:
            await admin.execute(f"DROP INDEX {index['indexname']}")
        await admin.execute("ALTER TABLE communications DROP CONSTRAINT communications_pkey")
        # Only reading is measured here: filling need not survive a crash.
        await admin.execute("ALTER TABLE communications SET UNLOGGED")
        for back in reversed(range(days)):
            day = QUIET_DAY - timedelta(days=back)
            quiet = day in (QUIET_DAY, QUIET_DAY - WEEK)
            await admin.execute(FILL, "large", day, QUIET if quiet else BUSY, timeout=600)
        for account_id, last, size in (("two-days", BUSY_DAY, BUSY), ("small", QUIET_DAY, QUIET)):
            for day in (last - WEEK, last):
                await admin.execute(FILL, account_id, day, size, timeout=600)
        await admin.execute("ALTER TABLE communications ADD PRIMARY KEY (account_id, communication_id)", timeout=600)
        for index in indexes:
            await admin.execute(index["indexdef"], timeout=600)
        await admin.execute("VACUUM ANALYZE communications", timeout=600)
        await admin.execute("CHECKPOINT", timeout=600)
    finally:
        await admin.close()


def _directory(account_id: str) -> list[Received[Any]]:
    snapshots: list[tuple[str, directory.Snapshot]] = [
        (directory.ACCOUNT, directory.Account(version=1, name=account_id, time_zone="UTC")),
        (
            directory.INBOX,
            directory.Inbox(
                version=1,
                inbox_id="support",
                name="Support",
                kind="connected",
                agents=directory.Agents(users=USERS),
                connected=USERS,
            ),
        ),
        *(
            (
                directory.USER,
                directory.User(
                    version=1,
                    user_id=user_id,
                    name=user_id,
                    email=f"{user_id}@example.com",
                    role="admin" if user_id == USERS[0] else "agent",
                ),
            )
            for user_id in USERS
        ),
    ]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        Received(
            event=Event(id="bench", source="/bench", type=type_, time=at, account_id=account_id, data=data),
            appended_at=at,
            topic=DIRECTORY_EVENTS.name,
            partition=0,
            offset=0,
        )
        for type_, data in snapshots
    ]


async def _report(client: httpx.AsyncClient, case: Case) -> float:
    token = sign(SECRET, user_id=USERS[0], account_id=case.account_id, now=utc_now(), lasts=timedelta(hours=1))
    began = time.perf_counter()
    answer = await client.get(
        "/v1/inboxes/support/reports/daily-activity",
        params={"date": case.day.isoformat()},
        headers={"Authorization": f"Bearer {token}"},
    )
    taken = time.perf_counter() - began
    answer.raise_for_status()
    totals = answer.json()["totals"]
    counted = sum(totals[name] for name in ("calls_inbound", "calls_outbound", "messages_inbound", "messages_outbound"))
    if counted != case.size:
        raise RuntimeError(f"{case.account_id} has {counted} on {case.day}, not {case.size}")
    return taken


def _p99(sample: list[float]) -> float:
    return sorted(sample)[min(int(len(sample) * 0.99), len(sample) - 1)]
