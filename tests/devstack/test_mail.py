"""The mail catcher keeps whole messages, and answers as a test tells it to."""

from __future__ import annotations

import signal
import smtplib
import sys
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest
from aiosmtpd.smtp import Envelope

from devstack.mail import MailCatcher, Stage, messages
from devstack.ports import HOST, answers, free_port
from devstack.processes import Process
from tests.support import eventually


def a_message(to: str = "mira@example.com", subject: str = "Missed call") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "inbox@example.com", to, subject
    message.set_content("Somebody called.\n.\nA line after a dot, and an umlaut: ü\n")
    return message


async def test_a_message_is_stored_whole_with_its_envelope(mail: MailCatcher) -> None:
    await aiosmtplib.send(a_message(), hostname=HOST, port=mail.port, recipients=["other@example.com"])
    (stored,) = messages(mail.folder)
    assert stored["Delivered-To"] == "other@example.com"
    assert stored["To"] == "mira@example.com"
    assert "A line after a dot, and an umlaut: ü" in stored.get_payload(decode=True).decode()  # type: ignore[union-attr]


async def test_a_test_decides_what_is_refused(mail: MailCatcher) -> None:
    async def full(stage: Stage, envelope: Envelope, address: str) -> str | None:
        return "452 4.2.2 the mailbox is full" if stage == "recipient" and address.startswith("full") else None

    mail.answer = full
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await aiosmtplib.send(a_message("full@example.com"), hostname=HOST, port=mail.port)
    await aiosmtplib.send(a_message(), hostname=HOST, port=mail.port)
    assert [message["To"] for message in messages(mail.folder)] == ["mira@example.com"]


async def test_it_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    port, folder = free_port(), tmp_path / "mail"
    command = [sys.executable, "-m", "devstack.mail", "--port", str(port), "--folder", str(folder)]
    process = Process.launch("mail", command, tmp_path / "mail.log")
    try:
        await eventually(lambda: answers(port))
        with smtplib.SMTP(HOST, port) as client:
            client.send_message(a_message())
        assert [message["Subject"] for message in messages(folder)] == ["Missed call"]
        assert all(name.is_file() for name in (folder / "new").iterdir())
        assert process.stop(10, signal.SIGTERM), "it goes by itself"
    finally:
        process.kill()
