"""What the API answers, made from what is stored."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel
from pydantic_core import from_json

from contracts.communications import CommunicationChanged
from inbox_state.read_state import is_unread
from inbox_state.storage.lists import ShownCommunication, ShownThread

View = Literal["threaded", "unthreaded"]


class PanelRow(BaseModel):
    """One inbox of the panel (I1). `access` is `admin` only where the account lets admins see all."""

    inbox_id: str
    name: str
    access: Literal["personal", "connected", "watching", "admin"]
    unread: int
    active_calls: int
    last_activity_at: datetime | None


class Panel(BaseModel):
    """Every inbox that the caller may see."""

    items: list[PanelRow]


class CommunicationRow(CommunicationChanged):
    """A communication: its newest snapshot, and where it stands."""

    thread_id: str
    inbox_name: str
    unread: bool
    active: bool


class ThreadRow(BaseModel):
    """A contact in an inbox, with the latest communication (I3).

    Of two rows of a thread, that with the higher `version` is the newer one, whatever brought it.
    """

    thread_id: str
    inbox_id: str
    inbox_name: str
    contact_number: str
    contact_name: str | None
    unread: int
    active_call: bool
    send_failed: bool
    last_activity_at: datetime
    version: int
    latest: CommunicationRow


def communication_row(shown: ShownCommunication, inbox_name: str) -> CommunicationRow:
    """A stored communication as the API shows it; a name that somebody gave beats telephony's (I17)."""
    row = shown.row
    snapshot = from_json(row.document or "{}")
    if shown.name is not None:
        snapshot["contact_name"] = shown.name
    snapshot |= {
        "thread_id": row.thread_id,
        "inbox_name": inbox_name,
        "unread": is_unread(row, shown.marks),
        "active": row.active,
    }
    return CommunicationRow.model_validate(snapshot)


def thread_row(shown: ShownThread, inbox_name: str) -> ThreadRow:
    """A stored thread as the API shows it."""
    thread = shown.thread
    latest = communication_row(shown.latest, inbox_name)
    return ThreadRow(
        thread_id=thread.thread_id,
        inbox_id=thread.inbox_id,
        inbox_name=inbox_name,
        contact_number=thread.contact_number,
        # A name that somebody gave, or what telephony said last: a reply says nothing of it (I17).
        contact_name=shown.latest.name or thread.contact_name,
        unread=thread.unread,
        active_call=thread.active_calls > 0,
        send_failed=thread.send_failed,
        last_activity_at=thread.last_activity_at or latest.activity_at,
        version=thread.version,
        latest=latest,
    )
