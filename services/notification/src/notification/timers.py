"""Time in: evaluating what is due, sending what is queued, forgetting what can't matter any more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, assert_never
from weakref import WeakValueDictionary
from zoneinfo import ZoneInfo

import structlog

from contracts.directory import User
from notification import wording
from notification.attempts import (
    Accepted,
    Again,
    Deferred,
    Later,
    Over,
    Postponed,
    Refused,
    Result,
    Unwanted,
    Withdrawn,
    after,
)
from notification.console_links import ConsoleLinks, thread_of
from notification.letters import Content, Handling, Mailbox, letter, report_content
from notification.metrics import EMAIL_ATTEMPTS, EMAIL_OLDEST_AGE, EVENT_TO_EMAIL, SERVICE
from notification.preferences import Subscription, silenced_as
from notification.quiet_hours import Quiet
from notification.rate_limits import refilled, taken
from notification.rendering import Reader, Shown, stoppable, watcher_email
from notification.sending import MailConnections
from notification.storage import administration, decisions, queue
from notification.storage.queue import Attempt, ClaimedEmail, Room
from notification.unsubscribe_links import UnsubscribeLinks
from notification.watcher_emails import Limits, arrange, decide, digests_needed, windows_needed
from notification.watcher_settings import DEFAULT
from service_kit import tracing
from service_kit.clock import Clock
from service_kit.database import Connection, Database, is_transient
from service_kit.timers import Timer

log = structlog.get_logger()

_POLL: Final = timedelta(seconds=1)
_MEASURE_EVERY: Final = timedelta(seconds=5)
_FORGET_EVERY: Final = timedelta(minutes=10)
_EVALUATED_AT_ONCE: Final = 500
_RE_EVALUATED_AT_ONCE: Final = 100
_FORGOTTEN_AT_ONCE: Final = 5_000
_LEASE: Final = timedelta(seconds=30)
_RENEW_EVERY: Final = timedelta(seconds=8)
_DRAIN_SECONDS: Final = 8.0
_GIVE_BACK_SECONDS: Final = 2.0
# A claim is ten statements: for fewer e-mails they would be a tenth of what an e-mail costs.
_CLAIMED_AT_LEAST: Final = 128
_CLAIMED_PER_CONNECTION: Final = 16
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
            asked = await decisions.take_re_evaluations(connection, now, _RE_EVALUATED_AT_ONCE)
        async with self._database.transaction() as connection:
            due = await decisions.take_due_communications(connection, now, _EVALUATED_AT_ONCE)
            if not due:
                return asked == _RE_EVALUATED_AT_ONCE
            concerned = {candidate.inbox for candidate in due}
            settings = await administration.watcher_settings(connection, concerned)
            inboxes, users = await decisions.watched_inboxes(connection, concerned)
            wishes = await decisions.wishes(connection, inboxes, users)
            verdicts = [
                decide(
                    candidate,
                    inboxes.get(candidate.inbox),
                    users.get(candidate.account_id, {}),
                    settings.get(candidate.inbox, DEFAULT),
                    now,
                    limits,
                    wishes,
                )
                for candidate in due
            ]
            told = await decisions.told(connection, [candidate.key for candidate in due])
            needed = windows_needed(verdicts, told, settings, now, wishes)
            windows = await decisions.lock_windows(connection, needed)
            not_begun = await decisions.lock_digests_not_begun(connection, digests_needed(told, windows))
            arrangement = arrange(verdicts, told, settings, windows, not_begun, now, limits, wishes)
            if not arrangement.is_empty:
                await decisions.save_arrangement(connection, arrangement, now)
            await decisions.set_evaluation_times(
                connection, {verdict.candidate.key: verdict.again_at for verdict in verdicts}
            )
        if arrangement.emails:
            self._send()
        return asked == _RE_EVALUATED_AT_ONCE or len(due) == _EVALUATED_AT_ONCE


class Recording:
    """Writes what came of attempts, for as long as it takes.

    None waits for company, the first is written at once; what comes while it is being written goes together.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Attempt, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, attempt: Attempt) -> None:
        """Write it, alone or with others; it is committed when this returns, and written too if this is cancelled."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((attempt, written))
        if self._writing is None:
            # All who wait hear of it at once: a lock that they hand on one by one costs each of them a turn of the
            # loop, in which nothing is written.
            self._writing = asyncio.create_task(self._write_what_waits())
        await written

    async def _write_what_waits(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting, []
                await self._write_all(together)
        finally:
            self._writing = None

    async def _write_all(self, together: Sequence[tuple[Attempt, asyncio.Future[None]]]) -> None:
        try:
            await self._write([attempt for attempt, _ in together])
        except Exception as error:
            if len(together) > 1:
                # The database refuses something in one of them. Each is written by itself: one is at fault, at most.
                for one in together:
                    await self._write_all([one])
            elif not together[0][1].done():
                together[0][1].set_exception(error)
            return
        for _, written in together:
            if not written.done():
                written.set_result(None)

    async def _write(self, attempts: Sequence[Attempt]) -> None:
        pause = 0.1
        while True:
            try:
                # Each statement commits by itself: a transaction around them would cost two round trips more.
                async with self._database.connection() as connection:
                    await queue.record_attempts(connection, attempts)
                return
            except Exception as error:
                if not is_transient(error):
                    raise
                # The server has them: giving up here would send them twice.
                log.warning("email_outcomes_not_recorded_yet", error=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)


class Mailing:
    """Sends what is queued, over several connections; what came of each e-mail is recorded as soon as it is known.

    Of the e-mails that a server may have accepted and that are not recorded yet there are at most as many as there
    are connections: a kill may send so many again, and no more. What comes before the handing over (writing it, MAIL
    and RCPT) does not wait for the recording of the one before.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        connections: MailConnections,
        *,
        sender: Mailbox,
        unsubscribe_links: UnsubscribeLinks,
        console_links: ConsoleLinks,
        first_pause: timedelta,
        max_per_second: float | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._recording = Recording(database)
        self._connections = connections
        self._sender = sender
        self._unsubscribe_links = unsubscribe_links
        self._console_links = console_links
        self._first_pause = first_pause
        self._max_per_second = max_per_second
        self._at_once = max(connections.count * _CLAIMED_PER_CONNECTION, _CLAIMED_AT_LEAST)
        # However slow some of it is, half of the connections are for the others.
        self._half = max(connections.count // 2, 1)
        self._conversations = asyncio.Semaphore(connections.count)
        self._not_recorded = asyncio.Semaphore(connections.count)
        self._of_a_reader: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()
        self._begun: set[tuple[str, str]] = set()
        self._queued = False
        self._changed = asyncio.Event()
        self.timer = Timer("send-emails", _POLL, self.send_due)

    def wake(self) -> None:
        """Something is queued: look for it, even while slow e-mails are on their way."""
        self._queued = True
        self._changed.set()
        self.timer.wake()

    async def send_due(self) -> bool:
        """Send until nothing is due and nothing is on its way. One that stalls holds up no other."""
        sending: dict[asyncio.Task[None], ClaimedEmail] = {}
        done: list[asyncio.Task[None]] = []

        def one_is_done(task: asyncio.Task[None]) -> None:
            done.append(task)
            if self._may_claim(len(sending) - len(done)):
                self._changed.set()

        renewed_at = self._clock()
        look = True
        try:
            while True:
                if look or self._may_claim(len(sending)):
                    self._queued = False
                    for email in await self._claim(list(sending.values())):
                        task = asyncio.create_task(self._send(email))
                        task.add_done_callback(one_is_done)
                        sending[task] = email
                if not sending:
                    return False
                look = await self._wait()
                look = look or len(done) == len(sending)
                while done:
                    task = done.pop()
                    del sending[task]
                    task.result()
                now = self._clock()
                if sending and now - renewed_at >= _RENEW_EVERY:
                    renewed_at = now
                    await self._renew(list(sending.values()), now)
        finally:
            if sending:
                await self._leave(sending)

    async def _leave(self, sending: Mapping[asyncio.Task[None], ClaimedEmail]) -> None:
        """End what has begun, and give back the rest: somebody else sends it now, not when its lease is over."""
        not_begun = {task: email for task, email in sending.items() if not task.done() and email.key not in self._begun}
        for task in not_begun:
            task.cancel()
        # What the server may have accepted must be recorded, or it is sent again.
        await asyncio.wait(sending, timeout=_DRAIN_SECONDS)
        for task in sending:
            task.cancel()
        if not not_begun:
            return
        try:
            # A database that is away must not hold up the end: the lease ends by itself.
            async with asyncio.timeout(_GIVE_BACK_SECONDS), self._database.connection() as connection:
                await queue.give_back(connection, list(not_begun.values()))
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("emails_not_given_back", error=type(error).__name__)

    def _may_claim(self, on_their_way: int) -> bool:
        """Whether so many have gone that it is worth a transaction: half, not each e-mail that goes."""
        return on_their_way * 2 <= self._at_once

    async def _claim(self, sending: list[ClaimedEmail]) -> list[ClaimedEmail]:
        slow = sum(email.slow for email in sending)
        share = max(self._at_once // 2, 1)
        of_readers = Counter(email.reader for email in sending if not email.slow)
        busy = [reader for reader, count in of_readers.items() if count >= share]
        ordinary = self._at_once - (len(sending) - slow)
        room = Room(ordinary, self._half - slow, share, busy)
        if room.ordinary <= 0 and room.slow <= 0:
            return []
        try:
            async with self._database.transaction() as connection:
                return await self._claim_within_the_rate(connection, room)
        except Exception as error:
            # What is on its way must end and be recorded, whether or not more can be had now.
            if not sending or not is_transient(error):
                raise
            return []

    async def _claim_within_the_rate(self, connection: Connection, room: Room) -> list[ClaimedEmail]:
        now = self._clock()
        if self._max_per_second is None:
            return await queue.claim_emails(connection, now, _LEASE, room)
        server = self._connections.server_name
        bucket = refilled(await queue.lock_rate(connection, server), self._max_per_second, now)
        claimed = await queue.claim_emails(connection, now, _LEASE, replace(room, total=int(bucket.left)))
        await queue.save_rate(connection, server, taken(bucket, len(claimed)))
        return claimed

    async def _renew(self, emails: list[ClaimedEmail], now: datetime) -> None:
        try:
            async with self._database.transaction() as connection:
                await queue.renew_leases(connection, emails, now + _LEASE)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("email_leases_not_renewed", error=type(error).__name__)

    async def _wait(self) -> bool:
        """Wait until an e-mail is done or queued, or for a second; True when it is time to look at the queue."""
        try:
            async with asyncio.timeout(1):
                await self._changed.wait()
        except TimeoutError:
            return True
        self._changed.clear()
        return self._queued

    def _share_of(self, email: ClaimedEmail) -> asyncio.Semaphore:
        """One reader has at most half of the connections, lest he holds up the others."""
        own = self._of_a_reader.get(email.reader)
        if own is None:
            own = self._of_a_reader[email.reader] = asyncio.Semaphore(self._half)
        return own

    async def _send(self, email: ClaimedEmail) -> None:
        with tracing.work("send e-mail", email.traceparent, kind="client") as span:
            try:
                outcome = await self._send_once(email)
            finally:
                self._begun.discard(email.key)
            noted: dict[str, str | int] = {
                "email.id": email.email_id,
                "email.outcome": outcome,
                "email.attempts": email.attempts,
            }
            span.note(**noted)

    async def _send_once(self, email: ClaimedEmail) -> str:
        user = email.user
        if user is None:
            # A report may be asked for before the directory copy knows its reader.
            gone = Deferred("the user is not known yet") if email.report else Withdrawn("the user is gone")
            return await self._settle(email, gone)
        kept = kept_back(email, user, self._clock())
        if kept is not None:
            return await self._settle(email, kept)
        async with self._share_of(email), AsyncExitStack() as until_recorded:
            in_turn = partial(until_recorded.enter_async_context, self._not_recorded)
            async with self._conversations:
                self._begun.add(email.key)
                # Written only now: many at a time would keep the connections waiting for them.
                result = await self._delivered(email, user, in_turn)
            return await self._settle(email, result)

    async def _delivered(
        self, email: ClaimedEmail, user: User, in_turn: Callable[[], Awaitable[None]]
    ) -> Accepted | Deferred | Refused:
        prepared = self._prepared(email, user)
        if not isinstance(prepared, bytes):
            return prepared
        address = addressee(email, user).address
        return await self._connections.deliver(self._sender.address, address, prepared, in_turn)

    async def _settle(self, email: ClaimedEmail, result: Result) -> str:
        self._begun.add(email.key)
        now = self._clock()
        comes = after(result, attempts=email.attempts, due_at=email.due_at, now=now, first_pause=self._first_pause)
        await self._recording.record(Attempt(email, comes, now))
        if isinstance(result, Accepted) and email.measured_from is not None:
            age = now - email.measured_from
            # A replay must not spoil the measure.
            if age < _MEASURED_WHEN_YOUNGER:
                EVENT_TO_EMAIL.observe(max(age.total_seconds(), 0.0))
        outcome: str
        match comes:
            case Over(outcome):
                pass
            case Again():
                outcome = "deferred"
            case Later():
                outcome = "postponed"
            case unknown:
                assert_never(unknown)
        EMAIL_ATTEMPTS.labels(service=SERVICE, outcome=outcome).inc()
        log.info("email_attempted", email_id=email.email_id, outcome=outcome, attempts=email.attempts)
        return outcome

    def _prepared(self, email: ClaimedEmail, user: User) -> bytes | Deferred | Refused:
        """The e-mail as it goes over the wire, or why it can't go."""
        try:
            content, handling = self._written(email, user)
        except Exception as error:
            # A fault of ours in one e-mail must not stop the queue; a corrected release sends it.
            log.exception("email_not_rendered", email_id=email.email_id)
            return Deferred(f"can't be rendered: {type(error).__name__}", slow=True)
        try:
            return letter(
                content,
                email_id=email.email_id,
                sender=self._sender,
                recipient=addressee(email, user),
                date=self._clock(),
                handling=handling,
            )
        except ValueError:
            return Refused("the address can't be sent to")

    def _written(self, email: ClaimedEmail, user: User) -> tuple[Content, Handling]:
        """What an e-mail says, in the reader's zone, and how it is to be handled."""
        stop = self._unsubscribe_links.link(Subscription(email.account_id, email.inbox_id, email.user_id, email.topic))
        if email.report is not None:
            return stoppable(report_content(email.report), stop), Handling(unsubscribe=stop)
        shown = [
            Shown(
                held.kind,
                held.snapshot,
                held.contact_name,
                held.line_name,
                self._console_links.thread(email.account_id, held.snapshot),
            )
            for held in email.notices
        ]
        reader = Reader(user.name, zone_of(email, user), stop, self._console_links.inbox(email.inbox_id))
        # A digest belongs to a contact's thread where it tells of no other.
        threads = {thread_of(email.account_id, held.snapshot) for held in email.notices}
        handling = Handling(unsubscribe=stop, thread=threads.pop() if len(threads) == 1 else None)
        return watcher_email(shown, reader, email.inbox_name), handling


def kept_back(email: ClaimedEmail, user: User, now: datetime) -> Withdrawn | Unwanted | Postponed | None:
    """Why a user does not get an e-mail now, None where he does (N4, N6)."""
    if not user.active:
        return Withdrawn("the user is not active")
    if email.report is not None:
        return Unwanted("unsubscribed") if email.unsubscribed else None
    if not email.watching:
        return Withdrawn("the user does not watch the inbox any more")
    if not email.notices:
        return Withdrawn("there is nothing left to tell")
    outcome = silenced_as(muted=email.inbox_id in email.preferences.muted_inbox_ids, unsubscribed=email.unsubscribed)
    if outcome is not None:
        return Unwanted(outcome)
    hours = email.preferences.quiet_hours
    quiet = Quiet(hours, zone_of(email, user)) if hours else None
    until = quiet.postponed(now, email.due_at, email.next_attempt_at) if quiet else None
    return Postponed(until) if until else None


def zone_of(email: ClaimedEmail, user: User) -> ZoneInfo:
    """The reader's zone: his own, else the account's."""
    return wording.zone(user.time_zone, email.account_time_zone)


def addressee(email: ClaimedEmail, user: User) -> Mailbox:
    """To whom an e-mail goes."""
    if email.report is not None:
        return Mailbox(email.report.recipient.name, email.report.recipient.address)
    return Mailbox(user.name, user.email)


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
            oldest = await queue.oldest_due_at(connection, now)
        EMAIL_OLDEST_AGE.set(max((now - oldest).total_seconds(), 0.0) if oldest else 0.0)
        return False

    async def forget(self) -> bool:
        """Delete a batch of what can't matter any more; True when there may be more."""
        async with self._database.transaction() as connection:
            return await queue.forget(connection, self._clock(), _FORGOTTEN_AT_ONCE)
