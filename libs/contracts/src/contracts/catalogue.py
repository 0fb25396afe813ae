"""Every event of the contract: on which topic it travels, what its data is, and examples of it.

The examples are files beside this module, `examples/<type>.json` and `examples/<type>--<case>.json`: whole
CloudEvents in structured mode. Those of a released version decode for ever (architecture §7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

import orjson

from contracts import commands, communications, directory, emails, inbox_events, telephony
from contracts.fields import Data
from contracts.topics import (
    COMMUNICATION_EVENTS,
    DIRECTORY_EVENTS,
    EMAIL_REQUESTS,
    INBOX_EVENTS,
    TELEPHONY_COMMANDS,
    TELEPHONY_EVENTS,
    Topic,
)

CATALOGUE: Final[Mapping[Topic, Mapping[str, type[Data]]]] = MappingProxyType(
    {
        TELEPHONY_EVENTS: telephony.EVENTS,
        TELEPHONY_COMMANDS: commands.EVENTS,
        COMMUNICATION_EVENTS: communications.EVENTS,
        DIRECTORY_EVENTS: directory.EVENTS,
        INBOX_EVENTS: inbox_events.EVENTS,
        EMAIL_REQUESTS: emails.EVENTS,
    }
)
"""The models of the data of all event types, by topic."""

MODELS: Final[Mapping[str, type[Data]]] = MappingProxyType(
    {event_type: model for types in CATALOGUE.values() for event_type, model in types.items()}
)
"""The same by event type alone: a type travels on one topic only."""


@dataclass(frozen=True, slots=True)
class Example:
    """One golden example. `case` is empty for a type's plain example, else what is odd about it."""

    type: str
    case: str
    document: dict[str, Any]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return f"{self.type}--{self.case}" if self.case else self.type


def topic_of(event_type: str) -> Topic:
    """The topic on which events of this type travel. Raises `KeyError` for a type that it does not have."""
    for topic, types in CATALOGUE.items():
        if event_type in types:
            return topic
    raise KeyError(event_type)


def examples() -> tuple[Example, ...]:
    """All golden examples, ordered by name: a type's plain one comes before its odd cases."""
    found = []
    for file in resources.files("contracts").joinpath("examples").iterdir():
        if file.name.endswith(".json"):
            event_type, _, case = file.name.removesuffix(".json").partition("--")
            found.append(Example(event_type, case, orjson.loads(file.read_bytes())))
    return tuple(sorted(found, key=lambda example: example.name))
