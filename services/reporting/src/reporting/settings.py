"""Reporting's settings, from the environment."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from service_kit.settings import Duration, ServiceSettings


def _words(value: Any) -> Any:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


class ReportingSettings(ServiceSettings):
    """What reporting is told beyond what every service is."""

    database_url: str = Field(validation_alias="REPORTING_DATABASE_URL")
    port: int = Field(default=8004, ge=0, le=65_535)
    report_grace: Duration = Field(
        default=timedelta(minutes=10), description="How long after a day's end its report waits for stragglers."
    )
    report_timer_seconds: float = Field(default=2.0, gt=0, description="How often due reports are looked for.")
    report_waits_for: Annotated[tuple[Literal["routing", "inbox_state"], ...], NoDecode, BeforeValidator(_words)] = (
        Field(
            default=("routing", "inbox_state"),
            description="The services before this one, which a day's report waits for; empty where they are not run.",
        )
    )
    analyse_transcripts: bool = Field(
        default=True, description="Whether transcripts that came without an analysis are analysed here."
    )
