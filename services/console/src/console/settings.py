"""The console's settings, from the environment."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from service_kit.settings import Duration, EnvironmentSettings

SERVICES: Final = ("routing", "inbox_state", "notification", "reporting")
"""The services whose API the console serves on its own origin."""


class ConsoleSettings(EnvironmentSettings):
    """Where the services are, and how people sign in: by OpenID Connect, or (development) by choosing a user."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    host: str = "0.0.0.0"  # noqa: S104 - in a container a service listens on every interface
    port: int = Field(default=8005, ge=0, le=65_535)
    public_url: str = Field(default="http://localhost:8005", pattern=r"^https?://[^/\s]+/?$")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    shutdown_delay: Duration = timedelta(0)

    routing_url: str = "http://localhost:8001"
    inbox_state_url: str = "http://localhost:8002"
    notification_url: str = "http://localhost:8003"
    reporting_url: str = "http://localhost:8004"

    development_sign_in: bool = False
    development_account: str | None = None
    jwt_secret: SecretStr | None = Field(default=None, min_length=16)
    session_lasts: Duration = timedelta(hours=12)

    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_scope: str = "openid"
    oidc_token: Literal["access_token", "id_token"] = "access_token"  # noqa: S105 - which token, not one
    session_secret: SecretStr | None = Field(default=None, min_length=16)

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> Self:
        if self.development_sign_in == (self.oidc_issuer is not None):
            raise ValueError("set either OIDC_ISSUER (production) or DEVELOPMENT_SIGN_IN=true")
        if self.development_sign_in and self.jwt_secret is None:
            raise ValueError("DEVELOPMENT_SIGN_IN needs JWT_SECRET")
        if self.oidc_issuer is not None and not (self.oidc_client_id and self.session_secret):
            raise ValueError("OIDC_ISSUER needs OIDC_CLIENT_ID and SESSION_SECRET")
        return self

    @property
    def origin(self) -> str:
        """The address that people open, without a slash at its end."""
        return self.public_url.rstrip("/")

    @property
    def over_tls(self) -> bool:
        """Whether people reach the console over TLS."""
        return self.public_url.startswith("https://")

    def url_of(self, service: str) -> str:
        """The base address of a service, without a slash at its end. Raises `KeyError` for an unknown one."""
        if service not in SERVICES:
            raise KeyError(service)
        return str(getattr(self, f"{service}_url")).rstrip("/")
