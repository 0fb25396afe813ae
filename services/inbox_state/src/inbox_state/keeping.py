"""Bringing locked threads up to date, and saving them: the same for what Kafka brings and for what people do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from inbox_state import live, threads
from inbox_state.metrics import THREADS_COUNTED_ANEW
from inbox_state.read_state import ReadState
from inbox_state.storage import live as live_storage
from inbox_state.storage import threads as storage
from inbox_state.storage.rules import InboxKey, Rules
from inbox_state.threads import Change, Communication, Key, Thread
from service_kit.database import Connection


def changes_in(
    touched: Iterable[Key], arrivals: Iterable[tuple[Communication | None, Communication]]
) -> dict[Key, list[Change]]:
    """What became of the communications in each touched thread. Arrivals are rows as they were and as they are."""
    changes: dict[Key, list[Change]] = {key: [] for key in touched}
    for known, now in arrivals:
        key = (now.account_id, now.thread_id)
        if known is None or known.thread_id == now.thread_id:
            changes[key].append(Change(known, now))
        else:
            changes[known.account_id, known.thread_id].append(Change(known, None))
            changes[key].append(Change(None, now))
    return changes


async def fold_and_save(
    connection: Connection,
    touched: Mapping[Key, Thread],
    changes: Mapping[Key, Sequence[Change]],
    rules: Mapping[InboxKey, Rules],
    now: datetime,
) -> None:
    """Fold changes into their threads, save those, and note it for open streams.

    The changed communications are saved already.
    """
    changed: list[Thread] = []
    uncertain: list[Thread] = []
    before: list[tuple[object, ...]] = []
    held: list[live.Before] = []
    for key, thread in touched.items():
        if not changes[key]:
            continue
        changed.append(thread)
        before.append(threads.content_of(thread))
        held.append(live.before(thread))
        inbox = rules.get((thread.account_id, thread.inbox_id))
        if not threads.fold(thread, changes[key], inbox.auto_read_through if inbox else None):
            uncertain.append(thread)
    await _count(connection, uncertain)
    _renew_versions(changed, before, now)
    await storage.save_threads(connection, changed)
    await live_storage.note(connection, live.notes_of(zip(changed, held, strict=True), changes))


async def mark_and_save(
    connection: Connection, marked: Sequence[Thread], mark: Callable[[Thread], ReadState], now: datetime
) -> list[Thread]:
    """Move the marks of locked threads, count and save them, and note it for open streams.

    Returns those whose content changed by it.
    """
    before = [threads.content_of(thread) for thread in marked]
    held = [live.before(thread) for thread in marked]
    for thread in marked:
        thread.state = mark(thread)
    await _count(connection, marked)
    versions = [thread.version for thread in marked]
    _renew_versions(marked, before, now)
    await storage.save_threads(connection, marked)
    await live_storage.note(
        connection,
        live.notes_of(
            (thread, was)
            for thread, was, version in zip(marked, held, versions, strict=True)
            if thread.version != version or live.unread_changed_from(was, thread) is not None
        ),
    )
    return [thread for thread, version in zip(marked, versions, strict=True) if thread.version != version]


async def _count(connection: Connection, uncertain: Sequence[Thread]) -> None:
    if not uncertain:
        return
    THREADS_COUNTED_ANEW.labels(service="inbox_state").inc(len(uncertain))
    figures = await storage.count_threads(connection, uncertain)
    for thread in uncertain:
        threads.counted(thread, figures[thread.account_id, thread.thread_id])


def _renew_versions(changed: Sequence[Thread], before: Sequence[tuple[object, ...]], now: datetime) -> None:
    for thread, content in zip(changed, before, strict=True):
        if thread.version == 0 or threads.content_of(thread) != content:
            thread.version = threads.next_version(thread.version, now)
