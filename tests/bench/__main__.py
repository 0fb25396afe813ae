"""`make bench`: what the services do, as ratios to a limit and to the obvious way, in one run on one machine.

Absolute figures of a shared machine mean little; ratios of what ran within minutes of each other mean more.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from contracts import telephony
from contracts.envelope import Event, encode
from contracts.topics import COMMUNICATION_EVENTS, TELEPHONY_EVENTS
from devstack import simulator
from devstack.kafka import EmbeddedKafka
from devstack.ports import free_ports
from devstack.postgres import DATABASE, EmbeddedPostgres, create_service_roles, dsn, new_passwords
from devstack.processes import Process
from service_kit.auth import sign
from service_kit.clock import utc_now
from service_kit.database import migrate
from service_kit.publishing import Outgoing, Publisher
from service_kit.settings import KafkaSettings
from service_kit.topics import create_topics

ACCOUNT = "bench"
SECRET = "a secret of the benchmark, made for one run"
OBVIOUS_RECORDS = 2_000
PROBES_PER_SECOND = 10

console = Console()


class Bench:
    """One run's servers and processes, all in a temporary folder and ended with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kafka = EmbeddedKafka.on_free_ports(folder / "kafka")
        self.postgres = EmbeddedPostgres.on_a_free_port(folder / "postgres")
        self.ports = dict(zip(("routing", "inbox_state"), free_ports(2), strict=True))
        self.dsns: dict[str, str] = {}
        self.processes: list[Process] = []

    @property
    def settings(self) -> KafkaSettings:
        return KafkaSettings(kafka_bootstrap_servers=self.kafka.bootstrap)

    @property
    def admin_dsn(self) -> str:
        return dsn(self.postgres.admin_dsn, database=DATABASE)

    async def start(self) -> None:
        self.kafka.start()
        self.postgres.start()
        self.dsns = create_service_roles(self.postgres.admin_dsn, DATABASE, new_passwords())
        for service in self.ports:
            migrate(self.dsns[service], service)
        await create_topics(self.settings, partitions=3)

    def stop(self) -> None:
        for process in self.processes:
            process.stop()
        self.postgres.stop()
        self.kafka.stop()

    def launch(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        process = Process.launch(
            name,
            [sys.executable, *command],
            self.folder / f"{name}.log",
            environment={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap, **environment},
        )
        self.processes.append(process)
        return process

    def service(self, name: str) -> Process:
        return self.launch(
            name,
            ["-m", name],
            {
                f"{name.upper()}_DATABASE_URL": self.dsns[name],
                "PORT": str(self.ports[name]),
                "HOST": "127.0.0.1",
                "JWT_SECRET": SECRET,
                "LOG_LEVEL": "warning",
                "SESSION_TIMEOUT_MS": "3000",
                "HEARTBEAT_INTERVAL_MS": "500",
            },
        )

    async def ready(self, name: str) -> None:
        async with httpx.AsyncClient() as client:
            for _ in range(600):
                try:
                    if (await client.get(f"{self.url(name)}/health/ready")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        raise RuntimeError(f"{name} did not become ready; its log is {self.folder / f'{name}.log'}")

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    async def ends(self, topic: str) -> dict[TopicPartition, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap)
        await consumer.start()
        try:
            return dict(await consumer.end_offsets([TopicPartition(topic, p) for p in range(3)]))
        finally:
            await consumer.stop()

    async def rate(self, group: str, topic: str, *, records: int | None = None) -> float:
        """Records per second that a group commits, from its first commit seen to the last record."""
        total = sum((await self.ends(topic)).values())
        wanted = total if records is None else min(records, total)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        try:
            first: tuple[float, int] | None = None
            deadline = time.monotonic() + 300
            while time.monotonic() < deadline:
                offsets = await admin.list_consumer_group_offsets(group)
                done = sum(max(at.offset, 0) for p, at in offsets.items() if p.topic == topic)
                now = time.perf_counter()
                if done and first is None:
                    first = (now, done)
                if first is not None and done >= wanted and done > first[1]:
                    return float((done - first[1]) / (now - first[0]))
                await asyncio.sleep(0.1)
        finally:
            await admin.close()
        raise RuntimeError(f"{group} did not get through {topic}")


async def set_up_account(bench: Bench, setup: simulator.Setup) -> None:
    token = sign(
        SECRET,
        user_id="bench",
        account_id=ACCOUNT,
        now=utc_now(),
        lasts=timedelta(hours=1),
        scope="directory",
    )
    async with httpx.AsyncClient(
        base_url=bench.url("routing"), headers={"Authorization": f"Bearer {token}"}, timeout=30
    ) as client:

        async def put(path: str, body: object) -> None:
            answer = await client.put(path, json=body)
            if answer.is_error:
                raise RuntimeError(f"PUT {path}: {answer.status_code} {answer.text}")

        await put("/v1/account", {"name": "Bench", "time_zone": "Europe/Berlin"})
        for line in setup.lines:
            for user_id in line.user_ids:
                await put(
                    f"/v1/users/{user_id}",
                    {"name": user_id, "email": f"{user_id}@example.com", "role": "agent"},
                )
            await put(
                f"/v1/inboxes/{line.inbox_id}",
                {"name": line.inbox_id, "kind": "connected", "agents": {"users": list(line.user_ids)}},
            )
            await put(f"/v1/lines/{line.number}", {"inbox_id": line.inbox_id})


async def produce(bench: Bench, records: Sequence[simulator.Record]) -> None:
    publisher = Publisher(bench.settings, client_id="bench")
    await publisher.open()
    try:
        for start in range(0, len(records), 5_000):
            await publisher.publish(
                [
                    Outgoing(TELEPHONY_EVENTS.name, record.key, record.value, list(record.headers))
                    for record in records[start : start + 5_000]
                ]
            )
    finally:
        await publisher.close()


async def contender(bench: Bench, name: str, topic: str, records: int | None = None, *, again: bool = False) -> float:
    group = f"bench-{name}-{topic}{'-again' if again else ''}"
    process = bench.launch(
        f"{name}-{topic}",
        ["-m", "tests.bench.contenders", name],
        {
            "DATABASE_URL": bench.admin_dsn,
            "BENCH_TOPIC": topic,
            "BENCH_GROUP": group,
            "BENCH_OUT_TOPIC": "bench-out",
        },
    )
    try:
        return await bench.rate(group, topic, records=records)
    finally:
        process.stop()


async def event_to_row(bench: Bench, setup: simulator.Setup, per_second: float, seconds: float) -> list[float]:
    """Seconds from sending a call's first event to its row in inbox_state, under a steady load."""
    publisher = Publisher(bench.settings, client_id="bench-latency")
    await publisher.open()
    rows = await asyncpg.connect(dsn(bench.postgres.admin_dsn, database=DATABASE))
    taken: list[float] = []
    sent: dict[str, float] = {}
    random = Random(7)
    running = True

    def a_call(call_id: str) -> list[Outgoing]:
        line = random.choice(setup.lines)
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
        probe = f"probe-{number}"
        sent[probe] = time.perf_counter()
        load = [record for index in range(calls - 1) for record in a_call(f"load-{number}-{index}")]
        await publisher.publish(a_call(probe) + load)
    running = False
    async with asyncio.timeout(60):
        await watching
    await rows.close()
    await publisher.close()
    return taken


async def run(bench: Bench, events: int, seconds: float) -> None:
    console.print("starting Kafka and Postgres")
    await bench.start()
    setup = simulator.a_company(ACCOUNT, inboxes=20, agents=10)
    routing = bench.service("routing")
    await bench.ready("routing")
    await set_up_account(bench, setup)
    routing.stop()

    console.print(f"generating and producing {events:,} events")
    zone = ZoneInfo("Europe/Berlin")
    yesterday = (utc_now() - timedelta(days=1)).astimezone(zone).date()
    day = simulator.day(setup, yesterday, zone, Random(1), events, "binary")
    await produce(bench, day.records)
    await make_topic(bench, "bench-out")

    table = Table("consumer", "events/s", "of the limit", "times the obvious way", title="Throughput")
    rates: dict[str, float] = {}
    for service, topic in (("routing", TELEPHONY_EVENTS.name), ("inbox_state", COMMUNICATION_EVENTS.name)):
        console.print(f"{service}: the obvious way, the limit, the service, the limit again")
        obvious = await contender(bench, "obvious", topic, OBVIOUS_RECORDS)
        before = await contender(bench, "limit", topic)
        running = bench.service(service)
        rates[service] = await bench.rate(service, topic)
        running.stop()
        # A shared machine's speed drifts: the limit is the mean of what it was just before and just after.
        limit = (before + await contender(bench, "limit", topic, again=True)) / 2
        table.add_row(f"limit on {topic}", f"{limit:,.0f}", "1.00", "")
        table.add_row(f"obvious way on {topic}", f"{obvious:,.0f}", f"{obvious / limit:.4f}", "1")
        table.add_row(
            service,
            f"{rates[service]:,.0f}",
            f"{rates[service] / limit:.2f} (wanted: 0.20)",
            f"{rates[service] / obvious:.0f} (wanted: 50)",
        )
    console.print(table)

    half = min(rates["routing"], rates["inbox_state"]) / 2
    for service in rates:
        bench.service(service)
        await bench.ready(service)
    console.print(f"latency at {half:,.0f} events/s for {seconds:.0f} s")
    idle = await event_to_row(bench, setup, 0, 5)
    taken = await event_to_row(bench, setup, half, seconds)
    latency = Table("event to visible row", "p50", "p99", "probes", title="Latency")
    for name, sample in (("idle", idle), ("half of the saturation rate", taken)):
        cuts = statistics.quantiles(sample, n=100)
        latency.add_row(name, f"{cuts[49] * 1000:.0f} ms", f"{cuts[98] * 1000:.0f} ms", str(len(sample)))
    console.print(latency)


async def make_topic(bench: Bench, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 3, 1)])
    await admin.close()


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="events of the simulated day")
    parser.add_argument("--seconds", type=float, default=20, help="how long the latency is measured")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="connected-inbox-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        bench = Bench(Path(folder))
        try:
            asyncio.run(run(bench, given.events, given.seconds))
        finally:
            bench.stop()


if __name__ == "__main__":
    main()
