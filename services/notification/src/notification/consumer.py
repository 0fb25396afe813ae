"""Kafka in: the directory, communications, contact names, and the e-mails that reporting asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from contracts import communications, emails, inbox_events
from contracts.communications import CommunicationChanged
from contracts.directory import Inbox, User
from contracts.emails import EmailRequested
from contracts.envelope import Reason
from contracts.inbox_events import ContactNamed
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, EMAIL_REQUESTS, INBOX_EVENTS, Topic
from notification.letters import report_content
from notification.storage import decisions, queue
from notification.storage.decisions import ContactName
from notification.watcher_emails import Candidate, Limits, explained_at, kept_until, may_matter
from service_kit import directory_copy
from service_kit.clock import Clock
from service_kit.consuming import Handling, Outcome, Received, Rejected
from service_kit.database import Database

NOTHING_TO_PUBLISH: Final = Outcome()


class Listening:
    """What is done with each topic. `evaluate` and `send` are called when there is something for them."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        limits: Limits,
        *,
        evaluate: Callable[[], None],
        send: Callable[[], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits
        self._evaluate = evaluate
        self._send = send

    def handlers(self) -> Mapping[Topic, Handling]:
        """The directory first: what it says counts for the rest of the batch."""
        changed = {communications.CHANGED: CommunicationChanged}
        named = {inbox_events.CONTACT_NAMED: ContactNamed}
        return {
            DIRECTORY_EVENTS: Handling(directory_copy.EVENTS, self.hear_directory),
            INBOX_EVENTS: Handling(named, self.hear_names),
            COMMUNICATION_EVENTS: Handling(changed, self.hear_communications),
            EMAIL_REQUESTS: Handling(emails.EVENTS, self.hear_email_requests),
        }

    async def hear_directory(self, received: Sequence[Received[Any]]) -> Outcome:
        """Keep the newest directory; what waited for it is evaluated again (N3)."""
        async with self._database.transaction() as connection:
            changed = await directory_copy.save(connection, received)
            concerned = [
                (change.account_id, change.entity, change.id)
                for change in changed
                if isinstance(change.after, Inbox | User)
            ]
            if concerned:
                await decisions.ask_to_re_evaluate(connection, concerned)
        if concerned:
            self._evaluate()
        return NOTHING_TO_PUBLISH

    async def hear_names(self, received: Sequence[Received[ContactNamed]]) -> Outcome:
        """Keep the newest name of each contact."""
        newest: dict[tuple[str, str], ContactName] = {}
        for one in received:
            data = one.event.data
            name = ContactName(one.event.account_id, data.contact_number, data.name, data.named_at, one.event.id)
            key = (name.account_id, name.contact_number)
            known = newest.get(key)
            if known is None or (known.named_at, known.event_id) < (name.named_at, name.event_id):
                newest[key] = name
        async with self._database.transaction() as connection:
            await decisions.keep_newest_names(connection, newest.values())
        return NOTHING_TO_PUBLISH

    async def hear_communications(self, received: Sequence[Received[CommunicationChanged]]) -> Outcome:
        """Keep the newest snapshots that may matter, to be evaluated when it is known what they are (N2).

        The decision is another transaction's: one that begins after this one has committed sees every
        directory change that was made while this one ran.
        """
        now, limits = self._clock(), self._limits
        newest: dict[tuple[str, str], Candidate] = {}
        for one in received:
            snapshot = one.event.data
            # A backlog of old communications ends here, before any statement.
            if not may_matter(snapshot, now, limits):
                continue
            key = (one.event.account_id, snapshot.communication_id)
            if key not in newest or newest[key].snapshot.version < snapshot.version:
                newest[key] = Candidate(
                    one.event.account_id,
                    snapshot,
                    waits_from=min(snapshot.received_at, now),
                    origin_at=one.event.origin_at,
                    traceparent=one.event.traceparent,
                )
        if not newest:
            return NOTHING_TO_PUBLISH
        async with self._database.transaction() as connection:
            await decisions.keep_newest_snapshots(
                connection,
                [
                    (
                        candidate,
                        explained_at(candidate, limits),
                        kept_until(candidate.snapshot, limits),
                    )
                    for candidate in newest.values()
                ],
            )
        self._evaluate()
        return NOTHING_TO_PUBLISH

    async def hear_email_requests(self, received: Sequence[Received[EmailRequested]]) -> Outcome:
        """Queue each report's e-mail once; one that can never be sent is a dead letter."""
        now = self._clock()
        rejected: list[Rejected] = []
        async with self._database.transaction() as connection:
            for one in sorted(received, key=lambda one: (one.event.account_id, one.event.data.email_id)):
                try:
                    report_content(one.event.data)
                except ValueError as error:
                    rejected.append(Rejected(one, Reason.BAD_DATA, f"data.{error}"))
                    continue
                event = one.event
                await queue.queue_report(
                    connection, event.account_id, event.data, event.origin_at, now, event.traceparent
                )
        self._send()
        return Outcome(rejected=rejected)
