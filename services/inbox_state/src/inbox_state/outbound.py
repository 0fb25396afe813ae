"""What goes out of an inbox: with which number, to whom (I13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from contracts.directory import Line
from contracts.numbers import is_e164, normalise, region_of


@dataclass(frozen=True, slots=True)
class Chosen:
    """The line that a reply or call goes out on."""

    line: Line


@dataclass(frozen=True, slots=True)
class NoLine:
    """The inbox has no number of its own, so nothing can be sent from it."""


@dataclass(frozen=True, slots=True)
class NotOfThisInbox:
    """The number that was asked for is no line of this inbox: answers would land elsewhere."""


Choice = Chosen | NoLine | NotOfThisInbox


def choose_line(lines: Sequence[Line], *, asked: str | None, latest: str | None) -> Choice:
    """The number to use, so that answers come back to the inbox (I13).

    `lines` are the inbox's own; `latest` is the line of the contact's latest communication in it. In this
    order: the number asked for, the latest one, the primary line, the lowest number.
    """
    if not lines:
        return NoLine()
    by_number = {line.line_number: line for line in lines}
    if asked is not None:
        wanted = by_number.get(normalise(asked, region_of(lines[0].line_number)))
        return Chosen(wanted) if wanted else NotOfThisInbox()
    if latest is not None and latest in by_number:
        return Chosen(by_number[latest])
    primary = [line for line in lines if line.primary]
    return Chosen(min(primary or lines, key=lambda line: line.line_number))


def recipient_of(to: str, lines: Sequence[Line]) -> str | None:
    """The number to send to or call, None for a contact that can't be answered: withheld, or no real number."""
    region = region_of(lines[0].line_number) if lines else None
    number = normalise(to.replace(" ", "+", 1) if to.startswith(" ") else to, region)
    return number if is_e164(number) else None


def because_of(choice: NoLine | NotOfThisInbox) -> str:
    """Why nothing can be sent, for the person who tried."""
    match choice:
        case NoLine():
            return "the inbox has no line of its own, so nothing can be sent from it"
        case NotOfThisInbox():
            return "is not a line of this inbox"
        case _:
            assert_never(choice)
