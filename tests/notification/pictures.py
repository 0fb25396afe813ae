"""Pictures of the e-mails as a mail program shows them: `python -m tests.notification.pictures docs/images`.

Each shows a desk and a phone side by side, light and dark, in a headless Chromium. Look at them after every change
of a template.
"""

from __future__ import annotations

import argparse
import html
import re
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from PIL import Image

from contracts.communications import Voicemail
from contracts.fields import Media
from notification.console_links import ConsoleLinks
from notification.letters import Content
from notification.rendering import Reader, Shown, unsubscribe_page, watcher_email
from tests.notification.words import ACCOUNT, NOW, a_call, a_message

DESK, PHONE, GAP = 680, 390, 24
CONSOLE: Final = ConsoleLinks("https://inbox.example.com")
READER: Final = Reader(
    "Wendy", ZoneInfo("Europe/Berlin"), "https://inbox.example.com/v1/unsubscribe/x", CONSOLE.inbox("support")
)

_MISSED = Shown("missed_call", a_call("missed", wait_seconds=48, contact_number="+4930901820"), "Anna Berg", "Hotline")
_VOICEMAIL = Shown(
    "voicemail",
    a_call(
        "voicemail",
        contact_number="+14155550142",
        after_hours=True,
        at=NOW - timedelta(hours=3),
        voicemail=Voicemail(
            recording_url="https://calls.example/r/1.mp3",
            duration_seconds=67,
            transcript=(
                "Hi, this is Jonas from Northwind. The delivery for Tuesday has not come, and the driver does not pick "
                "up. Could somebody call me back before noon? Thank you."
            ),
        ),
    ),
    "Jonas Weber, Northwind",
    "Hotline",
)
_ABANDONED = Shown("abandoned_call", a_call("abandoned", contact_number="anonymous", wait_seconds=95), None, "Orders")
_MESSAGE = Shown(
    "inbound_message",
    a_message(
        contact_number="+447700900123",
        body="Hello! Is the blue one still there?\n\nI could come by this afternoon and have a look at it.",
        media=(Media(url="https://media.example/1.jpg", content_type="image/jpeg"),),
    ),
    "Maja Lindqvist",
    "Orders",
)
_SHORT = Shown(
    "inbound_message",
    a_message(contact_number="+447700900123", body="Never mind, found it. Thanks!", at=NOW + timedelta(minutes=4)),
    "Maja Lindqvist",
    "Orders",
)


def _linked(shown: Shown) -> Shown:
    return Shown(
        shown.kind, shown.snapshot, shown.contact_name, shown.line_name, CONSOLE.thread(ACCOUNT, shown.snapshot)
    )


def emails() -> Mapping[str, Content]:
    """The four e-mails and a digest, by the name of their picture."""
    single = {
        "email-missed-call": _MISSED,
        "email-voicemail": _VOICEMAIL,
        "email-abandoned-call": _ABANDONED,
        "email-message": _MESSAGE,
    }
    digest = [_VOICEMAIL, _MISSED, _ABANDONED, _MESSAGE, _SHORT]
    return {name: watcher_email([_linked(one)], READER, "Customer Support") for name, one in single.items()} | {
        "email-digest": watcher_email([_linked(one) for one in digest], READER, "Customer Support")
    }


def side_by_side(page: str) -> str:
    """A page with another one in it twice, at the width of a desk and of a phone, as high as it needs to be."""
    frame = '<iframe scrolling="no" srcdoc="{page}" style="width:{width}px"></iframe>'
    frames = "".join(frame.format(page=html.escape(page), width=width) for width in (DESK, PHONE))
    return f"""<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<style>:root {{ color-scheme: light dark }} body {{ margin: 0; padding: {GAP}px; display: flex; gap: {GAP}px;
align-items: flex-start; background: light-dark(#c9d0da, #05070a) }} iframe {{ border: 0; display: block }}</style>
<body>{frames}<script>
addEventListener("load", () => {{
  let most = 0;
  for (const frame of document.querySelectorAll("iframe")) {{
    const height = frame.contentDocument.documentElement.scrollHeight;
    frame.style.height = height + "px";
    most = Math.max(most, height);
  }}
  document.title = "height=" + (most + {2 * GAP});
}});
</script>"""


def take(chromium: str, page: str, picture: Path, *, dark: bool) -> None:
    """Take a picture of a page, in a light or a dark setting."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(side_by_side(page), encoding="utf-8")
        command = [
            chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={folder}/profile", "--virtual-time-budget=2000",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        ]  # fmt: skip
        width = DESK + PHONE + 3 * GAP
        first = [*command, f"--window-size={width},1200", "--dump-dom", file.as_uri()]
        dom = subprocess.run(first, capture_output=True, text=True, check=True, timeout=120).stdout
        found = re.search(r"<title>height=(\d+)</title>", dom)
        if found is None:
            raise RuntimeError("the page did not tell its height")
        size = f"--window-size={width},{int(found[1])}"
        subprocess.run(
            [*command, size, f"--screenshot={picture}", file.as_uri()], capture_output=True, check=True, timeout=120
        )
    with Image.open(picture) as taken:
        taken.convert("RGB").quantize(255, dither=Image.Dither.NONE).save(picture, optimize=True)


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--chromium", default="chromium")
    parser.add_argument("--only", default="", help="only pictures whose name holds this")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    pages = {name: content.html for name, content in emails().items()}
    pages["unsubscribe-page"] = unsubscribe_page("asks", "watcher_emails", "Customer Support")
    for name, page in pages.items():
        if given.only in name:
            for dark in (False, True):
                take(
                    given.chromium,
                    page,
                    (given.folder / f"{name}-{'dark' if dark else 'light'}.png").resolve(),
                    dark=dark,
                )


if __name__ == "__main__":
    main()
