"""Kafka in: the directory, communications with their analyses, contact names, and what is unread in each thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from contracts import communications, directory, inbox_events
from contracts.communications import CommunicationAnalyzed, CommunicationChanged
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, INBOX_EVENTS, TELEPHONY_EVENTS, Topic
from reporting import schedule
from reporting.facts import analysis_of, fact_of, transcript_of
from reporting.metrics import SERVICE
from reporting.reports import zone_of
from reporting.storage import rows, schedules, voice
from service_kit import directory_copy, input_progress
from service_kit.consuming import Handling, Outcome, Received
from service_kit.database import Connection, Database
from service_kit.following import Stage

Batch = Sequence[Received[Any]]


def handlers(database: Database, grace: timedelta, *, analyse: bool = True) -> Mapping[Topic, Handling]:
    """What reporting reads and who handles it, the directory first. `analyse`: transcripts are kept to be analysed."""

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
        facts, analyses, transcripts = [], [], []
        for received in batch:
            match received.event.data:
                case CommunicationChanged() as snapshot:
                    facts.append(fact_of(received.event.account_id, snapshot))
                case CommunicationAnalyzed() as found:
                    analyses.append(analysis_of(received.event.account_id, found))
            transcript = transcript_of(received.event.account_id, received.event.data) if analyse else None
            if transcript is not None:
                transcripts.append(transcript)
        async with database.transaction() as connection:
            await rows.save_communications(connection, facts)
            await rows.save_analyses(connection, analyses)
            await voice.save_transcripts(connection, transcripts)
        return Outcome()

    async def keep_threads(batch: Batch) -> Outcome:
        changes = [
            rows.ThreadUnread(
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
        names = [
            rows.ContactName(
                received.event.account_id,
                received.event.data.contact_number,
                received.event.data.name,
                received.event.data.named_at,
                received.event.id,
            )
            for received in batch
            if isinstance(received.event.data, inbox_events.ContactNamed)
        ]
        async with database.transaction() as connection:
            await rows.save_thread_unreads(connection, changes)
            await rows.save_contact_names(connection, names)
        return Outcome()

    return {
        DIRECTORY_EVENTS: Handling(directory_copy.EVENTS, keep_directory),
        COMMUNICATION_EVENTS: Handling(communications.EVENTS, keep_communications),
        INBOX_EVENTS: Handling(inbox_events.EVENTS, keep_threads),
    }


def stages(before: Sequence[str]) -> list[Stage]:
    """The way of what reached us: through those of routing and inbox_state that are named, then through here."""
    way = (
        Stage("routing", (TELEPHONY_EVENTS, INBOX_EVENTS)),
        Stage("inbox_state", (COMMUNICATION_EVENTS,)),
    )
    own = Stage(SERVICE, (DIRECTORY_EVENTS, COMMUNICATION_EVENTS, INBOX_EVENTS))
    return [*(stage for stage in way if stage.group in before), own]


def arrived_in(database: Database) -> Callable[[datetime], Awaitable[None]]:
    """What the follower tells: all that reached us before then has come through to here."""

    async def arrived(through: datetime) -> None:
        async with database.transaction() as connection:
            await input_progress.save(connection, {(TELEPHONY_EVENTS.name, 0): through})

    return arrived


async def _cut_days_anew(connection: Connection, account_id: str, account: directory.Account, grace: timedelta) -> None:
    zone = zone_of(account)
    for scheduled in await schedules.lock_schedules(connection, account_id):
        settings = await schedules.report_notifications(connection, account_id, scheduled.inbox_id)
        due = schedule.due(scheduled.next_date, settings.send_at, zone, grace)
        await schedules.save_schedule(connection, account_id, scheduled.inbox_id, scheduled.kind, due)
