"""TLS, certificates and authentication towards the mail server (N4)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from notification.attempts import Accepted, Deferred, Refused
from notification.preferences import Subscription
from notification.sending import MailConnections, MailServer
from notification.settings import NotificationSettings
from tests.notification.certificates import a_certificate

LETTER = b"Subject: x\r\n\r\nx\r\n"


@dataclass
class SecureServer:
    """A mail server that offers STARTTLS with a certificate that nobody trusts, and asks for a password."""

    port: int = 0
    sessions: list[tuple[bool, bool]] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        assert server.transport is not None
        is_tls = server.transport.get_extra_info("ssl_object") is not None
        self.sessions.append((is_tls, bool(session.authenticated)))
        return "250 OK"

    def knows(self, *arguments: object) -> AuthResult:
        login = arguments[-1]
        right = isinstance(login, LoginPassword) and (login.login, login.password) == (b"inbox", b"s3cret/@")
        return AuthResult(success=right, handled=False)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return a_certificate(tmp_path)


@asynccontextmanager
async def serving(handler: SecureServer, **options: Any) -> AsyncIterator[SecureServer]:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(handler, loop=loop, **options), host="127.0.0.1", port=0)
    handler.port = listening.sockets[0].getsockname()[1]
    yield handler
    listening.close()


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest_asyncio.fixture
async def server(certificate: Path) -> AsyncIterator[SecureServer]:
    """STARTTLS offered, and a password asked for."""
    handler = SecureServer()
    options = {"tls_context": tls(certificate), "authenticator": handler.knows, "auth_required": True}
    async with serving(handler, **options) as started:
        yield started


@pytest_asyncio.fixture
async def open_server() -> AsyncIterator[SecureServer]:
    """No STARTTLS, and a password taken over an open wire."""
    handler = SecureServer()
    async with serving(handler, authenticator=handler.knows, auth_require_tls=False) as started:
        yield started


def settings(port: int, user: str = "inbox:s3cret%2F%40", scheme: str = "smtp", **given: Any) -> MailServer:
    return NotificationSettings.model_validate(
        {
            "NOTIFICATION_DATABASE_URL": "postgresql://x",
            "jwt_secret": "0123456789abcdef",
            "smtp_url": f"{scheme}://{user + '@' if user else ''}127.0.0.1:{port}",
        }
        | given
    ).mail_server


async def deliver(server: MailServer) -> Accepted | Deferred | Refused:
    connections = MailConnections(server, 1)
    try:
        return await connections.deliver("inbox@example.com", "wendy@example.com", LETTER)
    finally:
        await connections.close()


async def test_starttls_is_used_where_it_is_offered_and_the_password_goes_over_it(server: SecureServer) -> None:
    assert await deliver(settings(server.port, smtp_verify_certificates=False)) == Accepted()
    assert server.sessions == [(True, True)]


async def test_a_certificate_that_is_not_trusted_is_refused_and_the_email_waits(server: SecureServer) -> None:
    assert isinstance(await deliver(settings(server.port)), Deferred)
    assert isinstance(await deliver(settings(server.port, smtp_starttls="required")), Deferred)
    assert server.sessions == []


async def test_a_certificate_of_ones_own_authority_is_trusted_when_it_is_named(
    server: SecureServer, certificate: Path
) -> None:
    assert await deliver(settings(server.port, smtp_ca_file=str(certificate))) == Accepted()


async def test_tls_from_the_first_byte_on_asks_for_a_trusted_certificate_too(certificate: Path) -> None:
    handler = SecureServer()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: SMTP(handler, authenticator=handler.knows, auth_require_tls=False, loop=loop),
        host="127.0.0.1",
        port=0,
        ssl=tls(certificate),
    )
    port = listening.sockets[0].getsockname()[1]
    assert isinstance(await deliver(settings(port, scheme="smtps")), Deferred)
    assert await deliver(settings(port, scheme="smtps", smtp_ca_file=str(certificate))) == Accepted()
    assert handler.sessions == [(True, True)]
    listening.close()


async def test_a_password_never_goes_over_an_open_wire_unless_that_is_asked_for(open_server: SecureServer) -> None:
    """Somebody in between can strike STARTTLS from the server's answer."""
    assert isinstance(await deliver(settings(open_server.port)), Deferred)
    assert open_server.sessions == []
    assert await deliver(settings(open_server.port, smtp_starttls="off")) == Accepted()
    assert open_server.sessions == [(False, True)]


async def test_without_a_password_starttls_may_be_missing_unless_it_is_required(open_server: SecureServer) -> None:
    assert await deliver(settings(open_server.port, user="")) == Accepted()
    assert isinstance(await deliver(settings(open_server.port, user="", smtp_starttls="required")), Deferred)


async def test_a_server_that_asks_for_a_password_we_lack_refuses_no_email_for_good(server: SecureServer) -> None:
    result = await deliver(settings(server.port, user="", smtp_verify_certificates=False))
    assert isinstance(result, Deferred)
    assert "530" in result.detail


async def test_a_wrong_password_is_no_fault_of_the_email(server: SecureServer) -> None:
    result = await deliver(settings(server.port, "inbox:wrong", smtp_verify_certificates=False))
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


