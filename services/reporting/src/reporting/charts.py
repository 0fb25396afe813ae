"""A report's charts, drawn on the server by matplotlib: SVG for the page, PNG for mail clients, which show no SVG.

Both come of one drawing. Neither needs a script or a font from elsewhere, so they print. The colours follow Okabe and
Ito's, told apart by readers who see no red or green, and are darker where they stand under white letters; what a
chart says is told in words as well.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from reporting.figures import Report, Row
from reporting.schedule import ReportKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE: Final = "#0072B2"
_SKY: Final = "#56B4E9"
_RED: Final = "#B94E00"
_AMBER: Final = "#E69F00"
_PURPLE: Final = "#AA4499"
_GREEN: Final = "#00795A"
_GREY: Final = "#9CA3AF"
_INK: Final = "#374151"
_LINES: Final = "#E5E7EB"
_OF_THE_PAGE: Final = {_INK: "chart-ink", _LINES: "chart-line"}
"""What a page may set otherwise, by the name of its CSS variable: on dark paper dark letters can't be read."""

_STYLE: Final = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10.5,
    # A name that holds dollar signs is a name, not a formula.
    "text.parse_math": False,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.edgecolor": _LINES,
    "svg.fonttype": "none",
}
_INCHES: Final = (5.0, 2.75)
_PIXELS_AN_INCH: Final = 150
_GROUP_ID: Final = re.compile(r'(?<=<g) id="[^"]*"')
_STYLE_SHEET: Final = re.compile(r"<style.*?</style>", re.DOTALL)
_MOST_BARS: Final = 8
_LONGEST_NAME: Final = 22


@dataclass(frozen=True, slots=True)
class _Plan:
    name: str
    title: str
    words: str
    draw: Callable[[Axes], None]


