"""A report as people read it: a page, an e-mail in HTML and text, and CSV for a spreadsheet (P4, P7)."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from contracts.emails import Attachment
from contracts.numbers import ANONYMOUS
from reporting.charts import Chart, charts
from reporting.days import WEEK
from reporting.figures import BY_NAME, UNITS, Report, Row, Unit, Values, change, shown
from reporting.schedule import ReportKind
from reporting.voice import Call, reasons

CSV_COLUMNS: Final = ("section", "key", "name", "figure", "value")

TITLES: Final = {ReportKind.DAILY_ACTIVITY: "Daily activity", ReportKind.VOICE_ANALYTICS: "Voice analytics"}

_SUMMARY: Final = {
    ReportKind.DAILY_ACTIVITY: (
        "calls_inbound",
        "answer_rate",
        "service_level",
        "average_answer_seconds",
        "missed",
        "voicemails",
        "messages_inbound",
        "first_response_seconds",
        "talk_seconds",
        "unread_left",
    ),
    ReportKind.VOICE_ANALYTICS: (
        "calls_analysed",
        "sentiment_score",
        "positive_calls",
        "negative_calls",
        "agent_talk_share",
        "worth_a_listen",
    ),
}
_CARDS_IN_A_ROW: Final = {ReportKind.DAILY_ACTIVITY: 5, ReportKind.VOICE_ANALYTICS: 6}
_EMAIL_SUMMARY: Final = {
    ReportKind.DAILY_ACTIVITY: (
        "calls_inbound",
        "answer_rate",
        "missed",
        "voicemails",
        "messages_inbound",
        "first_response_seconds",
    ),
    ReportKind.VOICE_ANALYTICS: _SUMMARY[ReportKind.VOICE_ANALYTICS],
}
_TABLE: Final = {
    ReportKind.DAILY_ACTIVITY: (
        "calls_inbound",
        "calls_outbound",
        "answered",
        "missed",
        "abandoned",
        "voicemails",
        "messages_inbound",
        "messages_outbound",
        "answer_rate",
        "average_answer_seconds",
        "talk_seconds",
        "first_response_seconds",
    ),
    ReportKind.VOICE_ANALYTICS: (
        "calls_analysed",
        "positive_calls",
        "neutral_calls",
        "negative_calls",
        "sentiment_score",
        "agent_talk_share",
        "contact_talk_share",
        "worth_a_listen",
    ),
}
_SHORT_TABLE: Final = {
    (ReportKind.DAILY_ACTIVITY, "by_user"): ("answered", "calls_outbound", "messages_outbound", "talk_seconds"),
    (ReportKind.DAILY_ACTIVITY, "by_line"): ("calls_inbound", "answered", "missed", "messages_inbound"),
    (ReportKind.VOICE_ANALYTICS, "by_user"): ("calls_analysed", "negative_calls", "sentiment_score"),
    (ReportKind.VOICE_ANALYTICS, "by_line"): ("calls_analysed", "negative_calls", "sentiment_score"),
}
"""What fits into an e-mail on a phone."""

_SECTIONS: Final = {
    "by_user": ("By user", "User"),
    "by_team": ("By team", "Team"),
    "by_line": ("By line", "Line"),
    "by_hour": ("By hour", "Hour"),
}
_NOTHING: Final = {
    ReportKind.DAILY_ACTIVITY: "Nobody called or wrote, and nobody was called or written to.",
    ReportKind.VOICE_ANALYTICS: "No call of this period has been analysed.",
}
_VERDICTS: Final = {"very_negative": "bad", "very_positive": "good"}
_RUNS_AS_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A report's e-mail. Its attachments: the CSV, the page, and the pictures that the HTML shows."""

    subject: str
    html: str
    text: str
    attachments: tuple[Attachment, ...]


def render(report: Report) -> Rendered:
    """The e-mail of a report. Every name in it is escaped; the subject is one line whatever an inbox is called."""
    drawn = charts(report, pictures=True)
    words = _words(report, drawn)
    name = f"{report.kind.replace('_', '-')}-{report.inbox_id}-{report.first.isoformat()}"
    return Rendered(
        subject=f"{_one_line(report.inbox_name)}: {TITLES[report.kind].lower()} for {dates(report)}",
        html=_environment().get_template("email.html").render(words),
        text=_environment().get_template("report.txt").render(words),
        attachments=(
            _attachment(f"{name}.csv", "text/csv; charset=utf-8", csv_of(report).encode()),
            _attachment(f"{name}.html", "text/html; charset=utf-8", _page(words).encode()),
            *(
                _attachment(f"{chart.name}.png", "image/png", chart.png, content_id=chart.name)
                for chart in drawn
                if chart.png is not None
            ),
        ),
    )


def html(report: Report) -> str:
    """The report as an HTML page that needs nothing from elsewhere."""
    return _page(_words(report, charts(report)))


def csv_of(report: Report) -> str:
    """The report as CSV (RFC 4180), one figure a line; no cell can run as a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for section, values in (("totals", report.totals), ("previous", report.previous)):
        writer.writerows(_lines(report, section, Row("", "", values)))
    for section, rows in report.sections.items():
        for row in rows:
            writer.writerows(_lines(report, section, row))
    writer.writerows(tuple(map(safe_cell, line)) for line in _voice_lines(report))
    return text.getvalue()


def safe_cell(text: str) -> str:
    """A cell that a spreadsheet takes for text: what would start a formula gets an apostrophe in front."""
    return f"'{text}" if text.startswith(_RUNS_AS_FORMULA) else text


def dates(report: Report) -> str:
    """The report's dates in words, such as `Friday, 13 March 2026`."""
    first = _date_in_words(report.first)
    return first if report.first == report.last else f"{first} to {_date_in_words(report.last)}"


