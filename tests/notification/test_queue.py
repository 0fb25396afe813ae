"""The queue in Postgres: claimed from its head however long it is, and what came of each attempt written down."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import asyncpg
import pytest

from notification.attempts import Again, Comes, Later, Over
from notification.storage import queue
from notification.storage.queue import Attempt, ClaimedEmail, Room
from notification.timers import Recording
from service_kit.database import Connection, Database
from tests.notification.conftest import Notifying
from tests.notification.words import ACCOUNT, INBOX, a_call, everything, minutes, seconds
from tests.support import FreshDatabase

WATCHERS = ("walt", "wanda", "wendy", "will")


async def claimed(notifying: Notifying) -> list[ClaimedEmail]:
    """An e-mail to each watcher, claimed."""
    await notifying.know(everything(*WATCHERS))
    await notifying.turn_on()
    await notifying.hear(a_call("missed"))
    await notifying.evaluate()
    async with notifying.database.transaction() as connection:
        emails = await queue.claim_emails(connection, notifying.now, seconds(60), Room(10, 10, 10))
    return sorted(emails, key=lambda email: email.user_id)


async def queue_many(connection: Connection, at: datetime, count: int) -> None:
    """Have so many e-mails due, to a hundred watchers."""
    await connection.execute(
        """
        INSERT INTO emails
            (account_id, email_id, purpose, inbox_id, user_id, queued_at, due_at, next_attempt_at)
        SELECT $1, 'e-' || n, 'watcher', $2, 'user-' || n % 100, $3, $3, $3 FROM generate_series(1, $4) AS n
        """,
        ACCOUNT,
        INBOX,
        at,
        count,
    )


async def test_a_claim_looks_at_the_head_of_the_queue_however_long_it_is(notifying: Notifying) -> None:
    queued = 3_000
    async with notifying.database.transaction() as connection:
        await queue_many(connection, notifying.now, queued)
    async with notifying.database.connection() as connection:
        async with connection.transaction():
            emails = await queue.claim_emails(connection, notifying.now, seconds(60), Room(32, 2, 16))
        await connection.execute("SELECT pg_stat_force_next_flush()")
        read = await connection.fetchval(
            "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'emails_to_send'"
        )
    assert len(emails) == 32
    assert read < 400


async def test_a_queue_that_was_empty_at_first_is_not_read_through_for_each_email(
    database: FreshDatabase, notifying: Notifying
) -> None:
    looks, queued = 10, 3_000
    [walt, *_] = await claimed(notifying)
    own = Database(database.dsn("notification"), "notification", pool_size=1)
    await own.open()
    try:
        async with own.connection() as connection:
            for _ in range(looks):
                await queue.record_attempts(connection, [Attempt(walt, Later(notifying.now), notifying.now)])
            await queue_many(connection, notifying.now, queued)
            for _ in range(looks):
                await queue.record_attempts(connection, [Attempt(walt, Later(notifying.now), notifying.now)])
            await connection.execute("SELECT pg_stat_force_next_flush()")
            read = await connection.fetchval(
                """
                SELECT seq_tup_read + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'emails')
                FROM pg_stat_user_tables WHERE relname = 'emails'
                """
            )
    finally:
        await own.close()
    assert read < queued


async def test_what_came_of_attempts_is_written_together_each_in_its_own_way(notifying: Notifying) -> None:
    walt, wanda, wendy, will = await claimed(notifying)
    later = notifying.now + minutes(5)
    comes: dict[str, Comes] = {
        "walt": Over("sent"),
        "wanda": Over("refused", "550 no such user"),
        "wendy": Again(later, "451 busy", slow=True),
        "will": Later(later),
    }
    async with notifying.database.transaction() as connection:
        attempts = [Attempt(email, comes[email.user_id], notifying.now) for email in (will, wendy, wanda, walt)]
        await queue.record_attempts(connection, attempts)
        rows = await connection.fetch(
            """
            SELECT user_id, outcome, detail, finished_at, next_attempt_at, slow, attempts FROM emails
            WHERE locked_until IS NULL ORDER BY user_id
            """
        )
    now, before = notifying.now, walt.next_attempt_at
    assert [tuple(row) for row in rows] == [
        ("walt", "sent", None, now, before, False, 1),
        ("wanda", "refused", "550 no such user", now, before, False, 1),
        ("wendy", None, "451 busy", None, later, True, 1),
        ("will", None, None, None, later, False, 0),
    ]


async def test_an_acceptance_is_written_whatever_another_process_made_of_it_and_nothing_else_is(
    notifying: Notifying,
) -> None:
    walt, wanda, *_ = await claimed(notifying)

    async def record(*attempts: tuple[ClaimedEmail, Comes]) -> None:
        async with notifying.database.transaction() as connection:
            await queue.record_attempts(connection, [Attempt(*one, notifying.now) for one in attempts])

    await record((walt, Over("expired", "gave up")), (wanda, Over("sent")))
    await record((walt, Over("sent")), (wanda, Over("refused", "550 no")))
    await record((wanda, Again(notifying.now, "451 no")))
    assert [outcome for _, outcome, _ in await notifying.outcomes()][:2] == ["sent", "sent"]


async def test_while_postgres_is_away_outcomes_are_written_again_and_again_until_it_is_back(
    notifying: Notifying, database: FreshDatabase
) -> None:
    emails = await claimed(notifying)
    away = Database(database.dsn("notification"), "notification", pool_size=2)
    recording = Recording(away)
    recorded = [asyncio.create_task(recording.record(Attempt(email, Over("sent"), notifying.now))) for email in emails]
    done, _ = await asyncio.wait(recorded, timeout=0.3)
    assert not done
    await away.open()
    await asyncio.gather(*recorded)
    assert await notifying.outcomes() == [(watcher, "sent", 1) for watcher in WATCHERS]
    await away.close()


async def test_what_came_of_an_email_is_written_even_if_its_sender_is_cancelled_meanwhile(
    notifying: Notifying, database: FreshDatabase
) -> None:
    emails = await claimed(notifying)
    away = Database(database.dsn("notification"), "notification", pool_size=2)
    recording = Recording(away)
    recorded = [asyncio.create_task(recording.record(Attempt(email, Over("sent"), notifying.now))) for email in emails]
    await asyncio.wait(recorded, timeout=0.05)
    recorded[0].cancel()
    await asyncio.wait(recorded[:1])
    await away.open()
    await asyncio.gather(*recorded[1:])
    assert await notifying.outcomes() == [(watcher, "sent", 1) for watcher in WATCHERS]
    await away.close()


async def test_an_outcome_that_the_database_refuses_keeps_no_other_from_being_written(notifying: Notifying) -> None:
    emails = await claimed(notifying)
    refused = replace(Over("refused"), detail="no text: \0")
    recording = Recording(notifying.database)
    comes = [Over("sent"), Over("sent"), refused, Over("sent")]
    results = await asyncio.gather(
        *(recording.record(Attempt(email, come, notifying.now)) for email, come in zip(emails, comes, strict=True)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [
        type(None),
        type(None),
        asyncpg.CharacterNotInRepertoireError,
        type(None),
    ]
    outcomes = dict.fromkeys(WATCHERS, "sent") | {"wendy": None}
    assert await notifying.outcomes() == [(watcher, outcome, 1) for watcher, outcome in outcomes.items()]


@pytest.mark.parametrize("written", ["sent", "refused"])
async def test_a_lease_is_not_renewed_behind_the_back_of_who_is_writing(notifying: Notifying, written: str) -> None:
    walt, *others = await claimed(notifying)
    until = notifying.now + minutes(10)
    async with notifying.database.transaction() as writing:
        await writing.execute("UPDATE emails SET outcome = $1, locked_until = NULL WHERE user_id = 'walt'", written)
        async with asyncio.timeout(10), notifying.database.transaction() as connection:
            await queue.renew_leases(connection, [*others, walt], until)
    async with notifying.database.connection() as connection:
        held = await connection.fetch("SELECT user_id FROM emails WHERE locked_until = $1 ORDER BY user_id", until)
    assert [row["user_id"] for row in held] == list(WATCHERS[1:])
