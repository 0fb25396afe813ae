"""Timers: work whose time has come, found in Postgres rows, on any replica (architecture §3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from service_kit.metrics import TIMER_FAILURES

log = structlog.get_logger()


@dataclass
class Timer:
    """Work to look for again and again.

    `work` takes a small batch of due rows with SKIP LOCKED and says whether more is due at once. `wake()`
    makes it look now.
    """

    name: str
    every: timedelta
    work: Callable[[], Awaitable[bool]]
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Look for due work at once."""
        self._woken.set()

    async def run(self, service: str) -> None:
        """Work until cancelled. A failure is logged and counted, and tried again after a pause that grows."""
        pause = self.every.total_seconds()
        TIMER_FAILURES.labels(service=service, timer=self.name)
        while True:
            self._woken.clear()
            try:
                if await self.work():
                    continue
                pause = self.every.total_seconds()
            except Exception as error:
                TIMER_FAILURES.labels(service=service, timer=self.name).inc()
                log.exception("timer_failed", timer=self.name, error=type(error).__name__)
                pause = min(max(pause, 0.5) * 2, 60.0)
            try:
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            except TimeoutError:
                pass
