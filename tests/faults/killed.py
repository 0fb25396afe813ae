"""Runs a service that kills itself, with SIGKILL, at one point of one portion: `python -m tests.faults.killed SERVICE`.

The product has no hooks for this. Here its own classes are wrapped from outside, then its `__main__` runs.
`KILL_AT` names the point, `KILL_PORTION` the portion (1 is the first that holds records of `KILL_TOPIC`).
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Literal, get_args

from service_kit.consuming import Consumer
from service_kit.database import Connection, Database
from service_kit.publishing import Outgoing, Publisher

Point = Literal["before the commit", "after the commit", "after publishing"]

POINTS: tuple[Point, ...] = get_args(Point)

_due: ContextVar[bool] = ContextVar("due", default=False)


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(point: Point, portion: int, topic: str) -> None:
    """Make the service die at `point` of the `portion`-th portion that holds records of `topic`."""
    begin, transaction, publish = Consumer._begin, Database.transaction, Publisher.publish
    seen = 0

    def counted_begin(self: Consumer, records: Sequence[Any], *, after: Any) -> Any:
        nonlocal seen
        seen += any(record.topic == topic for record in records)
        token = _due.set(seen == portion and any(record.topic == topic for record in records))
        try:
            # Its groups are tasks, which keep what is set now.
            return begin(self, records, after=after)
        finally:
            _due.reset(token)

    @asynccontextmanager
    async def mortal_transaction(self: Database) -> AsyncIterator[Connection]:
        async with transaction(self) as connection:
            yield connection
            if _due.get() and point == "before the commit":
                die()

    async def mortal_publish(self: Publisher, records: Sequence[Outgoing]) -> None:
        if _due.get() and point == "after the commit":
            die()
        await publish(self, records)
        if _due.get() and point == "after publishing":
            die()

    Consumer._begin = counted_begin  # type: ignore[method-assign] # the fault is injected here
    Database.transaction = mortal_transaction  # type: ignore[method-assign] # the fault is injected here
    Publisher.publish = mortal_publish  # type: ignore[method-assign] # the fault is injected here


if __name__ == "__main__":
    service = sys.argv[1]
    at = os.environ["KILL_AT"]
    assert at in POINTS
    wrap(at, int(os.environ["KILL_PORTION"]), os.environ["KILL_TOPIC"])
    sys.argv = [service]
    runpy.run_module(service, run_name="__main__")
