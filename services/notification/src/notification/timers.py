"""Time in: evaluating what is due, sending what is queued, forgetting what can't matter any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from contracts.directory import User
from notification import storage, wording
from notification.attempts import Accepted, Again, Deferred, Over, Refused, Result, Withdrawn, after
from notification.letters import Content, Mailbox, letter, report_content
from notification.metrics import EMAIL_ATTEMPTS, EMAIL_OLDEST_AGE, EVENT_TO_EMAIL, SERVICE
from notification.rendering import Reader, Shown, watcher_email
from notification.sending import MailConnections
from notification.storage import ClaimedEmail
from notification.watcher_emails import Limits, arrange, decide, digests_needed, windows_needed
from notification.watcher_settings import DEFAULT
from service_kit.clock import Clock
from service_kit.database import Database, is_transient
from service_kit.timers import Timer

log = structlog.get_logger()

_POLL: Final = timedelta(seconds=1)
_MEASURE_EVERY: Final = timedelta(seconds=5)
_FORGET_EVERY: Final = timedelta(minutes=10)
_EVALUATED_AT_ONCE: Final = 500
_RE_EVALUATED_AT_ONCE: Final = 100
_FORGOTTEN_AT_ONCE: Final = 5_000
_LEASE: Final = timedelta(seconds=60)
_RENEW_EVERY: Final = timedelta(seconds=15)
_DRAIN_SECONDS: Final = 8.0
_CLAIMED_PER_CONNECTION: Final = 4
_MEASURED_WHEN_YOUNGER: Final = timedelta(hours=1)


class Evaluating:
    """Decides on the communications that are due, a batch in one transaction."""

    def __init__(self, database: Database, clock: Clock, limits: Limits, *, send: Callable[[], None]) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits
        self._send = send
        self.timer = Timer("evaluate-communications", _POLL, self.evaluate_due)

    def wake(self) -> None:
        """Something has come that is to be evaluated."""
        self.timer.wake()

    async def evaluate_due(self) -> bool:
        """Decide on one batch and queue the e-mails that come of it; True when more may be due."""
        now, limits = self._clock(), self._limits
        async with self._database.transaction() as connection:
            asked = await storage.take_re_evaluations(connection, now, _RE_EVALUATED_AT_ONCE)
        async with self._database.transaction() as connection:
            due = await storage.take_due_communications(connection, now, _EVALUATED_AT_ONCE)
            if not due:
                return asked == _RE_EVALUATED_AT_ONCE
            concerned = {candidate.inbox for candidate in due}
            settings = await storage.watcher_settings(connection, concerned)
            inboxes, users = await storage.watched_inboxes(connection, concerned)
            verdicts = [
                decide(
                    candidate,
                    inboxes.get(candidate.inbox),
                    users.get(candidate.account_id, {}),
                    settings.get(candidate.inbox, DEFAULT),
                    now,
                    limits,
                )
                for candidate in due
            ]
            told = await storage.told(connection, [candidate.key for candidate in due])
            windows = await storage.lock_windows(connection, windows_needed(verdicts, told, settings))
            not_begun = await storage.lock_digests_not_begun(connection, digests_needed(told, windows))
            arrangement = arrange(verdicts, told, settings, windows, not_begun, now, limits)
            if not arrangement.is_empty:
                await storage.save_arrangement(connection, arrangement, now)
            await storage.set_evaluation_times(
                connection, {verdict.candidate.key: verdict.again_at for verdict in verdicts}
            )
        if arrangement.emails:
            self._send()
        return asked == _RE_EVALUATED_AT_ONCE or len(due) == _EVALUATED_AT_ONCE


class Mailing:
    """Sends what is queued, over several connections; each e-mail's outcome is recorded on its own."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        connections: MailConnections,
        *,
        sender: Mailbox,
        first_pause: timedelta,
        at_once: int,
    ) -> None:
        self._database = database
        self._clock = clock
        self._connections = connections
        self._sender = sender
        self._first_pause = first_pause
        self._at_once = at_once * _CLAIMED_PER_CONNECTION
        self._queued = asyncio.Event()
        self.timer = Timer("send-emails", _POLL, self.send_due)

    def wake(self) -> None:
        """Something is queued: look for it, even while slow e-mails are on their way."""
        self._queued.set()
        self.timer.wake()

    async def send_due(self) -> bool:
        """Send until nothing is due and nothing is on its way. One that stalls holds up no other."""
        sending: dict[asyncio.Task[None], ClaimedEmail] = {}
        renewed_at = self._clock()
        look = True
        try:
            while True:
                self._queued.clear()
                room = self._at_once - len(sending)
                # A claim costs a transaction: not for each e-mail that goes, but as soon as half have gone.
                if room and (look or room * 2 >= self._at_once):
                    for email in await self._claim(room, idle=not sending):
                        sending[asyncio.create_task(self._send(email))] = email
                if not sending:
                    return False
                look = await self._wait(sending)
                for task in [task for task in sending if task.done()]:
                    del sending[task]
                    task.result()
                now = self._clock()
                if sending and now - renewed_at >= _RENEW_EVERY:
                    renewed_at = now
                    await self._renew(list(sending.values()), now)
        finally:
            if sending:
                # What the server may have accepted must be recorded, or it is sent again.
                await asyncio.wait(sending, timeout=_DRAIN_SECONDS)
                for task in sending:
                    task.cancel()

    async def _claim(self, room: int, *, idle: bool) -> list[ClaimedEmail]:
        try:
            async with self._database.transaction() as connection:
                return await storage.claim_emails(connection, self._clock(), _LEASE, room)
        except Exception as error:
            # What is on its way must end and be recorded, whether or not more can be had now.
            if idle or not is_transient(error):
                raise
            return []

    async def _renew(self, emails: list[ClaimedEmail], now: datetime) -> None:
        try:
            async with self._database.transaction() as connection:
                await storage.renew_leases(connection, emails, now + _LEASE)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("email_leases_not_renewed", error=type(error).__name__)

    async def _wait(self, sending: dict[asyncio.Task[None], ClaimedEmail]) -> bool:
        """Wait until an e-mail is done, or for a second; True when it is time to look at the queue."""
        queued = asyncio.create_task(self._queued.wait())
        try:
            done, _ = await asyncio.wait([*sending, queued], timeout=1, return_when=asyncio.FIRST_COMPLETED)
        finally:
            queued.cancel()
        return not done or queued in done or len(done) == len(sending)

    async def _send(self, email: ClaimedEmail) -> None:
        result = await self._attempt(email)
        now = self._clock()
        comes = after(result, attempts=email.attempts, due_at=email.due_at, now=now, first_pause=self._first_pause)
        await self._record(email, comes, now)
        if isinstance(result, Accepted) and email.measured_from is not None:
            age = now - email.measured_from
            # A replay must not spoil the measure.
            if age < _MEASURED_WHEN_YOUNGER:
                EVENT_TO_EMAIL.observe(max(age.total_seconds(), 0.0))
        outcome = comes.outcome if isinstance(comes, Over) else "deferred"
        EMAIL_ATTEMPTS.labels(service=SERVICE, outcome=outcome).inc()
        log.info("email_attempted", email_id=email.email_id, outcome=outcome, attempts=email.attempts)

    async def _attempt(self, email: ClaimedEmail) -> Result:
        user = email.user
        if user is None:
            # A report may be asked for before the directory copy knows its reader.
            return Deferred("the user is not known yet") if email.report else Withdrawn("the user is gone")
        because = withdrawn_because(email, user)
        if because is not None:
            return Withdrawn(because)
        try:
            recipient, content = written(email, user)
        except Exception as error:
            # A fault of ours in one e-mail must not stop the queue; a corrected release sends it.
            log.exception("email_not_rendered", email_id=email.email_id)
            return Deferred(f"can't be rendered: {type(error).__name__}")
        try:
            raw = letter(
                content,
                email_id=email.email_id,
                sender=self._sender,
                recipient=recipient,
                date=self._clock(),
            )
        except ValueError:
            return Refused("the address can't be sent to")
        return await self._connections.deliver(self._sender.address, recipient.address, raw)

    async def _record(self, email: ClaimedEmail, comes: Over | Again, now: datetime) -> None:
        pause = 0.1
        while True:
            try:
                async with self._database.transaction() as connection:
                    await storage.record_attempt(connection, email, comes, now)
                return
            except Exception as error:
                if not is_transient(error):
                    raise
                # The server has it: giving up here would send it twice.
                log.warning("email_outcome_not_recorded_yet", error=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)


