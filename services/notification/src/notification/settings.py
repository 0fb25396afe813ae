"""What this service is told by its environment, checked at start (contract §4)."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator

from notification.letters import Mailbox, mailbox
from notification.sending import MailServer
from notification.watcher_emails import Limits
from service_kit.settings import Duration, ServiceSettings


class NotificationSettings(ServiceSettings):
    """The settings of notification."""

    database_url: str = Field(validation_alias="NOTIFICATION_DATABASE_URL")
    port: int = Field(default=8003, ge=0, le=65_535)
    smtp_url: SecretStr = SecretStr("smtp://localhost:25")
    smtp_connections: int = Field(default=4, ge=1, le=100)
    smtp_timeout: Duration = timedelta(seconds=60)
    smtp_verify_certificates: bool = True
    email_from: str = "Connected Inbox <connected-inbox@localhost>"
    email_retry_pause: Duration = timedelta(seconds=30)
    notify_max_age: Duration = timedelta(hours=24)
    voicemail_grace: Duration = timedelta(seconds=30)

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
            verify_certificates=self.smtp_verify_certificates,
            timeout=self.smtp_timeout,
        )
