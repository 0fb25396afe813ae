"""Why a communication is what it is: every sentence of a dozen differing ones, as somebody reads them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.business_hours import BusinessHours
from contracts.directory import Line, RingLayer, Team
from routing import why
from routing.communications import stand
from routing.directory import Directory
from routing.storage import communications as storage
from tests.routing.building import (
    ACCOUNT,
    LINE,
    a_directory,
    answered,
    at,
    call_requested,
    ended,
    event,
    inbox,
    leg,
    placed,
    queued,
    recorded,
    ringing,
    started,
    status,
    text_in,
    text_out,
    text_requested,
    user,
)
from tests.routing.conftest import Desk, commands

OTHER_LINE = "+12125550777"
IN_THE_MORNING = BusinessHours.model_validate({"mon": [{"opens": "09:00", "closes": "12:00"}]})


async def told(desk: Desk, communication_id: str = "c1") -> list[str]:
    """The sentences: `seconds after noon: fact`, then `rule: decision`."""
    async with desk.database.connection() as connection:
        found = await storage.communication(connection, ACCOUNT, communication_id)
        known = (await desk.directories.current(connection, [ACCOUNT]))[ACCOUNT]
    assert found is not None
    communication, inbox_id = found
    lines = why.explain(communication, stand(communication, known), inbox_id, known)
    noon = int(at(0).timestamp() * 1_000_000)
    return [
        f"{line.rule}: {line.what}" if line.rule else f"{((line.at or 0) - noon) / 1_000_000:g} s: {line.what}"
        for line in lines
    ]


def in_layers(*layers: RingLayer, connected: tuple[str, ...] = ("anna", "ben", "chloe"), **more: Any) -> Directory:
    return a_directory(inbox("sales", *connected, ring_layers=layers, **more))


async def test_a_missed_call_says_who_was_rung_and_who_was_left_out_because_of_what(desk: Desk) -> None:
    await desk.settle_directory(
        a_directory(
            *(user(name) for name in ("dan", "eve", "fay", "gus")),
            user("ina", rings=False),
            user("leo", active=False),
            Team(version=1, team_id="first", name="First", members=("dan", "eve", "ina", "leo")),
            inbox(
                "sales",
                *("anna", "ben", "dan", "eve", "fay", "gus", "ina"),
                ring_layers=(
                    RingLayer(users=("anna", "ben"), ring_seconds=20),
                    RingLayer(mode="round_robin", teams=("first",), users=("fay",), ring_seconds=15),
                ),
            ),
        )
    )
    desk.clock.now = at(12)
    await desk.take(
        event("user.presence", -60, user_id="ben", status="away"),
        event("user.presence", -50, user_id="dan", status="offline"),
        started(2, "other"),
        answered(3, "eve", "other"),
        started(10),
    )
    await desk.take(ringing(11, "anna"), leg(14, "declined"), ringing(15, "fay"), ended(40))
    assert await told(desk) == [
        "10 s: the call started",
        "11 s: Anna was rung",
        "14 s: Anna declined",
        "15 s: Fay was rung",
        "40 s: the call ended",
        "R1: it is in Sales because its line led there when it was first seen",
        "R4: the ring plan was to ring Anna for 20 s, then Fay for 15 s, then voicemail",
        "R4: Gus was left out of the plan: named in none of its ring layers",
        "R5: Ben was left out of the plan: away",
        "R4: Leo was left out of the plan: not connected to the inbox",
        "R5: Dan was left out of the plan: offline",
        "R5: Eve was left out of the plan: in another call",
        "R5: Ina was left out of the plan: set up never to ring",
        "M1: it is missed, not abandoned: somebody was rung, and no person talked to the contact",
    ]


async def test_the_order_in_which_a_plan_rings_is_told_for_every_mode(desk: Desk) -> None:
    team = ("anna", "ben")
    layers = [RingLayer(users=team)] + [
        RingLayer(mode=mode, users=team, ring_seconds=9) for mode in ("round_robin", "random", "longest_idle")
    ]
    await desk.settle_directory(in_layers(*layers, connected=team))
    desk.clock.now = at(12)
    await desk.take(ended(5, call_id="past"), started(1, "past"), answered(2, "anna", "past"), started(10))
    (plan,) = [sentence for sentence in await told(desk) if "ring plan" in sentence]
    assert plan.replace("Ben and Anna one after another (in random", "Anna and Ben one after another (in random") == (
        "R4: the ring plan was to ring Anna and Ben together for 30 s, "
        "then Anna and Ben one after another (whose turn it was first), each for 9 s, "
        "then Anna and Ben one after another (in random order), each for 9 s, "
        "then Ben and Anna one after another (the longest idle first), each for 9 s, then voicemail"
    )


async def test_an_abandoned_call_says_that_nobody_was_rung(desk: Desk) -> None:
    await desk.take(started(menu=True), ended(20, "completed"))
    assert await told(desk) == [
        "0 s: the call started in a menu",
        "20 s: the call ended, reported as completed",
        "R1: it is in Sales because its line led there when it was first seen",
        "R4: no ring plan was made: no event said that the caller waited for somebody",
        "M1: a reported completed counts as no report where no person talked",
        "M1: it is abandoned, not missed: it ended before anybody was rung",
    ]


async def test_a_call_after_hours_says_so_and_still_does_when_the_hours_have_changed(desk: Desk) -> None:
    await desk.settle_directory(in_layers(business_hours=IN_THE_MORNING))
    desk.clock.now = at(2)
    await desk.take(started())
    await desk.settle_directory(in_layers())
    await desk.take(ended(20))
    assert await told(desk) == [
        "0 s: the call started",
        "20 s: the call ended",
        "R1: it is in Sales because its line led there when it was first seen",
        "R6: it came outside the business hours",
        "R4: the ring plan was to go straight to voicemail: it came outside the business hours",
        "M1: it is missed, not abandoned: nobody was rung, and it came outside the business hours",
    ]


async def test_hours_that_are_set_later_say_nothing_of_a_call_that_came_before(desk: Desk) -> None:
    await desk.take(started(menu=True))
    await desk.settle_directory(in_layers(business_hours=IN_THE_MORNING))
    (call,) = await desk.snapshots(ended(20))
    assert (call["status"], call.get("after_hours")) == ("abandoned", None)
    assert not [sentence for sentence in await told(desk) if "business hours" in sentence]


async def test_a_call_with_nobody_there_says_so(desk: Desk) -> None:
    desk.clock.now = at(2)
    await desk.take(
        *(event("user.presence", -9, user_id=name, status="busy") for name in ("anna", "ben")), started(), ended(20)
    )
    assert (await told(desk))[-2:] == [
        "R4: no ring plan was made: it was answered or over when it reached us",
        "M1: it is abandoned, not missed: it ended before anybody was rung",
    ]
    await desk.take(started(call_id="c2"))
    await desk.take(ended(20, call_id="c2"))
    assert (await told(desk, "c2"))[3:] == [
        "R4: the ring plan was to go straight to voicemail: nobody was there to ring",
        "R5: Anna was left out of the plan: busy",
        "R5: Ben was left out of the plan: busy",
        "M1: it is missed, not abandoned: the ring plan had nobody to ring",
    ]


async def test_a_voicemail_says_that_a_recording_was_left(desk: Desk) -> None:
    await desk.settle_directory(a_directory(Line(version=1, line_number=LINE, inbox_id="sales", rings_itself=True)))
    await desk.take(started(), ringing(2, "anna", "ben"))
    await desk.take(leg(22, "no_answer", "ben"), recorded(30), ended(40, "voicemail"))
    assert await told(desk) == [
        "0 s: the call started",
        "2 s: Anna was rung",
        "2 s: Ben was rung",
        "22 s: Ben did not answer",
        "30 s: the caller left a recording",
        "40 s: the call ended, reported as voicemail",
        "R1: it is in Sales because its line led there when it was first seen",
        "R4: no ring plan was made: the telephony system of its line rings people itself",
        "M1: it is a voicemail: no person talked to the contact, and the caller left a recording",
    ]


async def test_an_answered_call_says_who_talked_whatever_was_reported(desk: Desk) -> None:
    await desk.take(started(), answered(5), leg(9, "left"), leg(9, "answered", "chloe"), ended(30, "no_answer"))
    assert await told(desk) == [
        "0 s: the call started",
        "5 s: Anna answered",
        "5 s: a person talked to the contact",
        "9 s: Anna left",
        "9 s: Chloe answered",
        "30 s: the call ended, reported as no_answer",
        "R1: it is in Sales because its line led there when it was first seen",
        "R4: no ring plan was made: it was answered or over when it reached us",
        "M1: it is completed: a person talked to the contact",
    ]


async def test_a_queue_moves_a_call_and_one_that_is_not_known_does_not(desk: Desk) -> None:
    desk.clock.now = at(200)
    await desk.take(started(menu=True), queued(5, "support"), ended(9, "abandoned"))
    assert (await told(desk))[1:] == [
        "5 s: the caller began to wait in a queue of Support",
        "9 s: the call ended, reported as abandoned",
        "R2: it is in Support because the caller was queued for it",
        "R4: no ring plan was made: it was answered or over when it reached us",
        "M1: it is abandoned: no person talked to the contact, no recording was left, and abandoned was reported",
    ]
    await desk.take(started(call_id="c2", menu=True), queued(5, "q-17", "c2"))
    assert (await told(desk, "c2"))[1:] == [
        "5 s: the caller began to wait in a queue of an inbox that is not known here",
        "R2: an inbox that is not known here counts as none",
        "R1: it is in Sales because its line led there when it was first seen",
        "R4: no ring plan was made: it reached us too late to ring anybody",
        "M1: it is ringing: nobody answered yet, and no end was reported",
    ]


async def test_what_waited_unrouted_says_so_before_and_after_it_has_an_inbox(desk: Desk) -> None:
    await desk.take(started(line_number=OTHER_LINE), ended(20, "busy"))
    assert (await told(desk))[2:] == [
        "R3: it is unrouted: its line led to no inbox, and the account had no fallback inbox",
        "M1: it is missed: no person talked to the contact, no recording was left, and busy was reported",
    ]
    await desk.settle_directory(a_directory(Line(version=1, line_number=OTHER_LINE, inbox_id="support")))
    await desk.conclusions.find_missed_reroutes()
    while await desk.conclusions.route_again():
        pass
    assert (await told(desk))[2:4] == [
        "R3: it is in Support because it waited unrouted until its line was mapped to it",
        "R4: no ring plan was made: nobody is rung for what is unrouted",
    ]


@pytest.mark.parametrize("waited", [False, True])
async def test_what_the_fallback_took_says_so(desk: Desk, waited: bool) -> None:
    if waited:
        await desk.take(text_in(line_number=OTHER_LINE))
    await desk.settle_directory(a_directory(fallback="support"))
    await desk.take(text_in(line_number=OTHER_LINE))
    because = (
        "it waited unrouted until that became the account's fallback inbox"
        if waited
        else "its line led to no inbox when it was first seen, and that was the account's fallback inbox"
    )
    assert await told(desk, "m1") == [
        "0 s: the message was received",
        f"R3: it is in Support because {because}",
        "M2: it is received: every message that comes in is",
    ]


async def test_a_requested_call_says_what_became_of_the_request(desk: Desk) -> None:
    await desk.take(call_requested())
    asked, where = "0 s: Anna asked for it over HTTP", "R2: it is in Sales because it was asked for there"
    assert await told(desk) == [asked, where, "M1: it is queued: nothing was reported of it yet"]
    desk.clock.now = at(61)
    await desk.conclude()
    not_taken = "M4: it is failed: no telephony system took it before the request expired"
    assert await told(desk) == [asked, where, not_taken]
    await desk.take(placed(3, user_id="anna"))
    assert (await told(desk))[1:] == [
        "3 s: the call started, placed by Anna",
        where,
        "M1: it is in progress: nobody answered yet, and no end was reported",
    ]
    await desk.take(ended(30, "busy"))
    assert (await told(desk))[-1] == "M1: it is busy: no person talked to the contact, and busy was reported"
    await desk.take(ended(31, "voicemail"))
    assert (await told(desk))[-2:] == [
        "M1: the reported voicemail counts as no report",
        "M1: it is no answer: no person talked to the contact, and neither busy nor failed was reported",
    ]


async def test_a_refused_call_says_what_the_telephony_system_said(desk: Desk) -> None:
    await desk.take(call_requested(), event("command.rejected", 2, command_id="call-c1", reason="no such extension"))
    assert (await told(desk))[1:] == [
        "2 s: the telephony system refused the command",
        "R2: it is in Sales because it was asked for there",
        "M1: it is failed: the telephony system refused it, saying: no such extension",
    ]


@pytest.mark.parametrize("talked", [False, True])
async def test_a_ghost_says_that_no_end_was_reported(desk: Desk, talked: bool) -> None:
    await desk.take(started(), *([answered(9)] if talked else []))
    desk.clock.now = at(5 * 3600) + timedelta(minutes=16)
    await desk.conclude()
    verdict, who = ("completed", "a person") if talked else ("failed", "no person")
    closed = "no end was reported, and it was closed at its last event"
    assert (await told(desk))[-1] == f"M4: it is {verdict}: {who} talked to the contact, {closed}"


async def test_a_message_says_which_status_won(desk: Desk) -> None:
    await desk.take(text_requested(), status(5, "undelivered", error_code="30003"), status(7, "read"), text_out(3))
    assert await told(desk, "m1") == [
        "0 s: Anna asked for it over HTTP",
        "3 s: the message was sent",
        "5 s: undelivered was reported, with error 30003",
        "7 s: read was reported, which ranks as nothing",
        "R2: it is in Sales because it was asked for there",
        "M2: it is undelivered: the highest status that was reported",
    ]
    await desk.take(text_out(3, "m2", user_id="ben"))
    assert (await told(desk, "m2"))[
        -1
    ] == "M2: it is sent: that it was sent is known, and no higher status was reported"
    await desk.take(text_requested(0, "m3"))
    assert (await told(desk, "m3"))[-1] == "M2: it is queued: nothing was reported of it yet"
    await desk.take(event("command.rejected", 3, command_id="send-m3", reason="no credit"))
    assert (await told(desk, "m3"))[-1] == "M2: it is failed: the telephony system refused it, saying: no credit"


async def test_what_waits_for_its_place_says_so(desk: Desk) -> None:
    await desk.take(ringing(3, "anna"))
    assert await told(desk) == [
        "3 s: Anna was rung",
        "R3: it waits for an event that tells its direction, line and contact",
    ]


async def test_a_call_whose_inbox_went_away_is_rung_at_nobody_and_says_so(desk: Desk) -> None:
    desk.clock.now = at(9)
    await desk.take(started(menu=True))
    after = a_directory(Line(version=1, line_number=LINE, inbox_id="support"))
    await desk.settle_directory(replace(after, inboxes={"support": after.inboxes["support"]}))
    assert commands(await desk.take(queued(5))) == []
    assert "R4: no ring plan was made: its inbox was not there any more" in await told(desk)


async def test_no_inbox_is_named_that_the_reader_may_not_know_of(desk: Desk) -> None:
    await desk.take(call_requested(), placed(3), queued(4, "support"))
    assert "4 s: the caller began to wait in a queue of another inbox" in await told(desk)
