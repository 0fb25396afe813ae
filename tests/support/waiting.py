"""Waiting on a condition, never for a length of time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(
    condition: Callable[[], Awaitable[T]], seconds: float = 20.0, *, every: float = 0.05, because: str = ""
) -> T: ...


@overload
async def eventually(
    condition: Callable[[], T], seconds: float = 20.0, *, every: float = 0.05, because: str = ""
) -> T: ...


async def eventually(
    condition: Callable[[], Any], seconds: float = 20.0, *, every: float = 0.05, because: str = ""
) -> Any:
    """Poll until `condition()` is true and return what it gave; fails with its last answer after `seconds`.

    The condition may be a coroutine function. An AssertionError inside it counts as "not yet", so that a block
    of plain asserts can be waited on; it should then return something true.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer: Any = None
        failure: AssertionError | None = None
        try:
            given = condition()
            answer = await given if inspect.isawaitable(given) else given
        except AssertionError as error:
            failure = error
        if answer:
            return answer
        if time.monotonic() > deadline:
            told = f"{because or 'the condition'} was not reached in {seconds:g} s"
            raise AssertionError(f"{told}: {failure or answer!r}") from failure
        await asyncio.sleep(every)
