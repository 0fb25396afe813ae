"""What the figures need of a communication, taken from its snapshot."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple

from contracts.communications import CommunicationAnalyzed, CommunicationChanged
from contracts.numbers import ANONYMOUS
from contracts.threads import thread_id

Turn = Literal["contact", "agent"]
"""Whose turn of the conversation a communication was."""

_NOT_DELIVERED: Final = frozenset({"failed", "undelivered"})


class TalkShare(NamedTuple):
    """How long one user talked in a call, holds included."""

    user_id: str
    seconds: float


class Fact(NamedTuple):
    """One communication, one row. The fields stand in the order of the table's columns."""

    account_id: str
    communication_id: str
    version: int
    inbox_id: str
    line_number: str
    contact_number: str
    thread_id: str | None
    kind: str
    direction: str
    status: str
    user_id: str | None
    started_at: datetime
    answered_at: datetime | None
    wait_seconds: float | None
    talk_seconds: float | None
    talk_shares: tuple[TalkShare, ...]
    turn: Turn | None
    turn_at: datetime | None
    unread_at: datetime | None
    received_at: datetime
    contact_name: str | None
    held_seconds: float


class Transcript(NamedTuple):
    """What was said in a call that telephony did not analyse. Of one version, the higher `rank` is the fuller text."""

    account_id: str
    communication_id: str
    version: int
    rank: int
    text: str
    language: str | None


class Analysis(NamedTuple):
    """What an analyser found in one call. The fields stand in the order of the table's columns."""

    account_id: str
    communication_id: str
    version: int
    summary: str | None
    sentiment_label: str | None
    sentiment_score: float | None
    topics: tuple[str, ...] | None
    agent_seconds: float | None
    contact_seconds: float | None
    transcript: str | None
    language: str | None


def fact_of(account_id: str, snapshot: CommunicationChanged) -> Fact:
    """The row of a snapshot. The thread is named only where it can count as unread."""
    turn, turn_at = turn_of(snapshot)
    return Fact(
        account_id=account_id,
        communication_id=snapshot.communication_id,
        version=snapshot.version,
        inbox_id=snapshot.inbox_id,
        line_number=snapshot.line_number,
        contact_number=snapshot.contact_number,
        thread_id=(
            thread_id(account_id, snapshot.inbox_id, snapshot.contact_number, snapshot.communication_id)
            if snapshot.unread_at
            else None
        ),
        kind=snapshot.kind,
        direction=snapshot.direction,
        status=snapshot.status,
        user_id=snapshot.user_id,
        started_at=snapshot.started_at,
        answered_at=snapshot.answered_at,
        wait_seconds=snapshot.wait_seconds,
        talk_seconds=snapshot.talk_seconds,
        talk_shares=talk_shares_of(snapshot),
        turn=turn,
        turn_at=turn_at,
        unread_at=snapshot.unread_at,
        received_at=snapshot.received_at,
        contact_name=snapshot.contact_name,
        held_seconds=sum(participant.held_seconds for participant in snapshot.participants),
    )


def transcript_of(account_id: str, source: CommunicationChanged | CommunicationAnalyzed) -> Transcript | None:
    """What our own analyser has to read: a voicemail's transcript, or a call's that came without an analysis (P6)."""
    match source:
        case CommunicationChanged(voicemail=voicemail) if voicemail is not None and voicemail.transcript:
            rank, text, language = 0, voicemail.transcript, None
        case CommunicationAnalyzed(transcript=str() as text, language=language) if (
            text and source.sentiment is None and source.topics is None
        ):
            rank = 1
        case _:
            return None
    return Transcript(account_id, source.communication_id, source.version, rank, text, language)


def analysis_of(account_id: str, found: CommunicationAnalyzed) -> Analysis:
    """The row of an analysis."""
    return Analysis(
        account_id=account_id,
        communication_id=found.communication_id,
        version=found.version,
        summary=found.summary,
        sentiment_label=found.sentiment.label if found.sentiment else None,
        sentiment_score=found.sentiment.score if found.sentiment else None,
        topics=found.topics,
        agent_seconds=found.talk_seconds.agent if found.talk_seconds else None,
        contact_seconds=found.talk_seconds.contact if found.talk_seconds else None,
        transcript=found.transcript,
        language=found.language,
    )


def turn_of(snapshot: CommunicationChanged) -> tuple[Turn | None, datetime | None]:
    """Whose turn it was, and when: what the time to a first response is taken from.

    The contact's turn is a message. The agent's turn is what I7 calls agent activity: a person's reply, a
    person's call, or the answering of the contact's call. Automatic messages and replies that failed answer
    nobody, and nobody can answer a withheld number.
    """
    if snapshot.contact_number == ANONYMOUS:
        return None, None
    match snapshot.kind, snapshot.direction:
        case "message", "inbound":
            return "contact", snapshot.started_at
        case "message", "outbound" if snapshot.user_id and snapshot.status not in _NOT_DELIVERED:
            return "agent", snapshot.started_at
        case "call", "outbound" if snapshot.user_id:
            return "agent", snapshot.started_at
        case "call", "inbound" if snapshot.answered_at:
            return "agent", snapshot.answered_at
        case _:
            return None, None


def talk_shares_of(snapshot: CommunicationChanged) -> tuple[TalkShare, ...]:
    """How long each user talked in an ended call (M6): after a transfer, both.

    A share lies within the call's own talk time. Where nobody is known to have picked up, the talk is the
    user's whose call it is.
    """
    began, ended = snapshot.answered_at, snapshot.ended_at
    if snapshot.kind != "call" or began is None or ended is None:
        return ()
    seconds: dict[str, float] = {}
    for participant in snapshot.participants:
        if participant.user_id is None or participant.answered_at is None:
            continue
        # An agent's leg may be up before the contact answers, and may be left dangling after the end.
        joined = max(participant.answered_at, began)
        left = min(participant.left_at or ended, ended)
        talked = max((left - joined).total_seconds(), 0.0)
        seconds[participant.user_id] = seconds.get(participant.user_id, 0.0) + talked
    if not seconds and snapshot.user_id:
        seconds[snapshot.user_id] = max((ended - began).total_seconds(), 0.0)
    return tuple(TalkShare(user_id, talked) for user_id, talked in seconds.items())
