"""What inbox_state says: threads as they change, and what people asked for (contract §2)."""

from __future__ import annotations

from typing import Final

from contracts.fields import Data, Instant, Media


class ThreadChanged(Data):
    """One thread as it now is. `unread` counts communications."""

    thread_id: str
    inbox_id: str
    contact_number: str
    unread: int
    active_calls: int
    last_activity_at: Instant | None = None
    version: int


class MessageRequested(Data):
    """A connected user asked for a text to be sent: all of the request, a fact for routing."""

    message_id: str
    inbox_id: str
    line_number: str
    contact_number: str
    user_id: str
    body: str
    media: tuple[Media, ...] = ()
    requested_at: Instant
    command_id: str
    expires_at: Instant


class CallRequested(Data):
    """A connected user asked for a call to be placed: all of the request, a fact for routing."""

    call_id: str
    inbox_id: str
    line_number: str
    contact_number: str
    user_id: str
    requested_at: Instant
    command_id: str
    expires_at: Instant


class AutoMarkAsRead(Data):
    """What has been unread for longer than `after_hours` becomes read (I9)."""

    enabled: bool
    after_hours: int


class AutomationsChanged(Data):
    """An inbox's automations as they now are (I8, I9)."""

    inbox_id: str
    auto_mark_as_read: AutoMarkAsRead
    manual_mark_as_read_only: bool
    changed_at: Instant


class ContactNamed(Data):
    """Somebody gave a contact a name: readers keep the newest by `(named_at, id)` (I17)."""

    contact_number: str
    name: str
    named_at: Instant


THREAD_CHANGED: Final = "inbox.thread.changed.v1"
MESSAGE_REQUESTED: Final = "inbox.message.requested.v1"
CALL_REQUESTED: Final = "inbox.call.requested.v1"
AUTOMATIONS_CHANGED: Final = "inbox.automations.changed.v1"
CONTACT_NAMED: Final = "inbox.contact.named.v1"

EVENTS: Final[dict[str, type[Data]]] = {
    THREAD_CHANGED: ThreadChanged,
    MESSAGE_REQUESTED: MessageRequested,
    CALL_REQUESTED: CallRequested,
    AUTOMATIONS_CHANGED: AutomationsChanged,
    CONTACT_NAMED: ContactNamed,
}
