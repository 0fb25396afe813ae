"""The demo's own stack on this machine: fresh each time, in a folder of its own, ended with the demo."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from devstack.kafka import KafkaUnavailable
from devstack.ports import PortInUse
from devstack.postgres import PostgresUnavailable
from devstack.processes import ProcessDied
from devstack.progress import Progress
from devstack.settings import StackSettings
from devstack.showing import Letter, letters
from devstack.stack import Stack, StackFailed
from service_kit.settings import KafkaSettings

FOLDER: Final = "demo"


class StackStage:
    """A stack that is up, as a demo's stage."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.urls = self.public_urls = stack.urls
        self.console_url = stack.console_url
        self.jwt_secret = stack.env["JWT_SECRET"]
        self.kafka = KafkaSettings(kafka_bootstrap_servers=stack.env["KAFKA_BOOTSTRAP_SERVERS"])
        self.inboxctl = f"{_near(Path(sys.executable).parent / 'inboxctl')} --env-file {_near(stack.env_file)}"
        self.mailbox = str(stack.mail_folder / "new")

    def letters(self) -> list[Letter]:
        return letters(self._stack.mail_folder)


@contextmanager
def fresh_stage(console: Console, progress: Progress, account_id: str) -> Iterator[StackStage]:
    """An empty stack whose console signs in to the account, stopped at the end.

    Ends the process where it can't be had, and says why.
    """
    settings = StackSettings()
    folder = Path(settings.devstack_dir) / FOLDER
    stack = Stack(settings.model_copy(update={"devstack_dir": folder}), development_account=account_id)
    for name in stack.stop():
        console.print(f"stopped {name} of an earlier demo", markup=False)
    stack.forget()
    try:
        stack.start(progress)
        yield StackStage(stack)
    except (PortInUse, KafkaUnavailable, PostgresUnavailable, ProcessDied, StackFailed) as error:
        console.print(str(error), markup=False)
        raise SystemExit(1) from None
    finally:
        stack.stop()


def _near(path: Path) -> str:
    """A path as it is typed from the current folder."""
    # Not resolved: the Python of a virtual environment is a link out of it.
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
