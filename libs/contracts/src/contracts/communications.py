"""What routing says of a call or message: always a full snapshot, with a version that only grows (contract §2)."""

from __future__ import annotations

from typing import Final, Literal

from contracts.fields import Data, Direction, Instant, Kind, Media
from contracts.telephony import Sentiment, TalkSeconds

CallStatus = Literal[
    "queued",
    "ringing",
    "in_progress",
    "completed",
    "voicemail",
    "abandoned",
    "failed",
    "missed",
    "busy",
    "no_answer",
]
MessageStatus = Literal["queued", "sending", "sent", "failed", "undelivered", "delivered", "received"]
Status = Literal[
    "queued",
    "ringing",
    "in_progress",
    "completed",
    "voicemail",
    "abandoned",
    "failed",
    "missed",
    "busy",
    "no_answer",
    "sending",
    "sent",
    "undelivered",
    "delivered",
    "received",
]

ACTIVE_CALL: Final = frozenset({"ringing", "in_progress"})
"""The statuses of a call that stands on top of the list; a requested one (`queued`) is not pinned (M1)."""


class Participant(Data):
    """Who of ours had to do with a call, and when (M6)."""

    user_id: str | None = None
    number: str | None = None
    rang_at: Instant | None = None
    answered_at: Instant | None = None
    declined_at: Instant | None = None
    left_at: Instant | None = None
    held_seconds: float = 0


class Voicemail(Data):
    """The recording that a caller left."""

    recording_url: str | None = None
    duration_seconds: float | None = None
    transcript: str | None = None


class CommunicationChanged(Data):
    """One call or message as it now is. `inbox_id` is never null: the unrouted are not published."""

    communication_id: str
    kind: Kind
    direction: Direction
    status: Status
    inbox_id: str
    line_number: str
    contact_number: str
    contact_name: str | None = None
    user_id: str | None = None
    participants: tuple[Participant, ...] = ()
    requested_at: Instant | None = None
    started_at: Instant
    queued_at: Instant | None = None
    ringing_at: Instant | None = None
    answered_at: Instant | None = None
    ended_at: Instant | None = None
    activity_at: Instant
    unread_at: Instant | None = None
    received_at: Instant
    body: str | None = None
    media: tuple[Media, ...] = ()
    voicemail: Voicemail | None = None
    recording_url: str | None = None
    wait_seconds: float | None = None
    talk_seconds: float | None = None
    after_hours: bool | None = None
    outcome: str | None = None
    reason: str | None = None
    error_code: str | None = None
    provider_status: str | None = None
    version: int


class CommunicationAnalyzed(Data):
    """What an analyser found in a call."""

    communication_id: str
    summary: str | None = None
    sentiment: Sentiment | None = None
    topics: tuple[str, ...] | None = None
    talk_seconds: TalkSeconds | None = None
    transcript: str | None = None
    language: str | None = None
    version: int


CHANGED: Final = "communication.changed.v1"
ANALYZED: Final = "communication.analyzed.v1"

EVENTS: Final[dict[str, type[Data]]] = {
    CHANGED: CommunicationChanged,
    ANALYZED: CommunicationAnalyzed,
}
