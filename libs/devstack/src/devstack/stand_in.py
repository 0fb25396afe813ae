"""A stand-in for a telephony system: it does what commands ask, and reports it as events.

`reaction` is pure: a command gives the events that a system would report, each with the delay after which it
happens. `serve` runs it on Kafka until it is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

from contracts import commands, telephony
from contracts.commands import Command, PlaceCall, Ring, SendMessage
from contracts.envelope import Event, Poison, decode
from contracts.fields import Data
from contracts.topics import TELEPHONY_COMMANDS, TELEPHONY_EVENTS
from devstack.simulator import record_of
from service_kit.clock import Clock
from service_kit.publishing import Outgoing, Publisher
from service_kit.settings import KafkaSettings

SOURCE: Final = "/telephony/stand-in"
TALK: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that the system will report, `after` the command was taken."""

    after: timedelta
    type: str
    data: Data


def reaction(command: Command) -> Sequence[Happening]:
    """What happens on a command: texts are delivered, people who are rung answer, placed calls are answered.

    A ring that names nobody goes to a voicemail greeting; the caller hangs up.
    """
    match command:
        case SendMessage():
            return (
                _happens(
                    0.2,
                    "telephony.message.sent.v1",
                    telephony.MessageSent(
                        message_id=command.message_id,
                        direction="outbound",
                        line_number=command.from_number,
                        contact_number=command.to_number,
                        body=command.body,
                        user_id=command.user_id,
                    ),
                ),
                *(
                    _happens(
                        seconds,
                        "telephony.message.status.v1",
                        telephony.MessageStatus(message_id=command.message_id, status=status),
                    )
                    for seconds, status in ((0.3, "queued"), (0.8, "sent"), (2.0, "delivered"))
                ),
            )
        case PlaceCall():
            return (
                _happens(
                    0.2,
                    "telephony.call.started.v1",
                    telephony.CallStarted(
                        call_id=command.call_id,
                        direction="outbound",
                        line_number=command.from_number,
                        contact_number=command.to_number,
                        user_id=command.user_id,
                    ),
                ),
                *_talk(command.call_id, command.user_id, 5.0),
            )
        case Ring():
            first = next((user for layer in command.layers for user in layer.user_ids), None)
            if first is None:
                ended = telephony.CallEnded(call_id=command.call_id, outcome="voicemail")
                return (_happens(8.0, "telephony.call.ended.v1", ended),)
            ringing = telephony.CallRinging(call_id=command.call_id, user_ids=command.layers[0].user_ids)
            return (
                _happens(0.3, "telephony.call.ringing.v1", ringing),
                *_talk(command.call_id, first, 4.0),
            )
        case _:
            return ()


async def serve(
    settings: KafkaSettings, publisher: Publisher, clock: Clock, system: str, say: Callable[[str], None]
) -> None:
    """Take the commands of one telephony `system` from now on, until cancelled; expired ones are left alone.

    Each command is taken once by this process. `say` is told of what is done, without numbers or texts.
    """
    consumer = AIOKafkaConsumer(
        TELEPHONY_COMMANDS.named(settings.topic_prefix),
        **settings.connection(),
        enable_auto_commit=False,
        auto_offset_reset="latest",
    )
    await consumer.start()
    # Where "now" is would be looked up with the first fetch only: what comes before that would be passed over.
    await consumer.seek_to_end()
    for partition in consumer.assignment():
        await consumer.position(partition)
    say("listening")
    taken: set[str] = set()
    try:
        async with asyncio.TaskGroup() as tasks:
            async for record in consumer:
                try:
                    event = decode(record.value, record.headers, commands.EVENTS)
                except Poison as poison:
                    say(f"passed over a command: {poison.detail}")
                    continue
                if not isinstance(event, Event) or not isinstance(event.data, Command):
                    continue
                command = event.data
                if command.system != system or command.command_id in taken or command.expires_at <= clock():
                    continue
                taken.add(command.command_id)
                say(f"took {event.type}")
                tasks.create_task(_report(event, command, publisher, clock))
    finally:
        await consumer.stop()


async def _report(event: Event[Any], command: Command, publisher: Publisher, clock: Clock) -> None:
    taken_at = clock()
    for number, happening in enumerate(reaction(command)):
        at = taken_at + happening.after
        await asyncio.sleep(max(0.0, (at - clock()).total_seconds()))
        reported = Event(
            id=f"{command.command_id}/{number}",
            source=SOURCE,
            type=happening.type,
            time=at.astimezone(UTC),
            account_id=event.account_id,
            data=happening.data,
        )
        await publisher.publish([outgoing(reported, at)])


def outgoing(event: Event[Data], at: datetime) -> Outgoing:
    """A telephony event as a record to publish, in structured mode."""
    record = record_of(event, at)
    return Outgoing(TELEPHONY_EVENTS.name, record.key, record.value, record.headers)


def _happens(seconds: float, event_type: str, data: Data) -> Happening:
    return Happening(timedelta(seconds=seconds), event_type, data)


def _talk(call_id: str, user_id: str, after: float) -> tuple[Happening, ...]:
    return (
        _happens(after, "telephony.call.answered.v1", telephony.CallAnswered(call_id=call_id, user_id=user_id)),
        _happens(
            after + TALK.total_seconds(),
            "telephony.call.ended.v1",
            telephony.CallEnded(call_id=call_id, outcome="completed"),
        ),
    )
