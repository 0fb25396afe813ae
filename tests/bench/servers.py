"""The servers and processes that one run of the benchmark works with."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from contracts.topics import SERVICES, TELEPHONY_EVENTS
from devstack import simulator
from devstack.kafka import EmbeddedKafka
from devstack.ports import free_ports
from devstack.postgres import DATABASE, EmbeddedPostgres, create_service_roles, dsn, new_passwords
from devstack.processes import Process
from service_kit.database import migrate
from service_kit.publishing import Outgoing, Publisher
from service_kit.settings import KafkaSettings
from service_kit.topics import create_topics
from tests.support.http import http_client
from tests.support.waiting import eventually

SECRET = "a secret of the benchmark, made for one run"
PARTITIONS = 3


class Bench:
    """One run's servers and processes, all in a temporary folder and ended with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kafka = EmbeddedKafka.on_free_ports(folder / "kafka")
        self.postgres = EmbeddedPostgres.on_a_free_port(folder / "postgres")
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
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
        await create_topics(self.settings, partitions=PARTITIONS)

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

    def service(self, name: str, **environment: str) -> Process:
        return self.launch(
            name,
            ["-m", name],
            {
                f"{name.upper()}_DATABASE_URL": self.dsns[name],
                "PORT": str(self.ports[name]),
                "HOST": "127.0.0.1",
                "JWT_SECRET": SECRET,
                "SMTP_URL": "smtp://127.0.0.1:1",
                "LOG_LEVEL": "warning",
                "SESSION_TIMEOUT_MS": "3000",
                "HEARTBEAT_INTERVAL_MS": "500",
                **environment,
            },
        )

    async def ready(self, name: str) -> None:
        async with http_client() as client:
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

    async def settle(self) -> None:
        """Have Postgres clean up and write out what was done so far: whoever is measured next must not pay for it."""
        admin = await asyncpg.connect(self.admin_dsn)
        try:
            await admin.execute("VACUUM ANALYZE", timeout=300)
            await admin.execute("CHECKPOINT", timeout=300)
        finally:
            await admin.close()

    async def ends(self, topic: str) -> dict[TopicPartition, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap)
        await consumer.start()
        try:
            return dict(await consumer.end_offsets([TopicPartition(topic, p) for p in range(PARTITIONS)]))
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

    async def listening(self, group: str) -> None:
        """Wait until a group has committed for the first time."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        try:

            async def committed() -> bool:
                return bool(await admin.list_consumer_group_offsets(group))

            await eventually(committed, 60, because=f"{group} listening")
        finally:
            await admin.close()

    async def make_topic(self, name: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
        await admin.close()

    async def produce(self, records: Sequence[simulator.Record]) -> None:
        publisher = Publisher(self.settings, client_id="bench")
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

    def contender(self, name: str, topic: str, group: str, **environment: str) -> Process:
        return self.launch(
            f"{name}-{group}",
            ["-m", "tests.bench.contenders", name],
            {"DATABASE_URL": self.admin_dsn, "BENCH_TOPIC": topic, "BENCH_GROUP": group, **environment},
        )
