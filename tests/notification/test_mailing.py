"""Sending by real SMTP: 4xx, 5xx, a server that is away or stalls, bad recipients, reports (N4)."""

from __future__ import annotations

import asyncio
import base64

import pytest
from aiosmtpd.smtp import Envelope

from contracts.emails import Attachment, EmailRequested, Recipient
from contracts.envelope import Reason
from devstack.mail import Answer, Stage
from notification import storage
from notification.sending import MailConnections, MailServer
from tests.notification.conftest import Notifying
from tests.notification.words import (
    a_call,
    a_message,
    a_user,
    an_inbox,
    everything,
    hours,
    minutes,
    seconds,
)
from tests.support import eventually


async def one_missed_call(notifying: Notifying, *watchers: str) -> None:
    await notifying.know(everything(*watchers))
    await notifying.turn_on()
    await notifying.hear(a_call("missed"))
    await notifying.evaluate()


def answering(*answers: str | None, stage: Stage = "message") -> Answer:
    """These answers in turn at one stage, then acceptance."""
    left = list(answers)

    async def answer(at: Stage, envelope: Envelope, address: str) -> str | None:
        return left.pop(0) if at == stage and left else None

    return answer


@pytest.mark.parametrize("stage", ["recipient", "message"])
async def test_a_4xx_is_tried_again_with_the_same_message_id(notifying: Notifying, stage: Stage) -> None:
    await one_missed_call(notifying, "wendy")
    notifying.mail.answer = answering("451 4.3.0 later", "421 4.3.2 not now", stage=stage)
    await notifying.work()
    assert await notifying.outcomes() == [("wendy", None, 1)]
    await notifying.pass_by(seconds(29))
    assert await notifying.outcomes() == [("wendy", None, 1)]
    await notifying.pass_by(seconds(1))
    assert await notifying.outcomes() == [("wendy", None, 2)]
    await notifying.pass_by(minutes(1))
    assert await notifying.outcomes() == [("wendy", "sent", 3)]
    assert len(notifying.inbox) == 1


async def test_a_5xx_is_recorded_and_stops(notifying: Notifying) -> None:
    await one_missed_call(notifying, "wendy")
    notifying.mail.answer = answering("554 5.7.1 no")
    await notifying.work()
    await notifying.pass_by(hours(5))
    assert await notifying.outcomes() == [("wendy", "refused", 1)]
    assert notifying.inbox == []


async def test_one_bad_recipient_holds_up_nobody(notifying: Notifying) -> None:
    watchers = [f"user-{n}" for n in range(12)]
    await one_missed_call(notifying, *watchers)

    async def answer(stage: Stage, envelope: Envelope, address: str) -> str | None:
        if stage == "recipient" and address.startswith("user-3@"):
            return "550 5.1.1 no such user"
        if stage == "recipient" and address.startswith("user-4@"):
            return "450 4.2.1 busy"
        return None

    notifying.mail.answer = answer
    await notifying.work()
    outcomes = {user: outcome for user, outcome, _ in await notifying.outcomes()}
    assert outcomes.pop("user-3") == "refused"
    assert outcomes.pop("user-4") is None
    assert set(outcomes.values()) == {"sent"}
    assert len(notifying.inbox) == 10


async def test_a_recipient_on_which_the_server_stalls_holds_up_nobody(notifying: Notifying) -> None:
    await one_missed_call(notifying, *(f"user-{n:02}" for n in range(30)))
    stalling, goes_on = asyncio.Event(), asyncio.Event()

    async def answer(stage: Stage, envelope: Envelope, address: str) -> str | None:
        if address.startswith("user-00@") and not stalling.is_set():
            stalling.set()
            await goes_on.wait()
        return None

    notifying.mail.answer = answer
    notifying.connections = MailConnections(MailServer("127.0.0.1", notifying.mail.port), 2)
    sending = asyncio.create_task(notifying.another_mailing().send_due())
    await stalling.wait()
    await eventually(lambda: len(notifying.inbox) == 29, because="the others being sent meanwhile")
    assert ("user-00", None, 1) in await notifying.outcomes()
    # What comes meanwhile isn't held up either.
    await notifying.hear(a_message())
    await notifying.evaluate()
    await eventually(lambda: len(notifying.inbox) == 29 + 30, because="the next ones being sent meanwhile")
    goes_on.set()
    await sending
    assert {outcome for _, outcome, _ in await notifying.outcomes()} == {"sent"}
    await notifying.connections.close()


async def test_a_server_that_is_away_is_waited_for(notifying: Notifying) -> None:
    await one_missed_call(notifying, "wendy", "will")
    await notifying.mail.stop()
    await notifying.work()
    await notifying.pass_by(minutes(1))
    assert {outcome for _, outcome, _ in await notifying.outcomes()} == {None}
    await notifying.mail.start()
    await notifying.pass_by(hours(1))
    assert {outcome for _, outcome, _ in await notifying.outcomes()} == {"sent"}
    assert len(notifying.inbox) == 2


