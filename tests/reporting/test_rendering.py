"""A report as people read it: nothing that somebody typed runs, breaks a header or a spreadsheet."""

from __future__ import annotations

import base64
import csv
import io
from dataclasses import replace

import pytest

from reporting.figures import BY_NAME, FIGURES, HOURS, Measured, Report, Row, change, nothing, shown
from reporting.rendering import CSV_COLUMNS, csv_of, render, safe_cell
from tests.reporting.words import CONTACT, DAY, LINE


def a_report(inbox_name: str = "Support", user_name: str = "Anna") -> Report:
    measured = Measured()
    for section, key in (("totals", ""), ("by_hour", "12"), ("by_line", LINE), ("by_user", "anna")):
        measured.put(section, key, "calls_inbound", 4)
        measured.put(section, key, "answered", 2)
        measured.put(section, key, "answer_rate", 0.5)
    return Report(
        inbox_id="support",
        inbox_name=inbox_name,
        first=DAY,
        last=DAY,
        time_zone="Europe/Berlin",
        complete=True,
        totals=measured.totals(),
        previous={**nothing(), "calls_inbound": 3, "answer_rate": 0.75},
        by_hour=measured.rows("by_hour", HOURS),
        by_line=measured.rows("by_line", {LINE: "Main"}),
        by_user=measured.rows("by_user", {"anna": user_name}),
    )


def test_the_subject_is_one_line_whatever_the_inbox_is_called() -> None:
    subject = render(a_report("Support\r\nBcc: everybody@example.com\u2028")).subject

    assert subject == "Support Bcc: everybody@example.com: daily activity for Friday, 13 March 2026"


def test_names_are_escaped_in_html_and_stay_as_they_are_in_text() -> None:
    rendered = render(a_report("<b>R&D</b>", "<script>alert(1)</script>"))

    assert "<script>" not in rendered.html
    assert "&lt;b&gt;R&amp;D&lt;/b&gt;" in rendered.html
    assert "<b>R&D</b>" in rendered.text


def test_the_summary_is_set_against_last_week() -> None:
    rendered = render(a_report())

    assert "+1 on last week" in rendered.html
    assert "−25 points on last week" in rendered.text


def test_the_csv_has_every_figure_of_every_row_and_no_cell_that_runs() -> None:
    attachment = render(a_report(user_name='=HYPERLINK("http://example.com")')).attachment
    text = base64.b64decode(attachment.content_base64).decode()
    rows = list(csv.reader(io.StringIO(text)))

    assert attachment.filename == "daily-activity-support-2026-03-13.csv"
    assert tuple(rows[0]) == CSV_COLUMNS
    assert ["totals", "", "", "calls_inbound", "4"] in rows
    assert ["previous", "", "", "answer_rate", "0.75"] in rows
    assert ["by_line", f"'{LINE}", "Main", "calls_inbound", "4"] in rows
    assert ["by_user", "anna", '\'=HYPERLINK("http://example.com")', "answered", "2"] in rows
    assert ["by_user", "anna", '\'=HYPERLINK("http://example.com")', "unread_left", ""] in rows
    assert len(rows) == 1 + (2 + 24 + 1 + 1) * len(FIGURES)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row)


@pytest.mark.parametrize("cell", ["=1+1", CONTACT, "-1", "@x", "\t=1", "\r=1"])
def test_what_would_start_a_formula_is_text(cell: str) -> None:
    assert safe_cell(cell) == f"'{cell}"


def test_a_report_that_may_still_change_says_so() -> None:
    assert "figures may still change" not in render(a_report()).text
    assert "figures may still change" in render(replace(a_report(), complete=False)).text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("calls_inbound", 12_345, "12,345"),
        ("answer_rate", 0.876, "88 %"),
        ("answer_rate", None, "–"),
        ("talk_seconds", 12, "12 s"),
        ("talk_seconds", 125, "2 min 05 s"),
        ("talk_seconds", 3_900, "1 h 05 min"),
    ],
)
def test_figures_are_shown_in_their_units(name: str, value: float | None, words: str) -> None:
    assert shown(BY_NAME[name], value) == words


@pytest.mark.parametrize(
    ("name", "now", "before", "words", "verdict"),
    [
        ("missed", 5, 3, "+2 on last week", "bad"),
        ("missed", 3, 5, "−2 on last week", "good"),
        ("answer_rate", 0.9, 0.8, "+10 points on last week", "good"),
        ("calls_inbound", 9, 3, "+6 on last week", "neutral"),
        ("missed", 3, 3, "same as last week", "neutral"),
        ("answer_rate", 0.9, None, "no comparison", "neutral"),
    ],
)
def test_a_change_says_whether_it_is_good(
    name: str, now: float, before: float | None, words: str, verdict: str
) -> None:
    found = change(BY_NAME[name], now, before)

    assert (found.text, found.verdict) == (words, verdict)


def test_unread_belongs_to_nobody() -> None:
    measured = Measured()
    measured.put("by_user", "anna", "answered", 1)

    assert measured.rows("by_user", {})[0].values["unread_left"] is None


def test_rows_are_shown_for_who_had_nothing_and_for_who_left() -> None:
    measured = Measured()
    measured.put("by_user", "gone", "answered", 1)

    rows = measured.rows("by_user", {"anna": "Anna"}, {"gone": "Gone", "other": "Other"})

    assert [(row.key, row.name) for row in rows] == [("anna", "Anna"), ("gone", "Gone")]
    assert rows[0] == Row("anna", "Anna", {**nothing(), "unread_left": None})


def test_the_csv_ends_its_lines_as_rfc_4180_says() -> None:
    assert csv_of(a_report()).startswith("section,key,name,figure,value\r\n")
