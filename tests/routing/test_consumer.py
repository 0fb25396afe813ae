"""Batches against the real database: routing, versions, unrouted, requests, rejections, ring commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest

from contracts.business_hours import BusinessHours
from contracts.commands import Ring
from contracts.communications import CommunicationAnalyzed, CommunicationChanged
from contracts.directory import Line, RingLayer
from contracts.envelope import Reason, decode
from contracts.fields import Data
from contracts.topics import COMMUNICATION_EVENTS, TELEPHONY_COMMANDS
from routing.metrics import RING_PLAN_SECONDS
from tests.routing.building import (
    ACCOUNT,
    CONTACT,
    LINE,
    a_directory,
    answered,
    at,
    call_requested,
    ended,
    event,
    inbound,
    inbox,
    outbound,
    placed,
    queued,
    received,
    ringing,
    started,
    status,
    text_in,
    text_out,
    text_requested,
    user,
)
from tests.routing.conftest import Desk, commands, documents


async def test_a_call_lands_in_the_inbox_of_its_line(desk: Desk) -> None:
    (call,) = await desk.snapshots(started(), ringing(1, "anna"), ended(20))
    assert (call["inbox_id"], call["status"]) == ("sales", "missed")


async def test_what_is_published_is_the_contracts_event(desk: Desk) -> None:
    outcome = await desk.take(started(), event("call.analyzed", 9, call_id="c1", summary="short", topics=["price"]))
    changed, analyzed = outcome.publish
    assert changed.key == f"{ACCOUNT}/sales/{CONTACT}".encode()
    types: dict[str, type[Data]] = {
        "communication.changed.v1": CommunicationChanged,
        "communication.analyzed.v1": CommunicationAnalyzed,
    }
    events = [decode(record.value, record.headers, types) for record in (changed, analyzed)]
    assert [one.source for one in events] == ["/connected-inbox/routing"] * 2  # type: ignore[union-attr] # both known
    assert [one.data.version for one in events] == [events[0].data.version] * 2  # type: ignore[union-attr] # both known
    assert events[0].origin_at == at(10)  # type: ignore[union-attr] # it is known
    assert len({one.id for one in events}) == 2  # type: ignore[union-attr] # both known


async def test_a_repetition_publishes_the_same_bytes_again(desk: Desk) -> None:
    facts = [started(), ringing(1, "anna"), ended(20)]
    first = await desk.take(*facts)
    desk.clock.now += timedelta(minutes=5)
    again = await desk.take(*[received(fact, after=300) for fact in facts])
    assert first.publish == again.publish


async def test_a_version_grows_with_the_content_and_only_then(desk: Desk) -> None:
    (first,) = await desk.snapshots(started())
    desk.clock.now -= timedelta(hours=2)
    (second,) = await desk.snapshots(ended(20))
    assert second["version"] == first["version"] + 1
    desk.clock.now += timedelta(hours=3)
    (third,) = await desk.snapshots(ringing(3, "anna"))
    assert third["version"] == int(desk.clock.now.timestamp() * 1_000_000)
    (same,) = await desk.snapshots(ended(10))
    assert same["version"] == third["version"]


async def test_queueing_for_another_inbox_moves_the_call_and_an_unknown_one_counts_as_none(desk: Desk) -> None:
    (call,) = await desk.snapshots(started(), queued(5, "support"))
    assert call["inbox_id"] == "support"
    (other,) = await desk.snapshots(started(call_id="c2"), queued(5, "nowhere", call_id="c2"))
    assert other["inbox_id"] == "sales"


async def test_remapping_a_line_moves_nothing_that_has_begun(desk: Desk) -> None:
    await desk.snapshots(started())
    await desk.settle_directory(a_directory(Line(version=1, line_number=LINE, inbox_id="support")))
    old, new = await desk.snapshots(ended(20), text_in(30))
    assert (old["inbox_id"], new["inbox_id"]) == ("sales", "support")


async def test_what_comes_in_on_an_unknown_line_is_kept_and_routed_once_that_is_mapped(desk: Desk) -> None:
    number = "+12125550777"
    assert await desk.snapshots(started(line_number=number), ended(20)) == []
    (kept,) = await desk.rows("SELECT unrouted_line, unrouted_at FROM communications")
    assert kept == {"unrouted_line": number, "unrouted_at": at(20)}

    await desk.settle_directory(a_directory(Line(version=1, line_number=number, inbox_id="support")))
    await desk.conclusions.find_missed_reroutes()
    while await desk.conclusions.route_again():
        pass
    (call,) = await desk.outbox()
    assert (call["inbox_id"], call["unread_at"], call["received_at"]) == (
        "support",
        "2026-03-02T12:00:20Z",
        "2026-03-02T12:00:21Z",
    )
    assert await desk.rows("SELECT FROM communications WHERE unrouted_line IS NOT NULL") == []
    assert await desk.rows("SELECT FROM reroutes") == []


async def test_the_fallback_takes_what_no_line_leads_anywhere(desk: Desk) -> None:
    await desk.settle_directory(a_directory(fallback="support"))
    (call,) = await desk.snapshots(started(line_number="+12125550777"))
    assert call["inbox_id"] == "support"


async def test_nothing_crosses_accounts(desk: Desk) -> None:
    other = event("call.started", account_id="globex", call_id="c1", **inbound())
    (call,) = await desk.snapshots(other, started(3))
    assert call["started_at"] == "2026-03-02T12:00:03Z"
    assert await desk.rows("SELECT account_id FROM communications WHERE unrouted_line IS NOT NULL") == [
        {"account_id": "globex"}
    ]


async def test_facts_without_a_place_wait_unpublished(desk: Desk) -> None:
    assert await desk.snapshots(answered(5), ended(9)) == []
    assert await desk.rows("SELECT FROM communications WHERE unrouted_line IS NOT NULL") == []
    (call,) = await desk.snapshots(started())
    assert (call["status"], call["talk_seconds"]) == ("completed", 4)


async def test_a_fact_of_the_other_kind_is_rejected_and_its_neighbours_go_on(desk: Desk) -> None:
    outcome = await desk.take(text_in(message_id="x"), started(3, call_id="x"), started(4))
    ((rejected),) = outcome.rejected
    assert (rejected.reason, rejected.received.event.type) == (Reason.KIND_CHANGED, "telephony.call.started.v1")
    assert len(documents(outcome.publish, COMMUNICATION_EVENTS.name)) == 2
    later = await desk.take(ended(9, call_id="x"))
    assert [one.reason for one in later.rejected] == [Reason.KIND_CHANGED]


async def test_a_requested_message_shows_at_once_and_telephony_moves_it(desk: Desk) -> None:
    (asked,) = await desk.snapshots(text_requested())
    assert (asked["status"], asked["inbox_id"], asked["body"]) == ("queued", "sales", "as typed")
    (sent,) = await desk.snapshots(text_out(3), status(4, "delivered"))
    assert (sent["status"], sent["body"], sent["user_id"]) == ("delivered", "as typed", "anna")


async def test_a_request_that_comes_after_its_echo_still_counts(desk: Desk) -> None:
    assert await desk.snapshots(text_out(3, body="echo", line_number="+12125550777", contact_number="x")) == []
    (both,) = await desk.snapshots(text_requested(inbox_id="support"))
    assert (both["inbox_id"], both["line_number"], both["body"]) == ("support", LINE, "as typed")


async def test_a_request_that_nobody_took_fails_until_it_is_reported_on(desk: Desk) -> None:
    await desk.take(call_requested())
    desk.clock.now = at(59)
    await desk.conclude()
    assert await desk.outbox() == []
    desk.clock.now = at(61)
    await desk.conclude()
    (failed,) = await desk.outbox()
    assert (failed["status"], failed["reason"]) == ("failed", "not_taken")
    await desk.conclude()
    assert await desk.outbox() == []
    (back,) = await desk.snapshots(placed(5))
    assert back["status"] == "in_progress"


async def test_nothing_is_concluded_while_one_partition_is_read_no_further(desk: Desk) -> None:
    await desk.take(call_requested(), started(call_id="ghost"))
    desk.clock.now = at(5 * 3600)
    await desk.conclusions.conclude_overdue()
    assert await desk.outbox() == [], "nothing is known of how far telephony's events were read"
    await desk.has_read(0, at(5 * 3600))
    await desk.has_read(1, at(59))
    await desk.conclusions.conclude_overdue()
    assert await desk.outbox() == [], "the call may stand in what was not read yet"
    await desk.has_read(1, at(61))
    await desk.conclusions.conclude_overdue()
    (request,) = await desk.outbox()
    assert (request["communication_id"], request["reason"]) == ("c1", "not_taken")
    await desk.has_read(1, at(4 * 3600 + 1))
    await desk.conclusions.conclude_overdue()
    (ghost,) = await desk.outbox()
    assert (ghost["communication_id"], ghost["reason"]) == ("ghost", "no_end_event")


async def test_the_time_to_a_ring_plan_ends_with_the_brokers_acknowledgement(desk: Desk) -> None:
    def measured() -> tuple[float, float]:
        found = {sample.name: sample.value for sample in next(iter(RING_PLAN_SECONDS.collect())).samples}
        name = "connected_inbox_ring_plan_seconds"
        return found.get(f"{name}_count", 0), found.get(f"{name}_sum", 0)

    count, seconds = measured()
    desk.clock.now = at(2)
    failed = await desk.take(started())
    assert measured() == (count, seconds), "the broker has nothing yet"
    desk.clock.now = at(11)
    again = await desk.take(ringing(2, "anna"))
    for told in again.acknowledged:
        told()
    assert measured() == (count + 1, seconds + 10), "appended a second after it began, taken in the second attempt"
    for told in failed.acknowledged:
        told()
    assert measured() == (count + 1, seconds + 10)


@pytest.mark.parametrize("refused_first", [True, False])
async def test_a_refused_request_failed_with_the_reason_given(desk: Desk, refused_first: bool) -> None:
    facts = [text_requested(), event("command.rejected", 3, command_id="send-m1", reason="no credit")]
    for fact in reversed(facts) if refused_first else facts:
        published = await desk.snapshots(fact)
    (message,) = published
    assert (message["status"], message["reason"]) == ("failed", "no credit")


async def test_a_ghost_is_closed_only_when_nothing_touched_it_lately(desk: Desk) -> None:
    desk.clock.now = at(4 * 3600 + 100)
    await desk.take(started(), ringing(2, "anna"))
    await desk.conclude()
    assert await desk.outbox() == []
    desk.clock.now += timedelta(minutes=16)
    await desk.conclude()
    (ghost,) = await desk.outbox()
    assert (ghost["status"], ghost["reason"], ghost["unread_at"]) == ("failed", "no_end_event", "2026-03-02T12:00:02Z")
    (late,) = await desk.snapshots(ended(50, "abandoned"))
    assert (late["status"], late["version"] > ghost["version"]) == ("abandoned", True)


async def test_two_consumers_with_two_facts_of_one_new_call_lose_nothing(open_desk: Callable[[], Any]) -> None:
    first, second = await open_desk(), await open_desk()
    await first.settle_directory(a_directory())
    for n in range(20):
        call_id = f"call-{n}"
        begin, end = started(0, call_id), ended(20, "missed", call_id)
        others = [started(1, f"other-{n}-{i}") for i in range(5)]
        await asyncio.gather(
            first.take(*others, begin), second.take(end, *reversed([started(1, f"other-{n}-{i}") for i in range(5)]))
        )
        (call,) = await first.snapshots(received(begin, after=99))
        assert (call["started_at"], call["status"]) == ("2026-03-02T12:00:00Z", "missed")


async def test_a_fresh_call_is_rung_at_who_is_there_with_the_same_command_each_time(desk: Desk) -> None:
    desk.clock.now = at(2)
    await desk.take(event("user.presence", -60, user_id="ben", status="away"))
    outcome = await desk.take(started())
    (command,) = commands(outcome)
    ring = Ring.model_validate(command)
    assert (ring.call_id, ring.inbox_id, ring.system, ring.otherwise) == ("c1", "sales", "default", "voicemail")
    assert ring.expires_at == at(61)
    assert [(layer.mode, layer.user_ids, layer.endpoints) for layer in ring.layers] == [
        ("simultaneous", ("anna",), {"anna": ("sip:1001@pbx",)})
    ]
    await desk.take(event("user.presence", -50, user_id="ben", status="available"))
    desk.clock.now = at(30)
    repeated = await desk.take(ringing(3, "anna"))
    assert [one for one in repeated.publish if one.topic == "telephony-commands"] == [
        one for one in outcome.publish if one.topic == "telephony-commands"
    ]
    assert commands(await desk.take(answered(9))) == []


async def test_a_replay_rings_nobody(desk: Desk) -> None:
    desk.clock.now = at(62)
    assert commands(await desk.take(started())) == []
    assert commands(await desk.take(started(menu=True), queued(1))) == []


async def test_a_plan_is_repeated_word_for_word_until_sixty_seconds_after_the_append_and_never_later(
    desk: Desk,
) -> None:
    desk.clock.now = at(2)
    (first,) = (one for one in (await desk.take(started())).publish if one.topic == TELEPHONY_COMMANDS.name)
    await desk.settle_directory(a_directory(inbox("sales", "chloe")))
    for seconds in (30, 60.999):
        desk.clock.now = at(seconds)
        again = await desk.take(received(started(), after=1), ringing(seconds, "anna"))
        assert [one for one in again.publish if one.topic == TELEPHONY_COMMANDS.name] == [first]
    for seconds in (61, 90):
        desk.clock.now = at(seconds)
        assert commands(await desk.take(ringing(seconds, "anna"))) == []


async def test_another_source_that_reports_the_start_late_rings_nobody_again(desk: Desk) -> None:
    desk.clock.now = at(2)
    assert len(commands(await desk.take(started(1)))) == 1
    desk.clock.now = at(90)
    assert commands(await desk.take(received(started(0), appended_at=at(89)))) == []


async def test_who_turned_away_in_the_same_batch_is_not_rung(desk: Desk) -> None:
    desk.clock.now = at(2)
    (command,) = commands(
        await desk.take(
            event("user.presence", -9, user_id="ben", status="away"),
            event("user.presence", -8, user_id="anna", status="away"),
            started(),
            event("user.presence", -7, endpoint="sip:1001@pbx", status="available"),
        )
    )
    assert command["layers"][0]["user_ids"] == ["anna"]
    await desk.take(event("user.presence", -1, user_id="ben", status="available"))
    older = event("user.presence", -2, user_id="ben", status="offline")
    (command,) = commands(await desk.take(older, started(call_id="c2")))
    assert command["layers"][0]["user_ids"] == ["anna", "ben"]


async def test_longest_idle_counts_talks_that_ended_in_the_same_batch(desk: Desk) -> None:
    layers = (RingLayer(mode="longest_idle", users=("anna", "ben")),)
    await desk.settle_directory(a_directory(inbox("sales", "anna", "ben", ring_layers=layers)))
    desk.clock.now = at(32)
    await desk.take(placed(0, "out", user_id="ben"), ended(9, call_id="out"))
    (command,) = commands(
        await desk.take(started(1, "in"), answered(2, "anna", "in"), ended(20, call_id="in"), started(30))
    )
    assert command["layers"][0]["user_ids"] == ["ben", "anna"]


async def test_a_call_that_is_mapped_while_it_rings_is_rung_while_it_is_fresh(desk: Desk) -> None:
    number = "+12125550777"
    for call_id, seconds, rung in (("fresh", 30, 1), ("old", 62, 0)):
        desk.clock.now = at(2)
        await desk.settle_directory(a_directory())
        assert commands(await desk.take(started(call_id=call_id, line_number=number))) == []
        desk.clock.now = at(seconds)
        await desk.settle_directory(a_directory(Line(version=1, line_number=number, inbox_id="support")))
        await desk.conclusions.find_missed_reroutes()
        while await desk.conclusions.route_again():
            pass
        assert len(await desk.outbox(TELEPHONY_COMMANDS.name)) == rung


async def test_a_caller_in_a_menu_gets_his_plan_when_he_queues(desk: Desk) -> None:
    desk.clock.now = at(100)
    assert commands(await desk.take(started(70, menu=True))) == []
    (command,) = commands(await desk.take(queued(90, "support")))
    assert (command["inbox_id"], command["layers"][0]["user_ids"]) == ("support", ["chloe"])
    assert commands(await desk.take(queued(95, "sales"))) == [command]


async def test_a_line_that_rings_itself_gets_no_command(desk: Desk) -> None:
    await desk.settle_directory(a_directory(Line(version=1, line_number=LINE, inbox_id="sales", rings_itself=True)))
    desk.clock.now = at(2)
    assert commands(await desk.take(started())) == []


async def test_who_talks_is_not_rung_and_when_nobody_is_left_the_caller_goes_to_voicemail(desk: Desk) -> None:
    desk.clock.now = at(12)
    await desk.take(placed(0, "out", user_id="ben"))
    await desk.take(started(1, "in"), answered(2, "anna", "in"))
    (command,) = commands(await desk.take(started(10)))
    assert command["layers"] == []
    (call,) = await desk.snapshots(ended(30))
    assert call["status"] == "missed"
    await desk.take(ended(11, call_id="out"))
    (next_command,) = commands(await desk.take(started(11, "c2")))
    assert next_command["layers"][0]["user_ids"] == ["ben"]


async def test_after_hours_goes_straight_to_voicemail_and_stays_with_the_call(desk: Desk) -> None:
    hours = BusinessHours.model_validate({"mon": [{"opens": "09:00", "closes": "12:00"}]})
    await desk.settle_directory(a_directory(inbox("sales", "anna", "ben", business_hours=hours)))
    desk.clock.now = at(2)
    outcome = await desk.take(started())
    assert commands(outcome)[0]["layers"] == []
    await desk.settle_directory(a_directory())
    (call,) = await desk.snapshots(ended(30))
    assert (call["after_hours"], call["status"]) == (True, "missed")


async def test_round_robin_shares_calls_evenly_between_replicas(open_desk: Callable[[], Any]) -> None:
    first, second = await open_desk(), await open_desk()
    team = ("anna", "ben", "chloe", "dan", "eve")
    layers = (RingLayer(mode="round_robin", users=team),)
    known = a_directory(*[user(name) for name in team], inbox("sales", *team, ring_layers=layers))
    await first.settle_directory(known)
    first.clock.now = second.clock.now = at(5)

    async def heads(desk: Desk, name: str) -> list[str]:
        found: list[str] = []
        for batch in range(10):
            outcome = await desk.take(*[started(1, f"{name}-{batch}-{i}") for i in range(5)])
            found += [command["layers"][0]["user_ids"][0] for command in commands(outcome)]
        return found

    headed = [*chain.from_iterable(await asyncio.gather(heads(first, "a"), heads(second, "b")))]
    counts = [headed.count(name) for name in team]
    assert sum(counts) == 100
    assert max(counts) - min(counts) <= 1


async def test_presence_is_the_last_one_written_by_time(desk: Desk) -> None:
    def says(seconds: float, status: str, **who: Any) -> Any:
        return event("user.presence", seconds, status=status, **(who or {"user_id": "anna"}))

    await desk.take(says(5, "away"), says(9, "busy"), says(7, "offline"))
    await desk.take(says(8, "available"))
    assert await desk.rows("SELECT user_id, status FROM presences") == [{"user_id": "anna", "status": "busy"}]
    await desk.take(says(10, "available", endpoint="sip:1001@pbx"), says(11, "away", endpoint="sip:nobody"))
    assert await desk.rows("SELECT user_id, status FROM presences") == [{"user_id": "anna", "status": "available"}]


async def test_an_outbound_call_and_text_of_telephonys_own_are_routed_by_their_line(desk: Desk) -> None:
    call, text = await desk.snapshots(placed(user_id="anna"), status(3, "delivered", **outbound()))
    assert (call["inbox_id"], text["inbox_id"]) == ("sales", "sales")
    assert (call["status"], text["status"]) == ("in_progress", "delivered")
