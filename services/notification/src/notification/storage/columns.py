"""Rows as `unnest` takes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any


def columns(rows: Collection[Sequence[Any]], count: int) -> list[list[Any]]:
    """Rows as the columns that `unnest` takes, `count` of them even where there is no row."""
    if not rows:
        return [[] for _ in range(count)]
    return [list(column) for column in zip(*rows, strict=True)]
