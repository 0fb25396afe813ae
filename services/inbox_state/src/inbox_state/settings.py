"""What inbox_state is told by its environment."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from service_kit.settings import Duration, ServiceSettings


class InboxStateSettings(ServiceSettings):
    """The settings of inbox_state, beside those that every service has."""

    database_url: str = Field(validation_alias="INBOX_STATE_DATABASE_URL")
    port: int = Field(default=8002, ge=0, le=65_535)
    # More at once take more memory: after a million communications a process is to have at most 1.5 times its idle one.
    batch_max_records: int = Field(default=2_000, ge=1, le=10_000)
    auto_mark_every: Duration = timedelta(seconds=60)
    stream_resume_within: Duration = timedelta(hours=1)
