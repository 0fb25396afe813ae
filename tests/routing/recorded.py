"""Recorded sequences: what real telephony systems send, read from `sequences` and turned into events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from contracts import inbox_events, telephony
from contracts.envelope import Event
from contracts.fields import Data
from contracts.topics import INBOX_EVENTS, TELEPHONY_EVENTS, Topic
from routing.directory import Directory
from tests.routing.building import ACCOUNT, CONTACT, LINE, a_directory, user

FOLDER: Final = Path(__file__).parent / "sequences"
SYSTEMS: Final = ("twilio", "asterisk", "freeswitch", "kamailio")
TYPES: Final[Mapping[str, type[Data]]] = {**telephony.EVENTS, **inbox_events.EVENTS}


def endpoints_of(user_id: str, extension: int) -> tuple[str, ...]:
    """What each of the systems calls a user."""
    return (f"client:{user_id}", f"PJSIP/{extension}", f"sip:{extension}@pbx")


def directory_with_endpoints() -> Directory:
    """The directory of `a_directory`, with every user's endpoints in every system."""
    people = ("anna", "ben", "chloe")
    return a_directory(*(user(name, endpoints=endpoints_of(name, 1001 + n)) for n, name in enumerate(people)))


@dataclass(frozen=True)
class Step:
    """One callback: when it happened, when the broker had it (seconds after the beginning), and what it becomes."""

    at: float
    arrived: float
    native: str
    event_id: str
    type: str | None
    data: dict[str, Any]
    ignored: str | None


@dataclass(frozen=True)
class Sequence:
    """One file."""

    name: str
    system: str
    story: str
    sources: list[dict[str, str]]
    id: str
    kind: str
    steps: list[Step]
    expected: dict[str, Any]

    def events(self, beginning: datetime) -> Iterator[tuple[Event[Any], datetime]]:
        """The events in the order in which they arrive, with their append times."""
        for step in self.steps:
            if step.type is not None:
                data = dict(step.data)
                data[f"{self.kind}_id"] = self.id
                if step.type in inbox_events.EVENTS:
                    data |= self._request(beginning + timedelta(seconds=step.at))
                event: Event[Any] = Event(
                    id=f"{self.name}/{step.event_id}",
                    source=f"/{self.system}",
                    type=step.type,
                    time=beginning + timedelta(seconds=step.at),
                    account_id=ACCOUNT,
                    data=TYPES[step.type].model_validate(data),
                )
                yield event, beginning + timedelta(seconds=step.arrived)

    def _request(self, requested_at: datetime) -> dict[str, Any]:
        return {
            "inbox_id": "sales",
            "line_number": LINE,
            "contact_number": CONTACT,
            "requested_at": requested_at,
            "command_id": f"command-{self.id}",
            "expires_at": requested_at + timedelta(seconds=60),
        }


def topic_of(event: Event[Any]) -> Topic:
    """Where an event arrives."""
    return INBOX_EVENTS if event.type in inbox_events.EVENTS else TELEPHONY_EVENTS


def sequences() -> list[Sequence]:
    """Every file, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.yaml"))]


def _read(path: Path) -> Sequence:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    steps = [_step(number, step) for number, step in enumerate(document.pop("events"))]
    return Sequence(name=path.stem, steps=steps, **document)


def _step(number: int, step: dict[str, Any]) -> Step:
    place: dict[str, Any] = {}
    if direction := step.pop("placed", None):
        place = {"direction": direction, "line_number": LINE, "contact_number": CONTACT}
    return Step(
        event_id=step.pop("id", str(number)),
        data=place | step.pop("data", {}),
        type=step.pop("type", None),
        ignored=step.pop("ignored", None),
        **step,
    )


def told(snapshot: Mapping[str, Any], expected: Mapping[str, Any], beginning: datetime) -> dict[str, Any]:
    """What a snapshot says of the things that are expected, in the words of the files."""
    return {name: _in_words(name, snapshot.get(name), beginning) for name in expected}


def _in_words(name: str, value: Any, beginning: datetime) -> Any:
    if value is None:
        return None
    if name.endswith("_at"):
        return round((datetime.fromisoformat(value) - beginning).total_seconds(), 3)
    if name == "participants":
        # Nobody on hold is told as nothing, so that the files hold only what happened.
        return [
            {key: _in_words(key, one[key], beginning) for key in one if not (key == "held_seconds" and not one[key])}
            for one in value
        ]
    return value
