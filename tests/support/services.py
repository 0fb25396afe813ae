"""A service as a real process, to be killed and started again."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from devstack.ports import HOST, free_port
from devstack.processes import Process, tail
from devstack.stack import is_ready, service_environment
from service_kit.auth import sign
from service_kit.clock import utc_now
from tests.support.waiting import eventually

JWT_SECRET = "only tests sign tokens with this secret"

QUICK = {"SESSION_TIMEOUT_MS": "3000", "HEARTBEAT_INTERVAL_MS": "500"}
"""A killed member's partitions are given away within seconds, so that a test need not wait for the defaults."""


def bearer(
    user_id: str, account_id: str, *, scope: str = "", lasting: timedelta = timedelta(hours=1)
) -> dict[str, str]:
    """The `Authorization` header of a person, or with `scope="directory"` of a machine that administers."""
    token = sign(JWT_SECRET, user_id=user_id, account_id=account_id, scope=scope, now=utc_now(), lasts=lasting)
    return {"Authorization": f"Bearer {token}"}


@dataclass
class RunningService:
    """`python -m <name>` (or another command) with its own port and log."""

    name: str
    environment: Mapping[str, str]
    log: Path
    command: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    process: Process | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """Its HTTP address."""
        return f"http://{HOST}:{self.port}"

    @property
    def log_text(self) -> str:
        """All that it has written so far, over every start."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.alive

    def launch(self, **extra_env: str) -> Process:
        """Start the process without waiting for it to be ready."""
        address = {"HOST": HOST, "PORT": str(self.port), "PUBLIC_URL": self.url}
        self.process = Process.launch(
            self.name,
            [sys.executable, *(self.command or ("-m", self.name))],
            self.log,
            environment=service_environment({**address, **self.environment, **extra_env}),
        )
        return self.process

    async def start(self, seconds: float = 30.0, **extra_env: str) -> None:
        """Start the process and wait until /health/ready answers 200."""
        self.launch(**extra_env)
        await self.start_waiting(seconds)

    async def start_waiting(self, seconds: float = 30.0) -> None:
        """Wait until the process that was launched is ready."""
        process = self.process
        assert process is not None

        async def ready_or_dead() -> bool:
            return not process.alive or await asyncio.to_thread(is_ready, self.url)

        try:
            await eventually(ready_or_dead, seconds, because=f"{self.name} being ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{tail(self.log)}") from None
        if not process.alive:
            raise process.died()

    async def died(self, seconds: float = 30.0) -> None:
        """Wait until the process has ended, by whatever hand."""
        await eventually(lambda: not self.alive, seconds, because=f"the end of {self.name}")

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None:
            await asyncio.to_thread(self.process.kill)

    async def stop(self, grace_seconds: float = 30.0) -> bool:
        """SIGTERM, and wait; False when it had to be killed after `grace_seconds`."""
        return self.process is None or await asyncio.to_thread(self.process.stop, grace_seconds)

    def freeze(self) -> None:
        """SIGSTOP: it neither works nor answers, and its connections stay open."""
        if self.process is not None:
            self.process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self.process is not None:
            self.process.send(signal.SIGCONT)
