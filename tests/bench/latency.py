"""How long an event takes to become a row that the team sees, at half of what the services can do."""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import timedelta
from random import Random

import asyncpg
from rich.console import Console
from rich.table import Table

from contracts import telephony
from contracts.envelope import Event, encode
from contracts.topics import TELEPHONY_EVENTS
from devstack.postgres import DATABASE, dsn
from service_kit.clock import utc_now
from service_kit.publishing import Outgoing, Publisher
from tests.bench.accounts import ACCOUNT, an_account
from tests.bench.servers import Bench

PROBES_PER_SECOND = 10


async def measure(bench: Bench, per_second: float, seconds: float, console: Console) -> None:
    """Print the table; routing and inbox_state must run."""
    console.print(f"latency at {per_second:,.0f} events/s for {seconds:.0f} s")
    idle = await _event_to_row(bench, 0, 5)
    taken = await _event_to_row(bench, per_second, seconds)
    table = Table("event to visible row", "p50", "p99", "probes", title="Latency")
    for name, sample in (("idle", idle), ("half of the saturation rate", taken)):
        cuts = statistics.quantiles(sample, n=100)
        table.add_row(name, f"{cuts[49] * 1000:.0f} ms", f"{cuts[98] * 1000:.0f} ms", str(len(sample)))
    console.print(table)


async def _event_to_row(bench: Bench, per_second: float, seconds: float) -> list[float]:
    """Seconds from sending a call's first event to its row in inbox_state, under a steady load."""
    publisher = Publisher(bench.settings, client_id="bench-latency")
    await publisher.open()
    rows = await asyncpg.connect(dsn(bench.postgres.admin_dsn, database=DATABASE))
    taken: list[float] = []
    sent: dict[str, float] = {}
    random = Random(7)
    running = True

    async def watch() -> None:
        while running or sent:
            waiting = list(sent)
            if waiting:
                found = await rows.fetch(
                    "SELECT communication_id FROM inbox_state.communications "
                    "WHERE account_id = $1 AND communication_id = ANY($2::text[])",
                    ACCOUNT,
                    waiting,
                )
                now = time.perf_counter()
                taken.extend(now - sent.pop(row["communication_id"]) for row in found)
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    tick, calls = 1 / PROBES_PER_SECOND, max(int(per_second / 4 / PROBES_PER_SECOND), 1)
    began = time.perf_counter()
    for number in range(int(seconds * PROBES_PER_SECOND)):
        await asyncio.sleep(max(began + number * tick - time.perf_counter(), 0))
        probe = f"probe-{began}-{number}"
        sent[probe] = time.perf_counter()
        load = [record for index in range(calls - 1) for record in _a_call(random, f"load-{began}-{number}-{index}")]
        await publisher.publish(_a_call(random, probe) + load)
    running = False
    async with asyncio.timeout(60):
        await watching
    await rows.close()
    await publisher.close()
    return taken


def _a_call(random: Random, call_id: str) -> list[Outgoing]:
    line = random.choice(an_account().lines)
    now = utc_now()
    told = [
        (
            "started",
            telephony.CallStarted(
                call_id=call_id,
                direction="inbound",
                line_number=line.number,
                contact_number=f"+1303555{random.randrange(100, 10_000):04}",
            ),
        ),
        ("ringing", telephony.CallRinging(call_id=call_id, user_ids=line.user_ids[:1])),
        ("answered", telephony.CallAnswered(call_id=call_id, user_id=line.user_ids[0])),
        ("ended", telephony.CallEnded(call_id=call_id, outcome="completed")),
    ]
    made = []
    for index, (name, data) in enumerate(told):
        event = Event(
            id=f"{call_id}-{index}",
            source="/bench",
            type=f"telephony.call.{name}.v1",
            time=now + timedelta(milliseconds=index),
            account_id=ACCOUNT,
            data=data,
        )
        value, headers = encode(event)
        made.append(Outgoing(TELEPHONY_EVENTS.name, call_id.encode(), value, headers))
    return made
