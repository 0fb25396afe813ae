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
from inbox_state.searching import Sought
from inbox_state.storage import columns, search
from inbox_state.storage.search import Few, Many
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
    sought: Sought | None = None


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


_COMMUNICATION: Final = columns.of("c", columns.COMMUNICATION)
_THREAD: Final = columns.of("t", columns.THREAD)
_NAME: Final = """
    (SELECT name FROM contacts WHERE account_id = t.account_id AND contact_number = t.contact_number) AS name"""
_THREAD_WIDTH: Final = len(columns.THREAD)


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

    A thread is of a kind or line when one of its communications is, and is found by its contact or by the text of
    one of them (I5).
    """
    arguments = _Arguments(account_id, list(inboxes), limit)
    conditions = ["t.account_id = $1", "t.latest_id IS NOT NULL"]
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
        conditions.append(_among_its_communications(*among))
    if after is not None:
        conditions.append(f"(t.active, t.last_activity_at, t.thread_id) < {arguments.place(after)}")
    order = "t.active DESC, t.last_activity_at DESC, t.thread_id DESC"
    source = _EACH_INBOX
    match await search.hits(connection, account_id, inboxes, filters.sought) if filters.sought else None:
        case Few(by_contact, _, by_text):
            source = f"""
                FROM unnest({arguments.add(sorted({*by_contact, *by_text}))}::text[]) AS hit (thread_id)
                CROSS JOIN LATERAL (
                    SELECT * FROM threads WHERE account_id = $1 AND thread_id = hit.thread_id LIMIT 1
                ) AS t
                WHERE t.inbox_id = ANY ($2) AND {{conditions}}"""  # noqa: S608 - constants; every value is an argument
        case Many() if filters.sought is not None:
            text = _among_its_communications(search.found_by_text(filters.sought, arguments.add))
            conditions.append(f"({search.found_by_contact(filters.sought, arguments.add)} OR {text})")
    rows = await connection.fetch(
        f"""
        SELECT {_THREAD}, {_COMMUNICATION}, {_NAME}
        FROM (
            SELECT t.* {source.format(source="threads AS t", row="t", conditions=" AND ".join(conditions), order=order)}
            ORDER BY {order}
            LIMIT $3
        ) AS t
        CROSS JOIN LATERAL (
            SELECT * FROM communications
            WHERE account_id = t.account_id AND communication_id = t.latest_id
            LIMIT 1
        ) AS c
        ORDER BY {order}
        """,  # noqa: S608 - put together from constants above; every value is an argument
        *arguments.values,
    )
    return [_shown_thread(row) for row in rows]


_EACH_INBOX: Final = """
    FROM unnest($2::text[]) AS i (inbox_id)
    CROSS JOIN LATERAL (
        SELECT {row}.* FROM {source}
        WHERE {row}.inbox_id = i.inbox_id AND {conditions}
        ORDER BY {order}
        LIMIT $3
    ) AS {row}"""
"""A page of each inbox, from its index, to be merged into one."""


def _among_its_communications(*conditions: str) -> str:
    return (
        "EXISTS (SELECT FROM communications AS c WHERE c.account_id = t.account_id AND c.thread_id = t.thread_id"
        f" AND {' AND '.join(conditions)})"
    )


async def communications_page(
    connection: Connection,
    account_id: str,
    inboxes: Sequence[str],
    filters: Filters,
    after: Place | None,
    limit: int,
) -> list[ShownCommunication]:
    """Communications of these inboxes, active calls first, then by latest activity, ties by id (I3, I4)."""
    arguments = _Arguments(account_id, list(inboxes), limit)
    conditions = ["c.account_id = $1", "c.thread_id IS NOT NULL"]
    if filters.active is not None:
        conditions.append("c.active" if filters.active else "NOT c.active")
    if filters.failed is not None:
        conditions.append("c.failed" if filters.failed else "c.failed IS NOT TRUE")
    if filters.kind is not None:
        conditions.append(f"c.kind = {arguments.add(filters.kind)}")
    if filters.line is not None:
        conditions.append(f"c.line_number = {arguments.add(filters.line)}")
    if after is not None:
        conditions.append(f"(c.active, c.activity_at, c.communication_id) < {arguments.place(after)}")
    order = "c.active DESC, c.activity_at DESC, c.communication_id DESC"
    found = await search.hits(connection, account_id, inboxes, filters.sought) if filters.sought else None
    source, rows_of = "communications AS c", _EACH_INBOX
    beyond_the_mark = ("c.wants_attention", "c.position > t.read_through", _UNREAD)
    match found:
        case Few(by_contact, by_text, _):
            rows_of = _hits(arguments.add(by_contact), arguments.add(by_text))
        case Many() if filters.sought is not None:
            source = _WITH_THREAD
            text = search.found_by_text(filters.sought, arguments.add)
            conditions.append(f"({text} OR {search.found_by_contact(filters.sought, arguments.add)})")
    if filters.unread:
        conditions += beyond_the_mark
        if not isinstance(found, Few):
            # From the threads that have something unread: what was read long ago is not walked through.
            source = _UNREAD_OF_THREADS
            conditions += ["t.account_id = $1", "t.inbox_id = i.inbox_id", "t.unread > 0"]
    elif filters.unread is False:
        source = _WITH_THREAD
        conditions.append(f"NOT ({' AND '.join(beyond_the_mark)})")
    rows = await connection.fetch(
        f"""
        SELECT {_THREAD}, {_COMMUNICATION}, {_NAME}
        FROM (
            SELECT c.* {rows_of.format(source=source, row="c", conditions=" AND ".join(conditions), order=order)}
            ORDER BY {order}
            LIMIT $3
        ) AS c
        CROSS JOIN LATERAL (
            SELECT * FROM threads
            WHERE account_id = c.account_id AND thread_id = c.thread_id
            LIMIT 1
        ) AS t
        ORDER BY {order}
        """,  # noqa: S608 - put together from constants above; every value is an argument
        *arguments.values,
    )
    return [_shown_thread(row).latest for row in rows]


_WITH_THREAD: Final = "communications AS c JOIN threads AS t USING (account_id, thread_id)"
_UNREAD_OF_THREADS: Final = """
    threads AS t
    CROSS JOIN LATERAL (
        SELECT * FROM communications AS c
        WHERE c.account_id = t.account_id AND c.thread_id = t.thread_id AND c.wants_attention
            AND c.position > t.read_through
        OFFSET 0
    ) AS c"""


def _hits(by_contact: str, by_text: str) -> str:
    return f"""
        FROM (
            SELECT * FROM communications WHERE account_id = $1 AND thread_id = ANY ({by_contact}::text[])
            UNION ALL
            SELECT * FROM communications
            WHERE account_id = $1 AND communication_id = ANY ({by_text}::text[])
                AND NOT thread_id = ANY ({by_contact}::text[])
        ) AS c
        CROSS JOIN LATERAL (
            SELECT * FROM threads WHERE account_id = c.account_id AND thread_id = c.thread_id LIMIT 1
        ) AS t
        WHERE c.inbox_id = ANY ($2) AND {{conditions}}"""  # noqa: S608 - put together from constants; every value is an argument


_UNREAD: Final = f"""(
    t.auto_read_through IS NULL OR {columns.became_unread("t.unread_marks")} > t.auto_read_through
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
    state = columns.thread_of(values[:_THREAD_WIDTH])
    latest = Communication(*values[_THREAD_WIDTH:-1])
    return ShownThread(state, ShownCommunication(latest, values[-1], state.state))
