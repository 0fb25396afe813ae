"""What inbox_state is told by its environment."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from service_kit.settings import Duration, ServiceSettings


class InboxStateSettings(ServiceSettings):
    """The settings of inbox_state, beside those that every service has."""

    database_url: str = Field(validation_alias="INBOX_STATE_DATABASE_URL")
    port: int = Field(default=8002, ge=0, le=65_535)
    auto_mark_every: Duration = timedelta(seconds=60)
