"""Kafka in: the directory, communications with their analyses, and how much is unread in each thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from contracts import communications, directory, inbox_events
from contracts.communications import CommunicationAnalyzed, CommunicationChanged
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, INBOX_EVENTS, Topic
from reporting import schedule, storage
from reporting.facts import analysis_of, fact_of
from reporting.reports import zone_of
from service_kit import directory_copy
from service_kit.consuming import Handling, Outcome, Partition, Progress, Received
from service_kit.database import Connection, Database

Batch = Sequence[Received[Any]]


def handlers(database: Database, grace: timedelta) -> Mapping[Topic, Handling]:
    """What reporting reads and who handles it, the directory first."""

    async def keep_directory(batch: Batch) -> Outcome:
        async with database.transaction() as connection:
            for change in await directory_copy.save(connection, batch):
                match change.before, change.after:
                    case directory.Account() as before, directory.Account() as after if (
                        before.time_zone == after.time_zone
                    ):
                        continue
                    case _, directory.Account() as after:
                        await _cut_days_anew(connection, change.account_id, after, grace)
        return Outcome()

    async def keep_communications(batch: Batch) -> Outcome:
        facts, analyses = [], []
        for received in batch:
            match received.event.data:
                case CommunicationChanged() as snapshot:
                    facts.append(fact_of(received.event.account_id, snapshot))
                case CommunicationAnalyzed() as found:
                    analyses.append(analysis_of(received.event.account_id, found))
        async with database.transaction() as connection:
            await storage.save_communications(connection, facts)
            await storage.save_analyses(connection, analyses)
        return Outcome()

    async def keep_threads(batch: Batch) -> Outcome:
        changes = [
            storage.ThreadUnread(
                account_id=received.event.account_id,
                thread_id=received.event.data.thread_id,
                version=received.event.data.version,
                inbox_id=received.event.data.inbox_id,
                unread=received.event.data.unread,
                changed_at=received.event.time,
            )
            for received in batch
            if isinstance(received.event.data, inbox_events.ThreadChanged)
        ]
        async with database.transaction() as connection:
            await storage.save_thread_unreads(connection, changes)
        return Outcome()

    return {
        DIRECTORY_EVENTS: Handling(directory_copy.EVENTS, keep_directory),
        COMMUNICATION_EVENTS: Handling(communications.EVENTS, keep_communications),
        INBOX_EVENTS: Handling(inbox_events.EVENTS, keep_threads),
    }


def progress(database: Database) -> Progress:
    """Notes through which time each partition has been read: what makes a day complete (P4)."""

    async def note(through: Mapping[Partition, datetime]) -> None:
        async with database.transaction() as connection:
            await storage.save_progress(connection, through)

    return note


async def _cut_days_anew(connection: Connection, account_id: str, account: directory.Account, grace: timedelta) -> None:
    zone = zone_of(account)
    for scheduled in await storage.lock_schedules(connection, account_id):
        settings = await storage.report_notifications(connection, account_id, scheduled.inbox_id)
        due = schedule.due(scheduled.next_date, settings.send_at, zone, grace)
        await storage.save_schedule(connection, account_id, scheduled.inbox_id, scheduled.kind, due)
