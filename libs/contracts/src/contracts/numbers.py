"""Telephone numbers as they travel: E.164 where they can be, as they came where they can't (contract §2)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat

ANONYMOUS: Final = "anonymous"

_PUNCTUATION: Final = re.compile(r"[\s\-‐-―()\[\]{}]")
_SENDER: Final = re.compile(r"[0-9A-Za-z*#.+_-]{1,32}")
_E164: Final = re.compile(r"\+[1-9][0-9]{5,14}")
_SHORT_CODE: Final = re.compile(r"[0-9]{3,8}")
# No prefix can be stripped from these: they parse, and come out as they went in, at a hundredth of the cost.
_NORTH_AMERICAN: Final = re.compile(r"\+1[2-9][0-9]{9}")


@lru_cache(maxsize=100_000)
def normalise(raw: str | None, region: str | None = None) -> str:
    """One number in the form in which it is compared everywhere.

    With `+`, what parses becomes E.164. Without it, what is valid in `region` (ISO 3166, the region of the
    event's line), else what is valid with `+` put before it. Other senders (short codes, `ACME`) stay as
    they came; null, empty, `anonymous` and everything else is `anonymous`.
    """
    if not raw:
        return ANONYMOUS
    text = _PUNCTUATION.sub("", raw)
    if _NORTH_AMERICAN.fullmatch(text):
        return text
    if text.startswith("+"):
        parsed = _parsed(text, None)
        if parsed is not None:
            return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    else:
        for candidate, candidate_region in ((text, region), ("+" + text, None)):
            if candidate is text and region is None:
                continue
            parsed = _parsed(candidate, candidate_region)
            if parsed is not None and phonenumbers.is_valid_number(parsed):
                return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    if text.lower() == ANONYMOUS:
        return ANONYMOUS
    return text if _SENDER.fullmatch(text) else ANONYMOUS


@lru_cache(maxsize=10_000)
def region_of(number: str) -> str | None:
    """The region (ISO 3166) of an E.164 number, None where there is none."""
    parsed = _parsed(number, None)
    return phonenumbers.region_code_for_number(parsed) if parsed is not None else None


def is_e164(number: str) -> bool:
    """Whether a normalised number can be called and texted back: `+` and digits."""
    return _E164.fullmatch(number) is not None


def is_line(number: str) -> bool:
    """Whether a normalised number can be one of an account's lines: E.164, or a short code of 3 to 8 digits.

    Anything else, such as an alphanumeric sender, can be a contact, but nobody answers it (decision 10).
    """
    return is_e164(number) or _SHORT_CODE.fullmatch(number) is not None


def _parsed(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None
