"""Sending by real SMTP: 4xx, 5xx, a server that is away or stalls, bad recipients, reports (N4)."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from mailbox import Maildir

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from contracts.emails import Attachment, EmailRequested, Recipient
from contracts.envelope import Reason
from devstack.mail import Answer, MailCatcher, Stage
from notification.sending import MailConnections, MailServer
from notification.storage import queue
from notification.storage.queue import Room
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


@dataclass
class Stalling:
    """Accepts everything, but lets the first conversation about an address that begins so wait until it `goes_on`."""

    about: str = ""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, stage: Stage, envelope: Envelope, address: str) -> str | None:
        if address.startswith(self.about) and not self.begun.is_set():
            self.begun.set()
            await self.goes_on.wait()
        return None


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
    stalling = Stalling("user-00@")
    notifying.mail.answer = stalling.answer
    notifying.connections = MailConnections(MailServer("127.0.0.1", notifying.mail.port), 2)
    sending = asyncio.create_task(notifying.another_mailing().send_due())
    await stalling.begun.wait()
    await eventually(lambda: len(notifying.inbox) == 29, because="the others being sent meanwhile")
    assert ("user-00", None, 1) in await notifying.outcomes()
    # What comes meanwhile isn't held up either, but for what goes to the same recipient.
    await notifying.hear(a_message())
    await notifying.evaluate()
    await eventually(lambda: len(notifying.inbox) == 29 + 29, because="the next ones being sent meanwhile")
    stalling.goes_on.set()
    await sending
    assert {outcome for _, outcome, _ in await notifying.outcomes()} == {"sent"}
    await notifying.connections.close()


async def test_the_next_email_is_announced_but_not_handed_over_before_the_last_one_is_recorded(
    notifying: Notifying,
) -> None:
    await one_missed_call(notifying, "wanda", "wendy", "will")
    announced: list[str] = []
    handed_over: list[str] = []
    async with AsyncExitStack() as held:

        async def answer(stage: Stage, envelope: Envelope, address: str) -> str | None:
            if stage == "recipient":
                announced.append(address)
            elif not handed_over:
                # From the first one's acceptance on nothing can be recorded.
                transaction = await held.enter_async_context(notifying.database.transaction())
                await transaction.execute("SELECT FROM emails FOR UPDATE")
            handed_over.extend(envelope.rcpt_tos if stage == "message" else ())
            return None

        notifying.mail.answer = answer
        notifying.connections = MailConnections(MailServer("127.0.0.1", notifying.mail.port), 1)
        sending = asyncio.create_task(notifying.another_mailing().send_due())
        await eventually(lambda: len(announced) == 2, because="the second being announced")
        await asyncio.wait([sending], timeout=0.2)
        assert handed_over == announced[:1]
    await sending
    assert sorted(handed_over) == ["wanda@example.com", "wendy@example.com", "will@example.com"]
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
        claimed = await queue.claim_emails(connection, notifying.now, seconds(60), Room(10, 10, 10))
    assert len(claimed) == 1
    await notifying.pass_by(seconds(59))
    assert notifying.inbox == []
    await notifying.pass_by(seconds(1))
    assert len(notifying.inbox) == 1


async def test_who_leaves_gives_back_what_is_not_begun_and_others_send_it_at_once(notifying: Notifying) -> None:
    await one_missed_call(notifying, "walt", "wanda", "wendy", "will")
    stalling = Stalling()
    notifying.mail.answer = stalling.answer
    notifying.connections = MailConnections(MailServer("127.0.0.1", notifying.mail.port), 1)
    leaving = asyncio.create_task(notifying.another_mailing().send_due())
    await stalling.begun.wait()
    leaving.cancel()
    stalling.goes_on.set()
    await asyncio.wait([leaving])
    # What was begun was brought to its end, and no time has passed.
    assert len(notifying.inbox) == 1
    await notifying.another_mailing().send_due()
    assert await notifying.outcomes() == [(watcher, "sent", 1) for watcher in ("walt", "wanda", "wendy", "will")]
    assert len(notifying.inbox) == 4
    await notifying.connections.close()


async def test_what_somebody_else_has_claimed_meanwhile_is_not_given_back(notifying: Notifying) -> None:
    await one_missed_call(notifying, "wendy")
    room, lease = Room(10, 10, 10), seconds(30)
    async with notifying.database.transaction() as connection:
        late = await queue.claim_emails(connection, notifying.now, lease, room)
        assert await queue.claim_emails(connection, notifying.now + lease, lease, room)
        await queue.give_back(connection, late)
        assert await queue.claim_emails(connection, notifying.now + lease, lease, room) == []


@dataclass
class Breaking:
    """A server that takes an e-mail and then resets the connection, before or after it has kept it."""

    mail: MailCatcher
    resets: int
    keeps: bool
    port: int = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        breaks = self.resets > 0
        self.resets -= breaks
        if self.keeps or not breaks:
            content = envelope.content
            assert isinstance(content, bytes)
            Maildir(self.mail.folder).add(f"Delivered-To: {envelope.rcpt_tos[0]}\r\n".encode() + content)
        if breaks:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return "250 OK"


@pytest.mark.parametrize("keeps", [False, True])
async def test_a_connection_reset_after_data_loses_nothing_and_what_comes_twice_says_so(
    notifying: Notifying, keeps: bool
) -> None:
    breaking = Breaking(notifying.mail, resets=3, keeps=keeps)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(breaking, loop=loop), host="127.0.0.1", port=0)
    port = listening.sockets[0].getsockname()[1]
    notifying.connections = MailConnections(MailServer("127.0.0.1", port, timeout=seconds(2)), 4)
    notifying.mailing = notifying.another_mailing()
    watchers = [f"user-{n}" for n in range(12)]
    await one_missed_call(notifying, *watchers)
    await notifying.work()
    assert Counter(outcome for _, outcome, _ in await notifying.outcomes()) == {"sent": 9, None: 3}
    await notifying.pass_by(minutes(1))
    assert {outcome for _, outcome, _ in await notifying.outcomes()} == {"sent"}
    ids = Counter(message["Message-ID"] for message in notifying.inbox)
    assert len(ids) == 12
    # Whether it was accepted can't be known. The same id lets a mailbox see that it is the same e-mail.
    assert len(notifying.inbox) == (15 if keeps else 12)
    await notifying.connections.close()
    listening.close()


async def test_however_much_there_is_for_a_recipient_on_which_the_server_stalls_the_others_go_on(
    notifying: Notifying,
) -> None:
    await notifying.know(everything("slow", "wendy"))
    await notifying.turn_on()
    goes_on = asyncio.Event()

    async def answer(stage: Stage, envelope: Envelope, address: str) -> str | None:
        if address.startswith("slow@"):
            await goes_on.wait()
        return None

    notifying.mail.answer = answer
    await notifying.hear(*(a_message(communication_id=f"m-{n}") for n in range(30)))
    await notifying.evaluate()
    sending = asyncio.create_task(notifying.mailing.send_due())
    # All of wendy's arrive while the first of the others still waits for its answer.
    await eventually(lambda: len(notifying.inbox) == 30, 60, because="wendy's e-mails")
    assert {message["Delivered-To"] for message in notifying.inbox} == {"wendy@example.com"}
    goes_on.set()
    await sending


async def test_a_recipient_on_which_the_server_stalled_is_slow_until_one_gets_through(notifying: Notifying) -> None:
    await notifying.know(everything("slow", "wendy"))
    await notifying.turn_on()
    stalls = True

    async def answer(stage: Stage, envelope: Envelope, address: str) -> str | None:
        if stalls and address.startswith("slow@"):
            await asyncio.Event().wait()
        return None

    async def claimed_as_slow() -> dict[str, bool]:
        async with notifying.database.transaction() as connection:
            claimed = await queue.claim_emails(connection, notifying.now, seconds(0), Room(10, 10, 10))
        return {email.user_id: email.slow for email in claimed}

    notifying.connections = MailConnections(MailServer("127.0.0.1", notifying.mail.port, timeout=seconds(0.3)), 4)
    notifying.mailing = notifying.another_mailing()
    notifying.mail.answer = answer
    await notifying.hear(a_message(communication_id="1"))
    await notifying.work()
    assert ("slow", None, 1) in await notifying.outcomes()
    # What comes next for that recipient is slow as well; what comes for others is not.
    await notifying.hear(a_message(communication_id="2"))
    await notifying.evaluate()
    assert await claimed_as_slow() == {"slow": True, "wendy": False}
    stalls = False
    await notifying.pass_by(minutes(1))
    assert {outcome for _, outcome, _ in await notifying.outcomes()} == {"sent"}
    await notifying.hear(a_message(communication_id="3"))
    await notifying.evaluate()
    assert await claimed_as_slow() == {"slow": False, "wendy": False}
    await notifying.connections.close()


async def test_no_server_at_all_makes_nobody_slow(notifying: Notifying) -> None:
    await one_missed_call(notifying, "wendy")
    await notifying.mail.stop()
    await notifying.work()
    notifying.now += minutes(1)
    async with notifying.database.transaction() as connection:
        (claimed,) = await queue.claim_emails(connection, notifying.now, seconds(60), Room(10, 10, 10))
    assert not claimed.slow


async def test_a_server_that_accepts_and_never_greets_is_waited_for_and_nothing_is_lost(notifying: Notifying) -> None:
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    good = notifying.connections
    notifying.connections = MailConnections(MailServer("127.0.0.1", port, timeout=seconds(0.2)), 4)
    notifying.mailing = notifying.another_mailing()
    await one_missed_call(notifying, "wendy", "will")
    await notifying.work()
    assert {outcome for _, outcome, _ in await notifying.outcomes()} == {None}
    notifying.connections = good
    notifying.mailing = notifying.another_mailing()
    await notifying.pass_by(minutes(1))
    assert {outcome for _, outcome, _ in await notifying.outcomes()} == {"sent"}
    assert len(notifying.inbox) == 2
    silent.close()


async def test_the_server_gets_no_more_a_second_than_it_takes_from_all_replicas_together(
    notifying: Notifying,
) -> None:
    notifying.max_per_second = 5
    replicas = [notifying.another_mailing() for _ in range(3)]
    await one_missed_call(notifying, *(f"user-{n}" for n in range(30)))
    arrived = []
    for _ in range(6):
        await asyncio.gather(*(replica.send_due() for replica in replicas))
        arrived.append(len(notifying.inbox))
        notifying.now += seconds(1)
    assert arrived == [5, 10, 15, 20, 25, 30]


async def test_a_server_that_takes_one_a_second_gets_the_slow_ones_too(notifying: Notifying) -> None:
    notifying.max_per_second = 1
    notifying.mailing = notifying.another_mailing()
    await one_missed_call(notifying, "wendy")
    notifying.mail.answer = answering("451 4.3.0 later")
    await notifying.work()
    await notifying.pass_by(minutes(1))
    assert await notifying.outcomes() == [("wendy", "sent", 2)]


async def test_one_contacts_emails_are_one_thread_and_a_digest_of_several_is_none(notifying: Notifying) -> None:
    await notifying.know(everything("wendy"))
    await notifying.turn_on()
    await notifying.hear(a_call("missed"))
    await notifying.work()
    await notifying.hear(a_message())
    await notifying.work()
    await notifying.hear(a_message(communication_id="other", contact_number="+15550777"))
    await notifying.work()
    withheld = [a_call("missed", communication_id=f"w-{n}", contact_number="anonymous") for n in range(2)]
    await notifying.hear(*withheld)
    await notifying.work()
    threads = [message["References"] for message in notifying.inbox]
    assert threads[0] == threads[1] == notifying.inbox[0]["In-Reply-To"]
    # Strangers are not one person.
    assert len(set(threads)) == 4
    assert not {message["Message-ID"] for message in notifying.inbox} & set(threads)
    await notifying.turn_on(digest_minutes=5)
    for n in range(3):
        await notifying.hear(a_message(communication_id=f"d-{n}", contact_number=f"+1555010{n}"))
        await notifying.work()
    await notifying.pass_by(minutes(6))
    assert notifying.inbox[-1]["Subject"] == "2 messages · Support"
    assert notifying.inbox[-1]["References"] is None


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
