"""Folding changes into threads, against a plain model, in memory."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.communications import CommunicationChanged
from contracts.envelope import Event, decode
from contracts.inbox_events import THREAD_CHANGED, ThreadChanged
from contracts.topics import INBOX_EVENTS
from inbox_state import threads
from inbox_state.consumer import arrivals_of, decide_reading, newest_of
from inbox_state.events import thread_changed
from inbox_state.keeping import changes_in
from inbox_state.read_state import Position, ReadState, is_unread, unread_since
from inbox_state.storage.rules import Rules
from inbox_state.threads import Communication, Counted, Key, Thread, content_of, counted, fold, next_version
from tests.inbox_state.histories import deliveries, snapshots
from tests.inbox_state.plain_model import PlainInbox
from tests.inbox_state.words import (
    ACCOUNT,
    a_missed_call,
    a_reply,
    a_ringing_call,
    a_text,
    an_answered_call,
    at,
    newer,
    received,
)

CONNECTED = {"anna"}
RULES = {(ACCOUNT, inbox): Rules(connected=CONNECTED) for inbox in ("sales", "support")}


class Memory:
    """What Postgres would hold."""

    def __init__(self) -> None:
        self.rows: dict[Key, Communication] = {}
        self.threads: dict[Key, Thread] = {}
        self.certain = 0

    def deliver(self, batch: list[CommunicationChanged]) -> None:
        arrivals = arrivals_of(newest_of([received(one) for one in batch]), self.rows)
        decide_reading(arrivals, RULES)
        for known, now, snapshot in arrivals:
            key = (ACCOUNT, now.thread_id)
            self.threads.setdefault(key, Thread(*key, now.inbox_id, snapshot.contact_number))
            assert known is None or (ACCOUNT, known.thread_id) in self.threads
        changes = changes_in(self.threads, ((arrival.known, arrival.now) for arrival in arrivals))
        self.rows |= {(ACCOUNT, arrival.now.communication_id): arrival.now for arrival in arrivals}
        for key, thread in self.threads.items():
            if changes[key]:
                if fold(thread, changes[key], None):
                    self.certain += 1
                else:
                    counted(thread, self.count(thread))

    def count(self, thread: Thread) -> Counted:
        members = [row for row in self.rows.values() if row.thread_id == thread.thread_id]
        marks = [row.reads_through for row in members if row.reads_through is not None]
        mark = max([thread.state.settled_through, *marks])
        state = ReadState(mark, thread.state.settled_through)
        unread = [row for row in members if is_unread(row, state)]
        latest = max(members, key=lambda row: (row.activity_at, row.communication_id), default=None)
        sent = [row for row in members if row.delivered is not None]
        last = max(sent, key=lambda row: (row.activity_at, row.communication_id), default=None)
        return Counted(
            read_through=mark,
            unread=len(unread),
            unread_since=min((unread_since(row, state) for row in unread), default=None),
            newest_attention=max((row.position for row in members if row.wants_attention), default=Position("")),
            active_calls=sum(row.active for row in members),
            last_activity_at=latest.activity_at if latest else None,
            latest_id=latest.communication_id if latest else None,
            send_failed=last is not None and last.delivered is False,
        )


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_order_and_repetition_never_matter_and_the_figures_equal_the_plain_model(data: st.DataObject) -> None:
    everything = data.draw(snapshots())
    memory, plain = Memory(), PlainInbox(ACCOUNT, frozenset(CONNECTED))
    for batch in data.draw(deliveries(everything)):
        memory.deliver(batch)
        plain.deliver(batch)
        expected = plain.threads()
        for (_, id), thread in memory.threads.items():
            fresh = memory.count(thread)
            assert (thread.state.read_through, thread.newest_attention) == (fresh.read_through, fresh.newest_attention)
            assert thread.unread_since is None or (fresh.unread_since or at(99)) >= thread.unread_since
            assert content_of(thread)[:2] == (fresh.unread, fresh.active_calls)
            if id in expected:
                figures = expected[id]
                assert content_of(thread) == (
                    len(figures.unread),
                    figures.active_calls,
                    figures.last_activity_at,
                    figures.latest,
                    figures.send_failed,
                )
            else:
                assert content_of(thread) == (0, 0, None, None, False)


def test_ordinary_traffic_never_needs_the_other_communications() -> None:
    memory = Memory()
    call = a_ringing_call("c1", 1)
    for batch in (
        [call],
        [newer(call, status="missed", unread_at=at(2), activity_at=at(2))],
        [a_text("m1", 3), a_text("m2", 4)],
        [a_reply("m3", 5)],
        [a_reply("m3", 5, version=2, status="delivered")],
        [a_text("m4", 6), a_missed_call("c2", 7), an_answered_call("c3", 8)],
    ):
        memory.deliver(batch)
    assert memory.certain == 6


def test_a_threads_event_says_what_its_model_says() -> None:
    for last_activity_at in (at(1), None):
        thread = Thread(ACCOUNT, "t1", 'sa"les', "+15550123001", 1_700_000_000_123_456, 3, 1, last_activity_at)
        record = thread_changed(thread)
        event = decode(record.value, record.headers, {THREAD_CHANGED: ThreadChanged})
        assert isinstance(event, Event)
        assert (record.topic, record.key) == (INBOX_EVENTS.name, b"acme/t1")
        assert (event.type, event.id, event.account_id) == (THREAD_CHANGED, "t1/1700000000123456", ACCOUNT)
        assert event.data == ThreadChanged(
            thread_id="t1",
            inbox_id='sa"les',
            contact_number="+15550123001",
            unread=3,
            active_calls=1,
            last_activity_at=last_activity_at,
            version=1_700_000_000_123_456,
        )
        assert thread_changed(thread) == record


def test_a_version_only_grows() -> None:
    assert next_version(0, at(0)) > next_version(0, at(-1)) > 0
    assert next_version(next_version(0, at(5)), at(1)) == next_version(0, at(5)) + 1


def test_withheld_numbers_are_not_one_person() -> None:
    assert threads.thread_of(ACCOUNT, "sales", "anonymous", "c1") != threads.thread_of(
        ACCOUNT, "sales", "anonymous", "c2"
    )
