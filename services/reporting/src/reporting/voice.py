"""What voice analytics shows beside its figures: topics, summaries, and the calls worth a listen with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

VERY_NEGATIVE: Final = -0.5
"""A sentiment score of this or less makes a call worth a listen."""

VERY_POSITIVE: Final = 0.8
"""A sentiment score of this or more makes a call one to learn from."""

HELD_LONG: Final = timedelta(minutes=2)
"""A contact who was on hold for this long or longer, all together."""

ONE_SIDED: Final = 0.8
"""An agent who talked this share of the time or more hardly listened."""

ONE_SIDED_FROM: Final = timedelta(minutes=1)
"""Shorter talk says nothing about who listened."""

MOST_TOPICS: Final = 20
MOST_CALLS: Final = 20
MOST_SUMMARIES: Final = 50


@dataclass(frozen=True, slots=True)
class Topic:
    """What calls were about: how many, and how they felt on average."""

    topic: str
    calls: int
    sentiment_score: float | None


@dataclass(frozen=True, slots=True)
class Call:
    """An analysed call. What it was about (contact, summary) is None for a reader who may not read the inbox."""

    communication_id: str
    started_at: datetime
    direction: str
    line_number: str
    user_id: str | None
    contact_number: str | None
    contact_name: str | None
    talk_seconds: float | None
    held_seconds: float
    sentiment_label: str | None
    sentiment_score: float | None
    agent_seconds: float | None
    contact_seconds: float | None
    summary: str | None
    is_by_us: bool

    @property
    def agent_share(self) -> float | None:
        """The agent's share of the talk."""
        if self.agent_seconds is None or self.contact_seconds is None:
            return None
        talked = self.agent_seconds + self.contact_seconds
        return self.agent_seconds / talked if talked else None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a call is worth a listen: a word for programs, and a sentence for readers."""

    name: str
    words: str


def reasons(call: Call) -> tuple[Reason, ...]:
    """Every reason to listen to a call, the gravest first; none for an ordinary call."""
    found = []
    if call.sentiment_score is not None and call.sentiment_score <= VERY_NEGATIVE:
        found.append(Reason("very_negative", f"very negative ({call.sentiment_score:+.2f})"))
    if call.held_seconds >= HELD_LONG.total_seconds():
        found.append(Reason("long_hold", f"{_minutes(call.held_seconds)} on hold"))
    share = call.agent_share
    talked = (call.agent_seconds or 0) + (call.contact_seconds or 0)
    if share is not None and share >= ONE_SIDED and talked >= ONE_SIDED_FROM.total_seconds():
        found.append(Reason("one_sided", f"the agent talked {share * 100:.0f} % of the time"))
    if call.sentiment_score is not None and call.sentiment_score >= VERY_POSITIVE:
        found.append(Reason("very_positive", f"very positive ({call.sentiment_score:+.2f})"))
    return tuple(found)


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02d} s"
