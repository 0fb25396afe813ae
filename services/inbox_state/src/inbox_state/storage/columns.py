"""The columns of threads and communications, once for all statements that read or write whole rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from inbox_state.read_state import Position, ReadState, UnreadMark
from inbox_state.threads import Thread

COMMUNICATION: Final[Mapping[str, str]] = {
    "account_id": "text",
    "communication_id": "text",
    "version": "bigint",
    "thread_id": "text",
    "left_thread_id": "text",
    "inbox_id": "text",
    "line_number": "text",
    "kind": "text",
    "active": "boolean",
    "activity_at": "timestamptz",
    "received_at": "timestamptz",
    "wants_attention": "boolean",
    "position": "text",
    "actor_id": "text",
    "acted_at": "timestamptz",
    "reads_through": "text",
    "delivered": "boolean",
    "failed": "boolean",
    "document": "text",
}
"""In the order of `Communication`, with their types. The last one, the document, is not always read."""

THREAD: Final[Mapping[str, str]] = {
    "account_id": "text",
    "thread_id": "text",
    "inbox_id": "text",
    "contact_number": "text",
    "version": "bigint",
    "unread": "int",
    "active_calls": "int",
    "last_activity_at": "timestamptz",
    "latest_id": "text",
    "send_failed": "boolean",
    "read_through": "text",
    "settled_through": "text",
    "unread_marks": "text",
    "auto_read_through": "timestamptz",
    "newest_attention": "text",
    "unread_since": "timestamptz",
    "contact_name": "text",
    "named_at": "timestamptz",
    "named_id": "text",
}
"""In the order of `Thread`, with their types."""


def of(alias: str, columns: Iterable[str]) -> str:
    """Columns of one table, to be selected."""
    return ", ".join(f"{alias}.{column}" for column in columns)


def given(columns: Mapping[str, str]) -> str:
    """Whole rows that come as JSON in the first argument (see `service_kit.database.as_json`)."""
    return f"json_to_recordset($1::json) AS given ({', '.join(f'{column} {type}' for column, type in columns.items())})"


def replaced(columns: Iterable[str]) -> str:
    """The assignments of an `ON CONFLICT DO UPDATE` that writes these."""
    return ", ".join(f"{column} = excluded.{column}" for column in columns)


def thread_of(values: Sequence[Any]) -> Thread:
    """A thread from its columns, in their order."""
    marks = ReadState(values[10], values[11], _unread_marks(values[12]) if values[12] else (), values[13])
    return Thread(
        values[0],
        values[1],
        values[2],
        values[3],
        values[4],
        values[5],
        values[6],
        values[7],
        values[8],
        values[9],
        marks,
        values[14],
        values[15],
        values[16],
        values[17],
        values[18],
        is_new=False,
    )


def values_of(thread: Thread) -> tuple[Any, ...]:
    """A thread's columns, in their order."""
    state = thread.state
    return (
        thread.account_id,
        thread.thread_id,
        thread.inbox_id,
        thread.contact_number,
        thread.version,
        thread.unread,
        thread.active_calls,
        thread.last_activity_at,
        thread.latest_id,
        thread.send_failed,
        state.read_through,
        state.settled_through,
        written(state.unread_marks),
        state.auto_read_through,
        thread.newest_attention,
        thread.unread_since,
        thread.contact_name,
        thread.named_at,
        thread.named_id,
    )


def written(marks: Sequence[UnreadMark]) -> str | None:
    """Manual unreads as their column keeps them."""
    return orjson.dumps([{"at": mark.at, "from": mark.from_} for mark in marks]).decode() if marks else None


def _unread_marks(text: str) -> tuple[UnreadMark, ...]:
    return tuple(UnreadMark(datetime.fromisoformat(mark["at"]), Position(mark["from"])) for mark in orjson.loads(text))


def became_unread(marks: str) -> str:
    """When a communication `c` last became unread, in a thread whose manual unreads are the column `marks` (I9)."""
    return f"""greatest(c.received_at, (
        SELECT max(mark.at)
        FROM jsonb_to_recordset({marks}::jsonb) AS mark (at timestamptz, "from" text COLLATE "C")
        WHERE mark."from" <= c.position
    ))"""  # noqa: S608 - put together from constants; every value is an argument
