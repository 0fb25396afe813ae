"""E-mails as bytes: headers that nothing can break out of, both parts, attachments (N7)."""

from __future__ import annotations

import base64
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default

import pytest

from contracts.emails import Attachment as RequestedAttachment
from contracts.emails import EmailRequested, Recipient
from notification.letters import Attachment, Content, Handling, Mailbox, letter, mailbox, report_content
from tests.notification.words import NOW

WENDY = Mailbox("Wendy", "wendy@example.com")
SENDER = Mailbox("Connected Inbox", "inbox@example.com")
CONTENT = Content(subject="Missed call", text="Grüße\n", html="<p>Grüße</p>")


def read(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def a_letter(content: Content = CONTENT, to: Mailbox = WENDY) -> EmailMessage:
    return read(letter(content, email_id="e-1", sender=SENDER, recipient=to, date=NOW))


def test_an_email_has_both_parts_and_says_that_no_person_wrote_it() -> None:
    message = a_letter()
    assert message["Message-ID"] == "<e-1@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"] == "Connected Inbox <inbox@example.com>"
    assert message["To"] == "Wendy <wendy@example.com>"
    assert message["Date"] == "Mon, 02 Mar 2026 09:30:00 +0000"
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().strip() == "Grüße"
    assert html.get_content().strip() == "<p>Grüße</p>"


@pytest.mark.parametrize(
    "evil", ["x\r\nBcc: everybody@example.com", "x\nBcc: a@b.c\n\nbody", "x\x0b\x85\u2028Bcc: a@b.c"]
)
def test_no_header_can_be_injected_by_a_subject_or_a_name(evil: str) -> None:
    content = Content(subject=evil, text="", html="", attachments=(Attachment(evil, "text/csv", b"a,b"),))
    message = a_letter(content, Mailbox(evil, "wendy@example.com"))
    assert message["Bcc"] is None
    assert message["Subject"].startswith("x")
    assert set(message.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress",
        "MIME-Version", "Content-Type",
    }  # fmt: skip


