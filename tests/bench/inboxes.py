"""inbox_state with much behind it: pages of a long list, memory, and a clean-up while traffic flows.

One inbox has few threads and one has many, each with an unread text. Nothing here is counted in absolute terms: each
figure is a ratio to the same thing without the burden, measured within minutes of it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any, Final

import asyncpg
import httpx
import psutil
from rich.console import Console
from rich.table import Table

from contracts import communications, directory
from contracts.communications import CommunicationChanged
from contracts.directory import Account, Inbox, Snapshot, User
from contracts.envelope import Event, encode
from contracts.fields import key_of
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS
from devstack.postgres import DATABASE, dsn
from devstack.processes import Process
from service_kit.auth import sign
from service_kit.clock import utc_now
from service_kit.publishing import Outgoing, Publisher
from tests.bench.servers import SECRET, Bench
from tests.support.http import http_client
from tests.support.waiting import eventually

ACCOUNT: Final = "long"
FEW, MANY = 10_000, 1_000_000
PAGES: Final = 400
A_PAGE: Final = 50
LEAST_TRAFFIC: Final = 10_000
AT_ONCE: Final = 50_000
PAGE_LIMIT, MEMORY_LIMIT, TRAFFIC_LIMIT = 2.0, 1.5, 0.7

_FILL: Final = """
    WITH filled AS (
        SELECT n, $2 || '-' || n AS communication_id, md5($2 || n) AS thread_id,
               '+1555' || lpad(n::text, 7, '0') AS number,
               now() - interval '40 days' - n * interval '1 second' AS at
        FROM generate_series(1, $1::int) AS n
    ), placed AS (
        SELECT *, lpad((extract(epoch FROM at) * 1000000)::bigint::text, 16, '0') AS micros FROM filled
    ), texts AS (
        INSERT INTO inbox_state.communications (
            account_id, communication_id, version, thread_id, inbox_id, line_number, kind, active, activity_at,
            received_at, wants_attention, position, failed, document
        )
        SELECT $3, communication_id, 1, thread_id, $2, '+15550100001', 'message', false, at, at, true,
               micros || micros || communication_id || E'\\t', false,
               json_build_object(
                   'communication_id', communication_id, 'kind', 'message', 'direction', 'inbound',
                   'status', 'received', 'inbox_id', $2::text, 'line_number', '+15550100001',
                   'contact_number', number, 'started_at', at, 'activity_at', at, 'unread_at', at, 'received_at', at,
                   'body', 'text number ' || n, 'version', 1
               )::text
        FROM placed
    ), found AS (
        INSERT INTO inbox_state.searchable_threads (account_id, thread_id, inbox_id, number)
        SELECT $3, thread_id, $2, number FROM placed
    )
    INSERT INTO inbox_state.threads (
        account_id, thread_id, inbox_id, contact_number, version, unread, last_activity_at, latest_id,
        newest_attention, unread_since
    )
    SELECT $3, thread_id, $2, number, 1, 1, at, communication_id, micros || micros || communication_id || E'\\t', at
    FROM placed
