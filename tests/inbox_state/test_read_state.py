"""The pure rules of unread: positions, marks, activity, settings history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.communications import CommunicationChanged
from inbox_state.automations import Automations, changed_at
from inbox_state.read_state import (
    BEGINNING,
    Activity,
    ManualOnly,
    Position,
    ReadState,
    UnreadMark,
    activity_in,
    auto_read,
    is_unread,
    just_before,
    manual_only_at,
    marked_read,
    marked_unread,
    position_of,
    reads_through,
    unread_since,
)
from tests.inbox_state.words import (
    a_missed_call,
    a_reply,
    a_ringing_call,
    a_text,
    an_answered_call,
    at,
    snapshot,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Arrived:
    """The least that can be unread."""

    position: Position
    received_at: datetime
    wants_attention: bool = True


def arrived(minutes: float, id: str = "m") -> Arrived:
    return Arrived(position_of(at(minutes), at(minutes), id), at(minutes))


instants = st.integers(-1_000_000_000_000_000, 7_000_000_000_000_000).map(lambda us: EPOCH + timedelta(microseconds=us))
places = st.tuples(instants, instants, st.text("abc -~", min_size=1, max_size=3))


@given(places, places)
def test_positions_compare_as_what_they_are_made_of(
    one: tuple[datetime, datetime, str], other: tuple[datetime, datetime, str]
) -> None:
    def clamped(place: tuple[datetime, datetime, str]) -> tuple[datetime, datetime, str]:
        return max(place[0], EPOCH), max(place[1], EPOCH), place[2]

    assert (position_of(*one) < position_of(*other)) == (clamped(one) < clamped(other))
    assert (position_of(*one).encode() < position_of(*other).encode()) == (clamped(one) < clamped(other))


@given(places, places)
def test_just_before_lies_below_a_position_and_above_all_that_come_earlier(
    one: tuple[datetime, datetime, str], other: tuple[datetime, datetime, str]
) -> None:
    position, neighbour = position_of(*one), position_of(*other)
    assert just_before(position) < position
    assert (neighbour <= just_before(position)) == (neighbour < position)


def test_what_reached_us_in_the_same_batch_is_ordered_by_when_it_happened() -> None:
    assert position_of(at(5), at(1), "z") < position_of(at(5), at(2), "a")


def test_only_what_wants_attention_can_be_unread() -> None:
    seen = Arrived(position_of(at(1), at(1), "m"), at(1), wants_attention=False)
    assert not is_unread(seen, ReadState())
    assert is_unread(arrived(1), ReadState())


def test_a_manual_read_never_goes_back() -> None:
    state = marked_read(marked_read(ReadState(), arrived(5).position), arrived(3).position)
    assert state.read_through == arrived(5).position
    assert not is_unread(arrived(4), state)
    assert is_unread(arrived(6), state)


def test_a_manual_unread_lowers_the_mark_to_just_before() -> None:
    state = marked_unread(marked_read(ReadState(), arrived(5).position), arrived(3).position, at(10))
    assert [is_unread(arrived(minutes), state) for minutes in (2, 3, 4, 6)] == [False, True, True, True]


def test_a_manual_unread_never_raises_the_mark() -> None:
    state = marked_unread(ReadState(), arrived(3).position, at(10))
    assert state.read_through == BEGINNING


def test_of_two_manual_unreads_each_counts_from_its_own_time() -> None:
    read = marked_read(ReadState(), arrived(9).position)
    both = marked_unread(marked_unread(read, arrived(3).position, at(10)), arrived(5).position, at(11))
    assert [unread_since(arrived(minutes), both) for minutes in (2, 3, 4, 5)] == [at(2), at(10), at(10), at(11)]


def test_a_manual_unread_from_further_up_takes_the_place_of_one_below() -> None:
    both = marked_unread(marked_unread(ReadState(), arrived(5).position, at(10)), arrived(3).position, at(11))
    assert both.unread_marks == (UnreadMark(at(11), arrived(3).position),)


def test_what_was_done_before_a_manual_unread_reads_up_to_where_it_begins() -> None:
    state = marked_unread(marked_unread(ReadState(), arrived(3).position, at(10)), arrived(5).position, at(20))
    newest = arrived(9).position
    assert reads_through(newest, at(9), state) == just_before(arrived(3).position)
    assert reads_through(newest, at(10), state) == just_before(arrived(5).position)
    assert reads_through(newest, at(20), state) == newest
    assert reads_through(arrived(1).position, at(9), state) == arrived(1).position


def test_many_manual_unreads_are_kept_as_few_that_cover_no_less() -> None:
    state = marked_read(ReadState(), arrived(99).position)
    for minutes in range(50):
        state = marked_unread(state, arrived(minutes).position, at(100 + minutes))
    assert len(state.unread_marks) == 8
    assert reads_through(arrived(99).position, at(0), state) == just_before(arrived(0).position)
    assert unread_since(arrived(49), state) == at(149)


def test_auto_read_takes_what_is_old_but_not_what_was_marked_unread_since() -> None:
    marked = marked_unread(ReadState(), arrived(3).position, at(10))
    state = auto_read(marked, at(5))
    assert [is_unread(arrived(minutes), state) for minutes in (2, 3, 4, 6)] == [False, True, True, True]
    assert not is_unread(arrived(4), auto_read(state, at(10)))


def test_auto_read_only_ever_grows() -> None:
    state = auto_read(ReadState(), at(5))
    assert auto_read(state, at(4)) == state
    assert auto_read(state, None) == state
    assert auto_read(state, at(6)).auto_read_through == at(6)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (a_text("m", 1), None),
        (a_missed_call("c", 1), None),
        (a_ringing_call("c", 1, user_id="anna"), None),
        (a_reply("m", 1, by=None), None),
        (a_reply("m", 1), Activity("anna", at(1))),
        (a_reply("m", 2, requested_at=at(1)), Activity("anna", at(1))),
        (an_answered_call("c", 1), Activity("anna", at(1))),
        (
            snapshot("c", 1, kind="call", direction="outbound", status="no_answer", user_id="anna", activity_at=at(3)),
            Activity("anna", at(1)),
        ),
    ],
)
def test_agent_activity_is_a_reply_a_call_or_an_answer(shown: CommunicationChanged, expected: Activity | None) -> None:
    assert activity_in(shown) == expected


def test_the_setting_at_the_time_decides() -> None:
    history = [ManualOnly(at(1), True), ManualOnly(at(5), False), ManualOnly(at(9), True)]
    assert [manual_only_at(history, at(minutes)) for minutes in (0, 1, 4, 5, 8, 9, 99)] == [
        False,
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    assert not manual_only_at([], at(1))


def test_auto_mark_reaches_back_by_its_period() -> None:
    assert Automations(auto_mark_enabled=True, auto_mark_after_hours=2).reads_through(at(0)) == at(-120)
    assert Automations(auto_mark_enabled=False, auto_mark_after_hours=2).reads_through(at(0)) is None


def test_a_change_always_comes_after_the_one_before() -> None:
    assert changed_at(at(1), None) == at(1)
    assert changed_at(at(1), at(0)) == at(1)
    assert changed_at(at(1), at(2)) == at(2) + timedelta(microseconds=1)
