"""Notification's parts on a real Postgres and a real SMTP server, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any

import pytest_asyncio

from contracts.communications import CHANGED, CommunicationChanged
from contracts.directory import ACCOUNT as ACCOUNT_EVENT
from contracts.directory import INBOX as INBOX_EVENT
from contracts.directory import LINE as LINE_EVENT
from contracts.directory import USER as USER_EVENT
from contracts.directory import Account, Inbox, Line, Snapshot, User
from contracts.emails import REQUESTED, EmailRequested
from contracts.envelope import Event
from contracts.fields import Data
from contracts.inbox_events import CONTACT_NAMED, ContactNamed
from devstack.mail import MailCatcher, messages
from notification.console_links import ConsoleLinks
from notification.consumer import Listening
from notification.letters import Mailbox
from notification.preferences import Preferences, Subscription, Topic
from notification.sending import MailConnections, MailServer
from notification.storage import administration, decisions
from notification.timers import Evaluating, Mailing
from notification.unsubscribe_links import UnsubscribeLinks, signing_key
from notification.watcher_settings import KINDS, EmailKind, put
from service_kit.consuming import Outcome, Received
from service_kit.database import Database
from tests.notification.words import ACCOUNT, INBOX, LIMITS, LONG_AGO, NOW
from tests.support import FreshDatabase

SENDER = Mailbox("Connected Inbox", "inbox@example.com")
PUBLIC_URL = "https://inbox.example.com"
CONSOLE_URL = "https://console.example.com"
LINKS = UnsubscribeLinks(PUBLIC_URL, [signing_key("a secret that only tests know")])

_TYPES: dict[type[Data], str] = {
    Account: ACCOUNT_EVENT,
    User: USER_EVENT,
    Inbox: INBOX_EVENT,
    Line: LINE_EVENT,
    CommunicationChanged: CHANGED,
    ContactNamed: CONTACT_NAMED,
    EmailRequested: REQUESTED,
}


def received(data: Data, *, at: datetime = NOW, event_id: str = "e-1", account_id: str = ACCOUNT) -> Received[Any]:
    """An event as the consumer hands it over."""
    event = Event(id=event_id, source="/test", type=_TYPES[type(data)], time=at, account_id=account_id, data=data)
    return Received(event, at, "topic", 0, 0)


@dataclass
class Notifying:
    """The service without its processes: hears, evaluates and sends when the test says so."""

    database: Database
    mail: MailCatcher
    connections: MailConnections
    now: datetime = NOW
    max_per_second: float | None = None
    listening: Listening = field(init=False)
    evaluating: Evaluating = field(init=False)
    mailing: Mailing = field(init=False)

    def __post_init__(self) -> None:
        self.evaluating = Evaluating(self.database, self.clock, LIMITS, send=lambda: None)
        self.mailing = self.another_mailing()
        self.listening = Listening(self.database, self.clock, LIMITS, evaluate=lambda: None, send=lambda: None)

    def clock(self) -> datetime:
        return self.now

    def another_mailing(self) -> Mailing:
        """The sender of another replica."""
        return Mailing(
            self.database,
            self.clock,
            self.connections,
            sender=SENDER,
            unsubscribe_links=LINKS,
            console_links=ConsoleLinks(CONSOLE_URL),
            first_pause=timedelta(seconds=30),
            max_per_second=self.max_per_second,
        )

    async def know(self, snapshots: Iterable[Snapshot]) -> None:
        """Hear of the directory."""
        await self.listening.hear_directory([received(snapshot) for snapshot in snapshots])

    async def hear(self, *snapshots: CommunicationChanged) -> None:
        """Hear of communications, in one batch."""
        await self.listening.hear_communications([received(snapshot) for snapshot in snapshots])

    async def ask_for(self, request: EmailRequested) -> Outcome:
        """Hear of a report's e-mail."""
        return await self.listening.hear_email_requests([received(request)])

    async def turn_on(
        self, *kinds: EmailKind, digest_minutes: int = 0, enabled: bool = True, since: datetime = LONG_AGO
    ) -> None:
        """Put the inbox's settings as the endpoint does."""
        async with self.database.transaction() as connection:
            before = await administration.lock_watcher_settings(connection, ACCOUNT, INBOX)
            after = put(before, enabled=enabled, events=kinds or KINDS, digest_minutes=digest_minutes, now=since)
            await administration.save_watcher_settings(connection, ACCOUNT, INBOX, after)
            await decisions.ask_to_re_evaluate(connection, [(ACCOUNT, "inbox", INBOX)])

    async def prefer(self, preferences: Preferences, user_id: str = "wendy") -> None:
        """Set what a user wants."""
        async with self.database.transaction() as connection:
            await administration.lock_preferences(connection, ACCOUNT, user_id)
            await administration.save_preferences(connection, ACCOUNT, user_id, preferences)

    async def unsubscribe(self, topic: Topic = "watcher_emails", user_id: str = "wendy") -> None:
        """Stop what a user gets of the inbox."""
        async with self.database.transaction() as connection:
            await administration.unsubscribe(connection, Subscription(ACCOUNT, INBOX, user_id, topic), self.now)

    async def evaluate(self) -> None:
        """Evaluate all that is due."""
        while await self.evaluating.evaluate_due():
            pass

    async def work(self) -> None:
        """Evaluate and send all that is due."""
        await self.evaluate()
        await self.mailing.send_due()

    async def pass_by(self, time: timedelta) -> None:
        """Let time go by, then evaluate and send what is due."""
        self.now += time
        await self.work()

    @property
    def inbox(self) -> list[EmailMessage]:
        """The e-mails that the mail server has accepted, oldest first."""
        parser = BytesParser(_class=EmailMessage, policy=default)
        return [parser.parsebytes(bytes(message)) for message in messages(self.mail.folder)]

    @property
    def subjects(self) -> list[tuple[str, str]]:
        """To whom, and with which subject, e-mails went."""
        return sorted((str(message["Delivered-To"]), str(message["Subject"])) for message in self.inbox)

    async def outcomes(self) -> list[tuple[str, str | None, int]]:
        """User, outcome and attempts of every e-mail that was ever queued."""
        async with self.database.connection() as connection:
            rows = await connection.fetch("SELECT user_id, outcome, attempts FROM emails ORDER BY user_id, queued_at")
        return [(row["user_id"], row["outcome"], row["attempts"]) for row in rows]


@pytest_asyncio.fixture
async def notifying(database: FreshDatabase, mail: MailCatcher) -> AsyncIterator[Notifying]:
    """Notification's parts on this test's database and mail server."""
    opened = Database(database.dsn("notification"), "notification", pool_size=8)
    await opened.open()
    server = MailServer("127.0.0.1", mail.port, timeout=timedelta(seconds=2))
    connections = MailConnections(server, 4)
    yield Notifying(opened, mail, connections)
    await connections.close()
    await opened.close()