def _date_in_words(day: date) -> str:
    return f"{day:%A}, {day.day} {day:%B %Y}"


def _attachment(filename: str, content_type: str, content: bytes, *, content_id: str | None = None) -> Attachment:
    return Attachment(
        filename=filename,
        content_type=content_type,
        content_base64=base64.b64encode(content).decode(),
        content_id=content_id,
    )


def _lines(report: Report, section: str, row: Row) -> list[tuple[str, str, str, str, str]]:
    # A figure is a number, and a number that begins with a minus is no formula.
    return [
        (section, safe_cell(row.key), safe_cell(row.name), figure.name, _number(row.values[figure.name]))
        for figure in report.figures
    ]


def _voice_lines(report: Report) -> Iterator[tuple[str, str, str, str, str]]:
    for topic in report.topics:
        yield ("topics", topic.topic, topic.topic, "calls", str(topic.calls))
        yield ("topics", topic.topic, topic.topic, "sentiment_score", _number(topic.sentiment_score))
    for call in report.worth_a_listen:
        for reason in reasons(call):
            yield ("worth_a_listen", call.communication_id, _contact(call), reason.name, reason.words)
    for call in report.summaries:
        yield ("summaries", call.communication_id, _contact(call), "summary", call.summary or "")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}".rstrip("0").rstrip(".")


def _page(words: dict[str, Any]) -> str:
    return _environment().get_template("report.html").render(words)


def _words(report: Report, drawn: Iterable[Chart]) -> dict[str, Any]:
    one_day = report.first == report.last
    zone = ZoneInfo(report.time_zone)
    before = report.first - WEEK
    totals = {
        figure.name: {
            "label": figure.label,
            "meaning": figure.meaning,
            "formula": figure.formula.replace("`", ""),
            "unit": UNITS[figure.unit],
            "now": shown(figure, report.totals[figure.name]),
            "before": shown(figure, report.previous[figure.name]),
            "change": change(figure, report.totals[figure.name], report.previous[figure.name]),
        }
        for figure in report.figures
    }
    return {
        "report": report,
        "title": TITLES[report.kind],
        "dates": dates(report),
        "now": f"{report.first.day} {report.first:%b}" if one_day else "These days",
        "before": f"{before.day} {before:%b}" if one_day else "A week earlier",
        "cards_in_a_row": _CARDS_IN_A_ROW[report.kind],
        "compared": f"the {report.first:%A} a week earlier" if one_day else "the same days a week earlier",
        "nothing": _NOTHING[report.kind],
        "filtered": "Only what passes the filters of the inbox's report settings counts." if report.filtered else "",
        "charts": list(drawn),
        "cards": [totals[name] for name in _SUMMARY[report.kind]],
        "email_cards": [totals[name] for name in _EMAIL_SUMMARY[report.kind]],
        "totals": list(totals.values()),
        "tables": list(_tables(report)),
        "calls": [_call(report, call, zone, one_day=one_day) for call in report.worth_a_listen],
        "summaries": [_call(report, call, zone, one_day=one_day) for call in report.summaries],
        "topics": [
            {
                "name": topic.topic,
                "calls": topic.calls,
                "sentiment": shown(BY_NAME["sentiment_score"], topic.sentiment_score),
            }
            for topic in report.topics
        ],
    }


def _tables(report: Report) -> Iterator[dict[str, Any]]:
    columns = _TABLE[report.kind]
    for section, (title, of) in _SECTIONS.items():
        short = _SHORT_TABLE.get((report.kind, section), ())
        rows = [row for row in report.sections[section] if section != "by_hour" or _happened(row.values)]
        if not rows:
            continue
        yield {
            "section": section,
            "title": title,
            "of": of,
            "columns": [{"label": BY_NAME[name].label, "meaning": BY_NAME[name].meaning} for name in columns],
            "short_columns": [{"label": BY_NAME[name].label} for name in short],
            "rows": [
                {
                    "name": row.name,
                    "cells": [shown(BY_NAME[name], row.values[name]) for name in columns],
                    "short_cells": [shown(BY_NAME[name], row.values[name]) for name in short],
                }
                for row in rows
            ],
        }


def _happened(values: Values) -> bool:
    return any(value for name, value in values.items() if BY_NAME[name].unit is Unit.COUNT)


def _call(report: Report, call: Call, zone: ZoneInfo, *, one_day: bool) -> dict[str, Any]:
    label = call.sentiment_label or ""
    return {
        "who": _contact(call) or f"call {call.communication_id}",
        "at": _moment(call.started_at, zone, one_day=one_day),
        "how": "incoming" if call.direction == "inbound" else "outgoing",
        "user": report.names.get(call.user_id, call.user_id) if call.user_id else "",
        "line": report.names.get(call.line_number, call.line_number),
        "lasted": "" if call.talk_seconds is None else shown(BY_NAME["talk_seconds"], call.talk_seconds),
        "reasons": [
            {"words": reason.words, "verdict": _VERDICTS.get(reason.name, "neutral")} for reason in reasons(call)
        ],
        "sentiment": label,
        "summary": call.summary,
        "is_by_us": call.is_by_us,
    }


def _contact(call: Call) -> str:
    if call.contact_name or not call.contact_number:
        return call.contact_name or ""
    return "withheld number" if call.contact_number == ANONYMOUS else call.contact_number


def _moment(at: datetime, zone: ZoneInfo, *, one_day: bool) -> str:
    local = at.astimezone(zone)
    return f"{local:%H:%M}" if one_day else f"{local.day} {local:%B, %H:%M}"


def _one_line(text: str) -> str:
    # Whatever breaks a line breaks a header: CR and LF, and Unicode's own separators with them.
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("reporting"),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
