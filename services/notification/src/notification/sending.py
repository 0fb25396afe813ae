"""Handing e-mails to the mail server by SMTP (RFC 5321), over connections that are used again (N4)."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import aiosmtplib
from aiosmtplib import (
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPStatus,
)

from notification.attempts import Accepted, Deferred, Refused
from notification.wording import one_line

_MAX_DETAIL: Final = 500
_MAX_IDLE_SECONDS: Final = 30.0
_MAX_LETTERS: Final = 100


# RFC 4954 and RFC 3207: what is wrong is how we came, not what we brought.
_NOT_LET_IN: Final = frozenset({530, 534, 535, 538})

StartTls = Literal["auto", "required", "off"]


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where e-mails are handed over.

    `start_tls`: `auto` uses it where it is offered, and insists on it where there is a password to send;
    `required` insists; `off` never asks for it.
    """

    host: str
    port: int
    implicit_tls: bool = False
    username: str | None = None
    password: str | None = None
    start_tls: StartTls = "auto"
    verify_certificates: bool = True
    ca_file: str | None = None
    timeout: timedelta = timedelta(seconds=60)

    @property
    def name(self) -> str:
        """What it is called where something is kept for each server."""
        return f"{self.host}:{self.port}"


@dataclass(slots=True)
class _Idle:
    connection: aiosmtplib.SMTP
    since: float
    letters: int


async def _nothing_first() -> None:
    return


class MailConnections:
    """At most `connections` conversations with one mail server at a time."""

    def __init__(self, server: MailServer, connections: int) -> None:
        self._server = server
        self.server_name = server.name
        self.count = connections
        self._tls = _tls_context(server)
        self._free = asyncio.Semaphore(connections)
        self._idle: list[_Idle] = []

    async def deliver(
        self,
        sender: str,
        recipient: str,
        letter: bytes,
        before_handing_over: Callable[[], Awaitable[object]] = _nothing_first,
    ) -> Accepted | Deferred | Refused:
        """Hand one e-mail for one recipient to the server, and say what it answered.

        `before_handing_over` is waited for once the server is ready for the e-mail itself: only what comes after it
        can make the server accept it.

        A 5xx to this e-mail (its sender, recipient or content) is a refusal. Whatever keeps us from talking
        to the server at all (no server, no trust, no right) is not the e-mail's fault, whatever its code: a
        deferral, which is not slow.
        """
        async with self._free:
            try:
                used = await self._begin(sender, letter)
            except (SMTPException, OSError, TimeoutError) as error:
                return _failed(error)
            try:
                await used.connection.rcpt(recipient)
                await _hand_over(used.connection, letter, before_handing_over)
            except (SMTPRecipientRefused, SMTPDataError) as error:
                await self._reset(used)
                return _answered(error)
            except (SMTPException, OSError, TimeoutError) as error:
                # Whether it was accepted can't be known: it comes again, with the same Message-ID.
                used.connection.close()
                return _failed(error, slow=True)
            except BaseException:
                used.connection.close()
                raise
            used.letters += 1
            self._keep(used)
            return Accepted()

    async def close(self) -> None:
        """End every conversation politely, within a second each."""
        while self._idle:
            await _quit(self._idle.pop().connection)

    async def _begin(self, sender: str, letter: bytes) -> _Idle:
        """A connection on which the server has taken MAIL FROM; a stale one is replaced."""
        while self._idle:
            used = self._idle.pop()
            too_old = time.monotonic() - used.since > _MAX_IDLE_SECONDS or used.letters >= _MAX_LETTERS
            if too_old or not used.connection.is_connected:
                await _quit(used.connection)
                continue
            try:
                await self._mail(used, sender, letter)
                return used
            except (SMTPServerDisconnected, OSError):
                # The server has hung up on an idle connection: nothing was handed over on it.
                used.connection.close()
        used = _Idle(await self._connect(), time.monotonic(), 0)
        await self._mail(used, sender, letter)
        return used

    async def _mail(self, used: _Idle, sender: str, letter: bytes) -> None:
        connection = used.connection
        options = [f"size={len(letter)}"] if connection.supports_extension("size") else []
        try:
            await connection.mail(sender, options=options)
        except SMTPSenderRefused:
            await self._reset(used)
            raise
        except BaseException:
            connection.close()
            raise

    async def _connect(self) -> aiosmtplib.SMTP:
        server = self._server
        # None: where it is offered. A password must not go over an open wire because somebody hid the offer.
        start_tls = {"off": False, "required": True, "auto": True if server.username else None}[server.start_tls]
        connection = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.implicit_tls,
            start_tls=False if server.implicit_tls else start_tls,
            tls_context=self._tls,
            timeout=server.timeout.total_seconds(),
        )
        try:
            await connection.connect()
            if connection.is_ehlo_or_helo_needed:
                await connection.ehlo()
        except SMTPResponseException as error:
            connection.close()
            raise ConnectionError(f"{error.code} {error.message}") from error
        except BaseException:
            connection.close()
            raise
        return connection

    async def _reset(self, used: _Idle) -> None:
        try:
            await used.connection.rset()
        except (SMTPException, OSError, TimeoutError):
            used.connection.close()
            return
        self._keep(used)

    def _keep(self, used: _Idle) -> None:
        used.since = time.monotonic()
        self._idle.append(used)


async def _hand_over(connection: aiosmtplib.SMTP, letter: bytes, first: Callable[[], Awaitable[object]]) -> None:
    # What `SMTP.data` does, with something to wait for between the server's readiness and the e-mail (decision 42).
    ready = await connection.execute_command(b"DATA")
    if ready.code != SMTPStatus.start_input:
        raise SMTPDataError(ready.code, ready.message)
    await first()
    if connection.protocol is None:
        raise SMTPServerDisconnected("the connection was lost before the e-mail was handed over")
    connection.protocol.write(_transparent(letter))
    answer = await connection.protocol.read_response(connection.timeout)
    if answer.code != SMTPStatus.completed:
        raise SMTPDataError(answer.code, answer.message)


def _transparent(letter: bytes) -> bytes:
    """A letter as it follows DATA, with its end (RFC 5321 §4.5.2).

    No line ends in anything but CR LF: a lone LF or CR is an end of line to some servers and none to others, and what
    one of them relays could hold a second e-mail for the next.
    """
    lines = b"\n" + letter.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n")
    return lines.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")[2:] + b"\r\n.\r\n"


def _failed(error: Exception, *, slow: bool = False) -> Deferred | Refused:
    if isinstance(error, SMTPSenderRefused) and error.code not in _NOT_LET_IN:
        return _answered(error)
    return Deferred(_kept(f"{type(error).__name__}: {error}"), slow)


def _answered(error: SMTPResponseException) -> Deferred | Refused:
    detail = _kept(f"{error.code} {error.message}")
    return Refused(detail) if 500 <= error.code < 600 else Deferred(detail, slow=True)


def _kept(said: str) -> str:
    """What a server said as it can be written down: what it said in another encoding than UTF-8 is no text."""
    return one_line(said.encode(errors="replace").decode(), _MAX_DETAIL)


def _tls_context(server: MailServer) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=server.ca_file)
    if not server.verify_certificates:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _quit(connection: aiosmtplib.SMTP) -> None:
    try:
        async with asyncio.timeout(1):
            await connection.quit()
    except (SMTPException, OSError, TimeoutError):
        pass
    finally:
        connection.close()