@pytest.mark.parametrize(
    "address",
    [
        "",
        "wendy",
        "wendy@example.com\r\nRCPT TO:<x@y.z>",
        "a b@example.com",
        "jörg@example.com",
        "<a@b.c>",
        "a@b.c,d@e.f",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        letter(CONTENT, email_id="e-1", sender=SENDER, recipient=Mailbox("Wendy", address), date=NOW)


def test_names_and_subjects_beyond_ascii_arrive_as_they_are() -> None:
    subject = "Verpasster Anruf von Jörg Müller-Lüdenscheidt (+15550100) · Kundendienst für Österreich und Übersee"
    message = a_letter(Content(subject=subject, text="", html=""), Mailbox("Jörg", "joerg@example.com"))
    assert message["Subject"] == subject
    assert message["To"] == "Jörg <joerg@example.com>"


@pytest.mark.parametrize(
    "text",
    [
        "Missed call from =?utf-8?b?RXZpbA==?= · Sales",
        "=?utf-8?q?Bcc=3A_a=40b.c?=",
        "=?=?",
        "Grüße an Müller & Söhne",
        "Message from 李小龍 李小龍 (+1 212 555 0100) · Ventas ñandú",
        "ü" * 200,
    ],
)
def test_a_subject_or_name_is_read_as_it_was_written_even_where_it_looks_encoded(text: str) -> None:
    to = Mailbox(text[:60], "wendy@example.com")
    raw = letter(Content(text, "", ""), email_id="e-1", sender=SENDER, recipient=to, date=NOW)
    assert read(raw)["Subject"] == text
    # Python's parser of addresses keeps the blanks between encoded words, which RFC 2047 §6.2 drops.
    shown = make_header(decode_header(message_from_bytes(raw)["To"]))
    assert str(shown) == f"{text[:60]} <wendy@example.com>"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\nand short", "7bit"),
        ("Grüße", "quoted-printable"),
        ("a" * 901, "quoted-printable"),
        ("x\n--=_e-1\nContent-Type: text/html\n\nforged", "quoted-printable"),
        ("a bell\a", "quoted-printable"),
    ],
)
def test_what_is_short_ascii_goes_as_it_is_and_nothing_can_end_its_part(text: str, encoding: str) -> None:
    message = a_letter(Content(subject="s", text=text, html="<p>x</p>"))
    parts = list(message.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    assert parts[0]["Content-Transfer-Encoding"] == encoding
    assert parts[0].get_content().replace("\r\n", "\n").rstrip("\n") == text


def test_no_line_is_longer_than_smtp_allows() -> None:
    raw = letter(
        Content(subject="ü" * 250, text="x" * 5_000, html="é" * 5_000),
        email_id="e-1",
        sender=SENDER,
        recipient=WENDY,
        date=NOW,
    )
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_an_email_can_be_stopped_in_one_click_and_belongs_to_a_thread() -> None:
    link = "https://inbox.example.com/v1/unsubscribe/v1." + "x" * 400
    raw = letter(
        CONTENT,
        email_id="e-1",
        sender=SENDER,
        recipient=WENDY,
        date=NOW,
        handling=Handling(unsubscribe=link, thread="t-1"),
    )
    assert f"List-Unsubscribe: <{link}>\r\n".encode() in raw
    message = read(raw)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["References"] == message["In-Reply-To"] == "<thread-t-1@example.com>"
    assert message["Message-ID"] == "<e-1@example.com>"


def test_a_link_cannot_carry_a_header_in() -> None:
    handling = Handling(unsubscribe="https://a.example/\r\nBcc: x@y.z")
    with pytest.raises(ValueError, match="line break"):
        letter(CONTENT, email_id="e-1", sender=SENDER, recipient=WENDY, date=NOW, handling=handling)


def test_a_sender_may_have_a_name() -> None:
    assert mailbox("Connected Inbox <inbox@example.com>") == SENDER
    assert mailbox("inbox@example.com") == Mailbox("", "inbox@example.com")
    with pytest.raises(ValueError, match="e-mail address"):
        mailbox("nobody")


def a_report(content_base64: str = base64.b64encode(b"day,calls").decode(), **recipient: str) -> EmailRequested:
    return EmailRequested(
        email_id="r-1",
        inbox_id="support",
        report="daily_activity",
        date="2026-03-01",
        recipient=Recipient(**({"user_id": "wendy", "address": "wendy@example.com", "name": "Wendy"} | recipient)),
        subject="Daily activity",
        html="<p>Calls: 7</p>",
        text="Calls: 7",
        attachments=(
            RequestedAttachment(filename="report.csv", content_type="text/csv", content_base64=content_base64),
        ),
    )


def test_a_report_goes_with_its_attachments() -> None:
    message = a_letter(report_content(a_report()))
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "report.csv"
    assert attachment.get_content_type() == "text/csv"
    assert attachment.get_payload(decode=True) == b"day,calls"


def with_a_picture(content_id: str = "calls-by-hour") -> EmailRequested:
    report = a_report()
    picture = RequestedAttachment(
        filename="calls-by-hour.png",
        content_type="image/png",
        content_base64=base64.b64encode(b"\x89PNG").decode(),
        content_id=content_id,
    )
    return report.model_copy(update={"attachments": (picture, *report.attachments)})


def test_a_picture_of_the_html_travels_with_the_html_and_is_no_attachment() -> None:
    message = a_letter(report_content(with_a_picture()))

    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "report.csv"
    (alternatives, _) = message.iter_parts()
    assert [part.get_content_type() for part in alternatives.iter_parts()] == ["text/plain", "multipart/related"]
    html = message.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<p>Calls: 7</p>"
    (picture,) = (part for part in message.walk() if part.get_content_type() == "image/png")
    assert picture["Content-ID"] == "<calls-by-hour>"
    assert picture.get_content_disposition() == "inline"
    assert picture.get_payload(decode=True) == b"\x89PNG"


def test_a_content_id_that_would_break_a_header_is_refused() -> None:
    with pytest.raises(ValueError, match=r"attachments\.0\.content_id"):
        report_content(with_a_picture("x>\r\nBcc: everybody@example.com"))


def test_a_report_that_can_never_be_sent_names_the_field() -> None:
    with pytest.raises(ValueError, match=r"attachments\.0\.content_base64"):
        report_content(a_report("not base64!"))
    with pytest.raises(ValueError, match=r"recipient\.address"):
        report_content(a_report(address="nobody"))