def given(**changed: object) -> NotificationSettings:
    return NotificationSettings.model_validate(
        {"NOTIFICATION_DATABASE_URL": "x", "jwt_secret": "0123456789abcdef"} | changed
    )


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"smtp_starttls": "maybe"}, "smtp_starttls"),
        ({"smtp_max_per_second": "0"}, "smtp_max_per_second"),
        ({"public_url": "inbox.example.com"}, "https://inbox.example.com"),
        ({"public_url": "https://a.example/\r\nBcc: x"}, "public_url"),
        ({"console_url": "javascript:alert(1)"}, "https://inbox.example.com"),
        ({"unsubscribe_secrets": "short"}, "at least 16 characters"),
        ({"unsubscribe_secrets": "0123456789abcdef,short"}, "at least 16 characters"),
        ({"jwt_secret": None, "jwt_jwks_url": "https://id.example/keys"}, "UNSUBSCRIBE_SECRETS"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_at_start(changed: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        given(**changed)


def test_unsubscribe_links_outlive_a_new_secret() -> None:
    subscription = Subscription("acme", "support", "wendy", "watcher_emails")
    old = given(unsubscribe_secrets="the first of the secrets").unsubscribe_links
    new = given(unsubscribe_secrets="the second one of them, the first of the secrets").unsubscribe_links
    assert new.read(old.signed(subscription)) == subscription
    assert given().unsubscribe_links.read(old.signed(subscription)) is None


def test_without_a_console_there_are_no_links_to_it() -> None:
    assert given(console_url="").console_links.inbox("support") is None
    assert given(console_url="https://desk.example/").console_links.inbox("a b") == "https://desk.example/inboxes/a%20b"


@dataclass
class Conversing:
    """A mail server that is no library's: what it answers to some commands, and the bytes that follow DATA.

    Where its answer is empty, it says that it is ready, and hangs up.
    """

    answers: dict[bytes, bytes] = field(default_factory=dict)
    received: bytes = b""
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            command = line.split()[0].upper()
            answer = self.answers.get(command, b"354 go on" if command == b"DATA" else b"250 OK")
            if answer == b"":
                writer.write(b"354 go on\r\n")
                await writer.drain()
                writer.close()
                self.hung_up.set()
                return
            writer.write(answer + b"\r\n")
            if answer.startswith(b"354"):
                self.received = await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 OK\r\n")


@asynccontextmanager
async def connected(server: Conversing) -> AsyncIterator[MailConnections]:
    listening = await asyncio.start_server(server.converse, "127.0.0.1", 0)
    connections = MailConnections(MailServer("127.0.0.1", listening.sockets[0].getsockname()[1]), 1)
    yield connections
    await connections.close()
    listening.close()


async def test_what_a_server_says_in_another_encoding_can_be_written_down() -> None:
    async with connected(Conversing({b"RCPT": "550 5.1.1 Empfänger unbekannt".encode("latin-1")})) as connections:
        result = await connections.deliver("inbox@example.com", "wendy@example.com", LETTER)
    assert result == Refused("550 5.1.1 Empf?nger unbekannt")


@pytest.mark.parametrize(
    ("letter", "on_the_wire"),
    [
        (b"Subject: x\r\n\r\nx\r\n", b"Subject: x\r\n\r\nx\r\n.\r\n"),
        (b"Subject: x\r\n\r\nx", b"Subject: x\r\n\r\nx\r\n.\r\n"),
        (b"Subject: x\r\n\r\n.\r\n..\r\n.x\r\n", b"Subject: x\r\n\r\n..\r\n...\r\n..x\r\n.\r\n"),
        (b"Subject: x\n\nx\n.\nMAIL\r.\r\n", b"Subject: x\r\n\r\nx\r\n..\r\nMAIL\r\n..\r\n.\r\n"),
    ],
)
async def test_no_line_of_an_email_can_end_it_and_none_ends_in_anything_but_cr_lf(
    letter: bytes, on_the_wire: bytes
) -> None:
    """Servers disagree on a lone LF or CR; what hides behind one could pass for another e-mail."""
    server = Conversing()
    async with connected(server) as connections:
        assert await connections.deliver("inbox@example.com", "wendy@example.com", letter) == Accepted()
    assert server.received == on_the_wire


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (b"554 5.3.4 no", Refused("554 5.3.4 no")),
        (b"451 4.3.0 later", Deferred("451 4.3.0 later", slow=True)),
        (b"421 4.3.2 closing", Deferred("421 4.3.2 closing", slow=True)),
    ],
)
async def test_a_server_that_is_not_ready_for_the_email_itself_is_not_given_it(
    answer: bytes, result: Deferred | Refused
) -> None:
    turns: list[str] = []

    async def in_turn() -> None:
        turns.append("taken")

    server = Conversing({b"DATA": answer})
    async with connected(server) as connections:
        assert await connections.deliver("inbox@example.com", "wendy@example.com", LETTER, in_turn) == result
        del server.answers[b"DATA"]
        assert await connections.deliver("inbox@example.com", "wendy@example.com", LETTER, in_turn) == Accepted()
    assert turns == ["taken"]


async def test_a_server_that_hangs_up_before_it_is_given_the_email_gets_it_later() -> None:
    server = Conversing({b"DATA": b""})
    async with connected(server) as connections:
        result = await connections.deliver("inbox@example.com", "wendy@example.com", LETTER, server.hung_up.wait)
        assert isinstance(result, Deferred)
        server.answers.clear()
        assert await connections.deliver("inbox@example.com", "wendy@example.com", LETTER) == Accepted()
