"""Events per second of each consumer, as a share of the least that could be called consuming."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from contracts.topics import COMMUNICATION_EVENTS, TELEPHONY_EVENTS
from devstack import simulator
from service_kit.clock import utc_now
from tests.bench.accounts import ZONE, an_account
from tests.bench.servers import Bench

OBVIOUS_RECORDS = 2_000
MEASURED = (
    ("routing", TELEPHONY_EVENTS.name),
    ("inbox_state", COMMUNICATION_EVENTS.name),
    ("reporting", COMMUNICATION_EVENTS.name),
)


async def measure(bench: Bench, events: int, console: Console) -> dict[str, float]:
    """Print the table, and give each service's events per second."""
    console.print(f"generating and producing {events:,} events")
    zone = ZoneInfo(ZONE)
    yesterday = (utc_now() - timedelta(days=1)).astimezone(zone).date()
    await bench.produce(simulator.day(an_account(), yesterday, zone, Random(1), events, "binary").records)
    await bench.make_topic("bench-out")
    table = Table("consumer", "events/s", "of the limit", "times the obvious way", title="Throughput")
    rates: dict[str, float] = {}
    for service, topic in MEASURED:
        console.print(f"{service}: the obvious way, the limit, the service, the limit again")
        obvious = await _contender(bench, service, "obvious", topic, records=OBVIOUS_RECORDS)
        before = await _contender(bench, service, "limit", topic)
        await bench.settle()
        running = bench.service(service)
        rates[service] = await bench.rate(service, topic)
        running.stop()
        # A shared machine's speed drifts: the limit is the mean of what it was just before and just after.
        limit = (before + await _contender(bench, service, "limit", topic, again=True)) / 2
        table.add_row(f"limit on {topic}", f"{limit:,.0f}", "1.00", "")
        table.add_row(f"obvious way on {topic}", f"{obvious:,.0f}", f"{obvious / limit:.4f}", "1")
        table.add_row(
            service,
            f"{rates[service]:,.0f}",
            f"{rates[service] / limit:.2f} (wanted: 0.20)",
            f"{rates[service] / obvious:.0f} (wanted: 50)",
        )
    console.print(table)
    return rates


async def _contender(
    bench: Bench, service: str, name: str, topic: str, *, records: int | None = None, again: bool = False
) -> float:
    group = f"bench-{name}-{topic}-{service}{'-again' if again else ''}"
    process = bench.contender(name, topic, group, BENCH_OUT_TOPIC="bench-out")
    try:
        return await bench.rate(group, topic, records=records)
    finally:
        process.stop()
