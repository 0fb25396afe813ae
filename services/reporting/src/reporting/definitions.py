"""`python -m reporting.definitions [FILE]` writes what every figure means (default: docs/figures.md).

A test compares the page with what this would write, so no figure can change its meaning unnoticed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from reporting.figures import FIGURES, UNITS, Figure
from reporting.rendering import TITLES

DEFAULT_FILE: Final = Path("docs/figures.md")

_INTRODUCTION: Final = """\
# What the figures mean

Written by `python -m reporting.definitions` from `services/reporting/src/reporting/figures.py`, where each figure
stands once; the tooltips of the reports and the OpenAPI document say the same. What the reports look like, and when
they come: [reports](reports.md).

A figure counts what passes the filters of the inbox's report settings and began in the period: a communication
belongs to the local day of its `started_at`. Where nothing defines a figure (a rate without calls) it is `null` in
JSON, empty in CSV, and a dash for readers."""

_BETTER: Final = {"more": "more is better", "less": "less is better", "neither": ""}


def page() -> str:
    """The page's text: the same for the same figures."""
    parts = [_INTRODUCTION]
    for kind, figures in FIGURES.items():
        parts.append(f"## {TITLES[kind]}")
        head = "| name | label | unit | what counts | how it is worked out | |\n|---|---|---|---|---|---|"
        parts.append("\n".join([head, *map(_row, figures)]))
    return "\n\n".join(parts) + "\n"


def _row(figure: Figure) -> str:
    cells = (
        f"`{figure.name}`",
        figure.label,
        UNITS[figure.unit],
        figure.meaning,
        figure.formula,
        _BETTER[figure.better],
    )
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FILE).write_text(page(), encoding="utf-8")
