"""The journal's words: moments, notes, and whom a change of the directory concerns."""

from __future__ import annotations

import pytest

from contracts.directory import Account, Snapshot, Watcher
from inbox_state import live
from inbox_state.live import AccessChanged, ContactNamed, InboxChanged, InboxRenamed, Moment, Noted, moment_of
from inbox_state.read_state import Position
from tests.inbox_state.words import NINE, a_user, the_sales_inbox


@pytest.mark.parametrize("moment", [Moment(5, 5), Moment(5, 9, (5, 7)), Moment(1, 10**17)])
def test_a_moment_is_read_as_it_was_written(moment: Moment) -> None:
    assert moment_of(str(moment)) == moment


def test_a_moment_with_many_running_transactions_is_written_as_an_earlier_one() -> None:
    assert str(Moment(5, 500, tuple(range(5, 100)))) == "5:5:"


@pytest.mark.parametrize(
    "text", ["", "7", "7:5:", "5:7:9", "5:7:4", "5:7:5,", "a:b:", "5:7:\n", "٥:7:", "-1:5:", "9" * 30]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    assert moment_of(text) is None


@pytest.mark.parametrize(
    "noted",
    [
        InboxChanged({"t": None, "u": Position("p")}, {"t"}, set(), {"c"}),
        InboxRenamed(),
        ContactNamed("+15550123001"),
        AccessChanged(None),
        AccessChanged(frozenset({"anna", "bert"})),
    ],
)
def test_a_note_is_read_as_it_was_written(noted: Noted) -> None:
    assert live.read(live.written(noted)) == noted


def test_notes_of_one_inbox_add_up() -> None:
    held = InboxChanged({"t": Position("5"), "u": None}, set(), set(), {"c"})
    held.add(InboxChanged({"t": Position("3"), "u": Position("7"), "v": None}, {"u"}, set(), {"d"}))
    held.add(InboxChanged({"t": None}))
    assert held == InboxChanged({"t": Position("3"), "u": Position("7"), "v": None}, {"u"}, set(), {"c", "d"})


def concerned(was: Snapshot | None, now: Snapshot) -> list[Noted]:
    return [note.noted for note in live.notes_of_directory("acme", was, now)]


def test_whoever_is_tied_or_no_longer_tied_is_concerned() -> None:
    now = the_sales_inbox(connected=("anna", "carla"), watchers=(Watcher(user_id="bert", added_at=NINE),))
    assert concerned(the_sales_inbox(), now) == [AccessChanged(frozenset({"carla", "wilma"}))]


def test_a_new_inbox_or_one_that_is_gone_may_concern_any_admin() -> None:
    gone = the_sales_inbox(deleted=True)
    assert concerned(None, the_sales_inbox()) == concerned(the_sales_inbox(), gone) == [AccessChanged(None)]
    assert concerned(gone, the_sales_inbox()) == [AccessChanged(None)]
    assert concerned(None, gone) == concerned(gone, gone) == []


def test_another_name_of_an_inbox_is_noted() -> None:
    assert concerned(the_sales_inbox(), the_sales_inbox(name="Verkauf")) == [InboxRenamed()]


def test_a_user_is_concerned_by_what_he_may_and_by_nothing_else() -> None:
    anna = a_user("anna")
    assert concerned(anna, a_user("anna", name="Anne", rings=False)) == []
    for changed in (a_user("anna", active=False), a_user("anna", role="admin"), a_user("anna", deleted=True)):
        assert concerned(anna, changed) == [AccessChanged(frozenset({"anna"}))]


def test_an_account_that_lets_admins_see_all_concerns_all() -> None:
    acme = Account(version=1, name="Acme", time_zone="UTC")
    assert concerned(acme, acme.model_copy(update={"name": "Other"})) == []
    assert concerned(acme, acme.model_copy(update={"admins_see_all": True})) == [AccessChanged(None)]
