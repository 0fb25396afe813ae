"""The stand-in telephony does what commands ask, once, in time, and for its own system only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest

from contracts import commands
from contracts.commands import Command, PlaceCall, Ring, RingLayer, SendMessage
from contracts.envelope import Event, decode
from contracts.telephony import EVENTS
from contracts.topics import TELEPHONY_COMMANDS, TELEPHONY_EVENTS
from devstack import stand_in
from service_kit.clock import utc_now
from service_kit.publishing import Publisher
from tests.support.topics import FreshTopics
from tests.support.waiting import eventually

PAUSE = timedelta(minutes=10)


def a_text(command_id: str = "command-1", *, system: str = "default", expires_in: timedelta = PAUSE) -> SendMessage:
    return SendMessage(
        command_id=command_id,
        system=system,
        expires_at=utc_now() + expires_in,
        message_id=f"message-of-{command_id}",
        from_number="+12125550100",
        to_number="+16175550123",
        body="Hello",
        media=(),
        user_id="anna",
    )


def a_ring(*user_ids: str) -> Ring:
    layer = RingLayer(mode="simultaneous", user_ids=user_ids, endpoints={}, ring_seconds=30)
    return Ring(
        command_id="command-2",
        system="default",
        expires_at=utc_now() + PAUSE,
        call_id="c1",
        inbox_id="support",
        layers=(layer,) if user_ids else (),
        otherwise="voicemail",
    )


def types_of(command: Command) -> list[str]:
    return [happening.type.removeprefix("telephony.").removesuffix(".v1") for happening in stand_in.reaction(command)]


def test_a_text_is_sent_and_delivered() -> None:
    assert types_of(a_text()) == ["message.sent", "message.status", "message.status", "message.status"]


def test_the_first_of_a_ring_plan_answers() -> None:
    assert types_of(a_ring("ben", "anna")) == ["call.ringing", "call.answered", "call.ended"]
    answered = stand_in.reaction(a_ring("ben", "anna"))[1].data
    assert answered.user_id == "ben"  # type: ignore[attr-defined]  # an answered call has a user


def test_a_ring_of_nobody_goes_to_the_greeting() -> None:
    assert types_of(a_ring()) == ["call.ended"]


def test_a_placed_call_is_answered_and_ends() -> None:
    placed = PlaceCall(
        command_id="command-3",
        system="default",
        expires_at=utc_now() + PAUSE,
        call_id="c2",
        from_number="+12125550100",
        to_number="+16175550123",
        user_id="anna",
        endpoints=(),
    )
    assert types_of(placed) == ["call.started", "call.answered", "call.ended"]


@pytest.mark.parametrize("command", [a_text(), a_ring("anna"), a_ring()])
def test_what_happens_happens_in_order(command: Command) -> None:
    delays = [happening.after for happening in stand_in.reaction(command)]
    assert delays == sorted(delays)


@asynccontextmanager
async def serving(kafka: FreshTopics) -> AsyncIterator[list[str]]:
    """A stand-in for the system `default`; gives what it says."""
    said: list[str] = []
    publisher = Publisher(kafka.settings, client_id="tests")
    await publisher.open()
    serving = asyncio.create_task(stand_in.serve(kafka.settings, publisher, utc_now, "default", said.append))
    try:
        await eventually(lambda: "listening" in said)
        yield said
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        await publisher.close()


def as_event(command: Command) -> tuple[bytes, Event[Command]]:
    event = Event(command.command_id, "/tests", commands.SEND_MESSAGE, utc_now(), "acme", command)
    return command.command_id.encode(), event


async def test_commands_are_taken_once_in_time_and_only_of_its_own_system(kafka: FreshTopics) -> None:
    async with serving(kafka):
        await kafka.publish(
            TELEPHONY_COMMANDS,
            as_event(a_text("expired", expires_in=timedelta(seconds=-1))),
            as_event(a_text("of-another", system="other-pbx")),
            as_event(a_text("wanted")),
            as_event(a_text("wanted")),
        )
        records = await kafka.records(TELEPHONY_EVENTS, at_least=4)
    reported = [decode(record.value, record.headers, EVENTS) for record in records]
    assert {event.data.message_id for event in reported if isinstance(event, Event)} == {"message-of-wanted"}
    assert sorted(event.id for event in reported if isinstance(event, Event)) == [f"wanted/{n}" for n in range(4)]
    assert {event.account_id for event in reported if isinstance(event, Event)} == {"acme"}
