"""`inboxctl`, run to its end as a person runs it."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from devstack.inboxctl import main


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


class Inboxctl(Protocol):
    """`await inboxctl("token", …)`: runs a command to its end."""

    async def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, text: str = ""
    ) -> Ran: ...


@pytest.fixture
def inboxctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inboxctl:
    """Runs a command with nothing of this machine's environment, in `tmp_path` unless another folder is named."""

    async def run(
        *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, text: str = ""
    ) -> Ran:
        with monkeypatch.context() as patched:
            for name in list(os.environ):
                if name.startswith(("KAFKA_", "JWT_", "DEVSTACK_", "TOPIC_")) or name.endswith("_URL"):
                    patched.delenv(name)
            # What a command adds to its environment goes away with the patch.
            patched.setattr(os, "environ", os.environ.copy())
            os.environ.update(env or {})
            patched.chdir(cwd or tmp_path)
            patched.setattr(sys, "argv", ["inboxctl", *arguments])
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
            capsys.readouterr()
            code = await asyncio.to_thread(_code_of, main)
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return run


def _code_of(command: Callable[[], None]) -> int:
    try:
        command()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    return 0
