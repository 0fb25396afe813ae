"""What somebody looks for, and what things are found by: numbers, names and text (I5).

Postgres compares what stands here as it is, with no extension: words without case or accents, and numbers by their
first characters or their last digits.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from contracts.communications import CommunicationChanged

_MOST_TEXT: Final = 10_000
_MOST_WORDS: Final = 10
_PUNCTUATION: Final = re.compile(r"[\s\-‐-―()\[\]{}./]")
_DIGITS: Final = re.compile(r"\+?[0-9]+")
_SENDER: Final = re.compile(r"[0-9A-Za-z*#.+_-]{1,32}")
_BETWEEN_WORDS: Final = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Sought:
    """What to look for; whatever is found by any of it counts.

    A number begins with one of `beginnings`, or ends with one of `endings` (which stand here reversed). A name or
    text holds every one of `words`, at least their beginnings.
    """

    beginnings: tuple[str, ...]
    endings: tuple[str, ...]
    words: tuple[str, ...]


def sought(query: str) -> Sought | None:
    """What a query looks for; None when nothing can be looked for in it."""
    beginnings, endings = _numbers(query)
    words = tuple(words_of(query).split(" ")[:_MOST_WORDS])
    found = Sought(beginnings, endings, words if words != ("",) else ())
    return found if found.beginnings or found.endings or found.words else None


def number_key(number: str) -> str:
    """A contact's number as it is looked for."""
    return number.lower()


def words_of(text: str) -> str:
    """The words of a name or text, without case and accents, with one space between them."""
    if text.isascii():
        folded = text.lower()
    else:
        decomposed = unicodedata.normalize("NFKD", text)
        folded = "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold()
    return _BETWEEN_WORDS.sub(" ", folded).strip()


def text_of(snapshot: CommunicationChanged) -> str | None:
    """The words that a communication is found by: what was written, or said to the voicemail."""
    body, said = snapshot.body, snapshot.voicemail.transcript if snapshot.voicemail else None
    if not (body or said):
        return None
    text = f"{body} {said}" if body and said else body or said or ""
    return words_of(text[:_MOST_TEXT])[:_MOST_TEXT] or None


def _numbers(query: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    # In a query `+` means a space: a number that begins with one lost its plus on the way.
    text = "+" + query[1:] if query.startswith(" ") and query[1:2].isdigit() else query
    compact = _PUNCTUATION.sub("", text)
    if _DIGITS.fullmatch(compact):
        if compact.startswith("+"):
            return (compact,), ()
        beginnings = [f"+{compact}", compact]
        endings = [compact]
        if compact.startswith("00") and compact != "00":
            beginnings.append(f"+{compact[2:]}")
        if significant := compact.lstrip("0"):
            # Within a country numbers are dialled with a zero that they do not have from abroad.
            endings.append(significant)
        return tuple(beginnings), tuple(sorted({ending[::-1] for ending in endings}))
    bare = text.strip()
    return ((number_key(bare),), ()) if _SENDER.fullmatch(bare) else ((), ())
