"""What telephony systems are asked to do (contract §2). A command is taken once, and never after it expires."""

from __future__ import annotations

from typing import Final, Literal

from contracts.fields import Data, Instant, Media

RingMode = Literal["simultaneous", "round_robin", "random", "longest_idle"]


class Command(Data):
    """`system` is the line's telephony system; a telephony side takes only its own."""

    command_id: str
    system: str
    expires_at: Instant


class RingLayer(Data):
    """Users in ringing order: all at once for `ring_seconds`, or one after another in the other modes."""

    mode: RingMode
    user_ids: tuple[str, ...]
    endpoints: dict[str, tuple[str, ...]]
    ring_seconds: int


class Ring(Command):
    """Ring these people for an inbound call (R4). Expires 60 s after the append of what called for it."""

    call_id: str
    inbox_id: str
    layers: tuple[RingLayer, ...]
    otherwise: Literal["voicemail", "hangup"]


class PlaceCall(Command):
    """Connect a user with a contact. Expires after 60 s."""

    call_id: str
    from_number: str
    to_number: str
    user_id: str
    endpoints: tuple[str, ...]


class SendMessage(Command):
    """Send a text. Expires after 10 minutes."""

    message_id: str
    from_number: str
    to_number: str
    body: str
    media: tuple[Media, ...]
    user_id: str


RING: Final = "telephony.ring.v1"
PLACE_CALL: Final = "telephony.place_call.v1"
SEND_MESSAGE: Final = "telephony.send_message.v1"

EVENTS: Final[dict[str, type[Data]]] = {
    RING: Ring,
    PLACE_CALL: PlaceCall,
    SEND_MESSAGE: SendMessage,
}
