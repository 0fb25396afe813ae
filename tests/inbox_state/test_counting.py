"""Counting a thread anew in Postgres finds what its definition says, whatever was marked by whom (I6 to I12)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inbox_state.read_state import ReadState, auto_read, marked_read, marked_unread, position_of
from inbox_state.storage import threads as storage
from inbox_state.threads import Communication, Thread
from service_kit.database import Database
from tests.inbox_state.plain_counting import counted_plainly
from tests.inbox_state.words import at

_accounts = count()


@dataclass(frozen=True)
class Said:
    """One communication as it is drawn: minutes of the day, and what else decides."""

    received: int
    occurred: int
    acted: int | None
    reads: int | None
    wants_attention: bool
    delivered: bool | None
    active: bool
    name: str | None


minutes = st.integers(0, 12)
communications = st.lists(
    st.builds(
        Said,
        received=minutes,
        occurred=minutes,
        acted=st.none() | minutes,
        reads=st.none() | st.integers(0, 11),
        wants_attention=st.booleans(),
        delivered=st.sampled_from([None, None, True, False]),
        active=st.booleans(),
        name=st.sampled_from([None, "Jo", "Kim"]),
    ),
    min_size=1,
    max_size=12,
)
marks = st.lists(
    st.tuples(st.sampled_from(["read", "unread", "unread", "auto"]), st.integers(0, 11), minutes), max_size=6
)


def rows_of(account_id: str, said: list[Said]) -> list[Communication]:
    """The rows of one thread."""
    positions = [position_of(at(one.received), at(one.occurred), f"c{number}") for number, one in enumerate(said)]
    return [
        Communication(
            account_id=account_id,
            communication_id=f"c{number}",
            version=1,
            thread_id="thread",
            left_thread_id=None,
            inbox_id="sales",
            line_number="+12125550100",
            kind="message",
            active=one.active,
            activity_at=at(one.occurred),
            received_at=at(one.received),
            wants_attention=one.wants_attention,
            position=positions[number],
            actor_id=None if one.acted is None else "anna",
            acted_at=None if one.acted is None else at(one.acted),
            reads_through=None if one.acted is None or one.reads is None else positions[one.reads % len(said)],
            delivered=one.delivered,
            failed=False,
            document=orjson.dumps({} if one.name is None else {"contact_name": one.name}).decode(),
            contact_name=one.name,
        )
        for number, one in enumerate(said)
    ]


def marked(rows: list[Communication], made: list[tuple[str, int, int]]) -> ReadState:
    """The marks that people and auto-mark left, one after another; each is later than the one before."""
    state, now = ReadState(), at(0)
    for what, number, minute in made:
        now = max(now, at(minute))
        position = rows[number % len(rows)].position
        if what == "read":
            state = marked_read(state, position)
        elif what == "unread":
            state = marked_unread(state, position, now)
        else:
            state = auto_read(state, now)
    return state


@given(said=communications, made=marks)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_postgres_counts_what_the_definition_says(
    state_database: Database, said: list[Said], made: list[tuple[str, int, int]]
) -> None:
    account_id = f"account-{next(_accounts)}"
    rows = rows_of(account_id, said)
    thread = Thread(account_id, "thread", "sales", "+16175550123", state=marked(rows, made), name_is_lost=True)
    async with state_database.transaction() as connection:
        await storage.insert_communications(connection, rows)
        found = await storage.count_threads(connection, [thread])
    assert found[account_id, "thread"] == counted_plainly(thread, rows)
