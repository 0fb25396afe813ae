"""Streams of telephony events for the company: a simulated day, squeezed into the last half hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from contracts.topics import TELEPHONY_EVENTS
from devstack import simulator
from devstack.simulator import Record, Setup, StaffedLine
from tests.end_to_end.company import ACCOUNT, INBOXES, Company
from tests.support.topics import PARTITIONS, Raw

SQUEEZE = 48


def a_stream(events: int, now: datetime, *, seed: int) -> list[Record]:
    """About `events` events of the company's lines, in the order of delivery, none of them later than `now`.

    They are all young enough to be mailed, and old enough that nobody's telephone rings for long.
    """
    zone = ZoneInfo("America/New_York")
    setup = Setup(
        account_id=ACCOUNT,
        lines=tuple(StaffedLine(line, inbox_id, ("anna", "ben")) for inbox_id, line in INBOXES.items()),
    )
    day = simulator.day(setup, (now - timedelta(days=2)).astimezone(zone).date(), zone, Random(seed), events, "binary")
    end = max(record.event.time for record in day.records)
    return [
        simulator.record_of(
            replace(record.event, time=now - (end - record.event.time) / SQUEEZE), record.delivered_at, "binary"
        )
        for record in day.records
    ]


async def deliver(company: Company, records: Sequence[Record], *, scatter: Random | None = None) -> None:
    """Send records in their order; `scatter` puts each on any partition, as careless producers do."""
    await company.kafka.send(
        TELEPHONY_EVENTS,
        [
            Raw(
                record.value,
                record.key,
                record.headers,
                None if scatter is None else scatter.randrange(PARTITIONS),
            )
            for record in records
        ],
    )
