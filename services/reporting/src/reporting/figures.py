"""The figures of the daily activity report: each one's name, unit and meaning stand here and nowhere else (P5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Final, Literal

SERVICE_LEVEL_WITHIN: Final = timedelta(seconds=20)
"""An answer within this keeps the service level."""

RESPONSE_WINDOW: Final = timedelta(days=7)
"""What is not answered within this was not answered, and the next message asks anew."""


class Unit(StrEnum):
    """What a figure counts in."""

    COUNT = "count"
    SHARE = "share"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: the name in JSON and CSV, the words for readers, its unit, and what exactly it says."""

    name: str
    label: str
    unit: Unit
    meaning: str
    better: Literal["more", "less", "neither"] = "neither"


FIGURES: Final = (
    Figure("calls_inbound", "Calls in", Unit.COUNT, "Inbound calls that began in the period."),
    Figure("calls_outbound", "Calls out", Unit.COUNT, "Outbound calls that began in the period."),
    Figure("answered", "Answered", Unit.COUNT, "Inbound calls that a person answered.", "more"),
    Figure(
        "missed",
        "Missed",
        Unit.COUNT,
        "Inbound calls that rang, or came after hours, and ended unanswered without a recording; failed ones too.",
        "less",
    ),
    Figure(
        "abandoned",
        "Abandoned",
        Unit.COUNT,
        "Inbound calls whose caller hung up in the greeting, the menu or the queue.",
        "less",
    ),
    Figure("voicemails", "Voicemails", Unit.COUNT, "Unanswered inbound calls whose caller left a recording."),
    Figure("messages_inbound", "Messages in", Unit.COUNT, "Messages received in the period."),
    Figure("messages_outbound", "Messages out", Unit.COUNT, "Messages sent in the period, automatic ones too."),
    Figure(
        "answer_rate",
        "Answer rate",
        Unit.SHARE,
        "Answered of all inbound calls, 0 to 1; none without an inbound call.",
        "more",
    ),
    Figure(
        "service_level",
        "Service level",
        Unit.SHARE,
        "Inbound calls answered within 20 seconds, of all inbound calls, 0 to 1; none without an inbound call.",
        "more",
    ),
    Figure(
        "average_answer_seconds",
        "Average time to answer",
        Unit.SECONDS,
        "Mean wait of the answered inbound calls, from the queue (else the start) to the answer.",
        "less",
    ),
    Figure(
        "p90_answer_seconds",
        "Time to answer, 90 %",
        Unit.SECONDS,
        "Nine in ten answered inbound calls waited no longer than this (linear between two calls).",
        "less",
    ),
    Figure(
        "talk_seconds",
        "Talk time",
        Unit.SECONDS,
        "From the answer to the end of every call, in and out, holds included; by user and team, each one's share.",
    ),
    Figure(
        "first_response_seconds",
        "First response",
        Unit.SECONDS,
        "Mean time, by the clock, from a contact's message that nobody had yet answered to the first reply or call "
        "by a person, within 7 days; counted where the message came, by user and team for who responded.",
        "less",
    ),
    Figure(
        "unread_left",
        "Left unread",
        Unit.COUNT,
        "Communications of the inbox that were unread when the period ended, older ones too; what reached us only "
        "later counts unless a person had turned to the contact by then. By hour, what arrived in it; "
        "unread belongs to the inbox, so there is none by user and team.",
        "less",
    ),
)

BY_NAME: Final = {figure.name: figure for figure in FIGURES}

UNATTRIBUTED: Final = frozenset({"unread_left"})
"""Figures that no user or team can have."""

Values = dict[str, float | None]
"""Figures by name; None where one is not defined, as a rate without calls."""


