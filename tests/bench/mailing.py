"""How fast e-mails go out: against bare aiosmtplib on as many connections, and from the event to the acceptance."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg
from aiosmtpd.smtp import SMTP, Envelope, Session
from rich.console import Console
from rich.table import Table

from contracts import telephony
from contracts.communications import CHANGED, CommunicationChanged
from contracts.envelope import Event, encode
from contracts.fields import key_of
from contracts.topics import COMMUNICATION_EVENTS, TELEPHONY_EVENTS
from service_kit.auth import sign
from service_kit.clock import utc_now
from service_kit.publishing import Outgoing, Publisher
from tests.bench.accounts import ACCOUNT, INBOXES, USERS, an_account
from tests.bench.servers import SECRET, Bench
from tests.support.http import http_client
from tests.support.waiting import eventually

CONNECTIONS = (16, 4)
"""As many as a relay takes from one client without asking, and what is taken by default."""
WATCHERS = 3
ROUNDS = 5
EVENTS_PER_SECOND = 20
LEAST_RATIO = 0.7
MOST_SECONDS = 3.0

_PROBE = re.compile(rb"probe-\d+-")


@dataclass
class Sink:
    """A mail server in this process that accepts everything, keeps nothing, and notes when each e-mail came."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    accepted: list[tuple[float, bytes]] = field(default_factory=list)
    letter: bytes = b""
    port: int = 0

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        # Until it is opened nothing goes: what is to be sent can gather.
        await self.opened.wait()
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        assert isinstance(envelope.content, bytes)
        probe = _PROBE.search(envelope.content)
        self.letter = envelope.content
        self.accepted.append((time.perf_counter(), probe.group() if probe else b""))
        return "250 OK"

    def rate(self, since: int) -> float:
        """E-mails a second, from the `since`-th on."""
        times = [at for at, _ in self.accepted[since:]]
        return (len(times) - 1) / (times[-1] - times[0])


