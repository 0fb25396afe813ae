"""An e-mail as the bytes that go over the wire (RFC 5322), from parts that are safe in headers.

The standard library encodes names, dates, bodies and attachments. Its message classes put only the attachments
together: for the rest they cost more than the whole sending does, most of it to parse and copy again what was
written a moment before. What they would refuse is refused here.
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.encoders import encode_base64
from email.mime.base import MIMEBase
from email.policy import compat32
from email.utils import format_datetime, formataddr, parseaddr
from functools import cache, lru_cache
from typing import Final

from contracts.emails import EmailRequested
from notification.wording import one_line

# A dot-atom at a domain (RFC 5322), in ASCII: mail servers that take more (RFC 6531) are too few to rely on.
_ADDRESS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}")
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CONTENT_TYPE: Final = re.compile(r"([A-Za-z0-9!#$&^_.+-]{1,64})/([A-Za-z0-9!#$&^_.+-]{1,64})")
_MAX_SUBJECT: Final = 250
# What can't stand in a header as it is: more than ASCII, and what would be read as an encoded word of RFC 2047.
_FOREIGN: Final = re.compile(r"[^\x00-\x7f]|=\?")
# Words with such, and the blanks between them: those between encoded words do not count (RFC 2047 §6.2).
_FOREIGN_WORDS: Final = re.compile(r"[^ ]*(?:[^\x00-\x7f]|=\?)[^ ]*(?: +[^ ]*(?:[^\x00-\x7f]|=\?)[^ ]*)*")
_WORD_BYTES: Final = 39
# Under RFC 5322's 998 characters; folded at 78, a long link would begin on the line after its header's name, which
# not every reader of List-Unsubscribe takes.
_MAX_LINE: Final = 900
_CONTROLS: Final = bytes({*range(32), 127} - {*b"\t\n"})
_WIRE: Final = compat32.clone(linesep="\r\n", max_line_length=_MAX_LINE)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name and an address."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with an e-mail. `content_type` without parameters.

    With a `content_id` it is a picture that the HTML shows as `cid:<content_id>` (RFC 2392).
    """

    filename: str
    content_type: str
    content: bytes
    content_id: str | None = None


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


@dataclass(frozen=True, slots=True)
class Handling:
    """What an e-mail tells mail programs of how to treat it.

    `unsubscribe`: the address that stops such e-mails (RFC 8058). `thread`: what the e-mails that belong
    together share; they point to a Message-ID of its own that no e-mail has (RFC 5322 §3.6.4).
    """

    unsubscribe: str | None = None
    thread: str | None = None


NO_HANDLING: Final = Handling()


def message_id(email_id: str, sender: Mailbox) -> str:
    """The Message-ID of an e-mail, the same in every attempt: what tells a duplicate."""
    return f"<{email_id}@{sender.address.rpartition('@')[2]}>"


def letter(
    content: Content,
    *,
    email_id: str,
    sender: Mailbox,
    recipient: Mailbox,
    date: datetime,
    handling: Handling = NO_HANDLING,
) -> bytes:
    """The e-mail in bytes: plain text and HTML with its pictures (RFC 2387) as alternatives, then the attachments.

    Raises ValueError for a recipient that is no address.
    """
    if not is_address(recipient.address):
        raise ValueError("the recipient's address is not one")
    pictures = [one for one in content.attachments if one.content_id is not None]
    files = [one for one in content.attachments if one.content_id is None]
    html = _text("html", content.html)
    if pictures:
        html = _multipart("related", f"=_related-{email_id}", [html, *map(_part, pictures)], '; type="text/html"')
    whole = _multipart("alternative", f"=_{email_id}", [_text("plain", content.text), html])
    if files:
        whole = _multipart("mixed", f"=_mixed-{email_id}", [whole, *map(_part, files)])
    headers = {
        "From": _shown(sender),
        "To": _shown(recipient),
        "Subject": _FOREIGN_WORDS.sub(lambda words: _encoded(words[0]), one_line(content.subject, _MAX_SUBJECT)),
        "Date": _date(date.replace(microsecond=0)),
        "Message-ID": message_id(email_id, sender),
        # RFC 3834, and the same for Exchange, which answers to machines otherwise.
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    if handling.thread:
        headers |= dict.fromkeys(("In-Reply-To", "References"), message_id(f"thread-{handling.thread}", sender))
    if handling.unsubscribe:
        headers |= {
            "List-Unsubscribe": f"<{handling.unsubscribe}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
    return _head(headers) + b"MIME-Version: 1.0\r\n" + whole


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
                content_id=_content_id(attachment.content_id, index),
            )
            for index, attachment in enumerate(request.attachments)
        ),
    )


