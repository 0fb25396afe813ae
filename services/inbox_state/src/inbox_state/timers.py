"""Time in: auto-mark as read (I9); what open streams, and requests sent again, no longer need."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from inbox_state import events
from inbox_state.keeping import mark_and_save
from inbox_state.metrics import AUTO_MARKED
from inbox_state.read_state import ReadState, auto_read
from inbox_state.storage import live as live_storage
from inbox_state.storage import people
from inbox_state.storage import rules as rules_storage
from inbox_state.storage import threads as storage
from inbox_state.threads import Thread
from service_kit import outbox
from service_kit.clock import Clock
from service_kit.database import Database
from service_kit.timers import Timer

_AT_ONCE: Final = 200
_RESTS: Final = 4
_FORGET_EVERY: Final = timedelta(seconds=30)
_FORGET_AT_ONCE: Final = 5_000
_FORGET_KEYS_EVERY: Final = timedelta(minutes=5)
_KEYS_HOLD: Final = timedelta(days=7)


def timers(
    database: Database, clock: Clock, auto_mark_every: timedelta, stream_resume_within: timedelta = timedelta(hours=1)
) -> list[Timer]:
    """The timers of inbox_state; each may run on any replica, and on several at once."""

    async def mark_what_is_too_old() -> bool:
        more = False
        async with database.connection() as connection:
            inboxes = await rules_storage.inboxes_with_auto_mark(connection)
        for account_id, inbox_id, automations in inboxes:
            through = automations.reads_through(clock())
            if through is None:
                continue
            began = time.perf_counter()
            # Small transactions: the one-time clean-up of a large inbox must not hold up new traffic.
            async with database.transaction() as connection:
                await rules_storage.raise_auto_read(connection, account_id, inbox_id, through)
            async with database.transaction() as connection:
                due = await storage.lock_threads_due(connection, account_id, inbox_id, through, _AT_ONCE)
                changed = await mark_and_save(
                    connection, list(due.values()), partial(_auto_read, through=through), clock()
                )
                await outbox.add(connection, [events.thread_changed(thread) for thread in changed])
            AUTO_MARKED.labels(service="inbox_state").inc(len(changed))
            if len(due) == _AT_ONCE:
                more = True
                # Most of the time belongs to what comes in, which this process and Postgres work on as well.
                await asyncio.sleep(_RESTS * (time.perf_counter() - began))
        return more

    async def forget_what_no_stream_needs() -> bool:
        now = clock()
        async with database.transaction() as connection:
            await live_storage.forget_tickets(connection, now)
            forgotten = await live_storage.forget_changes(connection, now - stream_resume_within, _FORGET_AT_ONCE)
        return forgotten == _FORGET_AT_ONCE

    async def forget_old_requests() -> bool:
        async with database.transaction() as connection:
            forgotten = await people.forget_requests(connection, clock() - _KEYS_HOLD, _FORGET_AT_ONCE)
        return forgotten == _FORGET_AT_ONCE

    return [
        Timer("auto-mark-as-read", auto_mark_every, mark_what_is_too_old),
        Timer("forget-live-changes", _FORGET_EVERY, forget_what_no_stream_needs),
        Timer("forget-idempotency-keys", _FORGET_KEYS_EVERY, forget_old_requests),
    ]


def _auto_read(thread: Thread, *, through: datetime) -> ReadState:
    return auto_read(thread.state, through)