"""


async def measure(bench: Bench, console: Console, *, many: int = MANY, consumed: int = MANY) -> None:
    """Print three tables. `many` threads stand in the long list, `consumed` communications come for the memory."""
    admin = await asyncpg.connect(dsn(bench.postgres.admin_dsn, database=DATABASE))
    console.print(f"filling two inboxes with {FEW:,} and {many:,} threads")
    for inbox_id, size in (("few", FEW), ("many", many)):
        await admin.execute(_FILL, size, inbox_id, ACCOUNT, timeout=1_200)
    for table in ("communications", "threads", "searchable_threads"):
        await admin.execute(f"VACUUM ANALYZE inbox_state.{table}", timeout=1_200)
    await admin.execute("CHECKPOINT")
    # A new version of the process for each part: what one leaves behind is not the next one's.
    running = await _started(bench)
    try:
        await _learn(bench)
        await _lists(bench, console, many)
        await _cleanup(bench, console, admin, many)
    finally:
        running.stop()
    running = await _started(bench)
    try:
        await _memory(bench, console, admin, running, consumed)
    finally:
        running.stop()
        await admin.close()


async def _started(bench: Bench) -> Process:
    running = bench.service("inbox_state")
    await bench.ready("inbox_state")
    return running


def _client(bench: Bench) -> httpx.AsyncClient:
    token = sign(SECRET, user_id="anna", account_id=ACCOUNT, now=utc_now(), lasts=timedelta(hours=2))
    return http_client(bench.url("inbox_state"), headers={"Authorization": f"Bearer {token}"}, timeout=60)


async def _learn(bench: Bench) -> None:
    snapshots: list[tuple[str, Snapshot]] = [
        (directory.ACCOUNT, Account(version=1, name="Long", time_zone="UTC")),
        (directory.USER, User(version=1, user_id="anna", name="Anna", email="anna@example.com", role="admin")),
        *(
            (directory.INBOX, Inbox(version=1, inbox_id=id, name=id, kind="connected", connected=("anna",)))
            for id in ("few", "many", "busy")
        ),
    ]
    records = []
    for number, (kind, snapshot) in enumerate(snapshots):
        event = Event(str(number), "/bench", kind, utc_now(), ACCOUNT, snapshot)
        value, headers = encode(event)
        records.append(Outgoing(DIRECTORY_EVENTS.name, key_of(ACCOUNT, "any", str(number)), value, headers))
    await _publish(bench, records)

    async def known() -> bool:
        async with _client(bench) as anna:
            answer = await anna.get("/v1/panel")
        return answer.status_code == 200 and len(answer.json()["items"]) == 3

    await eventually(known, 120, because="the directory")


async def _publish(bench: Bench, records: list[Outgoing]) -> None:
    publisher = Publisher(bench.settings, client_id="bench")
    await publisher.open()
    try:
        for start in range(0, len(records), 5_000):
            await publisher.publish(records[start : start + 5_000])
    finally:
        await publisher.close()


async def _lists(bench: Bench, console: Console, many: int) -> None:
    taken: dict[str, list[float]] = {"few": [], "many": []}
    cursors: dict[str, str | None] = dict.fromkeys(taken)
    async with _client(bench) as anna:
        for number in range(PAGES + 20):
            # By turns and in changing order: what the machine does meanwhile falls on both.
            for inbox_id in sorted(taken, reverse=number % 2 == 0):
                query = {"limit": str(A_PAGE), "view": "threaded"}
                if (cursor := cursors[inbox_id]) is not None and number % 4:
                    query["cursor"] = cursor
                began = time.perf_counter()
                answer = await anna.get(f"/v1/inboxes/{inbox_id}/threads", params=query)
                seconds = time.perf_counter() - began
                assert answer.status_code == 200, answer.text
                assert len(answer.json()["items"]) == A_PAGE
                cursors[inbox_id] = answer.json()["next_cursor"]
                if number >= 20:
                    taken[inbox_id].append(seconds)
    table = Table("threads", "p50", "p99", "of the fewest", title=f"A page of {A_PAGE} threads over HTTP")
    cuts = {inbox_id: statistics.quantiles(sample, n=100) for inbox_id, sample in taken.items()}
    for inbox_id, size in (("few", FEW), ("many", many)):
        ratio = cuts[inbox_id][98] / cuts["few"][98]
        wanted = "" if inbox_id == "few" else f" (at most {PAGE_LIMIT})"
        table.add_row(
            f"{size:,}",
            f"{cuts[inbox_id][49] * 1000:.1f} ms",
            f"{cuts[inbox_id][98] * 1000:.1f} ms",
            f"{ratio:.2f}{wanted}",
        )
    console.print(table)


def _texts(name: str, count: int) -> list[Outgoing]:
    random, now = Random(3), utc_now()
    records = []
    for number in range(count):
        contact = f"+1444{random.randrange(count // 3):07}"
        at = now + timedelta(milliseconds=number)
        text = CommunicationChanged(
            communication_id=f"{name}-{number}",
            kind="message",
            direction="inbound",
            status="received",
            inbox_id="busy",
            line_number="+15550100001",
            contact_number=contact,
            started_at=at,
            activity_at=at,
            unread_at=at,
            received_at=at,
            body=f"message number {number} about order {random.randrange(10_000)}",
            version=1,
        )
        value, headers = encode(Event(f"{name}-{number}", "/bench", communications.CHANGED, now, ACCOUNT, text))
        records.append(Outgoing(COMMUNICATION_EVENTS.name, key_of(ACCOUNT, "busy", contact), value, headers))
    return records


async def _taken_in(admin: Any, name: str) -> int:
    return int(
        await admin.fetchval(
            "SELECT count(*) FROM inbox_state.communications "
            "WHERE account_id = $1 AND communication_id >= $2 AND communication_id < $3",
            ACCOUNT,
            f"{name}-",
            f"{name}.",
        )
    )


async def _rate(bench: Bench, admin: Any, name: str, traffic: int) -> float:
    """How many texts a second are taken in, from sending the first to seeing the last."""
    records = _texts(name, traffic)
    began = time.perf_counter()
    await _publish(bench, records)

    async def all_are() -> bool:
        return await _taken_in(admin, name) == traffic

    await eventually(all_are, 900, every=0.1, because="the traffic being taken in")
    return traffic / (time.perf_counter() - began)


async def _cleanup(bench: Bench, console: Console, admin: Any, many: int) -> None:
    traffic = max(many // 20, LEAST_TRAFFIC)
    console.print(f"traffic without and with the clean-up of {many:,} unread")

    async def unread() -> int:
        return int(
            await admin.fetchval(
                "SELECT count(*) FROM inbox_state.threads WHERE account_id = $1 AND inbox_id = 'many' AND unread > 0",
                ACCOUNT,
            )
        )

    async with _client(bench) as anna:

        async def switch(on: bool) -> None:
            body: Mapping[str, Any] = {
                "auto_mark_as_read": {"enabled": on, "after_hours": 720},
                "manual_mark_as_read_only": False,
            }
            assert (await anna.put("/v1/inboxes/many/automations", json=body)).status_code == 200

        await _rate(bench, admin, "warm", traffic)
        before = await _rate(bench, admin, "without-a", traffic)
        await switch(True)

        async def begun() -> bool:
            return await unread() < many

        await eventually(begun, 180, because="the clean-up")
        at_first = await unread()
        began = time.perf_counter()
        burdened = await _rate(bench, admin, "with", traffic)
        left = await unread()
        cleaned = (at_first - left) / (time.perf_counter() - began)
        assert left, "the clean-up was over before the traffic"
        await switch(False)
        await asyncio.sleep(1)
        after = await _rate(bench, admin, "without-b", traffic)
    alone = (before + after) / 2
    table = Table("traffic", "texts/s", "of alone", title=f"Auto-mark's clean-up of {many:,} unread")
    table.add_row("alone (before and after)", f"{alone:,.0f}", "1.00")
    table.add_row("while it cleans up", f"{burdened:,.0f}", f"{burdened / alone:.2f} (at least {TRAFFIC_LIMIT})")
    table.add_row("threads cleaned up meanwhile", f"{cleaned:,.0f}/s", "")
    console.print(table)


async def _memory(bench: Bench, console: Console, admin: Any, running: Process, consumed: int) -> None:
    console.print(f"memory after {consumed:,} communications")
    idle = most = _resident(running)
    for part, start in enumerate(range(0, consumed, AT_ONCE)):
        count = min(AT_ONCE, consumed - start)
        await _publish(bench, _texts(f"memory-{part}", count))
        while await _taken_in(admin, f"memory-{part}") < count:
            most = max(most, _resident(running))
            await asyncio.sleep(0.5)
    table = Table("resident memory", "MB", "of idle", title=f"inbox_state after {consumed:,} communications")
    last = _resident(running)
    for name, size, wanted in (
        ("idle", idle, ""),
        ("at most", max(most, last), ""),
        ("in the end", last, f" (at most {MEMORY_LIMIT})"),
    ):
        table.add_row(name, f"{size / 1e6:.0f}", f"{size / idle:.2f}{wanted}")
    console.print(table)


def _resident(running: Process) -> int:
    return int(psutil.Process(running.pid).memory_info().rss)
