"""Keyset paging over lists that are in the order of one id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from service_kit.http import Page, decode_cursor, encode_cursor, invalid

T = TypeVar("T")

SearchText = Annotated[str | None, Query(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
"""A part of what is looked for, in any case of letters."""


def position(cursor: str | None) -> str:
    """The id beyond which a page begins; 422 for a cursor of another list."""
    if cursor is None:
        return ""
    (last,) = decode_cursor(cursor, 1)
    if not isinstance(last, str):
        raise invalid("cursor", "is not a cursor of this list")
    return last


def page_of(items: Sequence[T], limit: int, id_of: Callable[[T], str]) -> Page[T]:
    """A page out of `limit + 1` items: the one too many tells that there is a next page."""
    shown = list(items[:limit])
    more = len(items) > limit
    return Page(items=shown, next_cursor=encode_cursor(id_of(shown[-1])) if more else None)
