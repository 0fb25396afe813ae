"""How long a caller waits for his ring plan: from the broker's append of `started` to that of the command."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from datetime import datetime

import orjson
from aiokafka import AIOKafkaConsumer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from contracts import telephony
from contracts.envelope import Event, encode
from contracts.topics import TELEPHONY_COMMANDS, TELEPHONY_EVENTS
from service_kit.clock import utc_now
from service_kit.publishing import Outgoing, Publisher
from tests.bench.accounts import ACCOUNT, an_account
from tests.bench.servers import Bench
from tests.support.http import http_client

CALLS_PER_SECOND = 200
TICKS_PER_SECOND = 20
LIMIT_SECONDS = 1.0
ECHO_TOPIC = "bench-echo"


async def measure(bench: Bench, seconds: float, console: Console) -> None:
    """Print the table; routing must run and be idle."""
    console.print(f"ring plans at {CALLS_PER_SECOND} calls/s for {seconds:.0f} s, then a bare loop's echo of the same")
    planned = await _commands_for(bench, TELEPHONY_COMMANDS.name, seconds)
    async with http_client() as client:
        worst = _histogram_p99((await client.get(f"{bench.url('routing')}/metrics")).text)
    await bench.make_topic(ECHO_TOPIC)
    echo = bench.contender("echo", TELEPHONY_EVENTS.name, "bench-echo", BENCH_OUT_TOPIC=ECHO_TOPIC)
    try:
        await bench.listening("bench-echo")
        echoed = await _commands_for(bench, ECHO_TOPIC, seconds)
    finally:
        echo.stop()
    table = Table("event sent to command read", "p50", "p99", "calls", title="Ring plans")
    for name, sample in (("routing", planned), ("bare loop", echoed)):
        cuts = statistics.quantiles(sample, n=100)
        wanted = f" (limit: {LIMIT_SECONDS * 1000:.0f} ms)" if name == "routing" else ""
        table.add_row(name, f"{cuts[49] * 1000:.0f} ms", f"{cuts[98] * 1000:.0f} ms{wanted}", f"{len(sample):,}")
    console.print(table)
    console.print(f"ring_plan_seconds (append to acknowledgement): 99 % were within {worst * 1000:.0f} ms")


async def _commands_for(bench: Bench, topic: str, seconds: float) -> list[float]:
    """Seconds from sending each call's `started` to reading what came of it on `topic`."""
    publisher = Publisher(bench.settings, client_id="bench-ringing")
    await publisher.open()
    reader = AIOKafkaConsumer(topic, bootstrap_servers=bench.kafka.bootstrap, auto_offset_reset="latest")
    await reader.start()
    await reader.seek_to_end()
    sent: dict[str, float] = {}
    taken: list[float] = []
    calls = int(seconds * CALLS_PER_SECOND)

    async def read() -> None:
        async for record in reader:
            began = sent.pop(orjson.loads(record.value).get("call_id", ""), None)
            if began is not None:
                taken.append(time.perf_counter() - began)
            if len(taken) == calls:
                return

    reading = asyncio.create_task(read())
    lines = itertools.cycle(an_account().lines)
    began = time.perf_counter()
    for tick in range(int(seconds * TICKS_PER_SECOND)):
        await asyncio.sleep(max(began + tick / TICKS_PER_SECOND - time.perf_counter(), 0))
        now = utc_now()
        call_ids = [f"ring-{topic}-{tick}-{index}" for index in range(CALLS_PER_SECOND // TICKS_PER_SECOND)]
        sent.update(dict.fromkeys(call_ids, time.perf_counter()))
        await publisher.publish([_started(call_id, next(lines).number, now) for call_id in call_ids])
    try:
        async with asyncio.timeout(60):
            await reading
    finally:
        await reader.stop()
        await publisher.close()
    return taken


def _started(call_id: str, line_number: str, now: datetime) -> Outgoing:
    data = telephony.CallStarted(
        call_id=call_id, direction="inbound", line_number=line_number, contact_number="+13035550100"
    )
    event = Event(
        id=call_id, source="/bench", type="telephony.call.started.v1", time=now, account_id=ACCOUNT, data=data
    )
    value, headers = encode(event)
    return Outgoing(TELEPHONY_EVENTS.name, call_id.encode(), value, headers)


def _histogram_p99(metrics: str) -> float:
    """The upper bound of the bucket that holds the 99th percentile, in seconds."""
    name = "connected_inbox_ring_plan_seconds"
    buckets: list[tuple[float, float]] = []
    for family in text_string_to_metric_families(metrics):
        if family.name == name:
            buckets = [(float(s.labels["le"]), s.value) for s in family.samples if s.name == f"{name}_bucket"]
    total = max((count for _, count in buckets), default=0.0)
    return min((bound for bound, count in buckets if total and count >= total * 0.99), default=float("nan"))
