"""What routing is told by its environment."""

from __future__ import annotations

from pydantic import Field

from service_kit.settings import KafkaSettings, ServiceSettings


class RoutingSettings(ServiceSettings):
    """The shared settings, and how long a call may be silent before it is taken for a ghost (M4)."""

    database_url: str = Field(validation_alias="ROUTING_DATABASE_URL")
    port: int = Field(default=8001, ge=0, le=65_535)
    max_call_hours: float = Field(default=4, gt=0, le=168)


class RepublishingSettings(KafkaSettings):
    """What `routing.republishing` is told: it serves no HTTP, and needs nothing that does."""

    database_url: str = Field(validation_alias="ROUTING_DATABASE_URL")
    max_call_hours: float = Field(default=4, gt=0, le=168)
