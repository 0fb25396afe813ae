"""Where a demo plays: services, broker and mailbox, wherever they run."""

from __future__ import annotations

from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Protocol

import httpx
from pydantic import Field, SecretStr

from contracts.topics import SERVICES
from devstack.environment import Addresses
from devstack.showing import Letter, letter
from service_kit.settings import KafkaSettings


class Stage(Protocol):
    """What a demo needs of the stack that it plays on."""

    @property
    def urls(self) -> dict[str, str]:
        """Each service's address, as the demo reaches it."""

    @property
    def public_urls(self) -> dict[str, str]:
        """Each service's address, as whoever watches the demo reaches it."""

    @property
    def console_url(self) -> str | None:
        """What people open in a browser, where the demo has one."""

    @property
    def jwt_secret(self) -> str:
        """What signs tokens."""

    @property
    def kafka(self) -> KafkaSettings:
        """The broker."""

    @property
    def inboxctl(self) -> str:
        """How `inboxctl` is called by whoever watches."""

    @property
    def mailbox(self) -> str:
        """Where e-mails can be read, for whoever watches."""

    def letters(self) -> list[Letter]:
        """Every e-mail that came since the demo began, oldest first."""


class ElsewhereSettings(Addresses):
    """A running installation, and its SMTP catcher's web page."""

    mail_url: str = Field(description="The address of MailDev's web page.")
    public_url: str = "http://localhost:8000"
    jwt_secret: SecretStr = Field(min_length=16)


class Elsewhere:
    """An installation that runs already, such as docker-compose's: found through the environment."""

    inboxctl = "docker compose run --rm inboxctl"
    console_url = None

    def __init__(self, settings: ElsewhereSettings, kafka: KafkaSettings) -> None:
        self._settings = settings
        self.kafka = kafka
        self.urls = {service: settings.url_of(service) for service in SERVICES}
        self.public_urls = dict.fromkeys(SERVICES, settings.public_url.rstrip("/"))
        self.jwt_secret = settings.jwt_secret.get_secret_value()
        self.mailbox = "MailDev's page, http://localhost:1080"
        self._mail = httpx.Client(base_url=settings.mail_url, timeout=15, trust_env=False)
        self._known: dict[str, Letter | None] = dict.fromkeys(self._ids())

    def letters(self) -> list[Letter]:
        for id in self._ids():
            if id not in self._known:
                source = self._mail.get(f"/email/{id}/source").raise_for_status()
                message: EmailMessage = BytesParser(EmailMessage, policy=policy.default).parsebytes(source.content)
                self._known[id] = letter(message)
        return [one for one in self._known.values() if one is not None]

    def _ids(self) -> list[str]:
        return [one["id"] for one in self._mail.get("/email").raise_for_status().json()]
