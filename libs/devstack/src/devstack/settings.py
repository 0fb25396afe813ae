"""The settings of the stack itself, from the environment (contract §4)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from devstack.ports import DEFAULT_BASE, HIGHEST_BASE

REPOSITORY: Final = Path(__file__).parents[4]


class StackSettings(BaseSettings):
    """Where the stack lives and which ports it takes."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    devstack_dir: Path = Field(default=REPOSITORY / ".devstack")
    port_base: int = Field(default=DEFAULT_BASE, ge=1024, le=HIGHEST_BASE)
    topic_partitions: int = Field(default=3, ge=1, le=100)