def nothing() -> Values:
    """The figures of no communications at all: counts and talk are 0, the rest is not defined."""
    return {
        figure.name: 0 if figure.unit is Unit.COUNT or figure.name == "talk_seconds" else None for figure in FIGURES
    }


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a breakdown: an hour, a line, a user or a team."""

    key: str
    name: str
    values: Values


@dataclass(frozen=True, slots=True)
class Report:
    """A daily activity report of one inbox over the local dates `first` to `last`, both included."""

    inbox_id: str
    inbox_name: str
    first: date
    last: date
    time_zone: str
    complete: bool
    totals: Values
    previous: Values
    by_hour: tuple[Row, ...] = ()
    by_line: tuple[Row, ...] = ()
    by_user: tuple[Row, ...] = ()
    by_team: tuple[Row, ...] = ()

    @property
    def sections(self) -> Mapping[str, tuple[Row, ...]]:
        """The breakdowns by their names in JSON and CSV."""
        return {
            "by_hour": self.by_hour,
            "by_line": self.by_line,
            "by_user": self.by_user,
            "by_team": self.by_team,
        }


@dataclass(slots=True)
class Measured:
    """Figures as they were measured, by section (`totals`, `by_hour`, …) and key."""

    values: dict[tuple[str, str], Values] = field(default_factory=dict)

    def put(self, section: str, key: str, name: str, value: float | None) -> None:
        """Note one figure of one row."""
        self.values.setdefault((section, key), nothing())[name] = value

    def totals(self) -> Values:
        """The figures over everything."""
        return self.values.get(("totals", ""), nothing())

    def rows(self, section: str, shown: Mapping[str, str], others: Mapping[str, str] | None = None) -> tuple[Row, ...]:
        """The rows of a section, by key: always those `shown` (names by key), and whatever else was measured.

        What else was measured is named by `others`, or by its key.
        """
        names = {**(others or {}), **shown}
        measured = {key: values for (of, key), values in self.values.items() if of == section}
        rows = []
        for key in sorted(shown.keys() | measured.keys()):
            values = dict(measured.get(key, nothing()))
            if section in ("by_user", "by_team"):
                values |= dict.fromkeys(UNATTRIBUTED)
            rows.append(Row(key, names.get(key, key), values))
        return tuple(rows)


HOURS: Final = {f"{hour:02d}": f"{hour:02d}:00" for hour in range(24)}
"""The rows of `by_hour`: the hours of the local clock. An hour that comes twice counts twice, one skipped is 0."""


def shown(figure: Figure, value: float | None) -> str:
    """A figure as a reader wants it: `87 %`, `1 h 05 min`, `12 s`, a dash where it is not defined."""
    if value is None:
        return "–"
    match figure.unit:
        case Unit.COUNT:
            return f"{round(value):,}"
        case Unit.SHARE:
            return f"{value * 100:.0f} %"
        case Unit.SECONDS:
            seconds = round(value)
            if seconds < 60:
                return f"{seconds} s"
            if seconds < 3_600:
                return f"{seconds // 60} min {seconds % 60:02d} s"
            return f"{seconds // 3_600} h {seconds % 3_600 // 60:02d} min"


@dataclass(frozen=True, slots=True)
class Change:
    """A figure against last week's: the words, and whether that is good, bad or neither."""

    text: str
    verdict: Literal["good", "bad", "neutral"]


def change(figure: Figure, now: float | None, before: float | None) -> Change:
    """How a figure moved within the week."""
    if now is None or before is None:
        return Change("no comparison", "neutral")
    difference = now - before
    if shown(figure, now) == shown(figure, before):
        return Change("same as last week", "neutral")
    sign = "+" if difference > 0 else "−"
    match figure.unit:
        case Unit.SHARE:
            amount = f"{abs(difference) * 100:.0f} points"
        case Unit.COUNT | Unit.SECONDS:
            amount = shown(figure, abs(difference))
    if figure.better == "neither":
        return Change(f"{sign}{amount} on last week", "neutral")
    improved = (difference > 0) == (figure.better == "more")
    return Change(f"{sign}{amount} on last week", "good" if improved else "bad")
