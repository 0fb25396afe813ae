"""How numbers are written once they are ours (contract §2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.numbers import ANONYMOUS, is_e164, is_line, normalise, region_of


@pytest.mark.parametrize(
    ("raw", "region", "normal"),
    [
        ("+12125550123", None, "+12125550123"),
        ("+1 (212) 555-0123", None, "+12125550123"),
        ("+1 212\u2011555\u20130123", "DE", "+12125550123"),
        ("(212) 555-0123", "US", "+12125550123"),
        ("212 555 0123", "US", "+12125550123"),
        ("030 901820", "DE", "+4930901820"),
        ("12125550123", None, "+12125550123"),
        ("4930901820", "US", "+4930901820"),
        ("72975", "US", "72975"),
        ("72975", None, "72975"),
        ("911", "US", "911"),
        ("*67", "US", "*67"),
        ("ACME", "US", "ACME"),
        ("Acme-Ltd", None, "AcmeLtd"),
        ("+999", None, "+999"),
        (None, "US", ANONYMOUS),
        ("", "US", ANONYMOUS),
        ("anonymous", "US", ANONYMOUS),
        ("Anonymous", None, ANONYMOUS),
        ("   ", "US", ANONYMOUS),
        ("ÄRZTE", "DE", ANONYMOUS),
        ("sip:robin@example.com", None, ANONYMOUS),
        ("x" * 33, None, ANONYMOUS),
        ("x" * 32, None, "x" * 32),
    ],
)
def test_a_number_has_one_form(raw: str | None, region: str | None, normal: str) -> None:
    assert normalise(raw, region) == normal


@given(st.text(max_size=40), st.sampled_from([None, "US", "DE", "GB"]))
def test_any_text_becomes_something_that_stays_as_it_is(raw: str, region: str | None) -> None:
    once = normalise(raw, region)
    assert 1 <= len(once) <= 32
    assert "\0" not in once
    if once.startswith("+"):
        assert normalise(once, region) == once


@pytest.mark.parametrize(
    ("number", "region"),
    [
        ("+12125550100", "US"),
        ("+4930901820", "DE"),
        ("+442079460123", "GB"),
        ("72975", None),
        (ANONYMOUS, None),
    ],
)
def test_a_number_tells_its_region(number: str, region: str | None) -> None:
    assert region_of(number) == region


@pytest.mark.parametrize(
    ("number", "can_be_called"),
    [("+12125550100", True), ("72975", False), ("ACME", False), (ANONYMOUS, False), ("+0123456", False)],
)
def test_only_a_full_number_can_be_called_back(number: str, can_be_called: bool) -> None:
    assert is_e164(number) is can_be_called


@pytest.mark.parametrize("number", ["+12125550100", "+4930901820", "911", "72975", "12345678"])
def test_full_numbers_and_short_codes_can_be_lines(number: str) -> None:
    assert is_line(number)


@pytest.mark.parametrize("number", ["12", "123456789", "ACME", "*67", "+999", ANONYMOUS, "", "७२९७५"])
def test_nothing_else_can_be_a_line(number: str) -> None:
    assert not is_line(number)
