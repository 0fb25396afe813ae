"""A report as people read it: nothing that somebody typed runs, breaks a header or a spreadsheet."""

from __future__ import annotations

import base64
import csv
import io
import re
from dataclasses import replace

import pytest
from markupsafe import escape

from reporting.figures import BY_NAME, DAILY_ACTIVITY, HOURS, Measured, Report, Row, change, nothing, shown
from reporting.rendering import CSV_COLUMNS, csv_of, html, render, safe_cell
from reporting.schedule import ReportKind
from reporting.voice import Call, Topic
from tests.reporting.words import CONTACT, DAY, LINE, NOON


def a_report(inbox_name: str = "Support", user_name: str = "Anna") -> Report:
    measured = Measured()
    for section, key in (("totals", ""), ("by_hour", "12"), ("by_line", LINE), ("by_user", "anna")):
        measured.put(section, key, "calls_inbound", 4)
        measured.put(section, key, "answered", 2)
        measured.put(section, key, "answer_rate", 0.5)
    return Report(
        kind=ReportKind.DAILY_ACTIVITY,
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


def a_voice_report(*, topic: str = "refund", contact: str | None = "Jo", summary: str = "Wants it back.") -> Report:
    measured = Measured(ReportKind.VOICE_ANALYTICS)
    for section, key in (("totals", ""), ("by_user", "anna")):
        measured.put(section, key, "calls_analysed", 3)
        measured.put(section, key, "negative_calls", 2)
        measured.put(section, key, "sentiment_score", -0.4)
    call = Call(
        communication_id="c1",
        started_at=NOON,
        direction="inbound",
        line_number=LINE,
        user_id="anna",
        contact_number=CONTACT,
        contact_name=contact,
        talk_seconds=300,
        held_seconds=130,
        sentiment_label="negative",
        sentiment_score=-0.75,
        agent_seconds=240,
        contact_seconds=60,
        summary=summary,
        is_by_us=True,
    )
    return replace(
        a_report(),
        kind=ReportKind.VOICE_ANALYTICS,
        totals=measured.totals(),
        previous=nothing(ReportKind.VOICE_ANALYTICS),
        by_hour=measured.rows("by_hour", HOURS),
        by_line=(),
        by_user=measured.rows("by_user", {"anna": "Anna"}),
        topics=(Topic(topic, 2, -0.5),),
        worth_a_listen=(call,),
        summaries=(call,),
        names={"anna": "Anna", LINE: "Main"},
    )


def test_the_pictures_of_the_email_are_those_that_its_html_shows() -> None:
    rendered = render(with_traffic())
    pictures = [one for one in rendered.attachments if one.content_id]

    assert [one.content_id for one in pictures] == ["calls-by-hour"]
    assert all(f'src="cid:{one.content_id}"' in rendered.html for one in pictures)
    assert all(base64.b64decode(one.content_base64).startswith(b"\x89PNG") for one in pictures)
    assert 'alt="Inbound calls by hour' in rendered.html
    assert "<svg" not in rendered.html


def test_the_email_brings_the_page_to_open_or_print() -> None:
    rendered = render(with_traffic())
    (page,) = (one for one in rendered.attachments if one.content_type.startswith("text/html"))

    assert page.filename == "daily-activity-support-2026-03-13.html"
    text = base64.b64decode(page.content_base64).decode()
    assert "<svg" in text
    assert "@media print" in text


def with_traffic() -> Report:
    measured = Measured()
    measured.put("by_hour", "12", "calls_inbound", 3)
    measured.put("by_hour", "12", "answered", 2)
    measured.put("by_hour", "12", "missed", 1)
    return replace(a_report(), by_hour=measured.rows("by_hour", HOURS))


def test_the_page_runs_nothing_and_asks_for_nothing_from_elsewhere() -> None:
    for report in (with_traffic(), a_voice_report()):
        page = html(report)
        assert "<script" not in page
        assert not re.search(r"(?:src|href)=[\"'](?!#)", page.replace('xlink:href="#', ""))
        assert "url(http" not in page


def test_a_chart_says_in_words_what_it_shows() -> None:
    page = html(with_traffic())

    assert 'role="img" aria-labelledby="calls-by-hour-title calls-by-hour-words"' in page
    assert "stacked by how they ended: answered 2, voicemail 0, abandoned 0, missed 1." in page
    assert "Most came at 12:00: 3." in page


def test_every_id_of_the_page_is_there_once() -> None:
    for report in (with_traffic(), a_voice_report()):
        ids = re.findall(r'\bid="([^"]+)"', html(report))
        assert len(ids) == len(set(ids))


def test_a_day_without_anything_says_so_instead_of_empty_charts() -> None:
    empty = replace(a_report(), totals=nothing(), by_hour=Measured().rows("by_hour", HOURS), by_line=(), by_user=())

    assert "Nobody called or wrote" in html(empty)
    assert "<svg" not in html(empty)


def test_every_figure_has_its_tooltip_and_its_meaning() -> None:
    page = html(with_traffic())

    for figure in DAILY_ACTIVITY:
        meaning = str(escape(figure.meaning))
        assert f'title="{meaning}"' in page, figure.name
        assert f"<dd>{meaning} In " in page, figure.name


def test_voice_analytics_shows_the_calls_worth_a_listen_with_their_reasons() -> None:
    rendered = render(a_voice_report())

    assert rendered.subject == "Support: voice analytics for Friday, 13 March 2026"
    for text in (rendered.html, rendered.text, html(a_voice_report())):
        assert "very negative (-0.75)" in text
        assert "2 min 10 s on hold" in text
        assert "the agent talked 80 % of the time" in text
        assert "12:00" in text
        assert "Jo" in text
    assert "analysed by us" in rendered.html
    assert {one.content_id for one in rendered.attachments} >= {"sentiment", "topics"}


def test_what_callers_and_analysers_wrote_is_escaped_and_never_runs() -> None:
    nasty = '<img src=x onerror="alert(1)">$x$'
    report = a_voice_report(topic=nasty, contact=nasty, summary=f"={nasty}")

    for text in (html(report), render(report).html):
        assert "<img src=x" not in text
        assert "&lt;img src=x" in text
    rows = list(csv.reader(io.StringIO(csv_of(report))))
    assert ["summaries", "c1", nasty, "summary", f"'={nasty}"] in rows
    assert ["worth_a_listen", "c1", nasty, "very_negative", "very negative (-0.75)"] in rows


def test_who_may_not_read_the_inbox_sees_how_it_went_and_not_what_was_said() -> None:
    hidden = a_voice_report().without_contents()
    page = html(hidden)

    assert "Jo" not in page
    assert CONTACT not in page
    assert "Wants it back." not in page
    assert "very negative (-0.75)" in page
    assert "call c1" in page
    assert "Wants it back." not in csv_of(hidden)


def test_the_summary_is_set_against_last_week() -> None:
    rendered = render(a_report())

    assert "+1 on last week" in rendered.html
    assert "−25 points on last week" in rendered.text


def test_the_csv_has_every_figure_of_every_row_and_no_cell_that_runs() -> None:
    rendered = render(a_report(user_name='=HYPERLINK("http://example.com")'))
    (attachment,) = (one for one in rendered.attachments if one.content_type.startswith("text/csv"))
    text = base64.b64decode(attachment.content_base64).decode()
    rows = list(csv.reader(io.StringIO(text)))

    assert attachment.filename == "daily-activity-support-2026-03-13.csv"
    assert tuple(rows[0]) == CSV_COLUMNS
    assert ["totals", "", "", "calls_inbound", "4"] in rows
    assert ["previous", "", "", "answer_rate", "0.75"] in rows
    assert ["by_line", f"'{LINE}", "Main", "calls_inbound", "4"] in rows
    assert ["by_user", "anna", '\'=HYPERLINK("http://example.com")', "answered", "2"] in rows
    assert ["by_user", "anna", '\'=HYPERLINK("http://example.com")', "unread_left", ""] in rows
    assert len(rows) == 1 + (2 + 24 + 1 + 1) * len(DAILY_ACTIVITY)
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
