"""The figures of the reports: each one's name, formula, unit and meaning stand here and nowhere else (P5, P6).

OpenAPI, the tooltips of the HTML, and the page `docs/figures.md` repeat what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Final, Literal

from reporting.schedule import ReportKind
from reporting.voice import Call, Topic

SERVICE_LEVEL_WITHIN: Final = timedelta(seconds=20)
"""An answer within this keeps the service level."""

RESPONSE_WINDOW: Final = timedelta(days=7)
"""What is not answered within this was not answered, and the next message asks anew."""


class Unit(StrEnum):
    """What a figure counts in."""

    COUNT = "count"
    SHARE = "share"
    SECONDS = "seconds"
    SCORE = "score"


UNITS: Final = {
    Unit.COUNT: "a count",
    Unit.SHARE: "a share, 0 to 1",
    Unit.SECONDS: "seconds",
    Unit.SCORE: "a score, -1 to 1",
}
"""The units in words."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: the name in JSON and CSV, the words for readers, its unit, what counts, and how it is worked out.

    `sums` says that it is 0 where nothing happened; the others are not defined then.
    """

    name: str
    label: str
    unit: Unit
    meaning: str
    formula: str
    better: Literal["more", "less", "neither"] = "neither"
    sums: bool = False

    @property
    def of_nothing(self) -> float | None:
        """Its value where there was nothing at all."""
        return 0 if self.sums or self.unit is Unit.COUNT else None


DAILY_ACTIVITY: Final = (
    Figure(
        "calls_inbound",
        "Calls in",
        Unit.COUNT,
        "Inbound calls that began in the period.",
        "count of inbound calls",
    ),
    Figure(
        "calls_outbound",
        "Calls out",
        Unit.COUNT,
        "Outbound calls that began in the period.",
        "count of outbound calls",
    ),
    Figure(
        "answered",
        "Answered",
        Unit.COUNT,
        "Inbound calls that a person answered.",
        "count of inbound calls with `answered_at`",
        "more",
    ),
    Figure(
        "missed",
        "Missed",
        Unit.COUNT,
        "Inbound calls that rang, or came after hours, and ended unanswered without a recording; failed ones too.",
        "count of inbound calls with the status `missed` or `failed`",
        "less",
    ),
    Figure(
        "abandoned",
        "Abandoned",
        Unit.COUNT,
        "Inbound calls whose caller hung up in the greeting, the menu or the queue.",
        "count of inbound calls with the status `abandoned`",
        "less",
    ),
    Figure(
        "voicemails",
        "Voicemails",
        Unit.COUNT,
        "Unanswered inbound calls whose caller left a recording.",
        "count of inbound calls with the status `voicemail`",
    ),
    Figure(
        "messages_inbound",
        "Messages in",
        Unit.COUNT,
        "Messages received in the period.",
        "count of inbound messages",
    ),
    Figure(
        "messages_outbound",
        "Messages out",
        Unit.COUNT,
        "Messages sent in the period, automatic ones too.",
        "count of outbound messages",
    ),
    Figure(
        "answer_rate",
        "Answer rate",
        Unit.SHARE,
        "Answered of all inbound calls; none without an inbound call.",
        "`answered` / `calls_inbound`",
        "more",
    ),
    Figure(
        "service_level",
        "Service level",
        Unit.SHARE,
        "Inbound calls answered within 20 seconds, of all inbound calls; none without an inbound call.",
        "count of inbound calls with `answered_at` and `wait_seconds` ≤ 20, / `calls_inbound`",
        "more",
    ),
    Figure(
        "average_answer_seconds",
        "Average time to answer",
        Unit.SECONDS,
        "Mean wait of the answered inbound calls, from the queue (else the start) to the answer.",
        "mean of `wait_seconds` over `answered`",
        "less",
    ),
    Figure(
        "p90_answer_seconds",
        "Time to answer, 90 %",
        Unit.SECONDS,
        "Nine in ten answered inbound calls waited no longer than this.",
        "90th percentile of `wait_seconds` over `answered`, linear between two calls",
        "less",
    ),
    Figure(
        "talk_seconds",
        "Talk time",
        Unit.SECONDS,
        "From the answer to the end of every call, in and out, holds included; by user and team, each one's share.",
        "sum of `talk_seconds` of all calls; for a user, of the time between his `answered_at` and `left_at` within "
        "each call",
        sums=True,
    ),
    Figure(
        "first_response_seconds",
        "First response",
        Unit.SECONDS,
        "Mean time, by the clock, from a contact's message that nobody had yet answered to the first reply or call "
        "by a person, within 7 days; counted where the message came, by user and team for who responded.",
        "mean of (response - message) over the contacts' messages that open a turn and were answered",
        "less",
    ),
    Figure(
        "first_response_business_seconds",
        "First response in hours",
        Unit.SECONDS,
        "The same mean, counting only the time in which the inbox was open by its business hours of now; without "
        "business hours, the same as by the clock.",
        "mean of the open time within (message, response) over the same messages",
        "less",
    ),
    Figure(
        "unread_left",
        "Left unread",
        Unit.COUNT,
        "Communications of the inbox that were unread when the period ended, older ones too; what reached us only "
        "later counts unless a person had turned to the contact by then. By hour, what arrived in it; "
        "unread belongs to the inbox, so there is none by user and team.",
        "sum of each thread's unread count at the end of the period",
        "less",
    ),
)

VOICE_ANALYTICS: Final = (
    Figure(
        "calls_analysed",
        "Analysed calls",
        Unit.COUNT,
        "Calls that began in the period and of which an analysis is known: telephony's, or else our own.",
        "count of calls with a summary, sentiment, topics or talk times",
    ),
    Figure(
        "calls_analysed_by_us",
        "Analysed by us",
        Unit.COUNT,
        "Calls whose sentiment or topics our own analyser found in a transcript that came without an analysis.",
        "count of analysed calls whose sentiment or topics are our own",
    ),
    Figure(
        "positive_calls",
        "Positive",
        Unit.COUNT,
        "Analysed calls that felt positive.",
        "count of analysed calls with the sentiment label `positive`",
        "more",
    ),
    Figure(
        "neutral_calls",
        "Neutral",
        Unit.COUNT,
        "Analysed calls that felt neither way.",
        "count of analysed calls with the sentiment label `neutral`",
    ),
    Figure(
        "negative_calls",
        "Negative",
        Unit.COUNT,
        "Analysed calls that felt negative.",
        "count of analysed calls with the sentiment label `negative`",
        "less",
    ),
    Figure(
        "sentiment_score",
        "Sentiment",
        Unit.SCORE,
        "Mean sentiment of the analysed calls that have one, from -1 (negative) to 1 (positive).",
        "mean of the sentiment scores",
        "more",
    ),
    Figure(
        "agent_talk_share",
        "Agent's share of talk",
        Unit.SHARE,
        "How much of the talk was the agents', where the analysis tells the two apart.",
        "`agent_talk_seconds` / (`agent_talk_seconds` + `contact_talk_seconds`)",
    ),
    Figure(
        "contact_talk_share",
        "Contact's share of talk",
        Unit.SHARE,
        "How much of the talk was the contacts', where the analysis tells the two apart.",
        "`contact_talk_seconds` / (`agent_talk_seconds` + `contact_talk_seconds`)",
    ),
    Figure(
        "agent_talk_seconds",
        "Agents talked",
        Unit.SECONDS,
        "How long the agents talked.",
        "sum of the agents' talk times",
        sums=True,
    ),
    Figure(
        "contact_talk_seconds",
        "Contacts talked",
        Unit.SECONDS,
        "How long the contacts talked.",
        "sum of the contacts' talk times",
        sums=True,
    ),
    Figure(
        "worth_a_listen",
        "Worth a listen",
        Unit.COUNT,
        "Analysed calls that somebody should listen to: very negative or very positive ones, long holds, and calls "
        "in which the agent hardly listened.",
        "count of analysed calls with a sentiment of -0.5 or less or of 0.8 or more, 2 minutes or more on hold, or "
        "an agent's share of 80 % or more in a minute or more of talk",
    ),
)

FIGURES: Final[Mapping[ReportKind, tuple[Figure, ...]]] = {
    ReportKind.DAILY_ACTIVITY: DAILY_ACTIVITY,
    ReportKind.VOICE_ANALYTICS: VOICE_ANALYTICS,
}
"""The figures of each report, in the order in which they are shown. No name stands in both."""

BY_NAME: Final = {figure.name: figure for figures in FIGURES.values() for figure in figures}

UNATTRIBUTED: Final = frozenset({"unread_left"})
"""Figures that no user or team can have."""

Values = dict[str, float | None]
"""Figures by name; None where one is not defined, as a rate without calls."""


def nothing(kind: ReportKind = ReportKind.DAILY_ACTIVITY) -> Values:
    """The figures of no communications at all: counts and sums are 0, the rest is not defined."""
    return {figure.name: figure.of_nothing for figure in FIGURES[kind]}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a breakdown: an hour, a line, a user or a team."""

    key: str
    name: str
    values: Values


