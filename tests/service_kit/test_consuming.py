"""The one consumer, on a real broker: nothing skipped, nothing stopped by what is bad (architecture §2 and §4)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from faststream import AckPolicy
from prometheus_client import REGISTRY

from contracts.envelope import Reason
from contracts.topics import TELEPHONY_EVENTS, dead_letter_topic
from service_kit.consuming import Outcome, Received, Rejected
from tests.service_kit.words import consuming, good, ids, settings_for, with_header, with_value
from tests.support import FreshTopics, eventually
from tests.support.topics import Raw

DEAD = dead_letter_topic("routing", TELEPHONY_EVENTS)

Batch = Sequence[Received[Any]]


async def committed(kafka: FreshTopics) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(f"{kafka.prefix}routing")
        return sum(max(at.offset, 0) for at in offsets.values())
    finally:
        await admin.close()


async def reasons(kafka: FreshTopics, count: int) -> list[str]:
    records = await kafka.records(DEAD, at_least=count)
    return [dict(record.headers)["x-reason"].decode() for record in records]


async def test_each_bad_record_is_dead_lettered_with_its_reason_and_its_neighbours_arrive(kafka: FreshTopics) -> None:
    seen: list[str] = []
    bodies: dict[str, str] = {}

    async def handle(batch: Batch) -> Outcome:
        seen.extend(ids(batch))
        bodies.update({r.event.data.message_id: r.event.data.body for r in batch})
        return Outcome()

    bad = [
        with_value(b"{not json"),
        with_value(None),
        with_value(b"x" * 2_000_000),
        with_value(b'{"message_id": "m", "direction": "inbound", "line_number": "+1"}'),
        with_value(
            b'{"message_id": 7, "direction": "inbound", "line_number": "+1", "contact_number": "+1", "body": 1}'
        ),
        with_header("ce_id", b"\xff\xfe"),
        with_header("ce_time", b"yesterday"),
        with_header("ce_time", b"2999-01-01T00:00:00Z"),
        with_header("ce_specversion", b"0.3"),
        Raw(b"[1, 2]", b"bad", (), 0),
    ]
    stream = [record for index, one in enumerate(bad) for record in (good(f"before-{index}"), one)]
    await kafka.send(TELEPHONY_EVENTS, [*stream, good("nul", "a\0b"), good("last")])
    async with consuming(kafka, handle):
        found = await kafka.records(DEAD, at_least=len(bad))
        await eventually(lambda: "last" in seen)

    assert [dict(record.headers)["x-reason"].decode() for record in found] == [
        Reason.NOT_JSON,
        Reason.NULL_VALUE,
        Reason.TOO_LARGE,
        Reason.BAD_DATA,
        Reason.BAD_DATA,
        Reason.BAD_HEADER,
        Reason.BAD_ATTRIBUTE,
        Reason.IN_THE_FUTURE,
        Reason.NOT_A_CLOUDEVENT,
        Reason.NOT_A_CLOUDEVENT,
    ]
    assert seen == [*(f"before-{index}" for index in range(len(bad))), "nul", "last"]
    assert bodies["nul"] == "a�b"
    about = dict(found[3].headers)
    assert b"contact_number" in about["x-detail"]
    assert (about["x-source-topic"], about["x-source-partition"]) == (f"{kafka.prefix}telephony-events".encode(), b"0")
    assert about["x-source-offset"] == b"7"
    assert found[0].value == b"{not json"


async def test_offsets_are_committed_only_after_the_batch_is_done(kafka: FreshTopics) -> None:
    may_go_on = asyncio.Event()
    started = asyncio.Event()

    async def handle(batch: Batch) -> Outcome:
        started.set()
        await may_go_on.wait()
        return Outcome()

    await kafka.send(TELEPHONY_EVENTS, [good(f"m{n}", partition=n % 3) for n in range(9)])
    async with consuming(kafka, handle):
        await asyncio.wait_for(started.wait(), 20)
        assert await committed(kafka) < 9
        may_go_on.set()

        async def all_committed() -> bool:
            return await committed(kafka) == 9

        await eventually(all_committed)


async def test_what_is_only_away_is_tried_again_and_nothing_is_skipped(kafka: FreshTopics) -> None:
    attempts: list[list[str]] = []

    async def handle(batch: Batch) -> Outcome:
        attempts.append(ids(batch))
        if len(attempts) < 4:
            raise ConnectionRefusedError
        return Outcome()

    await kafka.send(TELEPHONY_EVENTS, [good("m1"), good("m2")])
    async with consuming(kafka, handle) as consumer:
        await eventually(lambda: len(attempts) == 4)
        await eventually(lambda: consumer.ready)
    assert attempts[0] == attempts[1] == attempts[2] == attempts[3]
    assert await kafka.records(DEAD) == []


async def test_the_one_record_that_the_database_refuses_is_found_and_the_rest_is_saved(
    kafka: FreshTopics,
) -> None:
    saved: list[str] = []

    async def handle(batch: Batch) -> Outcome:
        if "refused" in ids(batch):
            raise asyncpg.DataError("invalid input")
        saved.extend(ids(batch))
        return Outcome()

    stream = [good(f"m{n}") for n in range(20)] + [good("refused")] + [good(f"n{n}") for n in range(20)]
    await kafka.send(TELEPHONY_EVENTS, stream)
    async with consuming(kafka, handle):
        assert await reasons(kafka, 1) == [Reason.REFUSED_BY_DATABASE]
        await eventually(lambda: len(saved) == 40)
    assert saved == [*(f"m{n}" for n in range(20)), *(f"n{n}" for n in range(20))]


async def test_a_record_that_breaks_a_rule_of_the_service_is_rejected_with_that_reason(kafka: FreshTopics) -> None:
    async def handle(batch: Batch) -> Outcome:
        return Outcome(
            rejected=[Rejected(r, Reason.KIND_CHANGED, "it is a call") for r in batch if ids([r]) == ["changed"]]
        )

    await kafka.send(TELEPHONY_EVENTS, [good("m1"), good("changed"), good("m2")])
    async with consuming(kafka, handle):
        found = await kafka.records(DEAD, at_least=1)
    assert dict(found[0].headers)["x-detail"] == b"it is a call"
    assert len(found) == 1


async def test_at_the_dead_letter_limit_it_stands_still_and_commits_nothing(kafka: FreshTopics) -> None:
    async def handle(batch: Batch) -> Outcome:
        return Outcome()

    await kafka.send(TELEPHONY_EVENTS, [with_value(b"{") for _ in range(150)])
    async with consuming(kafka, handle, dead_letters_in_a_row=100) as consumer:
        await eventually(lambda: not consumer.ready)
        assert consumer.alive
    assert await kafka.records(DEAD) == []
    assert await committed(kafka) == 0


async def test_an_unknown_type_is_skipped_and_not_dead_lettered(kafka: FreshTopics) -> None:
    seen: list[str] = []

    async def handle(batch: Batch) -> Outcome:
        seen.extend(ids(batch))
        return Outcome()

    await kafka.send(TELEPHONY_EVENTS, [with_header("ce_type", b"telephony.fax.sent.v1"), good("after")])
    async with consuming(kafka, handle):
        await eventually(lambda: seen == ["after"])
    assert await kafka.records(DEAD) == []


async def test_a_member_that_leaves_finishes_its_batch_before_a_peer_takes_over(kafka: FreshTopics) -> None:
    handled: list[str] = []

    async def slowly(batch: Batch) -> Outcome:
        # The time that a slow batch takes is what is tried here.
        await asyncio.sleep(0.5)
        handled.extend(ids(batch))
        return Outcome()

    stream = [good(f"m{n}", partition=n % 3) for n in range(60)]
    async with consuming(kafka, slowly, batch_max_records=5):
        await kafka.send(TELEPHONY_EVENTS, stream)
        await eventually(lambda: len(handled) >= 10)
        async with consuming(kafka, slowly, batch_max_records=5):
            await eventually(lambda: len(handled) >= 60)
    assert sorted(handled) == sorted(f"m{n}" for n in range(60))


def of_keys(count: int, keys: int) -> list[Raw]:
    """Texts m0, m1, …, of which each key has its share."""
    return [replace(good(f"m{n}"), key=f"key-{n % keys}".encode()) for n in range(count)]


def each_first_seen_in_order(handled: dict[bytes | None, list[int]]) -> bool:
    return all(list(dict.fromkeys(numbers)) == sorted(set(numbers)) for numbers in handled.values())


async def test_while_one_portion_is_at_work_the_next_is_read_and_both_are_committed_together(
    kafka: FreshTopics,
) -> None:
    may_go_on = asyncio.Event()
    waiting: list[bytes | None] = []
    handled: dict[bytes | None, list[int]] = {}

    async def handle(batch: Batch) -> Outcome:
        if "m0" in ids(batch):
            waiting.extend(received.key for received in batch)
            await may_go_on.wait()
        for received in batch:
            handled.setdefault(received.key, []).append(int(received.event.data.message_id[1:]))
        return Outcome()

    await kafka.send(TELEPHONY_EVENTS, of_keys(1_100, 44))
    async with consuming(kafka, handle, batch_max_records=600):
        await eventually(lambda: waiting and any(number >= 500 for numbers in handled.values() for number in numbers))
        others = {f"key-{n}".encode() for n in range(44)} - set(waiting)
        await eventually(lambda: sum(map(len, handled.values())) == 25 * len(others))
        assert handled.keys() == others
        assert await committed(kafka) == 0
        may_go_on.set()

        async def all_committed() -> bool:
            return await committed(kafka) == 1_100

        await eventually(all_committed)
    assert all(numbers == sorted(set(numbers)) for numbers in handled.values())
    assert sum(map(len, handled.values())) == 1_100


async def test_what_waits_behind_a_group_that_fails_is_not_done_before_it(kafka: FreshTopics) -> None:
    failed: list[int] = []
    handled: dict[bytes | None, list[int]] = {}

    async def handle(batch: Batch) -> Outcome:
        numbers = [int(message_id[1:]) for message_id in ids(batch)]
        if 0 in numbers and len(failed) < 3:
            failed.append(len(numbers))
            raise ConnectionRefusedError
        for received, number in zip(batch, numbers, strict=True):
            handled.setdefault(received.key, []).append(number)
        return Outcome()

    await kafka.send(TELEPHONY_EVENTS, of_keys(1_800, 40))
    async with consuming(kafka, handle, batch_max_records=600) as consumer:

        async def all_committed() -> bool:
            return await committed(kafka) == 1_800

        await eventually(all_committed)
        await eventually(lambda: consumer.ready)
    assert len(failed) == 3
    assert {number for numbers in handled.values() for number in numbers} == set(range(1_800))
    assert each_first_seen_in_order(handled)
    assert await kafka.records(DEAD) == []


async def test_at_the_limit_nothing_is_committed_of_what_was_read_before_it_either(kafka: FreshTopics) -> None:
    handled: list[str] = []

    async def handle(batch: Batch) -> Outcome:
        handled.extend(ids(batch))
        return Outcome()

    await kafka.send(TELEPHONY_EVENTS, [*of_keys(600, 40), *(with_value(b"{") for _ in range(150))])
    async with consuming(kafka, handle, batch_max_records=600) as consumer:
        await eventually(lambda: not consumer.ready and len(handled) == 600)
        assert consumer.alive
    assert await committed(kafka) == 0
    async with consuming(kafka, handle, dead_letters_in_a_row=200):
        await reasons(kafka, 150)
    assert sorted(handled) == sorted(2 * [f"m{n}" for n in range(600)])


async def test_progress_tells_through_which_time_each_partition_was_read(kafka: FreshTopics) -> None:
    told: dict[tuple[str, int], Any] = {}

    async def handle(batch: Batch) -> Outcome:
        return Outcome()

    async def progress(through: Any) -> None:
        told.update(through)

    await kafka.send(TELEPHONY_EVENTS, [good("m1", partition=1)])
    appended = (await kafka.records(TELEPHONY_EVENTS))[0].timestamp
    async with consuming(kafka, handle, progress=progress):
        # Empty partitions are told too: read to their end, as of the time of asking.
        await eventually(
            lambda: len(told) == 3 and all(through.timestamp() * 1000 >= appended for through in told.values())
        )


async def test_what_waits_grows_old_in_the_metric_and_is_young_again_once_it_is_done(kafka: FreshTopics) -> None:
    may_go_on = asyncio.Event()

    async def handle(batch: Batch) -> Outcome:
        await may_go_on.wait()
        return Outcome()

    def age() -> float:
        labels = {"service": "routing", "topic": TELEPHONY_EVENTS.name}
        return REGISTRY.get_sample_value("connected_inbox_consumer_lag_age_seconds", labels) or 0.0

    async with consuming(kafka, handle) as consumer:
        # The partitions are known to be read to their end before anything waits.
        await eventually(lambda: consumer.subscriber.consumer and consumer.subscriber.consumer.assignment())
        await consumer._measure_once()
        await kafka.send(TELEPHONY_EVENTS, [good("m1", partition=1)])

        async def older_than(seconds: float) -> bool:
            await consumer._measure_once()
            return age() > seconds

        await eventually(lambda: older_than(0.5), because="a record that waits")
        first = age()
        await eventually(lambda: older_than(first + 0.5), because="its growing older")
        may_go_on.set()

        async def young() -> bool:
            await consumer._measure_once()
            return age() == 0.0

        await eventually(young, because="nothing waiting")


async def test_the_subscriber_is_set_as_delivery_needs_it(kafka: FreshTopics) -> None:
    async def handle(batch: Batch) -> Outcome:
        return Outcome()

    async with consuming(kafka, handle) as consumer:
        assert list(consumer.broker.subscribers) == [consumer.subscriber]
        assert consumer.subscriber.ack_policy is AckPolicy.NACK_ON_ERROR
        assert consumer.subscriber.group_id == f"{kafka.prefix}routing"
        client = consumer.subscriber.consumer
        assert client is not None
        assert (client._auto_offset_reset, client._enable_auto_commit) == ("earliest", False)
        # Private names that `alive` rests on: a new version of the client must not take them away unnoticed.
        assert not client._coordinator._coordination_task.done()
        assert not client._fetcher._fetch_task.done()
        assert TopicPartition(f"{kafka.prefix}telephony-events", 0) in client.assignment()
    assert settings_for(kafka).dead_letters_in_a_row == 100
