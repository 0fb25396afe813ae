"""Reporting's settings, from the environment."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from service_kit.settings import Duration, ServiceSettings


class ReportingSettings(ServiceSettings):
    """What reporting is told beyond what every service is."""

    database_url: str = Field(validation_alias="REPORTING_DATABASE_URL")
    port: int = Field(default=8004, ge=0, le=65_535)
    report_grace: Duration = Field(
        default=timedelta(minutes=10), description="How long after a day's end its report waits for stragglers."
    )
    report_timer_seconds: float = Field(default=2.0, gt=0, description="How often due reports are looked for.")
