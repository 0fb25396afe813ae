"""What is published arrives: all of it, in the order of its key, in the partition that the key has always had."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from contracts.topics import INBOX_EVENTS
from service_kit.publishing import Outgoing, Publisher
from tests.support import FreshTopics

KEYS = [f"acme/thread-{number}".encode() for number in range(40)]


@pytest.mark.parametrize("count", [20, 6_000])
async def test_records_of_a_key_arrive_in_order_in_one_partition(kafka: FreshTopics, count: int) -> None:
    draw = random.Random(count)
    sent = [
        # Some are larger than a batch.
        Outgoing(
            INBOX_EVENTS.name,
            draw.choice(KEYS),
            b"%d:" % number + bytes(400_000 if number % 997 == 7 else draw.randint(0, 900)),
            [("ce_id", str(number).encode())],
        )
        for number in range(count)
    ]
    publisher = Publisher(kafka.settings, client_id="test")
    await publisher.open()
    try:
        await publisher.publish(sent[: count // 2])
        await publisher.publish(sent[count // 2 :])
        # One by one the producer's own way: the same partitions.
        await publisher.publish([Outgoing(INBOX_EVENTS.name, key, b"last:", []) for key in KEYS])
    finally:
        await publisher.close()

    records = await kafka.records(INBOX_EVENTS, at_least=count + len(KEYS))
    assert len(records) == count + len(KEYS)
    by_key, partitions = defaultdict(list), defaultdict(set)
    for record in records:
        by_key[record.key].append((record.value, dict(record.headers).get("ce_id")))
        partitions[record.key].add(record.partition)
    expected = defaultdict(list)
    for one in sent:
        expected[one.key].append((one.value, one.headers[0][1]))
    assert {key: held[:-1] for key, held in by_key.items()} == {key: expected[key] for key in KEYS}
    assert all(len(found) == 1 for found in partitions.values())
    assert len(set().union(*partitions.values())) > 1
