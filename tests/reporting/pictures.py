"""`python -m tests.reporting.pictures [FOLDER]` draws the reports' pictures for the documentation (docs/images).

A made-up day of a made-up company goes through the real rendering, and Chromium takes the pictures, at the width of
a desk and of a phone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final
from zoneinfo import ZoneInfo

from reporting.figures import HOURS, Measured, Report, Row, Values, nothing
from reporting.rendering import html, render
from reporting.schedule import ReportKind
from reporting.voice import Call, Topic

FOLDER: Final = Path("docs/images")
DAY: Final = date(2026, 3, 13)
ZONE: Final = ZoneInfo("America/New_York")
USERS: Final = {"anna": "Anna Berg", "ben": "Ben Okafor", "carla": "Carla Núñez", "deniz": "Deniz Yılmaz"}
LINES: Final = {"+12125550100": "Main line", "+12125550101": "Orders"}
TEAMS: Final = {"support": "Support", "orders": "Orders"}
DESK, PHONE = 1180, 390


def a_day() -> Report:
    """A busy Friday of daily activity."""
    chance = Random(5)
    kind = ReportKind.DAILY_ACTIVITY
    shape = [0, 0, 0, 0, 0, 0, 1, 4, 12, 19, 23, 18, 11, 14, 20, 21, 17, 12, 7, 4, 3, 1, 0, 0]
    hours = Measured(kind)
    for hour, calls in enumerate(shape):
        answered = round(calls * chance.uniform(0.72, 0.93))
        voicemails = min(calls - answered, chance.randrange(3))
        abandoned = min(calls - answered - voicemails, chance.randrange(2))
        put_all(
            hours,
            "by_hour",
            f"{hour:02d}",
            calls_inbound=calls,
            calls_outbound=round(calls * 0.4),
            answered=answered,
            missed=calls - answered - voicemails - abandoned,
            abandoned=abandoned,
            voicemails=voicemails,
            messages_inbound=round(calls * chance.uniform(0.3, 0.8)),
            messages_outbound=round(calls * chance.uniform(0.3, 0.9)),
            answer_rate=answered / calls if calls else None,
            average_answer_seconds=chance.uniform(6, 22) if calls else None,
            talk_seconds=answered * 210,
            first_response_seconds=chance.uniform(60, 900) if calls else None,
        )
    by_hour = hours.rows("by_hour", HOURS)
    totals = summed(by_hour, kind) | {
        "service_level": 0.78,
        "average_answer_seconds": 13.4,
        "p90_answer_seconds": 31.0,
        "first_response_seconds": 412,
        "first_response_business_seconds": 268,
        "unread_left": 4,
    }
    previous = totals | {
        "calls_inbound": 171,
        "answer_rate": 0.79,
        "service_level": 0.81,
        "average_answer_seconds": 15.2,
        "missed": 23,
        "voicemails": 16,
        "messages_inbound": 88,
        "first_response_seconds": 530,
        "unread_left": 2,
    }
    return Report(
        kind=kind,
        inbox_id="support",
        inbox_name="Brightside Support",
        first=DAY,
        last=DAY,
        time_zone=ZONE.key,
        complete=True,
        totals=totals,
        previous=previous,
        by_hour=by_hour,
        by_line=parts(totals, kind, LINES, chance),
        by_user=parts(totals, kind, USERS, chance),
        by_team=parts(totals, kind, TEAMS, chance),
    )


def a_voice_day() -> Report:
    """The same Friday's calls, analysed."""
    chance = Random(6)
    kind = ReportKind.VOICE_ANALYTICS
    totals = nothing(kind) | {
        "calls_analysed": 118,
        "calls_analysed_by_us": 14,
        "positive_calls": 52,
        "neutral_calls": 47,
        "negative_calls": 19,
        "sentiment_score": 0.21,
        "agent_talk_share": 0.58,
        "contact_talk_share": 0.42,
        "agent_talk_seconds": 14_300,
        "contact_talk_seconds": 10_350,
        "worth_a_listen": 6,
    }
    previous = totals | {
        "calls_analysed": 109,
        "positive_calls": 41,
        "negative_calls": 22,
        "sentiment_score": 0.14,
        "agent_talk_share": 0.61,
        "worth_a_listen": 9,
    }
    noon = datetime(2026, 3, 13, 12, tzinfo=ZONE)

    def call(minutes: int, **fields: Any) -> Call:
        given: dict[str, Any] = {
            "communication_id": f"call-{minutes}",
            "started_at": noon + timedelta(minutes=minutes),
            "direction": "inbound",
            "line_number": "+12125550100",
            "user_id": "ben",
            "contact_number": "+12125550177",
            "contact_name": None,
            "talk_seconds": 372.0,
            "held_seconds": 0.0,
            "sentiment_label": "neutral",
            "sentiment_score": 0.1,
            "agent_seconds": 180.0,
            "contact_seconds": 190.0,
            "summary": None,
            "is_by_us": False,
        }
        return Call(**given | fields)

    angry = call(
        -134,
        contact_name="Jo Lind",
        sentiment_label="negative",
        sentiment_score=-0.82,
        held_seconds=245.0,
        summary="Charged twice for order 4471 and called three times before. Wants the refund today, or to cancel.",
    )
    voicemail = call(
        95,
        sentiment_label="negative",
        sentiment_score=-0.57,
        talk_seconds=None,
        user_id=None,
        is_by_us=True,
        agent_seconds=None,
        contact_seconds=None,
    )
    lecture = call(41, contact_name="Harbour Café", agent_seconds=410.0, contact_seconds=61.0, user_id="deniz")
    praise = call(
        188,
        contact_name="Mina Park",
        sentiment_label="positive",
        sentiment_score=0.91,
        user_id="anna",
        summary="Delivery arrived early; thanked Anna for the call back and ordered a second one.",
    )
    return Report(
        kind=kind,
        inbox_id="support",
        inbox_name="Brightside Support",
        first=DAY,
        last=DAY,
        time_zone=ZONE.key,
        complete=True,
        totals=totals,
        previous=previous,
        by_hour=Measured(kind).rows("by_hour", HOURS),
        by_line=parts(totals, kind, LINES, chance),
        by_user=parts(totals, kind, USERS, chance),
        by_team=parts(totals, kind, TEAMS, chance),
        topics=(
            Topic("delivery date", 31, 0.18),
            Topic("refund", 24, -0.32),
            Topic("invoice", 19, -0.05),
            Topic("opening hours", 12, 0.3),
            Topic("gift card", 9, 0.44),
            Topic("damaged parcel", 7, -0.51),
        ),
        worth_a_listen=(angry, voicemail, lecture, praise),
        summaries=(praise, angry),
        names={**USERS, **LINES},
    )


