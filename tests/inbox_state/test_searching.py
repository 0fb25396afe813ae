"""What somebody looks for: numbers as people type them, words as they remember them."""

from __future__ import annotations

import pytest

from inbox_state.searching import Sought, sought, text_of, words_of
from tests.inbox_state.words import a_missed_call, a_text


@pytest.mark.parametrize(
    ("query", "beginnings", "endings"),
    [
        ("+1 (555) 012", ("+1555012",), ()),
        (" 1555012", ("+1555012",), ()),
        ("555-0123", ("+5550123", "5550123"), ("3210555",)),
        ("0049 30 1234", ("+0049301234", "0049301234", "+49301234"), ("43210394", "4321039400")),
        ("030/1234", ("+0301234", "0301234"), ("432103", "4321030")),
        ("00", ("+00", "00"), ("00",)),
        ("ACME", ("acme",), ()),
        ("clara klein", (), ()),
    ],
)
def test_numbers_are_found_by_their_beginning_or_their_last_digits(
    query: str, beginnings: tuple[str, ...], endings: tuple[str, ...]
) -> None:
    found = sought(query)
    assert found is not None
    assert (found.beginnings, found.endings) == (beginnings, endings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", "hello world"),
        ("José Müller", "jose muller"),
        ("STRASSE straße", "strasse strasse"),
        ("mail anna@acme.example", "mail anna acme example"),
        ("a_b--c\n\td", "a b c d"),
        ("請求書 №42", "請求書 no42"),
        ("?!", ""),
    ],
)
def test_words_have_no_case_no_accents_and_nothing_between_them(text: str, words: str) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize("query", ["", "  ", "?!", "☎", "\0"])
def test_where_there_is_nothing_to_look_for_nothing_is_looked_for(query: str) -> None:
    assert sought(query) is None


def test_a_query_has_only_so_many_words() -> None:
    found = sought(" ".join(f"w{n}" for n in range(50)))
    assert found == Sought((), (), tuple(f"w{n}" for n in range(10)))


def test_a_communication_is_found_by_what_was_written_or_said() -> None:
    assert text_of(a_text("m", 1, body="The Invoice")) == "the invoice"
    assert text_of(a_missed_call("c", 1)) is None
    said = a_missed_call("c", 1, voicemail={"transcript": "Call me back."})
    assert text_of(said) == "call me back"
    assert text_of(a_text("m", 1, body="?!")) is None
    long = text_of(a_text("m", 1, body="ab " * 20_000))
    assert long is not None
    assert len(long) <= 10_000
