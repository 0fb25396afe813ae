"""What a start tells the person who waits: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status


class Progress:
    """Says what is going on now and what has been reached. Use it as a context manager.

    Its methods may be called from several threads.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._tick = "✓" if self.console.encoding.lower().startswith("utf") else "ok:"

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._status = self.console.status("starting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def now(self, text: str) -> None:
        """What is going on and may take a while."""
        if self._status is not None:
            self._status.update(text)
        else:
            self.console.print(f"… {text}" if self._tick == "✓" else text, markup=False)

    def done(self, text: str) -> None:
        """What has been reached."""
        self.console.print(f"{self._tick} {text}", markup=False)
