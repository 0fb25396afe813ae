"""Time in: auto-mark as read (I9)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from inbox_state import events
from inbox_state.keeping import count_and_save
from inbox_state.metrics import AUTO_MARKED
from inbox_state.read_state import auto_read
from inbox_state.storage import rules as rules_storage
from inbox_state.storage import threads as storage
from service_kit import outbox
from service_kit.clock import Clock
from service_kit.database import Database
from service_kit.timers import Timer

_AT_ONCE: Final = 200


def timers(database: Database, clock: Clock, auto_mark_every: timedelta) -> list[Timer]:
    """The timers of inbox_state; each may run on any replica, and on several at once."""

    async def mark_what_is_too_old() -> bool:
        more = False
        async with database.connection() as connection:
            inboxes = await rules_storage.inboxes_with_auto_mark(connection)
        for account_id, inbox_id, automations in inboxes:
            through = automations.reads_through(clock())
            if through is None:
                continue
            # Small transactions: the one-time clean-up of a large inbox must not hold up new traffic.
            async with database.transaction() as connection:
                await rules_storage.raise_auto_read(connection, account_id, inbox_id, through)
            async with database.transaction() as connection:
                due = await storage.lock_threads_due(connection, account_id, inbox_id, through, _AT_ONCE)
                for thread in due.values():
                    thread.state = auto_read(thread.state, through)
                changed = await count_and_save(connection, list(due.values()), clock())
                await outbox.add(connection, [events.thread_changed(thread) for thread in changed])
            AUTO_MARKED.labels(service="inbox_state").inc(len(changed))
            more = more or len(due) == _AT_ONCE
        return more

    return [Timer("auto-mark-as-read", auto_mark_every, mark_what_is_too_old)]
