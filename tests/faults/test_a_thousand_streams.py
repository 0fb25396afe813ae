"""Live streams under load, with the service and the broker killed: every client ends up with what a fresh read shows.

`STREAM_CLIENTS=1000`, as `make faults` has it, makes it 50 inboxes with 20 clients each and 100 events a second.
The times from event to client are printed, not judged: the machine also runs the broker, Postgres and the clients.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from contracts.directory import Account, Inbox
from contracts.envelope import encode
from contracts.fields import key_of
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS
from devstack.kafka import EmbeddedKafka
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.inbox_state.words import a_text, a_user, newer, received
from tests.support import FreshTopics, RunningService, bearer, eventually
from tests.support.http import http_client
from tests.support.streams import Heard, LiveStream, Screen, open_stream
from tests.support.topics import fresh_topics

ACCOUNT = "acme"
CLIENTS = int(os.environ.get("STREAM_CLIENTS", "40"))
ON_EACH_INBOX = 20
INBOXES = max(CLIENTS // ON_EACH_INBOX, 1)
A_SECOND = max(CLIENTS // 10, 10)
QUIET_SECONDS = 15 if CLIENTS > 100 else 3
CONTACTS = 10


@dataclass
class Viewer:
    """Somebody whose browser keeps a stream open, and comes back with the last id whenever it drops."""

    name: str
    inbox_id: str
    url: str
    sent: Mapping[tuple[str, int], float]
    screen: Screen = field(default_factory=Screen)
    took: list[float] = field(default_factory=list)
    last_id: str = ""
    opened: int = 0
    open: bool = False

    async def look(self) -> None:
        """Keep a stream open until cancelled."""
        headers = bearer(self.name, ACCOUNT)
        while True:
            stream: LiveStream | None = None
            try:
                resuming = {"Last-Event-ID": self.last_id} if self.last_id else {}
                stream = await open_stream(self.url, headers | resuming, told=self.told)
                assert stream.status == 200, stream.body
                self.opened += 1
                self.open = True
                await stream.over.wait()
            except OSError:
                await asyncio.sleep(0.5)
            finally:
                self.open = False
                if stream is not None:
                    self.last_id = stream.last_id or self.last_id
                    stream.close()

    def told(self, heard: Heard) -> None:
        """Show an event, and note how long it took when it is news."""
        if heard.event == "communication":
            key = (heard.data["communication_id"], heard.data["version"])
            held = self.screen.communications.get(key[0])
            if key in self.sent and (held is None or held["version"] < key[1]):
                self.took.append(time.perf_counter() - self.sent[key])
        self.screen.show(heard)


@dataclass
class Traffic:
    """Texts to every inbox in turn, and now and then a newer version of one."""

    kafka: FreshTopics
    sent: dict[tuple[str, int], float] = field(default_factory=dict)

    async def flow(self) -> None:
        """Send until cancelled; what the broker does not take now is sent when it is back."""
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap, acks="all", request_timeout_ms=60_000)
        await producer.start()
        try:
            began, waiting = time.perf_counter(), []
            for number in count():
                await asyncio.sleep(max(began + number / A_SECOND - time.perf_counter(), 0))
                inbox_id, contact = f"inbox-{number % INBOXES}", f"+1555012{number // INBOXES % CONTACTS:04}"
                text = a_text(f"m{number}", number / 60, inbox_id=inbox_id, contact_number=contact)
                if number % 7 == 0:
                    text = newer(text, body="changed")
                event = received(text, ACCOUNT).event
                event.time = utc_now()
                value, headers = encode(event)
                self.sent[text.communication_id, text.version] = time.perf_counter()
                waiting.append(
                    await producer.send(
                        COMMUNICATION_EVENTS.named(self.kafka.prefix),
                        value,
                        key=key_of(ACCOUNT, inbox_id, contact),
                        headers=headers,
                    )
                )
        finally:
            await asyncio.wait_for(asyncio.gather(*waiting), 60)
            await producer.stop()


async def learn(kafka: FreshTopics) -> None:
    """A company with so many inboxes, and so many people at each."""
    people = [[f"user-{inbox}-{one}" for one in range(ON_EACH_INBOX)] for inbox in range(INBOXES)]
    snapshots = [
        Account(version=1, name="Acme", time_zone="UTC"),
        *(a_user(name) for names in people for name in names),
        *(
            Inbox(version=1, inbox_id=f"inbox-{n}", name=f"Inbox {n}", kind="connected", connected=tuple(names))
            for n, names in enumerate(people)
        ),
    ]
    events = [received(one, ACCOUNT).event for one in snapshots]
    await kafka.publish(DIRECTORY_EVENTS, *((key_of(ACCOUNT, "any", str(n)), event) for n, event in enumerate(events)))


async def fresh_read(client: httpx.AsyncClient, viewer: Viewer, view: str) -> dict[str, dict[str, Any]]:
    """A whole list of an inbox, as somebody reads it who just came."""
    rows: dict[str, dict[str, Any]] = {}
    cursor: str | None = None
    while True:
        query = {"view": view, "limit": "200"} | ({"cursor": cursor} if cursor else {})
        answer = await client.get(
            f"{viewer.url}/v1/inboxes/{viewer.inbox_id}/threads", params=query, headers=bearer(viewer.name, ACCOUNT)
        )
        assert answer.status_code == 200, answer.text
        for row in answer.json()["items"]:
            rows[row["thread_id" if view == "threaded" else "communication_id"]] = row
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return rows


async def all_show_what_a_fresh_read_shows(viewers: list[Viewer], sent: int) -> bool:
    """Whether nothing is lost on the way to the lists, nor from there to anybody's screen."""
    total = 0
    async with http_client() as client:
        for inbox in range(INBOXES):
            mine = [one for one in viewers if one.inbox_id == f"inbox-{inbox}"]
            threads = await fresh_read(client, mine[0], "threaded")
            communications = await fresh_read(client, mine[0], "unthreaded")
            total += len(communications)
            for one in mine:
                assert one.screen.threads == threads, f"threads of {one.name}"
                assert one.screen.communications == communications, f"communications of {one.name}"
    assert total == sent
    return True


