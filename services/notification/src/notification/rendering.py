"""What readers see: e-mails as text and as HTML, and the pages behind their links. All of it escaped (N7)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from contracts.communications import CommunicationChanged
from notification import wording
from notification.letters import Content
from notification.preferences import Topic
from notification.watcher_settings import EmailKind

_TEMPLATES: Final = Environment(
    loader=PackageLoader("notification", "templates"),
    autoescape=select_autoescape(enabled_extensions=("html.j2",), disabled_extensions=("txt.j2",), default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    # Templates are part of a release: looking at their files for each e-mail costs a third of its rendering.
    auto_reload=False,
)
_TEMPLATES.filters["quoted"] = wording.quoted
# Jinja's own (range, cycler and the like) are used in none, and copied for each rendering of each.
_TEMPLATES.globals.clear()
_template: Final = cache(_TEMPLATES.get_template)

MAX_LISTED: Final = 100
"""How many communications a digest lists; it counts them all."""
_MAX_BODY_IN_DIGEST: Final = 400
_MAX_PREVIEW: Final = 120
_END_OF_BODY: Final = re.compile(r"</body\s*>", re.IGNORECASE)

PageState = Literal["asks", "is stopped", "is now stopped", "is back"]

_STOPPING: Final[dict[Topic, str]] = {
    "watcher_emails": "watcher e-mails",
    "daily_activity": "daily activity reports",
    "voice_analytics": "voice analytics reports",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One communication as an e-mail tells of it. Names are those in force now; None where there is none."""

    kind: EmailKind
    snapshot: CommunicationChanged
    contact_name: str | None = None
    line_name: str | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads the e-mail, and what stops it."""

    name: str
    zone: ZoneInfo
    stop_link: str | None = None
    inbox_link: str | None = None


def watcher_email(shown: Sequence[Shown], reader: Reader, inbox_name: str) -> Content:
    """The e-mail that tells of one communication, or the digest of several; oldest first."""
    inbox = wording.one_line(inbox_name)
    said = _said(tuple(shown), reader.zone, inbox, reader.inbox_link)
    text, html = _foot(inbox, reader.stop_link)
    return Content(said.subject, said.text + text, said.html + html)


@lru_cache(maxsize=1_000)
def _foot(inbox: str, stop_link: str | None) -> tuple[str, str]:
    """Why one gets an e-mail and how to stop it, as text and as HTML: the same in all that one gets of an inbox."""
    values = {"inbox": inbox, "stop_link": stop_link}
    return _template("_foot.txt.j2").render(values), _ascii(_template("_foot.html.j2").render(values))


@lru_cache(maxsize=256)
def _said(shown: tuple[Shown, ...], zone: ZoneInfo, inbox: str, inbox_link: str | None) -> Content:
    """All but the foot: the same for everybody who watches an inbox in one zone, and for several of them at once."""
    longest = wording.MAX_BODY if len(shown) == 1 else _MAX_BODY_IN_DIGEST
    items = [_item(one, zone, longest) for one in shown[:MAX_LISTED]]
    values: dict[str, Any] = {"preview": _preview(items), "inbox": inbox, "inbox_link": inbox_link}
    if len(shown) == 1:
        template, subject = "one", wording.subject(shown[0].kind, items[0]["who"], inbox)
        values |= {"subject": subject, "item": items[0]}
    else:
        template, subject = "digest", wording.digest_subject([one.kind for one in shown], inbox)
        started = [one.snapshot.started_at for one in shown]
        values |= {
            "subject": subject,
            "items": items,
            "more": max(len(shown) - MAX_LISTED, 0),
            "counted": wording.counted(one.kind for one in shown),
            "period": wording.period(min(started), max(started), zone),
        }
    return Content(
        subject=subject,
        text=_template(f"{template}.txt.j2").render(values),
        html=_ascii(_template(f"{template}.html.j2").render(values)),
    )


def _ascii(html: str) -> str:
    """Letters beyond ASCII as references: what is ASCII need not be encoded again to go by mail."""
    return html.encode("ascii", "xmlcharrefreplace").decode()


def stoppable(report: Content, stop_link: str) -> Content:
    """A report that says why one gets it and how to stop it; reporting, which writes it, can't make the link."""
    html_foot = _template("report_foot.html.j2").render(stop_link=stop_link)
    ends = list(_END_OF_BODY.finditer(report.html))
    at = ends[-1].start() if ends else len(report.html)
    return replace(
        report,
        text=report.text.rstrip("\n") + _template("report_foot.txt.j2").render(stop_link=stop_link),
        html=report.html[:at] + html_foot + report.html[at:],
    )


def unsubscribe_page(state: PageState, topic: Topic, inbox_name: str | None) -> str:
    """The page behind the link that stops an e-mail, with a button that does it, or that takes it back."""
    return _template("unsubscribe.html.j2").render(
        state=state,
        what=_STOPPING[topic],
        is_report=topic != "watcher_emails",
        inbox=wording.one_line(inbox_name) if inbox_name else "this inbox",
    )


def unusable_link_page() -> str:
    """The page for a link that was not made here."""
    return _template("unusable_link.html.j2").render()


def _preview(items: Sequence[dict[str, Any]]) -> str:
    """What a list of e-mails shows beside the subject."""
    first = items[0]
    if len(items) > 1:
        return wording.one_line(", ".join(dict.fromkeys(str(item["who"]) for item in items)), _MAX_PREVIEW)
    said = first["transcript"] or first["text"]
    return wording.one_line(said or f"{first['line']}, {first['when']}", _MAX_PREVIEW)


def _item(shown: Shown, zone: ZoneInfo, longest: int) -> dict[str, Any]:
    snapshot = shown.snapshot
    voicemail = snapshot.voicemail
    line = wording.one_line(shown.line_name) if shown.line_name else ""
    transcript = voicemail.transcript if voicemail else None
    name = wording.one_line(shown.contact_name or snapshot.contact_name or "")
    number = wording.number_of(snapshot.contact_number)
    line_number = wording.number_of(snapshot.line_number)
    return {
        "kind": shown.kind,
        "title": wording.NAMES[shown.kind],
        "who": wording.contact(name, snapshot.contact_number),
        "name": name or number[:1].upper() + number[1:],
        "number": number if name else None,
        "line": f"{line} ({line_number})" if line else line_number,
        "when": wording.moment(snapshot.started_at, zone),
        "short_when": wording.short_moment(snapshot.started_at, zone),
        "waited": wording.duration(snapshot.wait_seconds) if snapshot.wait_seconds else None,
        "after_hours": bool(snapshot.after_hours),
        "text": wording.body(snapshot.body, longest) if snapshot.body else None,
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
        "transcript": wording.body(transcript, longest) if transcript else None,
        "link": shown.link,
    }
