"""What people see: the panel, the lists, a thread's communications. Reading only.

Every list is paged by its sort key, with a row comparison that an index serves however deep the page lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from inbox_state.read_state import ReadState
from inbox_state.storage.threads import thread_of
from inbox_state.threads import Communication, Thread
from service_kit.database import Connection


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; None lets everything through."""

    unread: bool | None = None
    active: bool | None = None
    failed: bool | None = None
    kind: str | None = None
    line: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The sort key of a row: what comes after it is the next page (I4)."""

    active: bool
    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class ShownCommunication:
    """A communication with its snapshot and its contact's given name, and the marks of its thread."""

    row: Communication
    name: str | None
    marks: ReadState


@dataclass(frozen=True, slots=True)
class ShownThread:
    """A thread with its latest communication."""

    thread: Thread
    latest: ShownCommunication


@dataclass(frozen=True, slots=True)
class InboxFigures:
    """One inbox of the panel (I1)."""

    inbox_id: str
    unread: int
    active_calls: int
    last_activity_at: datetime | None


_COMMUNICATION: Final = """
    c.account_id, c.communication_id, c.version, c.thread_id, c.left_thread_id, c.inbox_id, c.line_number, c.kind,
    c.active, c.activity_at, c.received_at, c.wants_attention, c.position, c.actor_id, c.acted_at, c.reads_through,
    c.delivered, c.document"""
_THREAD: Final = """
    t.account_id, t.thread_id, t.inbox_id, t.contact_number, t.version, t.unread, t.active_calls, t.last_activity_at,
    t.latest_id, t.send_failed, t.read_through, t.settled_through, t.marked_unread_at, t.marked_unread_from,
    t.auto_read_through, t.newest_attention, t.unread_since"""
_NAME: Final = """
    (SELECT name FROM contacts WHERE account_id = t.account_id AND contact_number = t.contact_number) AS name"""
_COMMUNICATION_WIDTH: Final = 18
_THREAD_WIDTH: Final = 17


async def panel_figures(connection: Connection, account_id: str, inboxes: Sequence[str]) -> dict[str, InboxFigures]:
    """Unread, active calls and last activity of these inboxes; each part from an index of its own."""
    rows = await connection.fetch(
        """
        SELECT i.inbox_id, unread.count, active.count, greatest(above.last_activity_at, below.last_activity_at)
        FROM unnest($2::text[]) AS i (inbox_id)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(unread), 0)::bigint AS count FROM threads
            WHERE account_id = $1 AND inbox_id = i.inbox_id AND unread > 0
        ) AS unread
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(active_calls), 0)::bigint AS count, max(last_activity_at) AS last_activity_at
            FROM threads
            WHERE account_id = $1 AND inbox_id = i.inbox_id AND active AND latest_id IS NOT NULL
        ) AS active
        CROSS JOIN LATERAL (SELECT active.last_activity_at) AS above
        LEFT JOIN LATERAL (
            SELECT last_activity_at FROM threads
            WHERE account_id = $1 AND inbox_id = i.inbox_id AND NOT active AND latest_id IS NOT NULL
            ORDER BY last_activity_at DESC
            LIMIT 1
        ) AS below ON true
        """,
        account_id,
        inboxes,
    )
    return {row[0]: InboxFigures(*row.values()) for row in rows}