def report(what: str, viewers: list[Viewer]) -> None:
    """Print how long events took to their clients since the last report."""
    took = sorted(one for viewer in viewers for one in viewer.took)
    for viewer in viewers:
        viewer.took.clear()
    assert took, what
    middle, high = took[len(took) // 2], took[int(len(took) * 0.99)]
    print(
        f"\n{what}: {len(took)} deliveries to {len(viewers)} clients: median {middle * 1000:.0f} ms,"
        f" p99 {high * 1000:.0f} ms, most {took[-1] * 1000:.0f} ms"
    )


async def until_all_are_open(viewers: list[Viewer], opened: int) -> None:
    await eventually(
        lambda: all(one.open and one.opened >= opened for one in viewers), 90, because="every stream being open"
    )


async def until_told(viewers: list[Viewer], traffic: Traffic) -> None:
    """Wait until everything that was sent by now has reached every client."""
    sent = {id for id, _ in traffic.sent}
    await eventually(
        lambda: sum(len(one.screen.communications) for one in viewers) >= len(sent) * ON_EACH_INBOX,
        90,
        every=0.2,
        because="everything being told",
    )


@pytest.mark.faults
@pytest.mark.timeout(420)
async def test_every_client_ends_with_the_state_of_a_fresh_read_when_service_and_broker_are_killed(
    private_kafka: EmbeddedKafka, running_service: StartService
) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    async with fresh_topics(private_kafka.bootstrap) as kafka:
        service: RunningService = await running_service("inbox_state", topics=kafka)
        await learn(kafka)
        traffic = Traffic(kafka)
        viewers = [
            Viewer(f"user-{inbox}-{one}", f"inbox-{inbox}", service.url, traffic.sent)
            for inbox in range(INBOXES)
            for one in range(ON_EACH_INBOX)
        ]

        async def everybody_is_known() -> bool:
            async with http_client(service.url) as client:
                panels = [await client.get("/v1/panel", headers=bearer(one.name, ACCOUNT)) for one in viewers[-3:]]
            return all(panel.status_code == 200 and panel.json()["items"] for panel in panels)

        await eventually(everybody_is_known, because="the directory")
        looking = [asyncio.create_task(viewer.look()) for viewer in viewers]
        await until_all_are_open(viewers, 1)
        flowing = asyncio.create_task(traffic.flow())
        try:
            await said(traffic, QUIET_SECONDS * A_SECOND)
            report("before", viewers)

            await service.kill()
            await said(traffic, 2 * A_SECOND)
            began = time.perf_counter()
            await service.start()
            await until_all_are_open(viewers, 2)
            await until_told(viewers, traffic)
            print(f"\nafter kill -9 of the service: all told {time.perf_counter() - began:.1f} s after its start")
            report("while the service came back", viewers)

            await asyncio.to_thread(private_kafka.kill)
            began = time.perf_counter()
            await asyncio.to_thread(private_kafka.start)
            await until_told(viewers, traffic)
            print(f"\nafter kill -9 of the broker: all told {time.perf_counter() - began:.1f} s after its death")
            report("while the broker came back", viewers)

            await said(traffic, QUIET_SECONDS * A_SECOND)
            report("after", viewers)
        finally:
            flowing.cancel()
            await asyncio.gather(flowing, return_exceptions=True)
        sent = len({id for id, _ in traffic.sent})
        await eventually(lambda: all_show_what_a_fresh_read_shows(viewers, sent), 60, every=1)
        assert not any(viewer.screen.to_load for viewer in viewers)
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
        assert await service.stop()


async def said(traffic: Traffic, events: int) -> None:
    """Wait until so many more events were sent."""
    until = len(traffic.sent) + events
    await eventually(lambda: len(traffic.sent) >= until, 90, because="more traffic")
