"""Where the commands find everything: the environment, filled up from the running stack's own file."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from contracts.topics import SERVICES
from service_kit.settings import EnvironmentSettings

ENV_FILE_NAME: Final = "env"


class Addresses(EnvironmentSettings):
    """The four services, and what signs tokens for them."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    routing_url: str = "http://localhost:8001"
    inbox_state_url: str = "http://localhost:8002"
    notification_url: str = "http://localhost:8003"
    reporting_url: str = "http://localhost:8004"
    jwt_secret: SecretStr | None = Field(default=None, min_length=16)
    inboxctl_token: SecretStr | None = None

    def url_of(self, service: str) -> str:
        """The base address of a service, without a slash at its end. Raises `KeyError` for an unknown one."""
        if service not in SERVICES:
            raise KeyError(service)
        return str(getattr(self, f"{service}_url")).rstrip("/")


def fill_from_file(environment: MutableMapping[str, str], file: Path | None, folder: Path) -> Path | None:
    """Add what the stack's env file says and the environment does not; returns the file that was read.

    `file` None means `<DEVSTACK_DIR or folder/.devstack>/env`, if it is there. Raises `FileNotFoundError`
    when a file was named that is not there, `ValueError` with the number of a line that is not `KEY=value`.
    """
    if file is None:
        file = Path(environment.get("DEVSTACK_DIR") or folder / ".devstack") / ENV_FILE_NAME
        if not file.is_file():
            return None
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{file}, line {number}: not KEY=value")
        environment.setdefault(name.strip(), value)
    return file


def default_environment_file(file: Path | None) -> Path | None:
    """`fill_from_file` for this process, seen from the current folder."""
    return fill_from_file(os.environ, file, Path.cwd())
