"""A report as people read it: e-mail in HTML and text, and CSV for a spreadsheet (P4, P7)."""

from __future__ import annotations

import base64
import csv
import io
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from contracts.emails import Attachment
from reporting.figures import BY_NAME, FIGURES, Report, Row, Values, change, shown

CSV_COLUMNS: Final = ("section", "key", "name", "figure", "value")

_SUMMARY: Final = (
    "calls_inbound",
    "answer_rate",
    "service_level",
    "average_answer_seconds",
    "missed",
    "voicemails",
    "messages_inbound",
    "first_response_seconds",
    "unread_left",
)
_TABLE: Final = (
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
)
_TITLES: Final = {"by_line": "By line", "by_user": "By user", "by_team": "By team"}
_RUNS_AS_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A report's e-mail."""

    subject: str
    html: str
    text: str
    attachment: Attachment


def render(report: Report) -> Rendered:
    """The e-mail of a report. Every name in it is escaped; the subject is one line whatever an inbox is called."""
    return Rendered(
        subject=f"{_one_line(report.inbox_name)}: daily activity for {dates(report)}",
        html=html(report),
        text=_environment().get_template("daily_activity.txt").render(_words(report)),
        attachment=Attachment(
            filename=f"daily-activity-{report.inbox_id}-{report.first.isoformat()}.csv",
            content_type="text/csv; charset=utf-8",
            content_base64=base64.b64encode(csv_of(report).encode()).decode(),
        ),
    )


def html(report: Report) -> str:
    """The report as an HTML page that needs nothing from elsewhere."""
    return _environment().get_template("daily_activity.html").render(_words(report))


def csv_of(report: Report) -> str:
    """The report as CSV (RFC 4180), one figure a line; no cell can run as a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for section, values in (("totals", report.totals), ("previous", report.previous)):
        writer.writerows(_lines(section, Row("", "", values)))
    for section, rows in report.sections.items():
        for row in rows:
            writer.writerows(_lines(section, row))
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


def _lines(section: str, row: Row) -> list[tuple[str, str, str, str, str]]:
    return [
        (section, safe_cell(row.key), safe_cell(row.name), figure.name, _number(row.values[figure.name]))
        for figure in FIGURES
    ]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}".rstrip("0").rstrip(".")


def _words(report: Report) -> dict[str, Any]:
    busiest = max((_activity(row.values) for row in report.by_hour), default=0)
    return {
        "report": report,
        "dates": dates(report),
        "cards": [
            {
                "label": BY_NAME[name].label,
                "meaning": BY_NAME[name].meaning,
                "value": shown(BY_NAME[name], report.totals[name]),
                "change": change(BY_NAME[name], report.totals[name], report.previous[name]),
            }
            for name in _SUMMARY
        ],
        "totals": [
            {
                "label": figure.label,
                "meaning": figure.meaning,
                "now": shown(figure, report.totals[figure.name]),
                "before": shown(figure, report.previous[figure.name]),
                "change": change(figure, report.totals[figure.name], report.previous[figure.name]),
            }
            for figure in FIGURES
        ],
        "hours": [
            {
                "name": row.name,
                "calls": row.values["calls_inbound"],
                "messages": row.values["messages_inbound"],
                "width": round(100 * _activity(row.values) / busiest) if busiest else 0,
            }
            for row in report.by_hour
            if _activity(row.values)
        ],
        "tables": [
            {
                "title": title,
                "columns": [BY_NAME[name].label for name in _TABLE],
                "rows": [
                    {
                        "name": row.name,
                        "cells": [shown(BY_NAME[name], row.values[name]) for name in _TABLE],
                    }
                    for row in report.sections[section]
                ],
            }
            for section, title in _TITLES.items()
            if report.sections[section]
        ],
    }


def _activity(values: Values) -> float:
    return (values["calls_inbound"] or 0) + (values["messages_inbound"] or 0)


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