@dataclass(frozen=True, slots=True)
class Report:
    """A report of one inbox over the local dates `first` to `last`, both included.

    `topics`, `worth_a_listen` and `summaries` are voice analytics' alone; `names` are of the users and lines in them.
    """

    kind: ReportKind
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
    topics: tuple[Topic, ...] = ()
    worth_a_listen: tuple[Call, ...] = ()
    summaries: tuple[Call, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    filtered: bool = False

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures that every row of it has."""
        return FIGURES[self.kind]

    def without_contents(self) -> Report:
        """The same for a reader who may see how it went, but may not read the inbox's communications (I2)."""
        return replace(
            self,
            worth_a_listen=tuple(
                replace(call, contact_number=None, contact_name=None, summary=None) for call in self.worth_a_listen
            ),
            summaries=(),
        )

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

    kind: ReportKind = ReportKind.DAILY_ACTIVITY
    values: dict[tuple[str, str], Values] = field(default_factory=dict)

    def put(self, section: str, key: str, name: str, value: float | None) -> None:
        """Note one figure of one row."""
        self.values.setdefault((section, key), nothing(self.kind))[name] = value

    def totals(self) -> Values:
        """The figures over everything."""
        return self.values.get(("totals", ""), nothing(self.kind))

    def rows(self, section: str, shown: Mapping[str, str], others: Mapping[str, str] | None = None) -> tuple[Row, ...]:
        """The rows of a section, by key: always those `shown` (names by key), and whatever else was measured.

        What else was measured is named by `others`, or by its key.
        """
        names = {**(others or {}), **shown}
        measured = {key: values for (of, key), values in self.values.items() if of == section}
        rows = []
        for key in sorted(shown.keys() | measured.keys()):
            values = dict(measured.get(key, nothing(self.kind)))
            if section in ("by_user", "by_team"):
                values |= {name: None for name in values if name in UNATTRIBUTED}
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
        case Unit.SCORE:
            return f"{value:+.2f}".replace("-", "−")
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
        case Unit.SCORE:
            amount = f"{abs(difference):.2f}"
        case Unit.COUNT | Unit.SECONDS:
            amount = shown(figure, abs(difference))
    if figure.better == "neither":
        return Change(f"{sign}{amount} on last week", "neutral")
    improved = (difference > 0) == (figure.better == "more")
    return Change(f"{sign}{amount} on last week", "good" if improved else "bad")
