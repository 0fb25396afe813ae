"""Current snapshots sent again to the real Kafka, from what routing's database holds."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiokafka.structs import ConsumerRecord

from contracts.directory import Line
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, TELEPHONY_COMMANDS, Topic
from devstack.stack import service_environment
from routing.republishing import Asked, Done, NoSuchAccount, Place, Republishing, asked_by
from service_kit.outbox import Relay
from service_kit.publishing import Outgoing, Publisher
from tests.conftest import StartService
from tests.routing.building import (
    ACCOUNT,
    LINE,
    a_directory,
    answered,
    at,
    ended,
    event,
    inbox,
    queued,
    recorded,
    started,
    text_in,
)
from tests.routing.conftest import Api, Desk, served
from tests.support.databases import FreshDatabase
from tests.support.http import http_client
from tests.support.servers import Servers
from tests.support.services import bearer
from tests.support.topics import FreshTopics, fresh_topics
from tests.support.waiting import eventually

Written = tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]

NOWHERE: dict[str, Any] = {"line_number": "+12125550999"}


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int | None
    out: str
    err: str


@dataclass
class Operator:
    """Somebody who runs `inboxctl republish` on this test's Kafka and Postgres."""

    environment: Mapping[str, str]

    async def begins(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "devstack.inboxctl",
            "republish",
            *arguments,
            env=service_environment(self.environment),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def runs(self, *arguments: str) -> Ran:
        return await ended_as(await self.begins(*arguments))


async def ended_as(process: asyncio.subprocess.Process) -> Ran:
    """How a process ends, once it does."""
    out, err = await process.communicate()
    return Ran(process.returncode, out.decode(), err.decode())


@pytest.fixture
def operator(kafka: FreshTopics, database: FreshDatabase) -> Operator:
    return Operator({**kafka.environment, "ROUTING_DATABASE_URL": database.dsn("routing")})


@pytest_asyncio.fixture
async def publisher(kafka: FreshTopics) -> AsyncIterator[Publisher]:
    one = Publisher(kafka.settings, client_id="tests")
    await one.open()
    yield one
    await one.close()


def republishing(desk: Desk, publisher: Publisher, told: Callable[[Done], None] = lambda _: None) -> Republishing:
    return Republishing(desk.database, publisher, desk.clock, 4, told)


async def again(desk: Desk, publisher: Publisher, *arguments: str) -> Done:
    """What `inboxctl republish` with these arguments does, in this process."""
    done = Done()
    await republishing(desk, publisher).run(asked_by(arguments), done)
    return done


def written(records: Sequence[Outgoing | ConsumerRecord]) -> list[Written]:
    # But for the trace: the request that changed something is long over when its outcome is sent again.
    return sorted(
        (
            bytes(one.key or b""),
            bytes(one.value or b""),
            tuple(header for header in one.headers if header[0] != "ce_traceparent"),
        )
        for one in records
    )


def of_communications(records: Sequence[Outgoing]) -> list[Outgoing]:
    return [record for record in records if record.topic == COMMUNICATION_EVENTS.name]


async def snapshots(kafka: FreshTopics, topic: Topic = COMMUNICATION_EVENTS) -> list[dict[str, Any]]:
    """The data of every record on a topic, in order."""
    return [orjson.loads(record.value) for record in await kafka.records(topic)]


async def test_what_is_sent_again_is_what_was_sent_byte_for_byte(
    desk: Desk, kafka: FreshTopics, operator: Operator
) -> None:
    analysed = event("call.analyzed", 60, call_id="c1", summary="wants a quote", topics=["price"])
    first = await desk.take(started(), answered(5), ended(30, "completed"), text_in(4, "m/1 ü"))
    second = await desk.take(analysed, started(call_id="c2"), ended(20, "voicemail", "c2"), recorded(25, "c2"))
    await desk.take(started(call_id="c3", **NOWHERE), event("recording.available", call_id="c4", **RECORDING))
    assert await kafka.records(COMMUNICATION_EVENTS) == [], "nothing was published yet: the topic is empty"
    newest = [*[one for one in of_communications(first.publish) if b"m/1" in one.value], *second.publish]

    ran = await operator.runs("communications")

    assert (ran.code, ran.out) == (0, "communications: 3 sent again; 1 unrouted passed over\n"), ran.err
    assert written(await kafka.records(COMMUNICATION_EVENTS)) == written(of_communications(newest))
    assert await kafka.records(TELEPHONY_COMMANDS) == []
    assert await desk.outbox() == []


RECORDING: dict[str, Any] = {"recording_url": "https://pbx.example/r1", "duration_seconds": 7.5}


async def test_twice_does_no_harm(desk: Desk, kafka: FreshTopics, publisher: Publisher) -> None:
    await desk.take(started(), ended(30, "missed"), text_in(4))
    await again(desk, publisher, "communications")
    once = written(await kafka.records(COMMUNICATION_EVENTS))
    await again(desk, publisher, "communications", "--account", ACCOUNT)
    assert written(await kafka.records(COMMUNICATION_EVENTS)) == sorted(once * 2)


async def test_a_call_that_waits_right_now_rings_nobody_again(
    desk: Desk, kafka: FreshTopics, publisher: Publisher
) -> None:
    desk.clock.now = at(2)
    outcome = await desk.take(started(0))
    assert [record.topic for record in outcome.publish] == [COMMUNICATION_EVENTS.name, TELEPHONY_COMMANDS.name]
    await again(desk, publisher, "communications")
    assert [one["status"] for one in await snapshots(kafka)] == ["ringing"]
    assert await kafka.records(TELEPHONY_COMMANDS) == []


async def test_since_leaves_out_what_changed_before(desk: Desk, kafka: FreshTopics, publisher: Publisher) -> None:
    await desk.take(text_in(0, "old"), text_in(0, "touched"), started(0, "moved"))
    desk.clock.now += timedelta(days=1)
    await desk.take(text_in(0, "new"), text_in(0, "touched"), ended(60, "missed", "moved"))
    assert (await again(desk, publisher, "communications", "--since", "2026-03-03")).sent == 2
    assert {one["communication_id"] for one in await snapshots(kafka)} == {"new", "moved"}
    since = (desk.clock.now + timedelta(microseconds=1)).isoformat()
    assert (await again(desk, publisher, "communications", "--since", since)).sent == 0


async def test_only_one_account_if_one_is_named(desk: Desk, kafka: FreshTopics, publisher: Publisher) -> None:
    await desk.settle_directory(replace(a_directory(), account_id="globex"))
    await desk.take(text_in(0, "ours"), event("message.received", account_id="globex", **A_TEXT))
    await again(desk, publisher, "communications", "--account", "globex")
    assert [one["communication_id"] for one in await snapshots(kafka)] == ["theirs"]
    await again(desk, publisher, "communications")
    assert sorted(one["communication_id"] for one in await snapshots(kafka)) == ["ours", "theirs", "theirs"]
    with pytest.raises(NoSuchAccount, match="there is no account initech"):
        await again(desk, publisher, "directory", "--account", "initech")


A_TEXT: dict[str, Any] = {
    "message_id": "theirs",
    "direction": "inbound",
    "line_number": LINE,
    "contact_number": "+12125550123",
    "body": "",
}


class Enough(Exception):
    """A run is broken off."""


async def test_a_run_that_was_broken_off_goes_on_where_it_was(
    desk: Desk, kafka: FreshTopics, publisher: Publisher
) -> None:
    count = 1_203
    await desk.take(*(text_in(0, f"m{number:04}") for number in range(count)))

    def told(done: Done) -> None:
        if done.sent >= 1_000:
            raise Enough

    done = Done()
    with pytest.raises(Enough):
        await republishing(desk, publisher, told).run(Asked("communications"), done)
    assert done.sent == 1_000
    place = Place.read(str(done.place), "communications")
    assert "+1" not in str(done.place)
    assert (await again(desk, publisher, "communications", "--after", str(place))).sent == 203
    sent = [one["communication_id"] for one in await snapshots(kafka)]
    assert sorted(sent) == [f"m{number:04}" for number in range(count)]


async def test_interrupted_it_says_how_to_go_on(desk: Desk, operator: Operator) -> None:
    await desk.take(text_in())
    place = str(Place("communications", (ACCOUNT, "a")))
    async with desk.database.transaction() as connection:
        await connection.execute("LOCK TABLE communications IN ACCESS EXCLUSIVE MODE")
        process = await operator.begins("communications", "--account", ACCOUNT, "--after", place)

        async def it_waits() -> bool:
            waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'communications'::regclass"
            return bool(await desk.rows(waiting))

        await eventually(it_waits, because="the run waiting for the table")
        process.terminate()
        ran = await ended_as(process)
    assert ran.code == 130
    assert ran.err.endswith(f"go on with:\ninboxctl republish communications --account {ACCOUNT} --after {place}\n")


async def test_content_that_is_another_by_now_gets_a_new_version_once(
    desk: Desk, kafka: FreshTopics, publisher: Publisher
) -> None:
    (before, *_) = await desk.snapshots(started(0), queued(3, "later"))
    assert before["inbox_id"] == "sales"
    await desk.settle_directory(a_directory(inbox("later", "chloe")))
    assert [(await again(desk, publisher, "communications")).renewed for _ in range(2)] == [1, 0]
    first, second = await snapshots(kafka)
    assert (first["inbox_id"], first["version"] > before["version"]) == ("later", True)
    assert second == first
    (row,) = await desk.rows("SELECT inbox_id, version FROM communications")
    assert row == {"inbox_id": "later", "version": first["version"]}
    (after, *_) = await desk.snapshots(ended(60, "missed"))
    assert after["version"] > first["version"]


async def test_what_was_decided_once_is_not_decided_again(desk: Desk, kafka: FreshTopics, publisher: Publisher) -> None:
    await desk.take(text_in(), started(call_id="c2"))
    moved = a_directory(Line(version=2, line_number=LINE, inbox_id="support"))
    await desk.settle_directory(moved)
    await again(desk, publisher, "communications")
    assert {one["inbox_id"] for one in await snapshots(kafka)} == {"sales"}


@asynccontextmanager
async def an_office(desk: Desk) -> AsyncIterator[Api]:
    """A directory that was made, changed and partly deleted over HTTP; what it published waits in the outbox."""
    async with served(desk) as api:
        for path, body in (
            ("account", {"name": "Acme", "time_zone": "Europe/Berlin"}),
            ("users/anna", {"name": "Anna", "email": "anna@acme.example"}),
            ("teams/first", {"name": "First", "members": ["anna"]}),
            ("teams/gone", {"name": "Gone"}),
            ("inboxes/sales", {"name": "Sales", "agents": {"teams": ["first"]}, "business_hours": HOURS}),
            ("inboxes/sales/watchers/anna", None),
            (f"lines/{LINE}", {"inbox_id": "sales", "primary": True}),
            ("lines/72975", {}),
            ("users/anna", {"name": "Anna B.", "email": "anna@acme.example"}),
        ):
            answer = await api.put(f"/v1/{path}", body)
            assert answer.status_code == 200, answer.text
        for path in ("teams/gone", "lines/72975"):
            assert (await api.delete(f"/v1/{path}")).status_code == 204
        yield api


HOURS = {"mon": [{"from": "09:00", "to": "17:00"}], "closures": ["2026-12-25"]}


async def test_the_directory_comes_back_with_what_is_deleted(
    empty_desk: Desk, kafka: FreshTopics, operator: Operator, publisher: Publisher
) -> None:
    async with an_office(empty_desk):
        await Relay(empty_desk.database, publisher, service="routing", clock=empty_desk.clock).relay_batch()
    told = await kafka.records(DIRECTORY_EVENTS)
    newest = {record.key: record for record in told}
    assert len(newest) == 7

    ran = await operator.runs("directory")

    assert (ran.code, ran.out) == (0, "directory: 7 sent again\n"), ran.err
    again = (await kafka.records(DIRECTORY_EVENTS))[len(told) :]
    assert written(again) == written(list(newest.values()))
    gone = {record.key for record in again if orjson.loads(record.value)["deleted"]}
    assert gone == {b"acme/team/gone", b"acme/line/72975"}
    assert await empty_desk.outbox(DIRECTORY_EVENTS.name) == []


async def test_the_directory_since_a_time(empty_desk: Desk, kafka: FreshTopics, publisher: Publisher) -> None:
    async with an_office(empty_desk) as api:
        await empty_desk.outbox()
        empty_desk.clock.now += timedelta(hours=1)
        await api.put("/v1/teams/first", {"name": "Renamed", "members": ["anna"]})
        await empty_desk.outbox()
    await again(empty_desk, publisher, "directory", "--since", empty_desk.clock.now.isoformat(), "--account", ACCOUNT)
    assert [one["name"] for one in await snapshots(kafka, DIRECTORY_EVENTS)] == ["Renamed"]


async def test_a_change_under_way_stays_the_last_word_on_a_compacted_topic(
    empty_desk: Desk, kafka: FreshTopics, publisher: Publisher
) -> None:
    async with an_office(empty_desk) as api:
        changes = (api.put(f"/v1/lines/{LINE}", {"inbox_id": "sales", "name": f"Name {n}"}) for n in range(40))
        await asyncio.gather(*changes, *(again(empty_desk, publisher, "directory") for _ in range(4)))
        await again(empty_desk, publisher, "directory")
    told: dict[bytes, list[int]] = {}
    for record in await kafka.records(DIRECTORY_EVENTS):
        told.setdefault(record.key, []).append(orjson.loads(record.value)["version"])
    assert told[b"acme/line/" + LINE.encode()][-1] == 41
    assert all(versions == sorted(versions) for versions in told.values())


async def test_a_service_without_anything_is_rebuilt_from_what_is_sent_again(
    running_service: StartService, servers: Servers, desk: Desk
) -> None:
    await desk.take(text_in(0, body="are you open?"), started(call_id="c2", **NOWHERE))
    async with fresh_topics(servers.kafka) as lost:
        publisher = Publisher(lost.settings, client_id="tests")
        await publisher.open()
        for what in ("communications", "directory"):
            await again(desk, publisher, what)
        await publisher.close()
        service = await running_service("inbox_state", topics=lost)
        async with http_client(service.url, headers=bearer("anna", ACCOUNT)) as anna:

            async def it_is_back() -> bool:
                answer = await anna.get("/v1/inboxes/sales/threads")
                latest = [row["latest"]["body"] for row in answer.json().get("items", ())]
                return latest == ["are you open?"]

            await eventually(it_is_back, because="the text standing in the rebuilt list")
        await service.stop()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "WHAT"),
        (("everything",), "'communications', 'directory'"),
        (("communications", "--since", "yesterday"), "'yesterday' is no time such as 2026-03-02"),
        (("communications", "--since", "2026-03-02T10:00:00"), "is no time"),
        (("communications", "--after", "rubbish"), "--after: is no place that a run printed"),
        (("directory", "--after", str(Place("communications", ("acme", "c1")))), "no place of `republish directory`"),
        (("communications", "--after", str(Place("communications", ("a", "c"))), "--account", "b"), "another account"),
        (("communications", "--quickly"), "--quickly"),
        (("communications", "--acc", "acme"), "--acc"),
    ],
)
def test_what_is_not_understood_is_said_and_nothing_is_done(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        asked_by(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


async def test_kafka_that_is_away_is_one_sentence_and_how_to_go_on(operator: Operator) -> None:
    away = await Operator({**operator.environment, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}).runs("directory")
    assert away.code == 1
    assert away.err == "KafkaConnectionError: 0 were sent; go on with:\ninboxctl republish directory\n"
