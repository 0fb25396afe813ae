"""Calls and texts that keep coming, so that what somebody looks at is alive.

`scene` is pure: randomness gives what happens next, each event with the delay after which it does. Calls that ring
people are answered by the stand-in; what nobody is to answer stays in a menu.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Final

from contracts import telephony
from contracts.envelope import Event
from contracts.fields import Data
from devstack import phrases
from devstack.stand_in import Happening, outgoing
from service_kit.clock import Clock, Identify
from service_kit.publishing import Publisher

SOURCE: Final = "/telephony/traffic"
PAUSE_SECONDS: Final = (3.0, 12.0)
_KNOWN_SHARE: Final = 0.6
_MOST_CONTACTS: Final = 200


@dataclass(slots=True)
class Callers:
    """Who calls: people who did before, and now and then somebody new, with a number kept for fiction."""

    random: Random
    known: list[tuple[str, str]] = field(default_factory=list)

    def one(self) -> tuple[str, str]:
        """A number and a name."""
        if self.known and self.random.random() < _KNOWN_SHARE:
            return self.random.choice(self.known)
        name = f"{self.random.choice(phrases.FIRST_NAMES)} {self.random.choice(phrases.LAST_NAMES)}"
        number = f"+44{self.random.choice(('20794601', '11349601', '16149601'))}{self.random.randrange(100):02}"
        if len(self.known) < _MOST_CONTACTS:
            self.known.append((number, name))
        return number, name


def scene(random: Random, callers: Callers, lines: Sequence[str], identify: Identify) -> list[Happening]:
    """What happens next: a text, a call that rings, or one that ends in voicemail or unanswered."""
    line = random.choice(lines)
    number, name = callers.one()
    kind = random.choices(("text", "call", "voicemail", "missed"), (55, 25, 12, 8))[0]
    if kind == "text":
        received = telephony.MessageReceived(
            message_id=f"traffic-{identify()}",
            direction="inbound",
            line_number=line,
            contact_number=number,
            contact_name=name,
            body=random.choice(phrases.QUESTIONS),
        )
        return [_after(0, "telephony.message.received.v1", received)]
    call_id = f"traffic-{identify()}"
    started = telephony.CallStarted(
        call_id=call_id,
        direction="inbound",
        line_number=line,
        contact_number=number,
        contact_name=name,
        menu=kind != "call",
    )
    happenings = [_after(0, "telephony.call.started.v1", started)]
    if kind == "call":
        return happenings
    waits = random.uniform(8, 25)
    if kind == "voicemail":
        recorded = telephony.VoicemailRecorded(
            call_id=call_id,
            recording_url=f"https://recordings.example.com/{call_id}.mp3",
            duration_seconds=round(random.uniform(6, 40)),
            transcript=random.choice(phrases.VOICEMAILS),
        )
        happenings.append(_after(waits, "telephony.voicemail.recorded.v1", recorded))
    outcome = "voicemail" if kind == "voicemail" else "missed"
    ended = telephony.CallEnded(call_id=call_id, outcome=outcome)
    return [*happenings, _after(waits + 0.5, "telephony.call.ended.v1", ended)]


async def keep_coming(
    account_id: str,
    lines: Sequence[str],
    publisher: Publisher,
    clock: Clock,
    identify: Identify,
    random: Random,
    say: Callable[[str], None],
) -> None:
    """One scene after another on these lines, a few seconds apart, until cancelled."""
    callers = Callers(random)

    async def play(happenings: Sequence[Happening]) -> None:
        began = clock()
        for happening in happenings:
            at = began + happening.after
            await asyncio.sleep(max(0.0, (at - clock()).total_seconds()))
            event = Event(identify(), SOURCE, happening.type, clock(), account_id, happening.data)
            await publisher.publish([outgoing(event, clock())])
            say(happening.type)

    async with asyncio.TaskGroup() as tasks:
        while True:
            tasks.create_task(play(scene(random, callers, lines, identify)))
            await asyncio.sleep(random.uniform(*PAUSE_SECONDS))


def _after(seconds: float, event_type: str, data: Data) -> Happening:
    return Happening(timedelta(seconds=seconds), event_type, data)
