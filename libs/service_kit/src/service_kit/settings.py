"""Settings that every service reads from its environment, checked at start (contract §4)."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

Settings = TypeVar("Settings", bound=BaseSettings)

_FILE: Final = "_FILE"

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, None: 1}


def _duration(value: Any) -> Any:
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return timedelta(seconds=float(match[1]) * _UNIT_SECONDS[match[2]]) if match else value


Duration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(0))]
"""A length of time: seconds, or a number with `s`, `m`, `h` or `d`, such as `24h`."""


class UnreadableSetting(ValueError):
    """A setting that names a file: the file is not there, not to be read, or the setting is given twice."""


def given(variable: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """A setting's text: the variable's, or what stands in the file that `<variable>_FILE` names; None for neither.

    A line's end at the file's end is not part of it: editors and `echo` leave one. An empty variable is not given.
    Raises `UnreadableSetting`, whose message names the variable and never what the file holds.
    """
    text, file = environment.get(variable) or None, environment.get(variable + _FILE)
    if not file:
        return text
    if text is not None:
        raise UnreadableSetting(f"{variable} and {variable}{_FILE} are both set: take one away")
    try:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise UnreadableSetting(f"{variable}{_FILE}: {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnreadableSetting(f"{variable}{_FILE}: {file} is not UTF-8") from None


class _FilesNamedByVariables(PydanticBaseSettingsSource):
    """Secrets that lie in files, as Compose, Kubernetes and systemd hand them out: `JWT_SECRET_FILE` and so on."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        alias = field.validation_alias
        name = alias if isinstance(alias, str) else field_name
        variable = name.upper()
        if not os.environ.get(variable + _FILE):
            return None, name, False
        return given(variable), name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field_name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, field_name)
            if value is not None:
                found[key] = value
        return found


class EnvironmentSettings(BaseSettings):
    """Settings from the environment; each may stand in a file instead, named by its variable with `_FILE` after it."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # Before the environment: there an empty variable counts as a value.
        return init_settings, _FilesNamedByVariables(settings_cls), env_settings


class KafkaSettings(EnvironmentSettings):
    """How to reach Kafka, and how to behave as a member of its groups."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    kafka_bootstrap_servers: str = Field(default="localhost:9092", min_length=1)
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ca_file: str | None = None
    topic_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", max_length=100)

    def connection(self) -> dict[str, Any]:
        """What every Kafka client of aiokafka is given to connect."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers,
            "security_protocol": self.kafka_security_protocol,
        }
        if self.kafka_security_protocol in ("SSL", "SASL_SSL"):
            arguments["ssl_context"] = ssl.create_default_context(cafile=self.kafka_ca_file)
        if self.kafka_security_protocol.startswith("SASL"):
            arguments |= {
                "sasl_mechanism": self.kafka_sasl_mechanism,
                "sasl_plain_username": self.kafka_sasl_username,
                "sasl_plain_password": (self.kafka_sasl_password or SecretStr("")).get_secret_value(),
            }
        return arguments

    def faststream_security(self) -> BaseSecurity | None:
        """The same for FastStream's broker, which has types of its own for it."""
        arguments = self.connection()
        context = arguments.get("ssl_context")
        if not self.kafka_security_protocol.startswith("SASL"):
            return BaseSecurity(ssl_context=context, use_ssl=True) if context else None
        kinds = {
            "PLAIN": SASLPlaintext,
            "SCRAM-SHA-256": SASLScram256,
            "SCRAM-SHA-512": SASLScram512,
        }
        return kinds[self.kafka_sasl_mechanism](
            username=str(arguments["sasl_plain_username"]),
            password=str(arguments["sasl_plain_password"]),
            ssl_context=context,
            use_ssl=context is not None,
        )


class TokenSettings(EnvironmentSettings):
    """How the tokens of HTTP calls are checked (A1)."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    jwt_secret: SecretStr | None = Field(default=None, min_length=16)
    jwt_jwks_url: str | None = None
    jwt_user_claim: str = "sub"
    jwt_account_claim: str = "account_id"
    jwt_audience: str = "connected-inbox"

    @model_validator(mode="after")
    def _one_way_to_check(self) -> Self:
        if (self.jwt_secret is None) == (self.jwt_jwks_url is None):
            raise ValueError("set either JWT_SECRET (development) or JWT_JWKS_URL (production)")
        return self


class ServiceSettings(KafkaSettings, TokenSettings):
    """What every service is told. A service's own settings class adds to it and names its database variable."""

    database_url: str
    database_pool_size: int = Field(default=10, ge=2, le=200)
    host: str = "0.0.0.0"  # noqa: S104 - in a container a service listens on every interface
    port: int = Field(ge=0, le=65_535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    shutdown_delay: Duration = timedelta(0)
    batch_max_records: int = Field(default=4_000, ge=1, le=10_000)
    batch_timeout_seconds: float = Field(default=120.0, gt=0)
    session_timeout_ms: int = Field(default=10_000, ge=1_000)
    heartbeat_interval_ms: int = Field(default=3_000, ge=100)
    drain_seconds: float = Field(default=15.0, gt=0)
    dead_letters_in_a_row: int = Field(default=100, ge=1)
    dead_letters_of_last_thousand: int = Field(default=500, ge=1)


def load(kind: type[Settings]) -> Settings:
    """The settings of the environment. Ends the process with a line per wrong one, naming its variable."""
    try:
        return kind()
    except UnreadableSetting as error:
        raise SystemExit(f"The settings are not complete or not right:\n  {error}") from None
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in problem['loc']).upper() or 'settings'}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise SystemExit("\n".join(["The settings are not complete or not right:", *lines])) from None
