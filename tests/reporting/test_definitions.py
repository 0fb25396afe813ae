"""What a figure means stands in one place, and everything else repeats it (P5, P6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from reporting.definitions import page
from reporting.figures import BY_NAME, FIGURES
from service_kit.database import Database
from tests.reporting.words import NOON, Ticking, an_app

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_figures_is_what_the_code_says() -> None:
    assert (DOCS / "figures.md").read_text(encoding="utf-8") == page(), "run python -m reporting.definitions"


def test_no_name_is_two_figures() -> None:
    assert len(BY_NAME) == sum(len(figures) for figures in FIGURES.values())


@pytest.mark.parametrize("name", BY_NAME)
def test_every_figure_says_what_counts_and_how(name: str) -> None:
    figure = BY_NAME[name]

    assert figure.label
    assert figure.meaning.endswith(".")
    assert figure.formula
    assert not figure.formula.endswith(".")


async def test_openapi_says_what_each_figure_means(reporting: Database) -> None:
    document = an_app(reporting, Ticking(NOON)).openapi()

    description = document["paths"]["/v1/inboxes/{inbox_id}/reports/{report}"]["get"]["description"]
    for figure in BY_NAME.values():
        assert f"`{figure.name}`" in description
        assert figure.meaning in description


def test_the_pictures_of_the_page_of_reports_are_there() -> None:
    text = (DOCS / "reports.md").read_text(encoding="utf-8")

    for report in ("daily-activity", "voice-analytics"):
        for kind in ("page", "email"):
            for width in ("desk", "phone"):
                picture = f"images/{report}-{kind}-{width}.png"
                assert f"]({picture})" in text
                assert (DOCS / picture).stat().st_size > 5_000
