"""What reporting asks notification to send: one request per recipient (contract §2)."""

from __future__ import annotations

from typing import Final, Literal
from uuid import UUID, uuid5

from contracts.fields import Data

ReportKind = Literal["daily_activity", "voice_analytics"]

_EMAILS: Final = UUID("6f2a1a39-5d0c-5b6e-9b8e-0a51a3c1f0d7")


class Recipient(Data):
    """Who gets an e-mail."""

    user_id: str
    address: str
    name: str


class Attachment(Data):
    """A file that goes with an e-mail; with a `content_id`, a picture that the HTML shows as `cid:<content_id>`."""

    filename: str
    content_type: str
    content_base64: str
    content_id: str | None = None


class EmailRequested(Data):
    """A report's e-mail to one recipient, sent once under its `email_id`."""

    email_id: str
    inbox_id: str
    report: ReportKind
    date: str
    recipient: Recipient
    subject: str
    html: str
    text: str
    attachments: tuple[Attachment, ...] = ()


REQUESTED: Final = "email.requested.v1"

EVENTS: Final[dict[str, type[Data]]] = {REQUESTED: EmailRequested}


def report_email_id(account_id: str, inbox_id: str, report: str, date: str, user_id: str) -> str:
    """The id of a report's e-mail: the same for the same account, inbox, report, date and user."""
    return str(uuid5(_EMAILS, f"{account_id}/{inbox_id}/{report}/{date}/{user_id}"))
