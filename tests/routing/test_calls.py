"""What a call's facts add up to: M1, M4, M5 and M6 in sequence (M1 by table: `test_call_status`)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from contracts.communications import CommunicationChanged
from contracts.envelope import Event
from routing.communications import conclude, due_at, last_talks, merge, snapshot, stand, talking
from routing.facts import instant
from tests.routing.building import (
    CONTACT,
    a_directory,
    answered,
    at,
    call_requested,
    ended,
    event,
    folded,
    leg,
    placed,
    queued,
    received,
    recorded,
    ringing,
    shown,
    started,
)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ([started()], "ringing"),
        ([started(menu=True)], "ringing"),
        ([started(menu=True), queued(5)], "ringing"),
        ([started(), answered(5)], "in_progress"),
        ([started(), answered(5), ended(50)], "completed"),
        ([started(), ringing(1, "anna"), ended(20)], "missed"),
        ([started(), leg(1, "ringing"), ended(20)], "missed"),
        ([started(), leg(1, "no_answer"), ended(20)], "missed"),
        ([started(), leg(2, "answered"), ended(20, "completed")], "missed"),
        ([started(menu=True), ended(20)], "abandoned"),
        ([started(menu=True), ended(20, "completed")], "abandoned"),
        ([started(), ended(20, "busy")], "missed"),
        ([started(), ringing(1, "anna"), ended(20, "abandoned")], "abandoned"),
        ([started(), ringing(1, "anna"), ended(20, "voicemail"), recorded(25)], "voicemail"),
        ([started(), answered(5), ended(20, "missed"), recorded(25)], "completed"),
        ([placed(user_id="anna")], "in_progress"),
        ([placed(), ended(20)], "no_answer"),
        ([placed(), answered(5), ended(20, "failed")], "completed"),
        ([call_requested()], "queued"),
        ([call_requested(), placed(2)], "in_progress"),
        ([call_requested(), placed(2), ended(9, "busy")], "busy"),
    ],
)
def test_a_call_has_the_status_of_its_facts(facts: list[Event[Any]], status: str) -> None:
    assert shown(*facts)["status"] == status


def test_a_voicemail_is_one_unread_communication_that_reached_us_with_its_recording() -> None:
    call = shown(
        started(), ringing(1, "anna"), received(ended(20, "voicemail"), after=1), received(recorded(25), after=60)
    )
    assert call["status"] == "voicemail"
    assert call["unread_at"] == "2026-03-02T12:00:20Z"
    assert call["received_at"] == "2026-03-02T12:01:25Z"
    assert call["voicemail"] == {"recording_url": "https://pbx.example/r1", "duration_seconds": 7.5}


def test_what_reached_us_twice_reached_us_the_first_time() -> None:
    end = ended(20)
    call = shown(started(), received(end, after=900), received(end, after=3), received(end, after=400))
    assert call["received_at"] == "2026-03-02T12:00:23Z"


@pytest.mark.parametrize(
    ("facts", "received_at"),
    [
        ([received(started(), after=3), received(answered(5), after=4)], "2026-03-02T12:00:09Z"),
        ([received(started(), after=3), received(answered(5), after=4), ended(50)], "2026-03-02T12:00:09Z"),
        ([received(placed(), after=3), received(answered(5), after=4)], "2026-03-02T12:00:03Z"),
        ([received(started(), after=3)], "2026-03-02T12:00:03Z"),
        ([call_requested(7), received(placed(9), after=3)], "2026-03-02T12:00:07Z"),
    ],
)
def test_a_call_reached_us_with_the_fact_that_shows_its_activity(facts: list[Any], received_at: str) -> None:
    assert shown(*facts)["received_at"] == received_at


def test_activity_is_an_active_calls_start_and_an_ended_calls_end() -> None:
    assert shown(started(), ringing(3, "anna"))["activity_at"] == "2026-03-02T12:00:00Z"
    assert shown(started(), ended(30), recorded(90))["activity_at"] == "2026-03-02T12:00:30Z"


def test_waiting_counts_from_the_queue_and_talking_includes_holds() -> None:
    call = shown(
        started(menu=True), queued(10), answered(25), leg(30, "held"), leg(40, "resumed"), leg(55, "left"), ended(60)
    )
    assert (call["wait_seconds"], call["talk_seconds"]) == (15, 35)
    assert call["participants"] == [
        {
            "user_id": "anna",
            "answered_at": "2026-03-02T12:00:25Z",
            "left_at": "2026-03-02T12:00:55Z",
            "held_seconds": 10,
        }
    ]


def test_a_hold_that_nobody_took_back_lasts_until_he_left_or_the_call_ended() -> None:
    assert shown(started(), answered(5), leg(10, "held"), ended(30))["participants"][0]["held_seconds"] == 20
    assert (
        shown(started(), answered(5), leg(10, "held"), leg(18, "left"), ended(30))["participants"][0]["held_seconds"]
        == 8
    )


def test_endpoints_stand_for_users_and_strangers_keep_their_number() -> None:
    call = shown(
        started(),
        event("call.ringing", 1, call_id="c1", endpoints=["sip:1001@pbx", "sip:nobody@pbx"]),
        event("call.leg", 2, call_id="c1", leg_id="l", number="+4930123456", state="answered"),
        event("call.answered", 3, call_id="c1", endpoint="sip:1001@pbx"),
    )
    assert call["user_id"] == "anna"
    assert [(p.get("user_id"), p.get("number")) for p in call["participants"]] == [
        (None, "+4930123456"),
        (None, "sip:nobody@pbx"),
        ("anna", None),
    ]


def test_the_least_answer_counts_and_the_greatest_end_with_its_outcome() -> None:
    call = shown(started(), answered(9, "ben"), answered(7, "anna"), ended(30, "failed"), ended(20, "missed"))
    assert (call["user_id"], call["answered_at"]) == ("anna", "2026-03-02T12:00:07Z")
    assert (call["ended_at"], call["outcome"]) == ("2026-03-02T12:00:30Z", "failed")


def test_a_known_contact_beats_a_withheld_one_and_numbers_become_e164() -> None:
    call = shown(started(contact_number=None), ended(5, contact_number="(212) 555-0123", line_number="+1 212 555 0190"))
    assert call["contact_number"] == CONTACT
    assert shown(started(contact_number="anonymous"))["contact_number"] == "anonymous"


def test_facts_wait_until_one_tells_where_the_call_takes_place() -> None:
    _, standing = folded([answered(5), ended(9)])
    assert standing.place is None
    assert shown(answered(5), ended(9), started())["status"] == "completed"


def test_a_call_with_no_start_began_with_its_first_fact() -> None:
    call = shown(ended(30, direction="inbound", line_number="+12125550190", contact_number=CONTACT), ringing(4, "anna"))
    assert call["started_at"] == "2026-03-02T12:00:04Z"


def test_what_a_user_asked_for_is_not_overwritten_by_telephony() -> None:
    call = shown(placed(3, user_id="ben", contact_number="+12125550999"), call_requested())
    assert (call["user_id"], call["contact_number"], call["requested_at"]) == ("anna", CONTACT, "2026-03-02T12:00:00Z")


def test_the_last_words_of_a_recording_count_field_by_field() -> None:
    call = shown(
        started(),
        ended(10),
        event("voicemail.transcribed", 40, call_id="c1", transcript="second"),
        recorded(20, transcript="first"),
        recorded(30, recording_url="https://pbx.example/r2"),
    )
    assert call["voicemail"] == {
        "recording_url": "https://pbx.example/r2",
        "duration_seconds": 7.5,
        "transcript": "second",
    }


def test_a_transcript_that_comes_before_its_recording_shows_with_it() -> None:
    early = [started(), ended(10), event("voicemail.transcribed", 12, call_id="c1", transcript="hi")]
    assert "voicemail" not in shown(*early)
    assert shown(*early, recorded(11))["voicemail"]["transcript"] == "hi"


@pytest.mark.parametrize(
    ("facts", "since"),
    [
        ([started(), ringing(1, "anna")], {}),
        ([started(), answered(3, "anna")], {}),
        ([started(), answered(3, "anna"), ended(9)], {"anna": 9}),
        ([started(), answered(3, "anna"), leg(6, "left", "anna"), leg(6, "answered", "ben")], {"anna": 6}),
        (
            [started(), answered(3, "anna"), leg(6, "left", "anna"), leg(6, "answered", "ben"), ended(9)],
            {"anna": 6, "ben": 9},
        ),
        ([placed(user_id="ben"), ended(9, "busy")], {"ben": 9}),
        ([placed(user_id="ben")], {}),
        ([call_requested(), placed(2), ended(9)], {"anna": 9}),
    ],
)
def test_a_user_is_idle_since_he_left_or_the_call_ended(facts: list[Event[Any]], since: dict[str, float]) -> None:
    assert last_talks(*folded(facts)) == {user: instant(at(seconds)) for user, seconds in since.items()}


def test_a_ghost_is_closed_at_its_last_fact_and_an_end_replaces_the_verdict() -> None:
    communication, standing = folded([started(), ringing(30, "anna")])
    assert due_at(communication, standing, 4) == at(30) + timedelta(hours=4)
    assert conclude(communication) == "no_end_event"
    ghost = snapshot(communication, stand(communication, a_directory()))
    assert (ghost["status"], ghost["reason"]) == ("failed", "no_end_event")
    assert ghost["ended_at"] == ghost["unread_at"] == "2026-03-02T12:00:30Z"
    assert due_at(communication, stand(communication, a_directory()), 4) is None
    merge(communication, ended(90, "abandoned"), at(99), a_directory())
    assert snapshot(communication, stand(communication, a_directory()))["status"] == "abandoned"


def test_a_ghost_that_a_person_answered_is_completed_and_read() -> None:
    communication, _ = folded([started(), answered(30)])
    conclude(communication)
    ghost = snapshot(communication, stand(communication, a_directory()))
    assert ghost["status"] == "completed"
    assert "unread_at" not in ghost


def test_a_request_that_nobody_took_failed_until_telephony_says_anything() -> None:
    communication, standing = folded([call_requested()])
    assert due_at(communication, standing, 4) == at(60)
    assert conclude(communication) == "not_taken"
    failed = snapshot(communication, stand(communication, a_directory()))
    assert (failed["status"], failed["reason"]) == ("failed", "not_taken")
    merge(communication, placed(5), at(99), a_directory())
    assert snapshot(communication, stand(communication, a_directory()))["status"] == "in_progress"


@pytest.mark.parametrize(
    ("facts", "busy"),
    [
        ([started(), ringing(1, "anna", "ben")], []),
        ([started(), ringing(1, "anna", "ben"), answered(3, "anna")], ["anna"]),
        ([started(), answered(3, "anna"), leg(9, "left", "anna"), leg(9, "answered", "ben")], ["ben"]),
        ([started(), answered(3, "anna"), ended(9)], []),
        ([placed(user_id="ben")], ["ben"]),
        ([placed(user_id="ben"), leg(4, "left", "ben")], []),
        ([call_requested()], []),
    ],
)
def test_who_talks_or_placed_the_call_can_not_be_rung(facts: list[Event[Any]], busy: list[str]) -> None:
    assert talking(*folded(facts)) == busy


def test_every_snapshot_is_what_the_contract_says() -> None:
    call = shown(
        started(contact_name="Joe"),
        queued(2, "support"),
        ringing(3, "chloe"),
        ended(30, "voicemail", reason="timeout"),
        recorded(40, transcript="hi"),
        event("recording.available", 50, call_id="c1", recording_url="https://pbx.example/x", duration_seconds=3),
    )
    changed = CommunicationChanged.model_validate(call | {"version": 1})
    assert changed.model_dump(exclude_none=True, mode="json") == call | {"version": 1, "media": []}
    assert changed.inbox_id == "support"
