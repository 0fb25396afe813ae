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
from inbox_state.read_state import (
    marked_read,
    marked_unread,
)
from inbox_state.storage.rules import Rules
from inbox_state.threads import Communication, Key, Thread, content_of, counted, fold, next_version
from tests.inbox_state.histories import deliveries, snapshots
from tests.inbox_state.plain_counting import counted_plainly
from tests.inbox_state.plain_model import PlainInbox
from tests.inbox_state.words import (
    ACCOUNT,
    a_missed_call,
    a_reply,
    a_ringing_call,
    a_text,
    an_answered_call,
    at,
    consumed,
    newer,
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
        arrivals = arrivals_of(newest_of([consumed(one) for one in batch]), self.rows)
        decide_reading(arrivals, RULES)
        for known, (now, contact_number, _) in arrivals:
            key = (ACCOUNT, now.thread_id)
            self.threads.setdefault(key, Thread(*key, now.inbox_id, contact_number))
            assert known is None or (ACCOUNT, known.thread_id) in self.threads
        changes = changes_in(self.threads, ((arrival.known, arrival.now) for arrival in arrivals))
        self.rows |= {(ACCOUNT, arrival.now.communication_id): arrival.now for arrival in arrivals}
        for key, thread in self.threads.items():
            if changes[key]:
                if fold(thread, changes[key], None):
                    self.certain += 1
                else:
                    counted(thread, counted_plainly(thread, self.members_of(thread)))

    def members_of(self, thread: Thread) -> list[Communication]:
        return [row for row in self.rows.values() if row.thread_id == thread.thread_id]


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
            fresh = counted_plainly(thread, memory.members_of(thread))
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
                    figures.contact_name,
                )
            else:
                assert content_of(thread) == (0, 0, None, None, False, None)


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


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_what_people_mark_and_what_agents_did_give_the_same_state_in_any_order_of_delivery(data: st.DataObject) -> None:
    minutes = st.integers(0, 20)
    texts = [a_text(f"m{n}", minute) for n, minute in enumerate(data.draw(st.lists(minutes, min_size=1, max_size=5)))]
    replies = [a_reply(f"r{n}", minute) for n, minute in enumerate(data.draw(st.lists(minutes, max_size=5)))]
    marks = data.draw(st.lists(st.tuples(st.booleans(), st.sampled_from(texts)), max_size=5))
    states = set()
    for _ in range(2):
        memory = Memory()
        memory.deliver(texts)
        deeds: list[CommunicationChanged | None] = data.draw(st.permutations([*replies, *([None] * len(marks))]))
        number = 0
        for deed in deeds:
            (thread,) = memory.threads.values()
            if deed is not None:
                memory.deliver([deed])
                continue
            # Marks come in their own order, each at its own time; records come whenever they come.
            unread, text = marks[number]
            position = memory.rows[ACCOUNT, text.communication_id].position
            when = at(number * 4 + 2)
            thread.state = (
                marked_unread(thread.state, position, when) if unread else marked_read(thread.state, position)
            )
            counted(thread, counted_plainly(thread, memory.members_of(thread)))
            number += 1
        (thread,) = memory.threads.values()
        states.add((thread.state.read_through, thread.unread, thread.state.unread_marks))
    assert len(states) == 1
