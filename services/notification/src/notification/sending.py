"""Handing e-mails to the mail server by SMTP (RFC 5321), over connections that are used again (N4)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import aiosmtplib
from aiosmtplib import (
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)

from notification.attempts import Accepted, Deferred, Refused
from notification.wording import one_line

_MAX_DETAIL: Final = 500
_MAX_IDLE_SECONDS: Final = 30.0
_MAX_LETTERS: Final = 100


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where e-mails are handed over. STARTTLS is used wherever it is offered."""

    host: str
    port: int
    implicit_tls: bool = False
    username: str | None = None
    password: str | None = None
    verify_certificates: bool = True
    timeout: timedelta = timedelta(seconds=60)


@dataclass(slots=True)
class _Idle:
    connection: aiosmtplib.SMTP
    since: float
    letters: int


class MailConnections:
    """At most `connections` conversations with one mail server at a time."""

    def __init__(self, server: MailServer, connections: int) -> None:
        self._server = server
        self._free = asyncio.Semaphore(connections)
        self._idle: list[_Idle] = []

    async def deliver(self, sender: str, recipient: str, letter: bytes) -> Accepted | Deferred | Refused:
        """Hand one e-mail for one recipient to the server, and say what it answered.

        A 5xx to this e-mail (its sender, recipient or content) is a refusal. Whatever keeps us from talking
        to the server at all is not the e-mail's fault, whatever its code: a deferral.
        """
        async with self._free:
            try:
                used = await self._begin(sender, letter)
            except (SMTPException, OSError, TimeoutError) as error:
                return _failed(error)
            try:
                await used.connection.rcpt(recipient)
                await used.connection.data(letter)
            except (SMTPRecipientRefused, SMTPDataError) as error:
                await self._reset(used)
                return _answered(error)
            except (SMTPException, OSError, TimeoutError) as error:
                used.connection.close()
                return _failed(error)
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
        connection = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.implicit_tls,
            validate_certs=server.verify_certificates,
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


def _failed(error: Exception) -> Deferred | Refused:
    if isinstance(error, SMTPSenderRefused):
        return _answered(error)
    return Deferred(one_line(f"{type(error).__name__}: {error}", _MAX_DETAIL))


def _answered(error: SMTPResponseException) -> Deferred | Refused:
    detail = one_line(f"{error.code} {error.message}", _MAX_DETAIL)
    return Refused(detail) if 500 <= error.code < 600 else Deferred(detail)


async def _quit(connection: aiosmtplib.SMTP) -> None:
    try:
        async with asyncio.timeout(1):
            await connection.quit()
    except (SMTPException, OSError, TimeoutError):
        pass
    finally:
        connection.close()