def withdrawn_because(email: ClaimedEmail, user: User) -> str | None:
    """Why a user is not to have an e-mail any more, None where he is (N4)."""
    if not user.active:
        return "the user is not active"
    if email.report is not None:
        return None
    if not email.watching:
        return "the user does not watch the inbox any more"
    if not email.notices:
        return "there is nothing left to tell"
    return None


def written(email: ClaimedEmail, user: User) -> tuple[Mailbox, Content]:
    """To whom an e-mail goes, and what it says, in the reader's zone."""
    if email.report is not None:
        recipient = email.report.recipient
        return Mailbox(recipient.name, recipient.address), report_content(email.report)
    zone = wording.zone(user.time_zone, email.account_time_zone)
    shown = [Shown(held.kind, held.snapshot, held.contact_name, held.line_name) for held in email.notices]
    return Mailbox(user.name, user.email), watcher_email(shown, Reader(user.name, zone), email.inbox_name)


class Upkeep:
    """Measures the queue and forgets what is over."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.timers = (
            Timer("measure-queue", _MEASURE_EVERY, self.measure_queue),
            Timer("forget", _FORGET_EVERY, self.forget),
        )

    async def measure_queue(self) -> bool:
        """Tell how long the oldest e-mail that is due waits."""
        now = self._clock()
        async with self._database.connection() as connection:
            oldest = await storage.oldest_due_at(connection, now)
        EMAIL_OLDEST_AGE.set(max((now - oldest).total_seconds(), 0.0) if oldest else 0.0)
        return False

    async def forget(self) -> bool:
        """Delete a batch of what can't matter any more; True when there may be more."""
        async with self._database.transaction() as connection:
            return await storage.forget(connection, self._clock(), _FORGOTTEN_AT_ONCE)