@asynccontextmanager
async def a_sink() -> AsyncIterator[Sink]:
    sink, loop = Sink(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(sink, hostname="localhost", loop=loop), "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    yield sink
    server.close()


async def measure(bench: Bench, emails: int, seconds: float, console: Console) -> None:
    """Print the tables; routing must run, and its account be set up."""
    await _watch(bench)
    table = Table("connections", "sending", "e-mails/s (median)", "each round", "of bare", title="E-mails")
    async with a_sink() as sink:
        for connections in CONNECTIONS:
            environment = {"SMTP_URL": f"smtp://127.0.0.1:{sink.port}", "SMTP_CONNECTIONS": str(connections)}
            service = bench.service("notification", **environment)
            await bench.ready("notification")
            await _turn_on(bench)
            try:
                await _throughput(bench, sink, emails, connections, console, table)
                if connections == CONNECTIONS[-1]:
                    console.print(table)
                    await _latency(bench, sink, seconds, console)
            finally:
                service.stop()


async def _throughput(bench: Bench, sink: Sink, emails: int, connections: int, console: Console, table: Table) -> None:
    console.print(
        f"sending {emails:,} e-mails over {connections} connections, {ROUNDS} times, and the same by bare aiosmtplib"
    )
    # The first e-mails fill caches, and are what bare aiosmtplib repeats.
    await _ours(bench, sink, f"{connections}-first", WATCHERS * INBOXES)
    bare = [await _bare(bench, sink, f"{connections}-0", connections, emails)]
    ours: list[float] = []
    for number in range(1, ROUNDS + 1):
        ours.append(await _ours(bench, sink, f"{connections}-{number}", emails))
        bare.append(await _bare(bench, sink, f"{connections}-{number}", connections, emails))
    # A shared machine's speed drifts: each round is compared with the bare ones just before and just after it.
    ratio = statistics.median(
        2 * own / (before + after) for own, before, after in zip(ours, bare[:-1], bare[1:], strict=True)
    )
    for sender, rates, share in (
        ("bare aiosmtplib, the same e-mail again and again", bare, "1.00"),
        ("notification: queue, render, send, record", ours, f"{ratio:.2f} (limit: at least {LEAST_RATIO})"),
    ):
        each = ", ".join(f"{rate:,.0f}" for rate in rates)
        table.add_row(str(connections), sender, f"{statistics.median(rates):,.0f}", each, share)


async def _ours(bench: Bench, sink: Sink, name: str, emails: int) -> float:
    begun = len(sink.accepted)
    sink.opened.clear()
    queued = await _queue(bench, name, emails // WATCHERS)
    sink.opened.set()
    await _until(sink, begun + queued)
    return sink.rate(begun)


async def _bare(bench: Bench, sink: Sink, name: str, connections: int, emails: int) -> float:
    begun = len(sink.accepted)
    letter = bench.folder / "letter"
    letter.write_bytes(sink.letter)
    command = ["-m", "tests.bench.bare_mail", str(sink.port), str(connections), str(emails), str(letter)]
    contender = bench.launch(f"bare-mail-{name}", command, {})
    await _until(sink, begun + emails)
    contender.stop()
    return sink.rate(begun)


async def _latency(bench: Bench, sink: Sink, seconds: float, console: Console) -> None:
    console.print(f"{EVENTS_PER_SECOND} texts/s for {seconds:.0f} s, {WATCHERS} watchers each")
    publisher = Publisher(bench.settings, client_id="bench-mailing")
    await publisher.open()
    lines = an_account().lines
    begun = len(sink.accepted)
    sent: dict[bytes, float] = {}
    began = time.perf_counter()
    for number in range(int(seconds * EVENTS_PER_SECOND)):
        await asyncio.sleep(max(began + number / EVENTS_PER_SECOND - time.perf_counter(), 0))
        line = lines[number % INBOXES]
        probe = f"probe-{number}-"
        data = telephony.MessageReceived(
            message_id=probe,
            direction="inbound",
            line_number=line.number,
            contact_number=f"+1303555{1000 + number % 9_000}",
            body=probe,
        )
        event = Event(probe, "/bench", "telephony.message.received.v1", utc_now(), ACCOUNT, data)
        value, headers = encode(event)
        sent[probe.encode()] = time.perf_counter()
        await publisher.publish([Outgoing(TELEPHONY_EVENTS.name, probe.encode(), value, headers)])
    await _until(sink, begun + len(sent) * WATCHERS)
    await publisher.close()
    taken = [at - sent[probe] for at, probe in sink.accepted[begun:]]
    cuts = statistics.quantiles(taken, n=100)
    table = Table("telephony event sent to e-mail accepted", "p50", "p99", "e-mails", title="E-mail latency")
    p99 = f"{cuts[98]:.2f} s (limit: {MOST_SECONDS:.0f} s)"
    table.add_row(f"{EVENTS_PER_SECOND} events/s", f"{cuts[49]:.2f} s", p99, f"{len(taken):,}")
    console.print(table)


async def _until(sink: Sink, accepted: int) -> None:
    await eventually(lambda: len(sink.accepted) >= accepted, 120, because=f"{accepted} e-mails")


async def _queue(bench: Bench, round_: str, texts: int) -> int:
    """Have so many texts told to their inboxes' watchers; how many e-mails that makes, once all are queued."""
    publisher = Publisher(bench.settings, client_id="bench-mailing")
    await publisher.open()
    at = utc_now()
    await publisher.publish([_text(f"{round_}-{number}", number, at) for number in range(texts)])
    await publisher.close()
    rows = await asyncpg.connect(bench.admin_dsn)

    async def all_queued() -> bool:
        waiting = await rows.fetchval("SELECT count(*) FROM notification.emails WHERE outcome IS NULL")
        return bool(waiting == texts * WATCHERS)

    try:
        await eventually(all_queued, 50, because="the queue")
    finally:
        await rows.close()
    return texts * WATCHERS


def _text(name: str, number: int, at: datetime) -> Outgoing:
    inbox_id, contact = f"inbox-{number % INBOXES}", f"+1303555{number % 10_000:04}"
    snapshot = CommunicationChanged.model_validate(
        {
            "communication_id": f"bulk-{name}",
            "kind": "message",
            "direction": "inbound",
            "status": "received",
            "inbox_id": inbox_id,
            "line_number": "+12125551000",
            "contact_number": contact,
            "started_at": at,
            "activity_at": at,
            "unread_at": at,
            "received_at": at,
            "body": "Hello, is the blue one still there? I could come by this afternoon and have a look at it.",
            "version": 1,
        }
    )
    event = Event(f"bulk-{name}/1", "/bench", CHANGED, snapshot.received_at, ACCOUNT, snapshot)
    value, headers = encode(event)
    return Outgoing(COMMUNICATION_EVENTS.name, key_of(ACCOUNT, inbox_id, contact), value, headers)


def _machine() -> dict[str, str]:
    token = sign(
        SECRET, user_id="bench", account_id=ACCOUNT, now=utc_now(), lasts=timedelta(hours=1), scope="directory"
    )
    return {"Authorization": f"Bearer {token}"}


def _watchers(inbox: int) -> Sequence[str]:
    return [f"user-{(inbox * WATCHERS + place) % USERS}" for place in range(WATCHERS)]


async def _watch(bench: Bench) -> None:
    async with http_client(bench.url("routing"), headers=_machine(), timeout=30) as client:
        for inbox in range(INBOXES):
            for user_id in _watchers(inbox):
                answer = await client.put(f"/v1/inboxes/inbox-{inbox}/watchers/{user_id}")
                answer.raise_for_status()


async def _turn_on(bench: Bench) -> None:
    body = {"enabled": True, "digest_minutes": 0}
    async with http_client(bench.url("notification"), headers=_machine(), timeout=30) as client:

        async def all_on() -> bool:
            answers = [
                await client.put(f"/v1/inboxes/inbox-{inbox}/watcher-notifications", json=body)
                for inbox in range(INBOXES)
            ]
            return all(answer.status_code == 200 for answer in answers)

        await eventually(all_on, 60, because="the inboxes being known")
