"""TLS, certificates and authentication towards the mail server (N4)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from notification.attempts import Accepted, Deferred, Refused
from notification.sending import MailConnections, MailServer
from notification.settings import NotificationSettings
from service_kit.clock import utc_now

LETTER = b"Subject: x\r\n\r\nx\r\n"


@dataclass
class SecureServer:
    """A mail server that offers STARTTLS with a certificate that nobody trusts, and asks for a password."""

    port: int = 0
    sessions: list[tuple[bool, bool]] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.sessions.append((session.ssl is not None, bool(session.authenticated)))
        return "250 OK"

    def knows(self, *arguments: object) -> AuthResult:
        login = arguments[-1]
        right = isinstance(login, LoginPassword) and (login.login, login.password) == (b"inbox", b"s3cret/@")
        return AuthResult(success=right, handled=False)


def a_certificate(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = utc_now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "certificate.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[SecureServer]:
    handler = SecureServer()
    loop = asyncio.get_running_loop()
    context = a_certificate(tmp_path)
    listening = await loop.create_server(
        lambda: SMTP(handler, tls_context=context, authenticator=handler.knows, auth_required=True, loop=loop),
        host="127.0.0.1",
        port=0,
    )
    handler.port = listening.sockets[0].getsockname()[1]
    yield handler
    listening.close()


def settings(port: int, user: str = "inbox:s3cret%2F%40", *, verify: bool) -> MailServer:
    return NotificationSettings.model_validate(
        {
            "NOTIFICATION_DATABASE_URL": "postgresql://x",
            "jwt_secret": "0123456789abcdef",
            "smtp_url": f"smtp://{user}@127.0.0.1:{port}",
            "smtp_verify_certificates": verify,
        }
    ).mail_server


async def deliver(server: MailServer) -> Accepted | Deferred | Refused:
    connections = MailConnections(server, 1)
    try:
        return await connections.deliver("inbox@example.com", "wendy@example.com", LETTER)
    finally:
        await connections.close()


async def test_starttls_is_used_where_it_is_offered_and_the_password_goes_over_it(server: SecureServer) -> None:
    assert await deliver(settings(server.port, verify=False)) == Accepted()
    assert server.sessions == [(True, True)]


async def test_a_certificate_that_is_not_trusted_is_refused_and_the_email_waits(server: SecureServer) -> None:
    assert isinstance(await deliver(settings(server.port, verify=True)), Deferred)
    assert server.sessions == []


async def test_a_wrong_password_is_no_fault_of_the_email(server: SecureServer) -> None:
    result = await deliver(settings(server.port, "inbox:wrong", verify=False))
    assert isinstance(result, Deferred)
    assert "535" in result.detail


@pytest.mark.parametrize("url", ["http://mail", "mail.example:25", "smtp://"])
def test_a_mail_server_that_is_none_is_refused_at_start(url: str) -> None:
    with pytest.raises(ValueError, match="smtp://host:port"):
        NotificationSettings.model_validate(
            {"NOTIFICATION_DATABASE_URL": "x", "jwt_secret": "0123456789abcdef", "smtp_url": url}
        )


@pytest.mark.parametrize(
    ("text", "length"),
    [("30", timedelta(seconds=30)), ("24h", timedelta(hours=24)), ("1.5 m", timedelta(seconds=90))],
)
def test_lengths_of_time_are_seconds_or_say_their_unit(text: str, length: timedelta) -> None:
    settings = NotificationSettings.model_validate(
        {"NOTIFICATION_DATABASE_URL": "x", "jwt_secret": "0123456789abcdef", "notify_max_age": text}
    )
    assert settings.limits.max_age == length