async def threads_page(
    connection: Connection,
    account_id: str,
    inboxes: Sequence[str],
    filters: Filters,
    after: Place | None,
    limit: int,
) -> list[ShownThread]:
    """Threads of these inboxes: those with an active call first, then by latest activity, ties by id (I3, I4).

    A thread is of a kind or line when one of its communications is.
    """
    arguments = _Arguments(account_id, inboxes, limit)
    conditions = ["t.account_id = $1", "t.inbox_id = i.inbox_id", "t.latest_id IS NOT NULL"]
    if filters.unread is not None:
        conditions.append("t.unread > 0" if filters.unread else "t.unread = 0")
    if filters.active is not None:
        conditions.append("t.active" if filters.active else "NOT t.active")
    if filters.failed is not None:
        conditions.append("t.send_failed" if filters.failed else "NOT t.send_failed")
    among: list[str] = []
    if filters.kind is not None:
        among.append(f"c.kind = {arguments.add(filters.kind)}")
    if filters.line is not None:
        among.append(f"c.line_number = {arguments.add(filters.line)}")
    if among:
        conditions.append(
            "EXISTS (SELECT FROM communications AS c WHERE c.account_id = t.account_id AND c.thread_id = t.thread_id"
            f" AND {' AND '.join(among)})"
        )
    if after is not None:
        conditions.append(f"(t.active, t.last_activity_at, t.thread_id) < {arguments.place(after)}")
    rows = await connection.fetch(
        f"""
        SELECT {_THREAD}, {_COMMUNICATION}, {_NAME}
        FROM (
            SELECT mine.* FROM unnest($2::text[]) AS i (inbox_id)
            CROSS JOIN LATERAL (
                SELECT * FROM threads AS t
                WHERE {" AND ".join(conditions)}
                ORDER BY t.active DESC, t.last_activity_at DESC, t.thread_id DESC
                LIMIT $3
            ) AS mine
            ORDER BY active DESC, last_activity_at DESC, thread_id DESC
            LIMIT $3
        ) AS t
        CROSS JOIN LATERAL (
            SELECT * FROM communications
            WHERE account_id = t.account_id AND communication_id = t.latest_id
            LIMIT 1
        ) AS c
        ORDER BY t.active DESC, t.last_activity_at DESC, t.thread_id DESC
        """,  # noqa: S608 - put together from constants above; every value is an argument
        *arguments.values,
    )
    return [_shown_thread(row) for row in rows]


async def communications_page(
    connection: Connection,
    account_id: str,
    inboxes: Sequence[str],
    filters: Filters,
    after: Place | None,
    limit: int,
) -> list[ShownCommunication]:
    """Communications of these inboxes, active calls first, then by latest activity, ties by id (I3, I4)."""
    arguments = _Arguments(account_id, inboxes, limit)
    conditions = ["c.account_id = $1", "c.inbox_id = i.inbox_id", "c.thread_id IS NOT NULL"]
    if filters.active is not None:
        conditions.append("c.active" if filters.active else "NOT c.active")
    if filters.failed is not None:
        conditions.append("c.delivered IS FALSE" if filters.failed else "c.delivered IS NOT FALSE")
    if filters.kind is not None:
        conditions.append(f"c.kind = {arguments.add(filters.kind)}")
    if filters.line is not None:
        conditions.append(f"c.line_number = {arguments.add(filters.line)}")
    if after is not None:
        conditions.append(f"(c.active, c.activity_at, c.communication_id) < {arguments.place(after)}")
    source = "communications AS c"
    if filters.unread:
        # From the threads that have something unread: what was read long ago is not walked through.
        source = """
            threads AS t CROSS JOIN LATERAL (
                SELECT * FROM communications AS c
                WHERE c.account_id = t.account_id AND c.thread_id = t.thread_id AND c.wants_attention
                    AND c.position > t.read_through
                OFFSET 0
            ) AS c"""
        conditions += ["t.account_id = $1", "t.inbox_id = i.inbox_id", "t.unread > 0", _UNREAD]
    elif filters.unread is False:
        source = "communications AS c JOIN threads AS t USING (account_id, thread_id)"
        conditions.append(f"NOT (c.wants_attention AND c.position > t.read_through AND {_UNREAD})")
    rows = await connection.fetch(
        f"""
        SELECT {_THREAD}, {_COMMUNICATION}, {_NAME}
        FROM (
            SELECT mine.* FROM unnest($2::text[]) AS i (inbox_id)
            CROSS JOIN LATERAL (
                SELECT c.* FROM {source}
                WHERE {" AND ".join(conditions)}
                ORDER BY c.active DESC, c.activity_at DESC, c.communication_id DESC
                LIMIT $3
            ) AS mine
            ORDER BY active DESC, activity_at DESC, communication_id DESC
            LIMIT $3
        ) AS c
        CROSS JOIN LATERAL (
            SELECT * FROM threads
            WHERE account_id = c.account_id AND thread_id = c.thread_id
            LIMIT 1
        ) AS t
        ORDER BY c.active DESC, c.activity_at DESC, c.communication_id DESC
        """,  # noqa: S608 - put together from constants above; every value is an argument
        *arguments.values,
    )
    return [_shown_thread(row).latest for row in rows]