_drawing: Final = Lock()
"""matplotlib's settings are the process's: one drawing at a time."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: `name` is unique within its report, `words` say what it shows to whoever can't see it.

    `png` is there where pictures were asked for.
    """

    name: str
    title: str
    words: str
    svg: str
    png: bytes | None


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of bar: its label, its colour, and a value for each bar."""

    label: str
    colour: str
    values: Sequence[float]


def charts(report: Report, *, pictures: bool = False) -> tuple[Chart, ...]:
    """The charts of a report, with `pictures` as PNG too; none of what did not happen."""
    match report.kind:
        case ReportKind.DAILY_ACTIVITY:
            plans = (*_calls(report), *_messages(report))
        case ReportKind.VOICE_ANALYTICS:
            plans = (*_sentiment(report), *_topics(report))
    return tuple(_drawn(plan, pictures=pictures) for plan in plans)


def _calls(report: Report) -> Sequence[_Plan]:
    series = [
        Series("Answered", _BLUE, _values(report.by_hour, "answered")),
        Series("Voicemail", _PURPLE, _values(report.by_hour, "voicemails")),
        Series("Abandoned", _AMBER, _values(report.by_hour, "abandoned")),
        Series("Missed", _RED, _values(report.by_hour, "missed")),
    ]
    if not any(sum(one.values) for one in series):
        return ()
    busiest = max(report.by_hour, key=lambda row: row.values["calls_inbound"] or 0)
    words = (
        f"Inbound calls by hour, in bars stacked by how they ended: {_sums(series)}. "
        f"Most came at {busiest.name}: {busiest.values['calls_inbound']:.0f}."
    )
    return [_Plan("calls-by-hour", "Inbound calls by hour", words, lambda axes: _by_hour(axes, series))]


def _messages(report: Report) -> Sequence[_Plan]:
    series = [
        Series("In", _SKY, _values(report.by_hour, "messages_inbound")),
        Series("Out", _BLUE, _values(report.by_hour, "messages_outbound")),
    ]
    if not any(sum(one.values) for one in series):
        return ()
    words = f"Messages by hour, bars side by side: {_sums(series)}."
    return [_Plan("messages-by-hour", "Messages by hour", words, lambda axes: _side_by_side(axes, series))]


def _sentiment(report: Report) -> Sequence[_Plan]:
    rows = [Row("", "All", report.totals), *sorted(report.by_user, key=_analysed, reverse=True)]
    rows = [row for row in rows if any(row.values[name] for name in _MIX)][: _MOST_BARS + 1]
    if not rows:
        return ()
    series = [
        Series(label, colour, _values(rows, name))
        for name, (label, colour) in zip(
            _MIX, (("Negative", _RED), ("Neutral", _GREY), ("Positive", _GREEN)), strict=True
        )
    ]
    of_all = [Series(one.label, one.colour, one.values[:1]) for one in series]
    words = f"How analysed calls felt, in one bar for all and one for each user: of all, {_sums(of_all)}."
    names = [row.name for row in rows]
    return [_Plan("sentiment", "How calls felt", words, lambda axes: _lying(axes, names, series, shares=True))]


def _topics(report: Report) -> Sequence[_Plan]:
    topics = report.topics[:_MOST_BARS]
    if not topics:
        return ()
    series = [Series("Calls", _BLUE, [topic.calls for topic in topics])]
    words = f"What calls were about: {', '.join(f'{topic.topic} {topic.calls}' for topic in topics)}."
    names = [topic.topic for topic in topics]
    return [_Plan("topics", "What calls were about", words, lambda axes: _lying(axes, names, series, shares=False))]


_MIX: Final = ("negative_calls", "neutral_calls", "positive_calls")


def _analysed(row: Row) -> float:
    return row.values["calls_analysed"] or 0


def _values(rows: Sequence[Row], name: str) -> list[float]:
    return [row.values[name] or 0 for row in rows]


def _sums(series: Sequence[Series]) -> str:
    return ", ".join(f"{one.label.lower()} {sum(one.values):,.0f}" for one in series)


def _by_hour(axes: Axes, series: Sequence[Series]) -> None:
    hours = range(24)
    bottom = [0.0] * 24
    for one in series:
        axes.bar(hours, one.values, bottom=bottom, width=0.82, color=one.colour, label=one.label)
        bottom = [under + value for under, value in zip(bottom, one.values, strict=True)]
    _hours(axes)


def _side_by_side(axes: Axes, series: Sequence[Series]) -> None:
    width = 0.82 / len(series)
    for place, one in enumerate(series):
        at = [hour + (place - (len(series) - 1) / 2) * width for hour in range(24)]
        axes.bar(at, one.values, width=width, color=one.colour, label=one.label)
    _hours(axes)


def _hours(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xticks(range(0, 24, 3), [f"{hour:02d}:00" for hour in range(0, 24, 3)])
    axes.set_xlim(-0.7, 23.7)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.grid(axis="y", color=_LINES, linewidth=0.8)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=4,
        frameon=False,
        handlelength=1,
        handleheight=1,
        columnspacing=1.2,
    )


def _lying(axes: Axes, names: Sequence[str], series: Sequence[Series], *, shares: bool) -> None:
    sums = [sum(one.values[bar] for one in series) or 1 for bar in range(len(names))]
    left = [0.0] * len(names)
    for one in series:
        lengths = [
            value / (whole if shares else 1) * (100 if shares else 1)
            for value, whole in zip(one.values, sums, strict=True)
        ]
        bars = axes.barh(range(len(names)), lengths, left=left, height=0.68, color=one.colour, label=one.label)
        # White on the darker colours only; grey is too light for it.
        ink = "#111827" if one.colour == _GREY else "white"
        if shares:
            axes.bar_label(
                bars, [f"{value:.0f}" if value else "" for value in one.values], label_type="center", color=ink
            )
        else:
            axes.bar_label(bars, [f"{value:.0f}" for value in one.values], padding=3)
        left = [under + length for under, length in zip(left, lengths, strict=True)]
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    if shares:
        axes.set_xlim(0, 100)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, frameon=False, handlelength=1)
    else:
        axes.margins(x=0.08)


def _short(name: str) -> str:
    # Surrogates and control characters have no place in XML.
    printable = "".join(c if c.isprintable() else " " for c in name)
    return printable if len(printable) <= _LONGEST_NAME else f"{printable[: _LONGEST_NAME - 1]}…"


def _drawn(plan: _Plan, *, pictures: bool) -> Chart:
    # It takes a second to import: paid when the first chart is drawn, not whenever the service starts.
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {**_STYLE, "svg.hashsalt": plan.name}
    with _drawing, mpl.rc_context(style):
        figure = Figure(figsize=_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0, pad=6)
        axes.set_axisbelow(True)
        plan.draw(axes)
        svg, png = io.StringIO(), io.BytesIO()
        unsaid: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(svg, format="svg", metadata=unsaid, transparent=True)
        if pictures:
            figure.savefig(png, format="png", dpi=_PIXELS_AN_INCH, facecolor="white", metadata={"Software": None})
    return Chart(plan.name, plan.title, plan.words, _inline(svg.getvalue(), plan), png.getvalue() if pictures else None)


def _inline(svg: str, plan: _Plan) -> str:
    """The drawing as an element of a page: as wide as its place, with its words for screen readers."""
    _, _, rest = svg.partition("<svg ")
    attributes, _, inside = rest.partition(">")
    box = next(part for part in attributes.split('"') if part.startswith("0 0 "))
    # Groups of two charts have the same ids, and a style sheet inside would be the whole page's.
    inside = _GROUP_ID.sub("", _STYLE_SHEET.sub("", inside))
    for colour, name in _OF_THE_PAGE.items():
        inside = inside.replace(f": {colour.lower()}", f": var(--{name}, {colour.lower()})")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}" '
        f'role="img" aria-labelledby="{plan.name}-title {plan.name}-words">'
        f'<title id="{plan.name}-title">{escape(plan.title)}</title>'
        f'<desc id="{plan.name}-words">{escape(plan.words)}</desc>{inside}'
    )
