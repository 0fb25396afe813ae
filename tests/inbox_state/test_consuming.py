"""What Kafka delivers, through the real Postgres: against a plain model, in any order, from two replicas at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import count
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from contracts.communications import CommunicationChanged
from contracts.directory import Inbox
from contracts.envelope import Event, decode
from contracts.inbox_events import THREAD_CHANGED, ThreadChanged
from contracts.topics import COMMUNICATION_EVENTS
from inbox_state.consumer import handlers
from inbox_state.keeping import mark_and_save
from inbox_state.read_state import auto_read, marked_read, marked_unread
from inbox_state.storage import lists
from inbox_state.storage import threads as storage
from inbox_state.storage.lists import Filters
from service_kit.consuming import Outcome
from service_kit.database import refuses_data
from tests.inbox_state.histories import deliveries, snapshots
from tests.inbox_state.plain_model import Figures, PlainInbox, place_of
from tests.inbox_state.words import (
    NEIGHBOUR,
    Office,
    a_reply,
    a_text,
    at,
    consumed,
    newer,
    the_office,
)

_accounts = count()


def the_support_inbox_with_anna() -> Inbox:
    return Inbox(version=2, inbox_id="support", name="Support", kind="connected", connected=("anna", "sue"))


def said(outcome: Outcome) -> list[ThreadChanged]:
    """The thread events that a batch brings about."""
    events = [decode(one.value, one.headers, {THREAD_CHANGED: ThreadChanged}) for one in outcome.publish]
    return [event.data for event in events if isinstance(event, Event)]


async def shown(office: Office, account_id: str) -> dict[str, Figures]:
    """Every thread as a reader would see it; counts and rows must agree with each other."""
    async with office.database.connection() as connection:
        inboxes = ["sales", "support"]
        rows = await lists.threads_page(connection, account_id, inboxes, Filters(), None, 100)
        unread = await lists.communications_page(connection, account_id, inboxes, Filters(unread=True), None, 100)
        read = await lists.communications_page(connection, account_id, inboxes, Filters(unread=False), None, 100)
        every = await lists.communications_page(connection, account_id, inboxes, Filters(), None, 100)
        panel = await lists.panel_figures(connection, account_id, inboxes)
        locked = await storage.lock_threads(connection, [(account_id, row.thread.thread_id) for row in rows])
        counted = await storage.count_threads(connection, list(locked.values()))
    assert len(every) == len(unread) + len(read)
    assert sum(row.thread.unread for row in rows) == sum(one.unread for one in panel.values()) == len(unread)
    figures = {}
    for row in rows:
        thread = row.thread
        fresh = counted[account_id, thread.thread_id]
        assert (fresh.read_through, fresh.newest_attention) == (thread.state.read_through, thread.newest_attention)
        ids = frozenset(one.row.communication_id for one in unread if one.row.thread_id == thread.thread_id)
        assert len(ids) == thread.unread
        assert thread.latest_id is not None
        assert thread.last_activity_at is not None
        figures[thread.thread_id] = Figures(
            ids,
            thread.active_calls,
            thread.latest_id,
            thread.last_activity_at,
            thread.send_failed,
            thread.contact_name,
        )
    return figures


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_order_any_marks_any_batches_give_what_the_plain_model_gives(
    office: Office, data: st.DataObject
) -> None:
    account_id = f"account-{next(_accounts)}"
    await office.learn(*the_office(), the_support_inbox_with_anna(), account_id=account_id)
    plain = PlainInbox(account_id, frozenset({"anna"}))
    now = at(10)
    for batch in data.draw(deliveries(data.draw(snapshots()))):
        await office.deliver(*batch, account_id=account_id)
        plain.deliver(batch)
        now += timedelta(minutes=1)
        await act(office, data, plain, now)
        assert await shown(office, account_id) == plain.threads()


async def act(office: Office, data: st.DataObject, plain: PlainInbox, now: Any) -> None:
    """Somebody marks something, or auto-read comes by, or nothing happens."""
    deed = data.draw(st.sampled_from(["nothing", "read all", "read through", "unread", "auto"]))
    one = data.draw(st.sampled_from(sorted(plain.known.values(), key=lambda known: known.communication_id)))
    if deed == "nothing":
        return
    key = (plain.account_id, plain.thread_of(one))
    through = at(data.draw(st.integers(0, 12)))
    async with office.database.transaction() as connection:
        thread = (await storage.lock_threads(connection, [key]))[key]
        position = await storage.position_in_thread(connection, *key, one.communication_id)
        assert position is not None
        match deed:
            case "read all":
                marked = marked_read(thread.state, thread.newest_attention)
                plain.read(key[1], None)
            case "read through":
                marked = marked_read(thread.state, position)
                plain.read(key[1], place_of(one))
            case "unread":
                marked = marked_unread(thread.state, position, now)
                plain.unread(key[1], place_of(one), now)
            case "auto":
                marked = auto_read(thread.state, through)
                plain.auto(key[1], through)
        await mark_and_save(connection, [thread], lambda _thread: marked, now)


async def test_an_old_version_after_a_new_one_changes_nothing_but_is_published(office: Office) -> None:
    old = a_text("m1", 1)
    first = said(await office.deliver(newer(old, body="new")))
    again = said(await office.deliver(old))
    assert again == first
    assert (await office.the_thread())["latest"]["body"] == "new"


async def test_a_repeated_batch_publishes_the_same_bytes(office: Office) -> None:
    batch = [a_text("m1", 1), a_reply("m2", 2), a_text("n1", 3, contact_number=NEIGHBOUR)]
    first, second = await office.deliver(*batch), await office.deliver(*batch)
    assert sorted(first.publish, key=lambda one: one.value) == sorted(second.publish, key=lambda one: one.value)


async def test_a_communication_that_moves_leaves_its_old_thread(office: Office) -> None:
    text = a_text("m1", 1)
    await office.deliver(text, a_text("m2", 2))
    moved = newer(text, inbox_id="support")
    events = {event.inbox_id: event for event in said(await office.deliver(moved))}
    assert (events["sales"].unread, events["support"].unread) == (1, 1)
    assert [row["latest"]["communication_id"] for row in await office.threads()] == ["m2"]
    assert (await office.unread("sue", "support"), await office.unread("anna")) == (1, 1)
    again = {event.inbox_id: event for event in said(await office.deliver(moved))}
    assert again == events


async def test_an_emptied_thread_is_said_to_be_empty_and_is_gone_from_lists(office: Office) -> None:
    text = a_text("m1", 1)
    await office.deliver(text)
    thread_id = (await office.the_thread())["thread_id"]
    events = said(await office.deliver(newer(text, contact_number=NEIGHBOUR)))
    assert [(event.unread, event.last_activity_at) for event in events if event.thread_id == thread_id] == [(0, None)]
    assert (await office.the_thread())["contact_number"] == NEIGHBOUR
    assert (await office.as_("anna").get(f"/v1/threads/{thread_id}")).status_code == 404


async def test_the_activity_of_a_communication_goes_where_it_goes(office: Office) -> None:
    reply = a_reply("m2", 2)
    await office.deliver(a_text("m1", 1), reply)
    assert await office.unread() == 0
    await office.deliver(newer(reply, contact_number=NEIGHBOUR))
    assert await office.unread() == 1


async def test_receipts_of_a_reply_read_nothing_new(office: Office) -> None:
    reply = a_reply("m1", 1)
    await office.deliver(reply)
    thread_id = (await office.the_thread())["thread_id"]
    await office.deliver(a_text("m0", 0.5))
    assert await office.unread() == 0
    office.clock.now = at(5)
    await office.as_("anna").post(f"/v1/threads/{thread_id}/unread", json={"from": "m0"})
    await office.deliver(newer(reply, status="delivered"))
    assert await office.unread() == 1


async def test_an_inbox_that_began_small_is_not_read_through_for_each_text_once_it_is_full(office: Office) -> None:
    # Postgres would keep what it planned when autovacuum had seen a few rows, until that comes again.
    await office.deliver(*texts_of_many(0, 1))
    async with office.database.connection() as connection:
        await connection.execute("ANALYZE threads, communications")
    for n in range(1, 10):
        await office.deliver(*texts_of_many(n, n + 1))
    many = texts_of_many(10, 2_000)
    await office.deliver(*many)
    before = await rows_read_through(office)
    for start in range(0, 200, 20):
        await office.deliver(*(newer(text, body="again") for text in many[start : start + 20]))
    assert await rows_read_through(office) - before < len(many)


def texts_of_many(first: int, end: int) -> list[CommunicationChanged]:
    """A text of each of these contacts."""
    return [a_text(f"m{n}", n / 60, contact_number=f"+1415{n:07}") for n in range(first, end)]


async def rows_read_through(office: Office) -> int:
    """How many rows of threads and communications were read without an index, on the connection that is used first."""
    async with office.database.connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        read: int = await connection.fetchval(
            "SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables WHERE relname IN ('threads', 'communications')"
        )
    return read


async def test_two_replicas_that_open_one_new_thread_at_once_lose_nothing(office: Office) -> None:
    handle = handlers(office.database, office.clock)[COMMUNICATION_EVENTS].handle
    for number in range(10):
        contact = f"+1555019{number:04}"
        halves = [
            [consumed(a_text(f"{number}-{half}-{n}", n, contact_number=contact)) for n in range(20)]
            for half in range(2)
        ]
        await asyncio.gather(*(handle(half) for half in halves))
    assert await office.unread() == 400
    rows = await office.threads()
    assert [row["unread"] for row in rows] == [40] * 10


async def test_two_replicas_with_the_same_new_communication_in_two_threads_agree(office: Office) -> None:
    handle = handlers(office.database, office.clock)[COMMUNICATION_EVENTS].handle
    for number in range(10):
        text = a_text(f"m{number}", number)
        moved = newer(text, inbox_id="support")
        await asyncio.gather(handle([consumed(text)]), handle([consumed(moved)]))
    assert (await office.unread("anna"), await office.unread("sue", "support")) == (0, 10)


async def test_a_refused_record_leaves_nothing_behind(office: Office) -> None:
    handle = handlers(office.database, office.clock)[COMMUNICATION_EVENTS].handle
    with pytest.raises(asyncpg.DataError) as refused:
        await handle([consumed(a_text("m1", 1)), consumed(a_text("m2", 1, version=2**70))])
    assert refuses_data(refused.value)
    assert await office.threads() == []


async def test_latency_is_measured_from_the_broker_and_a_replay_is_left_out(office: Office) -> None:
    def measured() -> float:
        value = REGISTRY.get_sample_value("connected_inbox_event_to_view_seconds_count", {"service": "inbox_state"})
        return value or 0.0

    handle = handlers(office.database, office.clock)[COMMUNICATION_EVENTS].handle
    before = measured()
    await handle([consumed(a_text("m1", 1), origin_at=office.clock.now - timedelta(seconds=1))])
    await handle([consumed(a_text("m2", 1), origin_at=office.clock.now - timedelta(hours=2))])
    assert measured() == before + 1
