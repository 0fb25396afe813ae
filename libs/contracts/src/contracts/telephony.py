"""What telephony systems report: the facts of calls and messages, and who is there (contract §2)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from contracts.fields import (
    CommunicationId,
    Data,
    Direction,
    Media,
    Name,
    RawNumber,
    Reference,
    Seconds,
    Text,
    Url,
)

Word = Annotated[str, StringConstraints(min_length=1, max_length=64)]
"""A word of a vocabulary that grows on the other side: kept when it is not known, never refused (A3)."""


class Placed(Data):
    """Where a communication took place; optional on every event but the first of its kind."""

    direction: Direction | None = None
    line_number: RawNumber | None = None
    contact_number: RawNumber | None = None


class Begun(Data):
    """Where a communication took place, on the events that must say so."""

    direction: Direction
    line_number: Annotated[RawNumber, StringConstraints(min_length=1)]
    contact_number: RawNumber | None


class CallStarted(Begun):
    """A call began. `menu`: the caller is in a menu and gets no ring plan until `queued` comes."""

    call_id: CommunicationId
    user_id: Reference | None = None
    endpoint: Reference | None = None
    menu: bool = False
    contact_name: Name | None = None
    forwarded_from: RawNumber | None = None


class CallQueued(Placed):
    """The caller now waits for agents, perhaps of a named inbox."""

    call_id: CommunicationId
    inbox_id: Reference | None = None
    queue: Name | None = None


class CallRinging(Placed):
    """The call rings at people."""

    call_id: CommunicationId
    user_ids: tuple[Reference, ...] = Field(default=(), max_length=500)
    endpoints: tuple[Reference, ...] = Field(default=(), max_length=500)

    @model_validator(mode="after")
    def _somebody_rings(self) -> CallRinging:
        if not self.user_ids and not self.endpoints:
            raise ValueError("user_ids or endpoints must name somebody")
        return self


class CallAnswered(Placed):
    """A person, not a machine, talks to the contact."""

    call_id: CommunicationId
    user_id: Reference | None = None
    endpoint: Reference | None = None


class CallLeg(Placed):
    """What became of one person's leg of the call; it never answers the call itself."""

    call_id: CommunicationId
    leg_id: Reference
    user_id: Reference | None = None
    endpoint: Reference | None = None
    number: RawNumber | None = None
    state: Literal["ringing", "answered", "declined", "no_answer", "held", "resumed", "left"]


class CallEnded(Placed):
    """The contact's leg ended. An `outcome` that we do not know counts as no report (M1)."""

    call_id: CommunicationId
    outcome: Word | None = None
    reason: Name | None = None


class VoicemailRecorded(Placed):
    """The caller left a recording."""

    call_id: CommunicationId
    recording_id: Reference | None = None
    recording_url: Url
    duration_seconds: Seconds
    transcript: Text | None = None


class VoicemailTranscribed(Placed):
    """What the caller said, in words."""

    call_id: CommunicationId
    recording_id: Reference | None = None
    transcript: Text


class RecordingAvailable(Placed):
    """The conversation was recorded."""

    call_id: CommunicationId
    recording_id: Reference | None = None
    recording_url: Url
    duration_seconds: Seconds


class Sentiment(Data):
    """How the conversation felt: a label and a score from -1 to 1."""

    label: Literal["positive", "neutral", "negative"]
    score: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


class TalkSeconds(Data):
    """How long each side talked."""

    agent: Seconds
    contact: Seconds


class CallAnalyzed(Placed):
    """What an analyser found in a call."""

    call_id: CommunicationId
    summary: Text | None = None
    sentiment: Sentiment | None = None
    topics: tuple[Name, ...] | None = Field(default=None, max_length=100)
    talk_seconds: TalkSeconds | None = None
    transcript: Text | None = None
    language: Word | None = None


class MessageReceived(Begun):
    """A text came in."""

    message_id: CommunicationId
    body: Text
    media: tuple[Media, ...] = Field(default=(), max_length=100)
    contact_name: Name | None = None


class MessageSent(Begun):
    """A text went out; without a user it was sent automatically."""

    message_id: CommunicationId
    body: Text | None = None
    user_id: Reference | None = None
    endpoint: Reference | None = None
    media: tuple[Media, ...] = Field(default=(), max_length=100)


class MessageStatus(Placed):
    """How far a text has come. A status that we do not know is kept and ranks as nothing (M2)."""

    message_id: CommunicationId
    status: Word
    error_code: Reference | None = None


class CommandRejected(Data):
    """A telephony system won't do what a command asked."""

    command_id: Reference
    reason: Name


class UserPresence(Data):
    """Whether a user can be rung now."""

    user_id: Reference | None = None
    endpoint: Reference | None = None
    status: Literal["available", "busy", "away", "offline"]

    @model_validator(mode="after")
    def _somebody_is_named(self) -> UserPresence:
        if not self.user_id and not self.endpoint:
            raise ValueError("user_id or endpoint must name somebody")
        return self


CallFact = (
    CallStarted
    | CallQueued
    | CallRinging
    | CallAnswered
    | CallLeg
    | CallEnded
    | VoicemailRecorded
    | VoicemailTranscribed
    | RecordingAvailable
    | CallAnalyzed
)
MessageFact = MessageReceived | MessageSent | MessageStatus

CALL_FACTS: Final[dict[str, type[Data]]] = {
    "telephony.call.started.v1": CallStarted,
    "telephony.call.queued.v1": CallQueued,
    "telephony.call.ringing.v1": CallRinging,
    "telephony.call.answered.v1": CallAnswered,
    "telephony.call.leg.v1": CallLeg,
    "telephony.call.ended.v1": CallEnded,
    "telephony.voicemail.recorded.v1": VoicemailRecorded,
    "telephony.voicemail.transcribed.v1": VoicemailTranscribed,
    "telephony.recording.available.v1": RecordingAvailable,
    "telephony.call.analyzed.v1": CallAnalyzed,
}
MESSAGE_FACTS: Final[dict[str, type[Data]]] = {
    "telephony.message.received.v1": MessageReceived,
    "telephony.message.sent.v1": MessageSent,
    "telephony.message.status.v1": MessageStatus,
}
EVENTS: Final[dict[str, type[Data]]] = {
    **CALL_FACTS,
    **MESSAGE_FACTS,
    "telephony.command.rejected.v1": CommandRejected,
    "telephony.user.presence.v1": UserPresence,
}
