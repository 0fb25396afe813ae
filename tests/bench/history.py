"""What a batch costs routing with many communications behind it, against few: the ratio should be near 1."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
from rich.console import Console
from rich.table import Table

from contracts.topics import TELEPHONY_EVENTS
from devstack import simulator
from devstack.postgres import DATABASE, create_database, dsn
from routing.consumer import Routing
from routing.metrics import LastEvents
from routing.storage.directory import Directories
from service_kit.clock import utc_now
from service_kit.consuming import Received
from service_kit.database import Database
from tests.bench.accounts import ZONE, an_account
from tests.bench.servers import Bench

FEW, MANY = 10_000, 2_000_000
BATCH = 500
BATCHES = 60
LIMIT = 1.2

FILL = """
    INSERT INTO routing.communications (account_id, communication_id, document, inbox_id, version, touched_at)
    SELECT m.account_id, 'past-' || md5(n::text), m.document, m.inbox_id, m.version, m.touched_at
    FROM generate_series(1, $1) AS n
    JOIN LATERAL (
        SELECT *, row_number() OVER (ORDER BY communication_id) AS place FROM models
    ) AS m ON m.place = n % (SELECT count(*) FROM models) + 1
"""


async def measure(bench: Bench, console: Console) -> None:
    """Fill two databases with few and many past communications, and handle the same batches in both by turns."""
    console.print(f"filling two databases with {FEW:,} and {MANY:,} past communications")
    sizes = {"few": FEW, "many": MANY}
    batches = list(_batches())
    desks: dict[str, tuple[Database, Routing]] = {}
    for name, size in sizes.items():
        desks[name] = await _desk(bench, f"history_{name}", size, batches[:2])
    taken: dict[str, list[float]] = {name: [] for name in sizes}
    try:
        for number, batch in enumerate(batches[2:]):
            # By turns and in changing order: what the machine does meanwhile falls on both.
            for name in sorted(sizes, reverse=number % 2 == 0):
                gc.collect()
                began = time.perf_counter()
                await desks[name][1].handle(batch)
                taken[name].append(time.perf_counter() - began)
    finally:
        for database, _ in desks.values():
            await database.close()
    table = Table("past communications", "p50 of a batch", "of the fewest", title=f"A batch of {BATCH} events")
    medians = {name: statistics.median(sample) for name, sample in taken.items()}
    for name, size in sizes.items():
        ratio = medians[name] / medians["few"]
        wanted = "" if name == "few" else f" (at most {LIMIT})"
        table.add_row(f"{size:,}", f"{medians[name] * 1000:.1f} ms", f"{ratio:.2f}{wanted}")
    console.print(table)


async def _desk(
    bench: Bench, name: str, size: int, models: Sequence[Sequence[Received[Any]]]
) -> tuple[Database, Routing]:
    create_database(bench.postgres.admin_dsn, name, DATABASE)
    database = Database(dsn(bench.dsns["routing"], database=name), "routing", pool_size=4)
    await database.open()
    routing = Routing(database, Directories(), utc_now, LastEvents(utc_now), 4)
    for batch in models:
        await routing.handle(batch)
    admin = await asyncpg.connect(dsn(bench.postgres.admin_dsn, database=name))
    await admin.execute(
        "CREATE TEMP TABLE models AS SELECT * FROM routing.communications WHERE due_at IS NULL AND talking IS NULL"
    )
    await admin.execute(FILL, size, timeout=600)
    await admin.execute("VACUUM ANALYZE routing.communications")
    await admin.execute("CHECKPOINT")
    await admin.close()
    return database, routing


def _batches() -> Iterator[list[Received[Any]]]:
    zone = ZoneInfo(ZONE)
    yesterday = (utc_now() - timedelta(days=1)).astimezone(zone).date()
    records = simulator.day(an_account(), yesterday, zone, Random(2), BATCH * (BATCHES + 4)).records
    received = [
        Received(record.event, _appended(record.delivered_at), TELEPHONY_EVENTS.name, 0, offset, record.key)
        for offset, record in enumerate(records)
    ]
    for start in range(0, BATCH * (BATCHES + 2), BATCH):
        yield received[start : start + BATCH]


def _appended(delivered_at: datetime) -> datetime:
    return delivered_at.replace(microsecond=delivered_at.microsecond // 1000 * 1000)
