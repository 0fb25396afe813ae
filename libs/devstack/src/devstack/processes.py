"""Processes of the stack: started with a log of their own, found again by pid, ended by pid."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_CLOCK_SLACK_SECONDS = 10.0


class ProcessDied(RuntimeError):
    """A process ended while something waited for it; the message holds its last log lines."""


def tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log, or a word that there are none."""
    if not log.exists():
        return "(no log)"
    text = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    return "\n".join(text) if text else "(the log is empty)"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that we started, known by its pid and by when it began.

    The beginning is part of its identity: a pid alone may belong to a stranger by the time that we read it again.
    """

    name: str
    pid: int
    began: float
    log: Path

    @classmethod
    def launch(
        cls,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> Process:
        """Start a command that outlives us, in a session of its own, its output appended to `log`.

        `user` is the name of the operating-system user to run as (needs root).
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            log.chmod(0o600)
            child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                start_new_session=True,
                user=user,
                group=None if user is None else group_of(user),
                extra_groups=None if user is None else [],
            )
        # The child is followed by pid from here on; Popen would only warn that nobody waited for it.
        child.returncode = 0
        return cls(name=name, pid=child.pid, began=psutil.Process(child.pid).create_time(), log=log)

    def _found(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.began) > _CLOCK_SLACK_SECONDS:
                return None
        except psutil.NoSuchProcess:
            return None
        return process if _runs(process) else None

    @property
    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        return self._found() is not None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        process = self._found()
        if process is not None:
            process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; False if it still runs after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        self._bury()
        return True

    def _bury(self) -> None:
        # Only a parent has to, and only we may be it.
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)

    def stop(self, grace_seconds: float = 20.0, first: signal.Signals = signal.SIGTERM) -> bool:
        """Ask it to end, wait, and kill it after `grace_seconds`; True if it went by itself."""
        self.send(first)
        if self.wait(grace_seconds):
            return True
        self.kill()
        return False

    def kill(self) -> None:
        """SIGKILL it and all its children, and wait until they run no more."""
        process = self._found()
        if process is None:
            return
        family = [process]
        with suppress(psutil.NoSuchProcess):
            family += process.children(recursive=True)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        deadline = time.monotonic() + 10
        while any(_runs(member) for member in family) and time.monotonic() < deadline:
            time.sleep(0.005)
        self._bury()

    def died(self) -> ProcessDied:
        """The error to raise when it ended too early."""
        return ProcessDied(f"{self.name} ended. {self.last_words}")

    @property
    def last_words(self) -> str:
        """The end of its log, for whoever has to find out why."""
        return f"The end of {self.log}:\n{tail(self.log)}"


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def group_of(user: str) -> int:
    """The primary group of an operating-system user."""
    return pwd.getpwnam(user).pw_gid
