"""The outbox: what an HTTP request or a timer has to publish is written in its transaction, and relayed after.

Where the input is a Kafka record none of this is needed: the record comes again and publishes again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import asyncpg
import structlog
from aiokafka.errors import KafkaError

from contracts.envelope import has_expired
from service_kit import tracing
from service_kit.clock import Clock
from service_kit.database import Connection, Database, is_transient
from service_kit.metrics import OUTBOX_OLDEST_AGE
from service_kit.publishing import Outgoing, Publisher

log = structlog.get_logger()

_CHANNEL: Final = "outbox"
_BATCH: Final = 500
_POLL: Final = timedelta(seconds=2)
_GATHER: Final = timedelta(milliseconds=20)
"""How long a burst is gathered after its first records, which go at once: a batch costs more than a record does."""


async def add(connection: Connection, records: Sequence[Outgoing]) -> None:
    """Write records for the relay, in this order, and wake it when the transaction commits.

    Call it after the rows that the records speak of are locked: ids are drawn here, and the relay sends in
    their order. A record that says no trace of its own is in the one of the request or timer at work.
    """
    if not records:
        return
    traceparent = tracing.current()
    if traceparent is not None:
        records = [_traced(record, traceparent) for record in records]
    await connection.executemany(
        "INSERT INTO outbox (topic, key, value, header_names, header_values) VALUES ($1, $2, $3, $4, $5)",
        [
            (
                record.topic,
                record.key,
                record.value,
                [name for name, _ in record.headers],
                [value for _, value in record.headers],
            )
            for record in records
        ],
    )
    await connection.execute(f"SELECT pg_notify('{_CHANNEL}', current_schema())")


async def newest(connection: Connection) -> int:
    """The id of the newest record that this transaction sees in the outbox, its own included; 0 for none."""
    found: int | None = await connection.fetchval("SELECT max(id) FROM outbox")
    return found or 0


async def is_relayed_through(connection: Connection, id: int) -> bool:
    """Whether the broker has acknowledged every record up to an id."""
    waiting: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM outbox WHERE id <= $1)", id)
    return not waiting


def _traced(record: Outgoing, traceparent: str) -> Outgoing:
    if any(name == "ce_traceparent" for name, _ in record.headers):
        return record
    headers = [*record.headers, ("ce_traceparent", traceparent.encode())]
    return Outgoing(record.topic, record.key, record.value, headers)


class Relay:
    """Sends what stands in the outbox, one replica at a time, and deletes it once the broker has it."""

    def __init__(self, database: Database, publisher: Publisher, *, service: str, clock: Clock) -> None:
        self._database = database
        self._publisher = publisher
        self._service = service
        self._clock = clock
        self._wake = asyncio.Event()
        self._measured = 0.0

    async def run(self) -> None:
        """Relay until cancelled; what fails is tried again, with back-off."""
        pause = 0.1
        while True:
            listener: asyncpg.Connection[asyncpg.Record] | None = None
            try:
                listener = await self._database.listening()
                await listener.add_listener(_CHANNEL, self._woken)
                while not listener.is_closed():
                    began = time.monotonic()
                    while await self.relay_batch() == _BATCH:
                        pass
                    pause = 0.1
                    if began - self._measured >= 1:
                        await self._measure()
                    await self._sleep()
                    await asyncio.sleep(began + _GATHER.total_seconds() - time.monotonic())
            except (KafkaError, Exception) as error:
                if not (isinstance(error, KafkaError) or is_transient(error)):
                    raise
                log.warning("outbox_relay_waits", error=type(error).__name__)
                await self._measure()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 15.0)
            finally:
                if listener is not None and not listener.is_closed():
                    listener.terminate()

    async def relay_batch(self) -> int:
        """Send the oldest records, delete them, and say how many there were (0: none, or another's turn).

        What has expired while it waited for the broker is deleted unsent: nobody may take it any more.
        """
        async with self._database.transaction() as connection:
            # One relay at a time, or two replicas would break the order within a key.
            if not await connection.fetchval(
                "SELECT pg_try_advisory_xact_lock(hashtext('outbox'), hashtext(current_schema()))"
            ):
                return 0
            rows = await connection.fetch(
                "SELECT id, topic, key, value, header_names, header_values FROM outbox ORDER BY id LIMIT $1",
                _BATCH,
            )
            if not rows:
                return 0
            records = [
                Outgoing(
                    topic=row["topic"],
                    key=row["key"],
                    value=row["value"],
                    headers=list(zip(row["header_names"], row["header_values"], strict=True)),
                )
                for row in rows
            ]
            now = self._clock()
            await self._publisher.publish([record for record in records if not has_expired(record.headers, now)])
            await connection.execute(
                "DELETE FROM outbox WHERE id = ANY($1::bigint[])",
                [row["id"] for row in rows],
            )
            return len(rows)

    def _woken(self, _connection: object, _pid: int, _channel: str, schema: object) -> None:
        self._wake.set()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(_POLL.total_seconds()):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _measure(self) -> None:
        try:
            async with self._database.connection() as connection:
                oldest = await connection.fetchval("SELECT min(written_at) FROM outbox")
        except Exception as error:
            if not is_transient(error):
                raise
            return
        self._measured = time.monotonic()
        age = (self._clock() - oldest).total_seconds() if oldest else 0.0
        OUTBOX_OLDEST_AGE.labels(service=self._service).set(max(age, 0.0))