async def test_after_five_days_an_email_is_given_up(notifying: Notifying) -> None:
    await one_missed_call(notifying, "wendy")
    await notifying.mail.stop()
    await notifying.work()
    for _ in range(40):
        await notifying.pass_by(hours(4))
    (delivery,) = await notifying.outcomes()
    assert delivery[:2] == ("wendy", "expired")


async def test_a_connection_that_the_server_has_closed_is_replaced(notifying: Notifying) -> None:
    await one_missed_call(notifying, "wendy")
    await notifying.work()
    await notifying.mail.stop()
    await notifying.mail.start()
    await notifying.hear(a_message())
    await notifying.work()
    assert len(notifying.inbox) == 2


@pytest.mark.parametrize("gone", ["inactive", "not watching"])
async def test_each_attempt_checks_that_the_user_is_still_active_and_watching(notifying: Notifying, gone: str) -> None:
    await one_missed_call(notifying, "wendy", "will")
    notifying.mail.answer = answering("451 4.3.0 later", "451 4.3.0 later")
    await notifying.work()
    if gone == "inactive":
        await notifying.know([a_user("wendy", active=False, version=2)])
    else:
        await notifying.know([an_inbox("will", version=2)])
    await notifying.pass_by(minutes(1))
    assert await notifying.outcomes() == [("wendy", "withdrawn", 2), ("will", "sent", 2)]
    assert [to for to, _ in notifying.subjects] == ["will@example.com"]


async def test_an_email_whose_sender_died_is_sent_again_when_the_lease_is_over(notifying: Notifying) -> None:
    await one_missed_call(notifying, "wendy")
    async with notifying.database.transaction() as connection:
        claimed = await storage.claim_emails(connection, notifying.now, seconds(60), 10)
    assert len(claimed) == 1
    await notifying.pass_by(seconds(59))
    assert notifying.inbox == []
    await notifying.pass_by(seconds(1))
    assert len(notifying.inbox) == 1


async def test_hostile_names_and_bodies_are_only_text(notifying: Notifying) -> None:
    evil = "x\r\nBcc: everybody@example.com\r\n\r\n<script>alert(1)</script>\u202e"
    await notifying.know(
        [*everything("wendy"), a_user("wendy", name=evil, version=2), an_inbox("wendy", name=evil, version=2)]
    )
    await notifying.turn_on()
    await notifying.hear(a_message(contact_name=evil, contact_number="ACME", body=evil + "y" * 10_000))
    await notifying.work()
    (message,) = notifying.inbox
    assert message["Bcc"] is None
    assert message["Delivered-To"] == "wendy@example.com"
    html = message.get_body(("html",))
    assert html is not None
    assert "<script" not in html.get_content()


def a_report(address: str = "wendy@example.com", content: str = base64.b64encode(b"a,b").decode()) -> EmailRequested:
    return EmailRequested(
        email_id="11111111-1111-5111-8111-111111111111",
        inbox_id="support",
        report="daily_activity",
        date="2026-03-01",
        recipient=Recipient(user_id="wendy", address=address, name="Wendy"),
        subject="Daily activity of Support, 1 March 2026",
        html="<p>7 calls</p>",
        text="7 calls",
        attachments=(Attachment(filename="report.csv", content_type="text/csv", content_base64=content),),
    )


async def test_a_report_is_sent_once_with_its_attachment_whoever_watches(notifying: Notifying) -> None:
    await notifying.know([a_user("wendy")])
    for _ in range(3):
        await notifying.ask_for(a_report())
        await notifying.work()
    (message,) = notifying.inbox
    assert message["Message-ID"] == "<11111111-1111-5111-8111-111111111111@example.com>"
    assert [one.get_filename() for one in message.iter_attachments()] == ["report.csv"]


async def test_a_report_for_a_user_who_is_not_known_yet_waits_and_for_an_inactive_one_is_withdrawn(
    notifying: Notifying,
) -> None:
    await notifying.ask_for(a_report())
    await notifying.work()
    assert await notifying.outcomes() == [("wendy", None, 1)]
    await notifying.know([a_user("wendy", active=False)])
    await notifying.pass_by(minutes(1))
    assert await notifying.outcomes() == [("wendy", "withdrawn", 2)]


@pytest.mark.parametrize("report", [a_report(address="nobody"), a_report(content="no base64!")])
async def test_a_report_that_can_never_be_sent_is_a_dead_letter(notifying: Notifying, report: EmailRequested) -> None:
    outcome = await notifying.ask_for(report)
    assert [one.reason for one in outcome.rejected] == [Reason.BAD_DATA]
    assert await notifying.outcomes() == []
