"""An SMTP server that delivers nothing: every message it accepts becomes a file of a Maildir."""

from __future__ import annotations

import argparse
import asyncio
import mailbox
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from aiosmtpd.smtp import SMTP, Envelope, Session

from devstack.ports import HOST

MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024

Stage = Literal["recipient", "message"]
Answer = Callable[[Stage, Envelope, str], Awaitable[str | None]]
"""Decides an SMTP reply, given the stage, the envelope so far and the address at hand (empty for a message).

`None` is acceptance; anything else is sent as it is (`"451 4.3.0 try later"`). It may wait (a tarpit) or raise.
"""


async def accept_all(stage: Stage, envelope: Envelope, address: str) -> str | None:
    """Refuse nothing."""
    return None


class _Deliver:
    def __init__(self, folder: Path, answer: Answer) -> None:
        self._maildir = mailbox.Maildir(folder, create=True)
        self._answer = answer

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = await self._answer("recipient", envelope, address)
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        refusal = await self._answer("message", envelope, "")
        if refusal is not None:
            return refusal
        content = envelope.content
        body = content if isinstance(content, bytes) else (content or "").encode()
        trace = [
            f"Return-Path: <{envelope.mail_from}>",
            *(f"Delivered-To: {one}" for one in envelope.rcpt_tos),
        ]
        # Maildir writes to tmp/, syncs and renames into new/: an accepted message is whole and on disk.
        self._maildir.add("".join(f"{line}\r\n" for line in trace).encode() + body)
        return "250 2.0.0 stored"


@dataclass
class MailCatcher:
    """An SMTP server on 127.0.0.1, without TLS and without authentication, for use inside one event loop.

    Port 0 lets the system choose; `port` holds the real one after `start()`.
    """

    folder: Path
    port: int = 0
    answer: Answer = accept_all
    _server: asyncio.Server | None = field(default=None, init=False)

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        deliver = _Deliver(self.folder, lambda stage, envelope, address: self.answer(stage, envelope, address))
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(
                deliver,
                hostname="localhost",
                ident="connected-inbox mail catcher",
                data_size_limit=MAX_MESSAGE_BYTES,
                enable_SMTPUTF8=True,
                loop=loop,
            ),
            host=HOST,
            port=self.port,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening; what was accepted is in the folder."""
        if self._server is not None:
            self._server.close()

    @property
    def url(self) -> str:
        """For SMTP_URL."""
        return f"smtp://{HOST}:{self.port}"


def messages(folder: Path) -> list[mailbox.MaildirMessage]:
    """Every message of a Maildir, oldest first; none when the folder is not there yet."""
    if not folder.exists():
        return []
    stored = mailbox.Maildir(folder, create=False)
    return sorted(stored, key=lambda message: message.get_date())


async def serve(folder: Path, port: int) -> None:
    """Catch mail until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    catcher = MailCatcher(folder, port)
    await catcher.start()
    print(f"catching mail on {catcher.url}", flush=True)
    await ended.wait()
    await catcher.stop()


def main() -> None:
    """`python -m devstack.mail --port 8025 --folder mail`."""
    arguments = argparse.ArgumentParser(prog="devstack.mail", description=main.__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--folder", type=Path, required=True)
    given = arguments.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(given.folder, given.port))


if __name__ == "__main__":
    main()
