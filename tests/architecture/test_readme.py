"""The README's table of settings is whole and true."""

from __future__ import annotations

import re
from pathlib import Path

from console.settings import ConsoleSettings
from inbox_state.settings import InboxStateSettings
from notification.settings import NotificationSettings
from reporting.settings import ReportingSettings
from routing.settings import RoutingSettings

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_every_setting_of_a_service_stands_in_the_table_and_no_other() -> None:
    known = {
        str(field.validation_alias or name).upper()
        for kind in (RoutingSettings, InboxStateSettings, NotificationSettings, ReportingSettings, ConsoleSettings)
        for name, field in kind.model_fields.items()
    }
    table = README.split("## Settings", 1)[1]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)} == known


def test_every_page_that_the_readme_links_to_is_there() -> None:
    folder = Path(__file__).parents[2]
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert (folder / target).exists(), target
