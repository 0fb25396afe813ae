"""M3: order and repetition of delivery never matter to what a set of records adds up to."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import timedelta
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import Event
from routing.communications import (
    Communication,
    Decided,
    Plan,
    document_of,
    merge,
    merge_request,
    restored,
    snapshot,
    stand,
)
from routing.directory import Directory
from service_kit.consuming import Received
from tests.routing.building import (
    ACCOUNT,
    a_directory,
    at,
    call_requested,
    event,
    received,
    text_requested,
)

KNOWN = a_directory()
SECONDS = st.integers(0, 40)
USERS = st.sampled_from(["anna", "ben", "stranger"])
NUMBERS = st.sampled_from(["+12125550123", "(212) 555-0123", "+4930123456", "12345", "ACME", "anonymous", None])
LINES = st.sampled_from(["+12125550190", "+12125550777"])
PLACES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"direction": st.sampled_from(["inbound", "outbound"]), "line_number": LINES, "contact_number": NUMBERS}
)
MAYBE_PLACES: st.SearchStrategy[dict[str, Any]] = st.one_of(st.just({}), PLACES)
# Few ids, so that two facts can share time and id: sources do repeat ids, and every order must agree on one.
IDS = st.sampled_from(["a", "b", "c", "d", "e"])
NAMED: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"user_id": USERS}),
    st.sampled_from([{"endpoint": "sip:1001@pbx"}, {"endpoint": "sip:else@pbx"}, {}]),
)
OUTCOMES = st.sampled_from([None, "completed", "missed", "abandoned", "voicemail", "busy", "no_answer", "failed", "?"])
STATES = st.sampled_from(["ringing", "answered", "declined", "no_answer", "held", "resumed", "left"])


@st.composite
def call_facts(draw: st.DrawFn) -> Event[Any]:
    """One event of call `c1`."""
    kind = draw(
        st.sampled_from(
            [
                "started",
                "queued",
                "ringing",
                "answered",
                "leg",
                "ended",
                "recorded",
                "transcribed",
                "recording",
                "analyzed",
            ]
        )
    )
    seconds, event_id, place = draw(SECONDS), draw(IDS), draw(MAYBE_PLACES)
    match kind:
        case "started":
            named, menu = draw(NAMED), draw(st.booleans())
            return event("call.started", seconds, id=event_id, call_id="c1", menu=menu, **named, **draw(PLACES))
        case "queued":
            inbox_id = draw(st.sampled_from([None, "sales", "support", "unknown"]))
            return event("call.queued", seconds, id=event_id, call_id="c1", inbox_id=inbox_id, **place)
        case "ringing":
            users = draw(st.lists(USERS, min_size=1, max_size=3))
            return event("call.ringing", seconds, id=event_id, call_id="c1", user_ids=users, **place)
        case "answered":
            return event("call.answered", seconds, id=event_id, call_id="c1", **draw(NAMED), **place)
        case "leg":
            state = draw(STATES)
            return event(
                "call.leg", seconds, id=event_id, call_id="c1", leg_id="l", state=state, **draw(NAMED), **place
            )
        case "ended":
            return event("call.ended", seconds, id=event_id, call_id="c1", outcome=draw(OUTCOMES), **place)
        case "recorded":
            url = draw(st.sampled_from(["https://x/1", "https://x/2"]))
            recording: dict[str, Any] = {"recording_url": url, "duration_seconds": draw(SECONDS)}
            return event("voicemail.recorded", seconds, id=event_id, call_id="c1", **recording, **place)
        case "transcribed":
            words = draw(st.sampled_from(["hello", "hallo"]))
            return event("voicemail.transcribed", seconds, id=event_id, call_id="c1", transcript=words, **place)
        case "recording":
            recording = {"recording_url": "https://x/3", "duration_seconds": draw(SECONDS)}
            return event("recording.available", seconds, id=event_id, call_id="c1", **recording, **place)
        case _:
            topics = draw(st.sampled_from([None, ["price"], []]))
            return event("call.analyzed", seconds, id=event_id, call_id="c1", topics=topics, summary="s", **place)


@st.composite
def message_facts(draw: st.DrawFn) -> Event[Any]:
    """One event of message `c1`."""
    seconds, event_id = draw(SECONDS), draw(IDS)
    match draw(st.sampled_from(["received", "sent", "status"])):
        case "received":
            body = draw(st.sampled_from(["x", "y"]))
            return event("message.received", seconds, id=event_id, message_id="c1", body=body, **draw(PLACES))
        case "sent":
            return event("message.sent", seconds, id=event_id, message_id="c1", **draw(NAMED), **draw(PLACES))
        case _:
            reported = draw(st.sampled_from(["queued", "sending", "sent", "failed", "undelivered", "delivered", "odd"]))
            error = draw(st.sampled_from([None, "30003"]))
            place = draw(MAYBE_PLACES)
            return event(
                "message.status", seconds, id=event_id, message_id="c1", status=reported, error_code=error, **place
            )


def delivered(facts: st.SearchStrategy[Event[Any]]) -> st.SearchStrategy[list[Received[Any]]]:
    """Records with append times of their own."""
    record = st.builds(lambda fact, late: received(fact, after=late), facts, st.integers(0, 9))
    return st.lists(record, min_size=1, max_size=12)


def repeated(draw: st.DrawFn, records: list[Received[Any]]) -> list[Received[Any]]:
    """The same records in another order, some of them again with a later append time."""
    again = draw(st.lists(st.sampled_from(records), max_size=5))
    later = [Received(one.event, one.appended_at + timedelta(seconds=60), one.topic, 0, 9) for one in again]
    return draw(st.permutations([*records, *later]))


@st.composite
def decisions(draw: st.DrawFn) -> Decided:
    """What was decided once, of any call."""
    layers = draw(st.sampled_from([None, [], [{"mode": "simultaneous", "user_ids": ["anna"], "ring_seconds": 30}]]))
    hours = st.sampled_from([None, False, True])
    return Decided(
        after_hours=draw(st.dictionaries(st.sampled_from(["sales", "support"]), hours)),
        plan=None if layers is None else Plan(0, {"layers": layers}, []),
        verdict=draw(st.sampled_from([None, "no_end_event", "not_taken"])),
    )


def fold(
    records: list[Received[Any]], known: Directory, decided: Decided | None = None, *, stored_between: bool = False
) -> dict[str, Any] | None:
    communication = Communication(ACCOUNT, "c1", decided=deepcopy(decided) or Decided())
    for record in records:
        if record.topic == "inbox-events":
            merge_request(communication, record.event.data)
        else:
            merge(communication, record.event, record.appended_at, known)
        stand(communication, known)
        if stored_between:
            document = orjson.loads(orjson.dumps(document_of(communication), default=tuple))
            communication = restored(ACCOUNT, "c1", 0, document)
    standing = stand(communication, known)
    if standing.inbox_id is None:
        return None if standing.place is None else {"unrouted": standing.place.line_number}
    return dict(json.loads(orjson.dumps(snapshot(communication, standing))))


@given(st.data())
def test_order_and_repetition_never_matter_to_a_call(data: st.DataObject) -> None:
    records = data.draw(delivered(call_facts()))
    if data.draw(st.booleans()):
        records.append(received(call_requested()))
    known = a_directory(fallback=data.draw(st.sampled_from([None, "support"])))
    other_order = data.draw(st.composite(repeated)(records))
    decided = data.draw(decisions())
    assert fold(records, known, decided) == fold(other_order, known, decided)


@given(st.data())
def test_order_and_repetition_never_matter_to_a_message(data: st.DataObject) -> None:
    records = data.draw(delivered(message_facts()))
    if data.draw(st.booleans()):
        records.append(received(text_requested(message_id="c1")))
    other_order = data.draw(st.composite(repeated)(records))
    assert fold(records, KNOWN) == fold(other_order, KNOWN)


@given(delivered(call_facts()))
def test_what_was_stored_and_loaded_is_what_was_known(records: list[Received[Any]]) -> None:
    assert fold(records, KNOWN) == fold(records, KNOWN, stored_between=True)


@given(delivered(message_facts()))
def test_a_message_that_was_stored_and_loaded_is_what_was_known(records: list[Received[Any]]) -> None:
    assert fold(records, KNOWN) == fold(records, KNOWN, stored_between=True)


@given(delivered(call_facts()), decisions(), st.sampled_from(["inbound", "outbound"]))
def test_an_answered_call_is_never_missed(records: list[Received[Any]], decided: Decided, direction: str) -> None:
    place = {"direction": direction, "line_number": "+12125550190", "contact_number": "+12125550123"}
    answer = event("call.answered", 3, id="z", call_id="c1", user_id="anna", **place)
    call = fold([*records, received(answer, appended_at=at(4))], a_directory(fallback="support"), decided)
    assert call is not None
    assert call["status"] in ("in_progress", "completed")
    assert call["answered_at"] <= "2026-03-02T12:00:03Z"
    assert "unread_at" not in call
