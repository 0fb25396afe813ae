"""Sending through a real Postfix, where there is one (N4). `make test` says so where there is none; CI needs none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from notification.sending import MailConnections, MailServer
from tests.conftest import server_folder
from tests.notification.certificates import a_certificate
from tests.notification.conftest import Notifying
from tests.notification.words import a_message, everything, hours, minutes
from tests.support import eventually
from tests.support.postfix import Postfix, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


@pytest.fixture
def postfix() -> Iterator[Postfix]:
    with server_folder() as folder:
        folder.chmod(0o755)
        postfix = Postfix(folder, certificate=a_certificate(folder))
        postfix.start()
        yield postfix
        postfix.stop()


def through(postfix: Postfix, notifying: Notifying) -> Notifying:
    """Have everything sent through Postfix."""
    server = MailServer("127.0.0.1", postfix.port, ca_file=str(postfix.certificate))
    notifying.connections = MailConnections(server, 4)
    notifying.mailing = notifying.another_mailing()
    return notifying


async def watched_by(notifying: Notifying, *watchers: str) -> None:
    await notifying.know(everything(*watchers))
    await notifying.turn_on()


def reached(postfix: Postfix) -> set[str]:
    return set(postfix.delivered())


async def test_the_good_recipients_get_theirs_the_refused_one_is_recorded_and_the_busy_one_is_tried_again(
    postfix: Postfix, notifying: Notifying
) -> None:
    through(postfix, notifying)
    postfix.change({"user-1@example.com": "550 5.1.1 unknown", "user-2@example.com": "450 4.2.1 busy"})
    everybody = [f"user-{n}" for n in range(10)]
    await watched_by(notifying, *everybody)
    await notifying.hear(a_message())
    await notifying.work()
    good = set(everybody) - {"user-1", "user-2"}
    await eventually(lambda: reached(postfix) == good, because="the good ones' e-mails")
    outcomes = {user: outcome for user, outcome, _ in await notifying.outcomes()}
    assert outcomes == dict.fromkeys(good, "sent") | {"user-1": "refused", "user-2": None}

    postfix.change({})
    # A conversation that goes on keeps to what Postfix was told before.
    await notifying.connections.close()
    await notifying.pass_by(minutes(1))
    await eventually(lambda: reached(postfix) == good | {"user-2"}, because="the busy one's e-mail")
    assert all(len(emails) == 1 for emails in postfix.delivered().values())
    await notifying.connections.close()


async def test_a_server_that_was_stopped_loses_nothing(postfix: Postfix, notifying: Notifying) -> None:
    through(postfix, notifying)
    await watched_by(notifying, "wendy", "will")
    for n in range(10):
        await notifying.hear(a_message(communication_id=f"m-{n}"))
    await notifying.work()
    postfix.stop()
    for n in range(10, 20):
        await notifying.hear(a_message(communication_id=f"m-{n}"))
    await notifying.work()
    postfix.start()
    await notifying.pass_by(hours(1))
    await eventually(
        lambda: {user: len(emails) for user, emails in postfix.delivered().items()} == {"wendy": 20, "will": 20},
        because="all of them",
    )
    ids = [message_from_bytes(raw)["Message-ID"] for emails in postfix.delivered().values() for raw in emails]
    assert len(set(ids)) == 40
    await notifying.connections.close()


async def test_a_certificate_that_is_not_trusted_is_refused_unless_that_is_allowed(
    postfix: Postfix, notifying: Notifying
) -> None:
    through(postfix, notifying)
    trusting = notifying.connections
    server = MailServer("127.0.0.1", postfix.port)
    await watched_by(notifying, "wendy")
    await notifying.hear(a_message())
    notifying.connections = MailConnections(server, 1)
    notifying.mailing = notifying.another_mailing()
    await notifying.work()
    assert await notifying.outcomes() == [("wendy", None, 1)]
    notifying.connections = MailConnections(replace(server, verify_certificates=False), 1)
    notifying.mailing = notifying.another_mailing()
    await notifying.pass_by(minutes(1))
    assert await notifying.outcomes() == [("wendy", "sent", 2)]
    await eventually(lambda: reached(postfix) == {"wendy"}, because="the e-mail")
    (raw,) = postfix.delivered()["wendy"]
    assert b"with ESMTPS" in raw
    await trusting.close()
    await notifying.connections.close()


async def test_what_arrives_is_what_was_written(postfix: Postfix, notifying: Notifying) -> None:
    through(postfix, notifying)
    await watched_by(notifying, "wendy")
    evil = "Grüße\r\n.\r\nQUIT\r\nBcc: all@example.com\r\n<script>alert(1)</script> \u202e \u05d0" + "y" * 10_000
    await notifying.hear(a_message(body=evil, contact_name="Jörg\r\nBcc: all@example.com", contact_number="ACME"))
    await notifying.work()
    await eventually(lambda: reached(postfix) == {"wendy"}, because="the e-mail")
    (raw,) = postfix.delivered()["wendy"]
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    assert message["Bcc"] is None
    assert message["Subject"].startswith("Message from Jörg Bcc: all@example.com (ACME)")
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "> Grüße\n> .\n> QUIT\n> Bcc: all@example.com\n" in text.get_content()
    assert "<script" not in html.get_content()
    assert "\u202e" not in text.get_content() + html.get_content()
    await notifying.connections.close()
