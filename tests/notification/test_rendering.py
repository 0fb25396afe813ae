"""What watchers read: the facts, in their zone, with everything that a caller controls escaped (N7)."""

from __future__ import annotations

from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest

from contracts.communications import CommunicationChanged, Voicemail
from contracts.fields import Media
from contracts.numbers import ANONYMOUS
from notification.letters import Content
from notification.rendering import Reader, Shown, watcher_email
from notification.watcher_settings import EmailKind
from notification.wording import duration, link, moment, one_line, zone
from tests.notification.words import CALLER, LINE, NOW, a_call, a_message

BERLIN = Reader("Wendy", ZoneInfo("Europe/Berlin"))


def an_email(kind: EmailKind, snapshot: CommunicationChanged, reader: Reader = BERLIN, **names: str) -> Content:
    return watcher_email([Shown(kind, snapshot, **names)], reader, "Support")


@pytest.mark.parametrize(
    ("kind", "snapshot", "word"),
    [
        ("missed_call", a_call("missed"), "Missed call"),
        ("voicemail", a_call("voicemail"), "Voicemail"),
        ("abandoned_call", a_call("abandoned"), "Abandoned call"),
        ("inbound_message", a_message(), "Message"),
    ],
)
def test_the_subject_names_the_kind_the_contact_and_the_inbox(
    kind: EmailKind, snapshot: CommunicationChanged, word: str
) -> None:
    content = an_email(kind, snapshot, contact_name="Anna Berg")
    assert content.subject == f"{word} from Anna Berg ({CALLER}) · Support"


def test_both_parts_tell_who_where_and_when_in_the_readers_zone() -> None:
    content = an_email("missed_call", a_call("missed"), contact_name="Anna Berg", line_name="Hotline")
    for part in (content.text, content.html):
        for fact in ("Anna Berg", CALLER, "Support", f"Hotline ({LINE})", "Mon 2 March 2026, 10:29 CET"):
            assert fact in part


def test_a_voicemail_comes_with_length_transcript_and_link() -> None:
    voicemail = Voicemail(recording_url="https://calls.example/r/1.mp3", duration_seconds=67, transcript="Call me back")
    content = an_email("voicemail", a_call("voicemail", voicemail=voicemail))
    for part in (content.text, content.html):
        for fact in ("1:07", "Call me back", "https://calls.example/r/1.mp3"):
            assert fact in part


def test_a_message_comes_with_its_text_and_attachments() -> None:
    media = (Media(url="https://media.example/1.jpg", content_type="image/jpeg"),)
    content = an_email("inbound_message", a_message(body="Two\nlines", media=media))
    for part in (content.text, content.html):
        for fact in ("https://media.example/1.jpg", "image/jpeg"):
            assert fact in part
    assert "Two\nlines" in content.html
    # What the caller says is marked as his: it can't pass for a line of ours.
    assert "\n> Two\n> lines\n" in content.text


def test_a_withheld_number_is_called_that() -> None:
    assert an_email("missed_call", a_call("missed", contact_number=ANONYMOUS)).subject == (
        "Missed call from withheld number · Support"
    )


def test_a_digest_counts_and_lists() -> None:
    content = watcher_email(
        [
            Shown("missed_call", a_call("missed")),
            Shown("missed_call", a_call("missed", contact_number="+15550101")),
            Shown("inbound_message", a_message(body="Hello?")),
        ],
        BERLIN,
        "Support",
    )
    assert content.subject == "2 missed calls, 1 message · Support"
    for part in (content.text, content.html):
        for fact in (CALLER, "+15550101", "Hello?", "2 missed calls, 1 message"):
            assert fact in part


def test_a_long_digest_counts_all_and_lists_some() -> None:
    content = watcher_email([Shown("missed_call", a_call("missed"))] * 500, BERLIN, "Support")
    assert content.subject == "500 missed calls · Support"
    assert "and 400 more" in content.text
    assert content.html.count("<strong") == 100


class Elements(HTMLParser):
    """Gathers what a mail program would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


EVIL = "<script>alert(1)</script><img src=x onerror=y>\"'{{ 7*7 }}"


def test_what_a_caller_controls_stays_text() -> None:
    evil_media = Media(url="javascript:alert(1)", content_type=EVIL[:255])
    content = watcher_email(
        [
            Shown("inbound_message", a_message(body=EVIL, media=(evil_media,), contact_name=EVIL), None, EVIL),
            Shown(
                "voicemail",
                a_call(
                    "voicemail",
                    contact_number="<b>",
                    voicemail=Voicemail(recording_url="javascript:alert(1)", transcript=EVIL),
                ),
                EVIL,
            ),
        ],
        Reader(EVIL, ZoneInfo("UTC")),
        EVIL,
    )
    page = Elements()
    page.feed(content.html)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert page.links == []
    assert "{{ 7*7 }}" in content.text
    assert "49" not in content.text
    assert "javascript:" not in content.text + content.html


def test_direction_marks_and_controls_are_taken_out_and_long_texts_cut() -> None:
    content = an_email(
        "inbound_message", a_message(body="a\u202eb\x07c" + "x" * 20_000), contact_name="Ann\u202ea\r\nB"
    )
    assert content.subject == f"Message from Anna B ({CALLER}) · Support"
    assert "abc" in content.text
    assert "\u202e" not in content.text + content.html
    assert len(content.text) < 11_000


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a.example/x?y=1", True),
        ("http://a.example", True),
        ("HTTP://a.example", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("https:///x", False),
        ("https://a.example/\r\nx", False),
        ("//a.example", False),
        ("https://[", False),
        (None, False),
    ],
)
def test_only_http_links_are_shown(url: str | None, safe: bool) -> None:
    assert (link(url) == url and url is not None) == safe


def test_moments_and_lengths_read_well() -> None:
    assert moment(NOW, ZoneInfo("America/Sao_Paulo")) == "Mon 2 March 2026, 06:30 UTC-03"
    assert [duration(7), duration(125), duration(3_700)] == ["0:07", "2:05", "1:01:40"]
    assert zone(None, "No/Such", "Asia/Tokyo") == ZoneInfo("Asia/Tokyo")
    assert zone(None) == ZoneInfo("UTC")
    assert one_line("a" * 100, 10) == "aaaaaaaaa…"