@lru_cache(maxsize=4)
def _date(second: datetime) -> str:
    # Hundreds go in one second.
    return format_datetime(second)


@lru_cache(maxsize=1_000)
def _shown(one: Mailbox) -> str:
    name = one_line(one.name)
    return f"{_encoded(name)} <{one.address}>" if _FOREIGN.search(name) else formataddr((name, one.address))


def _encoded(line: str) -> str:
    """A line in encoded words of RFC 2047, none over its 75 characters."""
    words: list[bytes] = [b""]
    for character in line:
        encoded = character.encode()
        if len(words[-1]) + len(encoded) > _WORD_BYTES:
            words.append(b"")
        words[-1] += encoded
    return " ".join(f"=?utf-8?b?{base64.b64encode(word).decode()}?=" for word in words)


def _head(headers: Mapping[str, str]) -> bytes:
    """Header lines, each of them ended; folded between words where one would be longer than SMTP allows.

    Raises ValueError for a value that could end its line: whatever made it, nothing gets in after it.
    """
    lines: list[str] = []
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"the {name} header holds a line break, or what else can't stand in a header")
        line = f"{name}: {value}"
        if len(line) > _MAX_LINE:
            lines += textwrap.wrap(
                line, _MAX_LINE, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False
            )
        else:
            lines.append(line)
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def _text(subtype: str, text: str) -> bytes:
    """A text as it is, where it is printable ASCII in short lines; else in quoted-printable, which can't hold "=_"."""
    content = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    encoding = "7bit"
    if (
        not content.isascii()
        or b"=_" in content
        or len(content.translate(None, _CONTROLS)) != len(content)
        or max(map(len, content.split(b"\n"))) > _MAX_LINE
    ):
        content, encoding = binascii.b2a_qp(content, istext=True), "quoted-printable"
    return _text_head(subtype, encoding) + content.replace(b"\n", b"\r\n")


@cache
def _text_head(subtype: str, encoding: str) -> bytes:
    head = {"Content-Type": f'text/{subtype}; charset="utf-8"', "Content-Transfer-Encoding": encoding}
    return _head(head) + b"\r\n"


def _multipart(subtype: str, boundary: str, parts: Sequence[bytes], parameters: str = "") -> bytes:
    """Parts, each with its own head, as one (RFC 2046 §5.1).

    No part can hold "=_", with which every boundary begins: none ends before its time.
    """
    head = _head({"Content-Type": f'multipart/{subtype}; boundary="{boundary}"{parameters}'})
    delimiter = f"--{boundary}".encode("ascii")
    opened = b"".join(b"\r\n" + delimiter + b"\r\n" + part for part in parts)
    return head + opened + b"\r\n" + delimiter + b"--\r\n"


def _part(attachment: Attachment) -> bytes:
    main, _, sub = attachment.content_type.partition("/")
    part = MIMEBase(main, sub)
    part.set_payload(attachment.content)
    encode_base64(part)
    name = one_line(attachment.filename)
    if attachment.content_id is not None:
        part.add_header("Content-ID", f"<{attachment.content_id}>")
    shown = "attachment" if attachment.content_id is None else "inline"
    part.add_header("Content-Disposition", shown, filename=name if name.isascii() else ("utf-8", "", name))
    return part.as_bytes(policy=_WIRE)


def _content_type(text: str) -> str:
    plain = text.partition(";")[0].strip().lower()
    # A part of type multipart or message would be taken apart by the reader's program.
    if not _CONTENT_TYPE.fullmatch(plain) or plain.startswith(("multipart/", "message/")):
        return "application/octet-stream"
    return plain


def _content_id(text: str | None, index: int) -> str | None:
    if text is not None and not _ID.fullmatch(text):
        raise ValueError(f"attachments.{index}.content_id: is not an id")
    return text


def _decoded(content: str, index: int) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"attachments.{index}.content_base64: is not base64") from None
