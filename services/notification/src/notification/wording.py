"""How things are said in an e-mail: in one line, in the reader's zone, with nothing that a caller can abuse (N7)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts.numbers import ANONYMOUS
from notification.watcher_settings import KINDS, EmailKind

NAMES: Final[dict[EmailKind, str]] = {
    "missed_call": "Missed call",
    "voicemail": "Voicemail",
    "abandoned_call": "Abandoned call",
    "inbound_message": "Message",
}

MAX_BODY: Final = 10_000
"""How much of a message or transcript an e-mail repeats, in characters."""

_MAX_NAME: Final = 80
# Controls (CR and LF among them), line and paragraph separators: RFC 5322 headers are one line.
_BREAKS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\s]+")
# Marks that turn the direction of what follows: a name must not rewrite the line around it.
_TURNS: Final = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def one_line(text: str, longest: int = _MAX_NAME) -> str:
    """Text as it may stand in a header or a line of its own: no controls, no direction marks, cut to `longest`."""
    line = _BREAKS.sub(" ", _TURNS.sub("", text)).strip()
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def body(text: str, longest: int = MAX_BODY) -> str:
    """What somebody wrote or said, with its own line breaks and without other controls or direction marks."""
    plain = _CONTROLS.sub("", _TURNS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))).strip("\n")
    return plain if len(plain) <= longest else plain[:longest].rstrip() + "…"


def quoted(text: str) -> str:
    """Somebody's words in a plain text, each line marked as his: none can pass for one of ours."""
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def contact(name: str | None, number: str) -> str:
    """Whom it is from: name and number, as far as they are known."""
    shown = number_of(number)
    called = one_line(name) if name else ""
    return f"{called} ({shown})" if called else shown


def number_of(number: str) -> str:
    """A number as it is shown. Whatever routing lets through, it is one line."""
    return "withheld number" if number == ANONYMOUS else one_line(number)


def link(url: str | None) -> str | None:
    """The address if a reader may safely follow it: http or https with a host; None otherwise."""
    if not url or _BREAKS.search(url) or _TURNS.search(url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.hostname else None


def zone(*names: str | None) -> ZoneInfo:
    """The first of these zones that is named and known; UTC without one."""
    for name in names:
        if name:
            try:
                return ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                continue
    return ZoneInfo("UTC")


def moment(at: datetime, reader_zone: ZoneInfo) -> str:
    """A moment in the reader's zone, such as `Sun 1 March 2026, 10:30 CET`."""
    local = at.astimezone(reader_zone)
    name = local.tzname() or ""
    # Zones without an abbreviation of their own give a bare offset such as "-03".
    named = f"UTC{name}" if name[:1] in "+-" and name else name
    return f"{local:%a} {local.day} {local:%B %Y, %H:%M} {named}".strip()


def short_moment(at: datetime, reader_zone: ZoneInfo) -> str:
    """The same for a list whose head names the zone: `Sun 1 March, 10:30`."""
    local = at.astimezone(reader_zone)
    return f"{local:%a} {local.day} {local:%B, %H:%M}"


def period(first: datetime, last: datetime, reader_zone: ZoneInfo) -> str:
    """From one moment to another: `Sun 1 March 2026, 10:30 CET`, or with `to` and the second one."""
    begins, ends = moment(first, reader_zone), moment(last, reader_zone)
    if begins == ends:
        return begins
    if begins.partition(",")[0] == ends.partition(",")[0]:
        return f"{begins.partition(',')[0]}, {first.astimezone(reader_zone):%H:%M} to {ends.partition(', ')[2]}"
    return f"{begins} to {ends}"


def duration(seconds: float) -> str:
    """A length of time: `0:07`, `2:05`, `1:01:40`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def subject(kind: EmailKind, who: str, inbox_name: str) -> str:
    """The subject of an e-mail on one communication."""
    return f"{NAMES[kind]} from {one_line(who, 120)} · {one_line(inbox_name)}"


def digest_subject(kinds: Sequence[EmailKind], inbox_name: str) -> str:
    """The subject of a digest: how many of each kind."""
    return f"{counted(kinds)} · {one_line(inbox_name)}"


def counted(kinds: Iterable[EmailKind]) -> str:
    """How many of each kind, such as `3 missed calls, 1 message`."""
    counts = Counter(kinds)
    return ", ".join(
        f"{counts[kind]} {NAMES[kind].lower()}{'s' if counts[kind] > 1 else ''}" for kind in KINDS if counts[kind]
    )
