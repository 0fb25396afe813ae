"""An e-mail as the bytes that go over the wire (RFC 5322), from parts that are safe in headers.

Built with the standard library's older classes: the newer ones parse each header as they write it, at four
times the cost for the same bytes. What they would refuse is refused here.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from email.charset import QP, Charset
from email.encoders import encode_base64
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import format_datetime, formataddr, parseaddr
from typing import Final

from contracts.emails import EmailRequested
from notification.wording import one_line

# A dot-atom at a domain (RFC 5322), in ASCII: mail servers that take more (RFC 6531) are too few to rely on.
_ADDRESS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}")
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CONTENT_TYPE: Final = re.compile(r"([A-Za-z0-9!#$&^_.+-]{1,64})/([A-Za-z0-9!#$&^_.+-]{1,64})")
_MAX_SUBJECT: Final = 250
_WORD_BYTES: Final = 39
_WIRE: Final = compat32.clone(linesep="\r\n")
_UTF8: Final = Charset("utf-8")
_UTF8.body_encoding = QP


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name and an address."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with an e-mail. `content_type` without parameters."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """What an e-mail says, in both parts."""

    subject: str
    text: str
    html: str
    attachments: tuple[Attachment, ...] = ()


def mailbox(text: str) -> Mailbox:
    """A mailbox written as `Name <address>` or as an address. Raises ValueError for anything else."""
    name, address = parseaddr(text)
    if not is_address(address):
        raise ValueError("is not an e-mail address, or a name and an address in <>")
    return Mailbox(one_line(name), address)


def is_address(address: str) -> bool:
    """Whether this can be sent to without quoting: one local part, one domain, no blanks or breaks."""
    return _ADDRESS.fullmatch(address) is not None


def message_id(email_id: str, sender: Mailbox) -> str:
    """The Message-ID of an e-mail, the same in every attempt: what tells a duplicate."""
    return f"<{email_id}@{sender.address.rpartition('@')[2]}>"


def letter(content: Content, *, email_id: str, sender: Mailbox, recipient: Mailbox, date: datetime) -> bytes:
    """The e-mail in bytes: plain text and HTML as alternatives, then the attachments.

    Raises ValueError for a recipient that is no address.
    """
    if not is_address(recipient.address):
        raise ValueError("the recipient's address is not one")
    # Neither quoted-printable nor base64 can hold "=_": no part can end before its time.
    message = MIMEMultipart("alternative", boundary=f"=_{email_id}")
    for subtype, text in (("plain", content.text), ("html", content.html)):
        part = MIMENonMultipart("text", subtype)
        part.set_payload(text, _UTF8)
        message.attach(part)
    if content.attachments:
        alternatives = message
        message = MIMEMultipart("mixed", boundary=f"=_mixed-{email_id}")
        message.attach(alternatives)
        for attachment in content.attachments:
            message.attach(_part(attachment))
    headers = {
        "From": _shown(sender),
        "To": _shown(recipient),
        "Subject": _encoded(one_line(content.subject, _MAX_SUBJECT)),
        "Date": format_datetime(date),
        "Message-ID": message_id(email_id, sender),
        "Auto-Submitted": "auto-generated",
    }
    for name, value in headers.items():
        # The standard library lets some crafted headers through before 3.11.15: refused here, whatever made them.
        if "\r" in value or "\n" in value:
            raise ValueError(f"the {name} header holds a line break")
        message[name] = value
    return message.as_bytes(policy=_WIRE)


def report_content(request: EmailRequested) -> Content:
    """A report's e-mail as reporting asks for it. Raises ValueError that names the field which can't be sent."""
    if not _ID.fullmatch(request.email_id):
        raise ValueError("email_id: is not an id")
    if not is_address(request.recipient.address):
        raise ValueError("recipient.address: is not an e-mail address")
    return Content(
        subject=request.subject,
        text=request.text,
        html=request.html,
        attachments=tuple(
            Attachment(
                filename=attachment.filename,
                content_type=_content_type(attachment.content_type),
                content=_decoded(attachment.content_base64, index),
            )
            for index, attachment in enumerate(request.attachments)
        ),
    )


def _shown(one: Mailbox) -> str:
    name = one_line(one.name)
    return formataddr((name, one.address)) if name.isascii() else f"{_encoded(name)} <{one.address}>"


def _encoded(line: str) -> str:
    """A line as it stands in a header: as it is, or in words of RFC 2047, none over its 75 characters."""
    if line.isascii():
        return line
    words: list[bytes] = [b""]
    for character in line:
        encoded = character.encode()
        if len(words[-1]) + len(encoded) > _WORD_BYTES:
            words.append(b"")
        words[-1] += encoded
    return " ".join(f"=?utf-8?b?{base64.b64encode(word).decode()}?=" for word in words)


def _part(attachment: Attachment) -> MIMEBase:
    main, _, sub = attachment.content_type.partition("/")
    part = MIMEBase(main, sub)
    part.set_payload(attachment.content)
    encode_base64(part)
    name = one_line(attachment.filename)
    part.add_header("Content-Disposition", "attachment", filename=name if name.isascii() else ("utf-8", "", name))
    return part


def _content_type(text: str) -> str:
    plain = text.partition(";")[0].strip().lower()
    # A part of type multipart or message would be taken apart by the reader's program.
    if not _CONTENT_TYPE.fullmatch(plain) or plain.startswith(("multipart/", "message/")):
        return "application/octet-stream"
    return plain


def _decoded(content: str, index: int) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"attachments.{index}.content_base64: is not base64") from None