_UNREAD: Final = """(
    t.auto_read_through IS NULL
    OR CASE
        WHEN c.position >= t.marked_unread_from THEN greatest(c.received_at, t.marked_unread_at)
        ELSE c.received_at
    END > t.auto_read_through
)"""


async def thread(connection: Connection, account_id: str, thread_id: str) -> ShownThread | None:
    """One thread with its latest communication; None when there is none, or nothing is left in it."""
    row = await connection.fetchrow(
        f"""
        SELECT {_THREAD}, {_COMMUNICATION}, {_NAME}
        FROM threads AS t
        JOIN communications AS c ON c.account_id = t.account_id AND c.communication_id = t.latest_id
        WHERE t.account_id = $1 AND t.thread_id = $2
        """,  # noqa: S608 - put together from constants above; every value is an argument
        account_id,
        thread_id,
    )
    return _shown_thread(row) if row else None


async def communications_of_thread(
    connection: Connection, account_id: str, thread_id: str, after: Place | None, limit: int
) -> list[ShownCommunication]:
    """A thread's communications, newest first, ties by id."""
    arguments = _Arguments(account_id, thread_id, limit)
    further = ""
    if after is not None:
        further = f"AND (c.activity_at, c.communication_id) < ({arguments.add(after.at)}, {arguments.add(after.id)})"
    rows = await connection.fetch(
        f"""
        SELECT {_THREAD}, {_COMMUNICATION}, {_NAME}
        FROM threads AS t
        JOIN communications AS c ON c.account_id = t.account_id AND c.thread_id = t.thread_id
        WHERE t.account_id = $1 AND t.thread_id = $2 AND c.account_id = $1 AND c.thread_id = $2 {further}
        ORDER BY c.activity_at DESC, c.communication_id DESC
        LIMIT $3
        """,  # noqa: S608 - put together from constants above; every value is an argument
        *arguments.values,
    )
    return [_shown_thread(row).latest for row in rows]


async def communication(connection: Connection, account_id: str, communication_id: str) -> ShownCommunication | None:
    """One communication; None where it is not known."""
    row = await connection.fetchrow(
        f"""
        SELECT {_THREAD}, {_COMMUNICATION}, {_NAME}
        FROM communications AS c
        JOIN threads AS t ON t.account_id = c.account_id AND t.thread_id = c.thread_id
        WHERE c.account_id = $1 AND c.communication_id = $2
        """,  # noqa: S608 - put together from constants above; every value is an argument
        account_id,
        communication_id,
    )
    return _shown_thread(row).latest if row else None


class _Arguments:
    """The arguments of a statement that is put together: each gets the next number."""

    def __init__(self, *values: object) -> None:
        self.values = list(values)

    def add(self, value: object) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def place(self, place: Place) -> str:
        return f"({self.add(place.active)}::boolean, {self.add(place.at)}::timestamptz, {self.add(place.id)}::text)"


def _shown_thread(row: asyncpg.Record) -> ShownThread:
    values = tuple(row.values())
    state = thread_of(values[:_THREAD_WIDTH])
    latest = Communication(*values[_THREAD_WIDTH : _THREAD_WIDTH + _COMMUNICATION_WIDTH])
    return ShownThread(state, ShownCommunication(latest, values[-1], state.state))