def put_all(measured: Measured, section: str, key: str, **figures: float | None) -> None:
    for name, value in figures.items():
        measured.put(section, key, name, value)


def summed(rows: tuple[Row, ...], kind: ReportKind) -> Values:
    """Counts of rows added up."""
    totals = nothing(kind)
    for name, value in totals.items():
        if value is not None:
            totals[name] = sum(row.values[name] or 0 for row in rows)
    totals["answer_rate"] = (totals["answered"] or 0) / (totals["calls_inbound"] or 1)
    return totals


def parts(totals: Values, kind: ReportKind, names: dict[str, str], chance: Random) -> tuple[Row, ...]:
    """Every total shared out by chance."""
    weights = [chance.uniform(0.6, 1.4) for _ in names]
    measured = Measured(kind)
    for key, weight in zip(names, weights, strict=True):
        for name, value in totals.items():
            if value is None:
                continue
            whole = isinstance(value, int)
            share = value * weight / sum(weights)
            measured.put("by_line", key, name, round(share) if whole else value * chance.uniform(0.85, 1.1))
    return measured.rows("by_line", names)


def as_a_mail_client_shows_it(report: Report) -> str:
    """The e-mail's HTML, its pictures in place of where it names them."""
    rendered = render(report)
    pictures = {one.content_id: one.content_base64 for one in rendered.attachments if one.content_id}
    return re.sub(r"cid:([\w-]+)", lambda found: f"data:image/png;base64,{pictures[found[1]]}", rendered.html)


def photograph(page: str, picture: Path, width: int, height: int) -> None:
    """Have Chromium take a picture of a page."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium is needed: apt install chromium")
    with TemporaryDirectory(prefix="connected-inbox-pictures-") as folder:
        file = Path(folder) / "page.html"
        file.write_text(page, encoding="utf-8")
        # Headless Chromium's window is never narrower than 500 pixels: the phone's is a frame of its width.
        if width < 500:
            frame = Path(folder) / "frame.html"
            frame.write_text(
                f'<body style="margin:0"><iframe src="page.html" style="border:0;width:{width}px;height:{height}px">'
                "</iframe></body>",
                encoding="utf-8",
            )
            file = frame
        subprocess.run(
            [
                chromium,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--allow-file-access-from-files",
                f"--user-data-dir={folder}/profile",
                f"--window-size={max(width, 500)},{height}",
                f"--screenshot={picture}",
                file.as_uri(),
            ],
            check=True,
            capture_output=True,
        )
    cropped(picture, width)


def cropped(picture: Path, width: int) -> None:
    """Cut a picture to its width and make it small."""
    from PIL import Image

    with Image.open(picture) as image:
        cut = image.crop((0, 0, width, image.height)).convert("RGB").quantize(128)
    cut.save(picture, optimize=True)


def main() -> None:
    """Draw all of them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    reports: dict[str, Callable[[], Report]] = {"daily-activity": a_day, "voice-analytics": a_voice_day}
    for name, make in reports.items():
        report = make()
        for kind, page in (("page", html(report)), ("email", as_a_mail_client_shows_it(report))):
            photograph(page, (folder / f"{name}-{kind}-desk.png").resolve(), DESK if kind == "page" else 720, 1500)
            photograph(page, (folder / f"{name}-{kind}-phone.png").resolve(), PHONE, 1500)


if __name__ == "__main__":
    main()
