"""What this service is told by its environment, checked at start (contract §4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from notification.console_links import ConsoleLinks
from notification.letters import Mailbox, mailbox
from notification.sending import MailServer, StartTls
from notification.unsubscribe_links import UnsubscribeLinks, signing_key
from notification.watcher_emails import Limits
from service_kit.settings import Duration, ServiceSettings

_SHORTEST_SECRET: Final = 16


class NotificationSettings(ServiceSettings):
    """The settings of notification."""

    database_url: str = Field(validation_alias="NOTIFICATION_DATABASE_URL")
    port: int = Field(default=8003, ge=0, le=65_535)
    smtp_url: SecretStr = SecretStr("smtp://localhost:25")
    smtp_connections: int = Field(default=4, ge=1, le=100)
    smtp_timeout: Duration = timedelta(seconds=60)
    smtp_starttls: StartTls = "auto"
    smtp_verify_certificates: bool = True
    smtp_ca_file: str | None = None
    smtp_max_per_second: float | None = Field(default=None, gt=0, le=100_000)
    email_from: str = "Connected Inbox <connected-inbox@localhost>"
    email_retry_pause: Duration = timedelta(seconds=30)
    notify_max_age: Duration = timedelta(hours=24)
    voicemail_grace: Duration = timedelta(seconds=30)
    public_url: str = "http://localhost:8003"
    console_url: str | None = None
    unsubscribe_secrets: SecretStr | None = None

    @field_validator("smtp_url")
    @classmethod
    def _is_smtp(cls, value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("must be smtp://host:port or smtps://host:port, with user:password@ where needed")
        return value

    @field_validator("email_from")
    @classmethod
    def _is_mailbox(cls, value: str) -> str:
        mailbox(value)
        return value

    @field_validator("smtp_ca_file", "smtp_max_per_second", "console_url", "unsubscribe_secrets", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("public_url", "console_url")
    @classmethod
    def _is_web_address(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://localhost")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an address such as https://inbox.example.com")
        if value is not None and not (value.isascii() and value.isprintable() and " " not in value):
            raise ValueError("must be an address in ASCII, without blanks")
        return value

    @field_validator("unsubscribe_secrets")
    @classmethod
    def _are_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value and any(len(secret.strip()) < _SHORTEST_SECRET for secret in value.get_secret_value().split(",")):
            raise ValueError(
                f"must be one or several secrets of at least {_SHORTEST_SECRET} characters, separated by commas"
            )
        return value

    @model_validator(mode="after")
    def _can_sign_links(self) -> Self:
        if self.unsubscribe_secrets is None and self.jwt_secret is None:
            raise ValueError(
                "set UNSUBSCRIBE_SECRETS: there is no JWT_SECRET to derive the key of unsubscribe links from"
            )
        return self

    @property
    def unsubscribe_links(self) -> UnsubscribeLinks:
        """What makes and reads the links that stop an e-mail."""
        given = self.unsubscribe_secrets or self.jwt_secret
        secrets = given.get_secret_value() if given else ""
        several = secrets.split(",") if self.unsubscribe_secrets else [secrets]
        return UnsubscribeLinks(self.public_url, [signing_key(secret.strip()) for secret in several])

    @property
    def console_links(self) -> ConsoleLinks:
        """Where the web console is, if there is one."""
        return ConsoleLinks(self.console_url)

    @property
    def sender(self) -> Mailbox:
        """Whom e-mails come from."""
        return mailbox(self.email_from)

    @property
    def limits(self) -> Limits:
        """What is too old to be told of, and how long an unexplained call waits for its voicemail."""
        return Limits(max_age=self.notify_max_age, voicemail_grace=self.voicemail_grace)

    @property
    def mail_server(self) -> MailServer:
        """The server that takes e-mails over."""
        parts = urlsplit(self.smtp_url.get_secret_value())
        implicit_tls = parts.scheme == "smtps"
        return MailServer(
            host=parts.hostname or "localhost",
            port=parts.port or (465 if implicit_tls else 25),
            implicit_tls=implicit_tls,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            start_tls=self.smtp_starttls,
            verify_certificates=self.smtp_verify_certificates,
            ca_file=self.smtp_ca_file,
            timeout=self.smtp_timeout,
        )
