"""What the console says stands in one place, and all that it asks for stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from console.rendering import FOLDER, STATIC, Renderer, Text, anchor

TEMPLATES = sorted((FOLDER / "templates").rglob("*.html"))
SCRIPTS = sorted(STATIC.glob("*.js"))


def named(file: Path) -> list[str]:
    """The whole keys that a file names."""
    return re.findall(r"""\bt\(["']([\w.]+)["'][,)]""", file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", [*TEMPLATES, *SCRIPTS], ids=lambda file: file.name)
def test_every_text_that_is_asked_for_is_there(file: Path) -> None:
    text = Text()
    for key in named(file):
        entry = text.entry(key)
        assert isinstance(entry, str) or set(entry) == {"one", "other"}, key


def test_texts_are_asked_for() -> None:
    assert len([key for file in [*TEMPLATES, *SCRIPTS] for key in named(file)]) > 100


def test_plural_forms_go_by_the_count() -> None:
    text = Text()
    assert text("inbox.panel.unread", count=1) == "1 unread"
    assert text("inbox.alerts.several", count=2) == "2 new items"


def test_an_unknown_key_is_an_error_and_never_shown() -> None:
    with pytest.raises(KeyError):
        Text()("inbox.nothing")


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_no_script_ever_reads_a_string_as_html(file: Path) -> None:
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setHTMLUnsafe|javascript:"
    )
    assert not re.search(forbidden, file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_no_template_holds_what_the_content_security_policy_refuses(file: Path) -> None:
    page = file.read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|\|\s*safe\b", page)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)


def test_what_a_service_says_of_a_field_is_shown_by_the_field_s_label_and_leads_to_it() -> None:
    label = Renderer().label
    assert label("email") == "E-mail address"
    assert label("ring_layers.1.ring_seconds") == "Seconds"
    assert (label("agents.users.3"), anchor("agents.users.3")) == ("Users", "agents.users")
    assert anchor("ring_layers.1.ring_seconds") == "ring_layers.1.ring_seconds"
    assert label("of_no_form") == "of_no_form"
