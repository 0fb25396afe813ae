"""What the services are measured against, each run as a process of its own: `python -m tests.bench.contenders NAME`.

`limit`: the least that could be called consuming, aiokafka's `getmany` and a COPY of the raw bytes.
`obvious`: FastStream as its tutorial has it, one message, one transaction, one commit, one publication.
`echo`: every record sent on as it is, in batches: the least that an answer through Kafka takes.
`accept`: FastAPI that answers a PUT with what it was given: the least that a change over HTTP takes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import asyncpg
import orjson
import uvicorn
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from fastapi import FastAPI
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage

from contracts import communications, telephony
from contracts.envelope import Event, UnknownEvent, binary_headers, decode
from devstack.ports import HOST

BOOTSTRAP = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
DATABASE = os.environ["DATABASE_URL"]
TOPIC = os.environ.get("BENCH_TOPIC", "")
GROUP = os.environ.get("BENCH_GROUP", "")


async def limit() -> None:
    """Read and COPY until the process is ended."""
    connection = await asyncpg.connect(DATABASE)
    await connection.execute(
        "DROP TABLE IF EXISTS bench_raw; CREATE TABLE bench_raw (key bytea, appended_ms bigint, value bytea)"
    )
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=BOOTSTRAP,
        group_id=GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    while True:
        batch = await consumer.getmany(timeout_ms=200, max_records=1_000)
        records = [record for partition in batch.values() for record in partition]
        if records:
            await connection.copy_records_to_table(
                "bench_raw", records=[(record.key, record.timestamp, record.value) for record in records]
            )
            await consumer.commit()


async def obvious() -> None:
    """Handle one message at a time until the process is ended."""
    pool = await asyncpg.create_pool(DATABASE, min_size=1, max_size=2)
    async with pool.acquire() as connection:
        await connection.execute(
            """
            DROP TABLE IF EXISTS bench_rows;
            CREATE TABLE bench_rows (
                account_id text, id text, version bigint, document jsonb, PRIMARY KEY (account_id, id)
            )
            """
        )
    broker = KafkaBroker(BOOTSTRAP, acks="all", allow_auto_create_topics=False)
    out = os.environ["BENCH_OUT_TOPIC"]

    @broker.subscriber(TOPIC, group_id=GROUP, ack_policy=AckPolicy.NACK_ON_ERROR, auto_offset_reset="earliest")
    async def handle(_body: Any, message: KafkaMessage) -> None:
        record = message.raw_message
        assert not isinstance(record, tuple)
        event = decode(record.value, record.headers, telephony.EVENTS | communications.EVENTS)
        if isinstance(event, UnknownEvent):
            return
        identity = _identity(event)
        async with pool.acquire() as connection, connection.transaction():
            held = await connection.fetchrow(
                "SELECT version, document FROM bench_rows WHERE account_id = $1 AND id = $2 FOR UPDATE",
                event.account_id,
                identity,
            )
            document = orjson.loads(held["document"]) if held else {}
            document |= event.data.model_dump(mode="json", exclude_none=True)
            saved = orjson.dumps(document).decode()
            await connection.execute(
                """
                INSERT INTO bench_rows VALUES ($1, $2, 1, $3)
                ON CONFLICT (account_id, id)
                DO UPDATE SET version = bench_rows.version + 1, document = excluded.document
                """,
                event.account_id,
                identity,
                saved,
            )
        headers = {name: value.decode() for name, value in binary_headers(event)}
        await broker.publish(saved.encode(), topic=out, key=identity.encode(), headers=headers)

    await broker.start()
    await asyncio.Event().wait()


async def echo() -> None:
    """Send every record on until the process is ended."""
    consumer = AIOKafkaConsumer(
        TOPIC, bootstrap_servers=BOOTSTRAP, group_id=GROUP, enable_auto_commit=False, auto_offset_reset="latest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all")
    await consumer.start()
    await producer.start()
    # The first commit says that it is there: what is sent from now on is echoed.
    await consumer.commit({partition: await consumer.position(partition) for partition in consumer.assignment()})
    while True:
        batch = await consumer.getmany(timeout_ms=200, max_records=1_000)
        records = [record for partition in batch.values() for record in partition]
        sent = [await producer.send(os.environ["BENCH_OUT_TOPIC"], record.value, key=record.key) for record in records]
        if sent:
            await asyncio.gather(*sent)
            await consumer.commit()


async def accept() -> None:
    """Answer every PUT of a user with its body until the process is ended."""
    app = FastAPI()

    @app.put("/v1/users/{user_id}")
    async def put(user_id: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"user_id": user_id, **body}

    settings = uvicorn.Config(app, host=HOST, port=int(os.environ["BENCH_PORT"]), log_level="warning")
    await uvicorn.Server(settings).serve()


def _identity(event: Event[Any]) -> str:
    for name in ("communication_id", "call_id", "message_id", "user_id", "endpoint"):
        value = getattr(event.data, name, None)
        if value:
            return str(value)
    return event.id


if __name__ == "__main__":
    asyncio.run({"limit": limit, "obvious": obvious, "echo": echo, "accept": accept}[sys.argv[1]]())
