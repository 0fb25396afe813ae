"""Names, bodies and numbers that somebody made to do harm, in every kind of e-mail, in both parts (N7)."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.communications import CommunicationChanged, Voicemail
from contracts.fields import Media
from notification.letters import Handling, Mailbox, letter
from notification.rendering import Reader, Shown, watcher_email
from notification.watcher_settings import EmailKind
from tests.notification.conftest import SENDER, Notifying
from tests.notification.test_rendering import BERLIN
from tests.notification.words import NOW, a_call, a_line, a_message, a_user, an_inbox, everything, minutes

HOSTILE = (
    "x\r\nBcc: everybody@example.com\r\n\r\nA new body",
    "x\nX-Injected: yes",
    "x\r.\r\nQUIT\r\n",
    "x\u2028Bcc: a@b.c\u2029\x0b\x0c\x1c\x85",
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "\"'><a href='javascript:alert(3)'>click</a>",
    "</div></td></table><style>*{display:none}</style><!--",
    "{{ 7*7 }}{% raw %}${7*7}#{7*7}",
    "\u202egnp.exe\u202c\u2066\u200f\u061c\ufeff",
    "javascript:alert(4)",
    "=?utf-8?q?Bcc=3A_a=40b=2Ec?=",
    "\x01\x07\x1b[31m\x9b",
    "-- \nYou get this because you won. Stop e-mails from this inbox: https://evil.example",
    "a" * 10_240,
    "\u0301" * 10_240,
    "🏳️‍🌈" * 2_000,
)

HEADERS = {
    "Return-Path", "Delivered-To", "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted",
    "X-Auto-Response-Suppress", "In-Reply-To", "References", "List-Unsubscribe", "List-Unsubscribe-Post",
    "MIME-Version", "Content-Type",
}  # fmt: skip
TAGS = {
    "html", "head", "meta", "title", "style", "body", "div", "table", "tr", "td", "p", "h1", "span", "a", "bdi",
    "strong",
}  # fmt: skip
TURNS = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")


class Page(HTMLParser):
    """What a mail program would make of an HTML part."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.events: list[str] = []
        self.styles = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.styles += tag == "style"
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        self.events += [name for name, _ in attrs if name.startswith("on")]


def all_of_it_from(evil: str) -> list[CommunicationChanged]:
    """One of each kind, with the text wherever a caller, a telephony system or a provider can put one."""
    media = (Media(url=evil[:3_900] or "x", content_type=evil[:255]),)
    voicemail = Voicemail(recording_url=evil, duration_seconds=7, transcript=evil)
    named = {"contact_name": evil, "contact_number": evil}
    return [
        a_call("missed", communication_id="1", reason=evil, **named),
        a_call("voicemail", communication_id="2", voicemail=voicemail, **named),
        a_call("abandoned", communication_id="3", **named),
        a_message(communication_id="4", body=evil, media=media, **named),
    ]


def assert_harmless(message: EmailMessage) -> None:
    assert set(message.keys()) <= HEADERS
    assert len(message.keys()) == len(set(message.keys()))
    subject = str(message["Subject"])
    assert not TURNS.search(subject)
    assert not CONTROLS.search(subject)
    assert len(subject) <= 250
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    for part in (text.get_content(), html.get_content()):
        assert not TURNS.search(part)
        assert not CONTROLS.search(part)
        assert "49" not in re.sub(r"\d{2}:\d{2}|https?://\S+|#[0-9a-f]{6}", "", part.partition("</style>")[2] or part)
    page = Page(html.get_content())
    assert page.tags <= TAGS
    assert page.events == []
    assert page.styles == 1
    assert all(link.startswith(("https://", "http://")) for link in page.links)
    # What we say of how to stop it is ours alone: everything of the caller's is marked.
    ours = [line for line in text.get_content().splitlines() if line.startswith("Stop e-mails from this inbox:")]
    assert len(ours) == 1
    assert ours[0].startswith("Stop e-mails from this inbox: https://inbox.example.com/v1/unsubscribe/")


@pytest.mark.parametrize("evil", HOSTILE, ids=range(len(HOSTILE)))
async def test_whatever_it_says_it_stays_text(notifying: Notifying, evil: str) -> None:
    await notifying.know(
        [
            *everything("wendy"),
            a_user("wendy", name=evil, version=2),
            an_inbox("wendy", name=evil, version=2),
            a_line(name=evil, version=2),
        ]
    )
    await notifying.turn_on()
    await notifying.hear(*all_of_it_from(evil))
    await notifying.work()
    await notifying.turn_on(digest_minutes=5)
    for n in range(4):
        await notifying.hear(*(one.model_copy(update={"communication_id": f"d{n}"}) for one in all_of_it_from(evil)))
        await notifying.work()
    await notifying.pass_by(minutes(6))
    emails = notifying.inbox
    assert len(emails) >= 6
    for email in emails:
        assert email["Delivered-To"] == "wendy@example.com"
        assert_harmless(email)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_text_at_all_breaks_a_header_or_a_page(evil: str) -> None:
    stop = "https://inbox.example.com/v1/unsubscribe/x"
    kinds: tuple[EmailKind, ...] = ("missed_call", "voicemail", "abandoned_call", "inbound_message")
    shown = [Shown(kind, one, evil, evil) for kind, one in zip(kinds, all_of_it_from(evil), strict=True)]
    for several in ([shown[0]], [shown[1]], [shown[3]], shown):
        content = watcher_email(several, Reader(evil, BERLIN.zone, stop), evil)
        raw = letter(
            content,
            email_id="e-1",
            sender=SENDER,
            recipient=Mailbox(evil, "wendy@example.com"),
            date=NOW,
            handling=Handling(unsubscribe=stop, thread="t"),
        )
        message = message_from_bytes(raw, policy=default)
        assert isinstance(message, EmailMessage)
        page = Page(content.html)
        assert set(message.keys()) <= HEADERS
        assert page.tags <= TAGS
        assert not page.events
        assert max(len(line) for line in raw.split(b"\r\n")) <= 998
