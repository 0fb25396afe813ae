"""Asking services that may not be up yet, or whose copy of the directory is a moment behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from devstack.api import Api, Refused, Unreachable

PATIENCE_SECONDS: Final = 60.0
"""How long a service may take to come up, or its copy of the directory to catch up."""

_AT_ONCE: Final = 8
_PAUSE_SECONDS: Final = 0.1

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patient:
    """Asks through `api`, and asks again for up to `seconds` while a service is not able to answer.

    Raises `Unreachable` when it stays so, and `Refused` at once when a service says no.
    """

    api: Api
    seconds: float = PATIENCE_SECONDS

    def ask(self, question: Callable[[], T], *, retry: Callable[[Refused], bool] = lambda _: False) -> T:
        """The answer to a question; `retry` tells which refusals may pass."""
        until = time.monotonic() + self.seconds
        while True:
            try:
                return question()
            except Unreachable:
                if time.monotonic() > until:
                    raise
            except Refused as refused:
                if not retry(refused) or time.monotonic() > until:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def find(self, service: str, *path: str) -> Any | None:
        """The JSON of a GET, None where there is nothing."""
        return self.ask(lambda: self.api.find(service, *path))

    def all_items(self, service: str, *path: str) -> list[Any]:
        """The items of every page of a list."""
        return self.ask(lambda: self.api.all_items(service, *path))

    def until_known(self, service: str, *path: str) -> Any:
        """The JSON of a GET that is answered 404 until the service has heard of what was just made."""
        return self.ask(lambda: self.api.get(service, *path), retry=lambda refused: refused.status == 404)


def side_by_side(work: Callable[[S], T], many: Iterable[S]) -> Iterator[T]:
    """Do the same for each of many, some at a time, and give the results in their order.

    Raises the first failure by that order; what had not begun by then is not done.
    """
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as workers:
        begun = [workers.submit(work, one) for one in many]
        try:
            for future in begun:
                yield future.result()
        finally:
            workers.shutdown(wait=True, cancel_futures=True)
