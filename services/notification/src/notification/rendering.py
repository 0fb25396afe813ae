"""The e-mails to watchers, as text and as HTML, by Jinja2 templates that escape everything (N7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from contracts.communications import CommunicationChanged
from notification import wording
from notification.letters import Content
from notification.watcher_settings import EmailKind

_TEMPLATES: Final = Environment(
    loader=PackageLoader("notification", "templates"),
    autoescape=select_autoescape(enabled_extensions=("html.j2",), disabled_extensions=("txt.j2",), default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)

MAX_LISTED: Final = 100
"""How many communications a digest lists; it counts them all."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One communication as an e-mail tells of it. Names are those in force now; None where there is none."""

    kind: EmailKind
    snapshot: CommunicationChanged
    contact_name: str | None = None
    line_name: str | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads the e-mail."""

    name: str
    zone: ZoneInfo


def watcher_email(shown: Sequence[Shown], reader: Reader, inbox_name: str) -> Content:
    """The e-mail that tells of one communication, or the digest of several; oldest first."""
    inbox = wording.one_line(inbox_name)
    items = [_item(one, reader) for one in shown]
    if len(items) == 1:
        template, subject = "one", wording.subject(shown[0].kind, items[0]["who"], inbox)
    else:
        template, subject = "digest", wording.digest_subject([one.kind for one in shown], inbox)
    values: dict[str, Any] = {
        "subject": subject,
        "reader": wording.one_line(reader.name),
        "inbox": inbox,
        "item": items[0],
        "items": items[:MAX_LISTED],
        "more": max(len(items) - MAX_LISTED, 0),
        "counted": wording.counted(one.kind for one in shown),
    }
    return Content(
        subject=subject,
        text=_TEMPLATES.get_template(f"{template}.txt.j2").render(values),
        html=_TEMPLATES.get_template(f"{template}.html.j2").render(values),
    )


def _item(shown: Shown, reader: Reader) -> dict[str, Any]:
    snapshot = shown.snapshot
    voicemail = snapshot.voicemail
    line = wording.one_line(shown.line_name) if shown.line_name else ""
    transcript = voicemail.transcript if voicemail else None
    return {
        "kind": shown.kind,
        "title": wording.NAMES[shown.kind],
        "who": wording.contact(shown.contact_name or snapshot.contact_name, snapshot.contact_number),
        "line": f"{line} ({snapshot.line_number})" if line else snapshot.line_number,
        "when": wording.moment(snapshot.started_at, reader.zone),
        "waited": wording.duration(snapshot.wait_seconds) if snapshot.wait_seconds else None,
        "after_hours": bool(snapshot.after_hours),
        "text": wording.body(snapshot.body) if snapshot.body else None,
        "media": [
            {"url": url, "content_type": wording.one_line(media.content_type)}
            for media in snapshot.media
            if (url := wording.link(media.url))
        ],
        "unshown_media": sum(wording.link(media.url) is None for media in snapshot.media),
        "has_recording": voicemail is not None,
        "length": (
            wording.duration(voicemail.duration_seconds)
            if voicemail and voicemail.duration_seconds is not None
            else None
        ),
        "recording": wording.link(voicemail.recording_url) if voicemail else None,
        "transcript": wording.body(transcript) if transcript else None,
    }
