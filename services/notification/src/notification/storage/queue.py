"""The queue of e-mails, taken by several replicas at once."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

from contracts.communications import CommunicationChanged
from contracts.directory import Account, Inbox, User
from contracts.emails import EmailRequested
from notification.attempts import Again, Comes, Later, Over
from notification.preferences import DEFAULT as NO_PREFERENCES
from notification.preferences import Preferences, Topic
from notification.rate_limits import Bucket
from notification.storage.administration import preferences_of, unsubscribed
from notification.storage.columns import columns
from notification.watcher_emails import Purpose
from notification.watcher_settings import EmailKind
from service_kit import directory_copy
from service_kit.database import Connection

FORGET_EMAILS_AFTER: Final = timedelta(days=90)
_LOOKED_THROUGH: Final = 256


async def queue_report(
    connection: Connection,
    account_id: str,
    request: EmailRequested,
    measured_from: datetime | None,
    now: datetime,
    traceparent: str | None = None,
) -> None:
    """Queue a report's e-mail; one that was ever queued under its id stays as it is."""
    await connection.execute(
        """
        INSERT INTO emails
            (account_id, email_id, purpose, inbox_id, user_id, report, report_kind, report_date, due_at,
            measured_from, next_attempt_at, queued_at, traceparent)
        VALUES ($1, $2, 'report', $3, $4, $5, $6, $7, $9, $8, $9, $9, $10)
        ON CONFLICT DO NOTHING
        """,
        account_id,
        request.email_id,
        request.inbox_id,
        request.recipient.user_id,
        request.model_dump(mode="json"),
        request.report,
        request.date,
        measured_from,
        now,
        traceparent,
    )


@dataclass(frozen=True, slots=True)
class NoticeHeld:
    """One communication that an e-mail tells of, with the names in force."""

    kind: EmailKind
    snapshot: CommunicationChanged
    contact_name: str | None
    line_name: str | None


@dataclass(frozen=True, slots=True)
class ClaimedEmail:
    """An e-mail that this process alone may send until its lease ends, and what is known of its reader now."""

    account_id: str
    email_id: str
    purpose: Purpose
    inbox_id: str
    attempts: int
    slow: bool
    due_at: datetime
    next_attempt_at: datetime
    measured_from: datetime | None
    traceparent: str | None
    user_id: str
    user: User | None
    watching: bool
    preferences: Preferences
    unsubscribed: bool
    inbox_name: str
    account_time_zone: str | None
    notices: tuple[NoticeHeld, ...]
    report: EmailRequested | None

    @property
    def topic(self) -> Topic:
        """What its reader would unsubscribe from."""
        return self.report.report if self.report else "watcher_emails"

    @property
    def key(self) -> tuple[str, str]:
        """Account and e-mail."""
        return self.account_id, self.email_id

    @property
    def reader(self) -> tuple[str, str]:
        """Account and user."""
        return self.account_id, self.user_id


@dataclass(frozen=True, slots=True)
class Room:
    """How many e-mails may be claimed: of the ordinary ones, of the slow ones, of one reader's, and in `total`.

    Nothing is claimed for the `busy` readers (account, user), who have their share on the way.
    """

    ordinary: int
    slow: int
    of_a_reader: int
    busy: Collection[tuple[str, str]] = ()
    total: int = sys.maxsize


async def claim_emails(connection: Connection, now: datetime, lease: timedelta, room: Room) -> list[ClaimedEmail]:
    """Claim e-mails that are due, each for one attempt that must be recorded before its lease ends.

    The transaction ends before anything is sent: what is not recorded comes again when the lease is over.

    An e-mail is slow when the server put it off or stalled on it, or did so on another one to the same reader.
    Those have a room of their own, so that however many they are, they hold up nobody else (N4).
    """
    rows: list[Any] = []
    for slow, wanted in ((False, room.ordinary), (True, room.slow)):
        limit = min(wanted, room.total - len(rows))
        if limit > 0:
            rows += await _claim(connection, now, lease, room, slow=slow, limit=limit)
    return await _with_readers(connection, rows)


async def _claim(
    connection: Connection, now: datetime, lease: timedelta, room: Room, *, slow: bool, limit: int
) -> list[Any]:
    # By the index emails_to_send; who is slow by emails_slow, and where nobody is, the queue is not looked through for
    # them. The window looks at the first so many alone: whoever has more than that waiting is slow before long, or is
    # served in a moment. What is wanted is locked where it lies (ctid): by its key, a planner without statistics looks
    # for each one in the whole queue. One that another process changes meanwhile is left to the next claim.
    return await connection.fetch(
        """
        WITH slow_readers AS MATERIALIZED (
            SELECT DISTINCT account_id, user_id FROM emails WHERE outcome IS NULL AND slow
        ), first AS (
            SELECT ctid, account_id, user_id, next_attempt_at FROM emails
            WHERE outcome IS NULL AND next_attempt_at <= $1 AND (locked_until IS NULL OR locked_until <= $1)
                AND (NOT $4 OR EXISTS (SELECT FROM slow_readers))
                AND ((account_id, user_id) IN (SELECT account_id, user_id FROM slow_readers)) = $4
                AND (account_id, user_id) NOT IN (SELECT * FROM unnest($6::text[], $7::text[]))
            ORDER BY next_attempt_at
            LIMIT $8
        ), due AS (
            SELECT ctid, next_attempt_at,
                row_number() OVER (PARTITION BY account_id, user_id ORDER BY next_attempt_at) AS place
            FROM first
        ), wanted AS (
            SELECT ctid FROM due WHERE place <= $5 ORDER BY next_attempt_at LIMIT $3
        ), locked AS (
            SELECT own.ctid
            FROM wanted
            CROSS JOIN LATERAL (
                SELECT ctid FROM emails
                WHERE ctid = wanted.ctid
                    AND outcome IS NULL AND next_attempt_at <= $1 AND (locked_until IS NULL OR locked_until <= $1)
                FOR UPDATE SKIP LOCKED
            ) AS own
        )
        UPDATE emails AS e SET locked_until = $2, attempts = attempts + 1
        FROM locked
        WHERE e.ctid = locked.ctid
        RETURNING account_id, email_id, purpose, inbox_id, user_id, report, attempts, $4::boolean AS slow, due_at,
            next_attempt_at, measured_from, traceparent
        """,
        now,
        now + lease,
        limit,
        slow,
        room.of_a_reader,
        *columns(list(room.busy), 2),
        max(_LOOKED_THROUGH, limit),
    )


async def _with_readers(connection: Connection, rows: Sequence[Any]) -> list[ClaimedEmail]:
    notices = await _notices_of(connection, [(row["account_id"], row["email_id"]) for row in rows])
    claimed: list[ClaimedEmail] = []
    for account_id in sorted({row["account_id"] for row in rows}):
        own = [row for row in rows if row["account_id"] == account_id]
        readers = sorted({row["user_id"] for row in own})
        users = await directory_copy.entities(connection, User, account_id, readers)
        inboxes = await directory_copy.entities(connection, Inbox, account_id, sorted({row["inbox_id"] for row in own}))
        account = (await directory_copy.entities(connection, Account, account_id, [account_id])).get(account_id)
        preferences = await preferences_of(connection, account_id, readers)
        gone = await unsubscribed(connection, account_id, readers)
        for row in own:
            inbox = inboxes.get(row["inbox_id"])
            report = EmailRequested.model_validate(row["report"]) if row["report"] else None
            topic: Topic = report.report if report else "watcher_emails"
            claimed.append(
                ClaimedEmail(
                    account_id=account_id,
                    email_id=row["email_id"],
                    purpose=row["purpose"],
                    inbox_id=row["inbox_id"],
                    attempts=row["attempts"],
                    slow=row["slow"],
                    due_at=row["due_at"],
                    next_attempt_at=row["next_attempt_at"],
                    measured_from=row["measured_from"],
                    traceparent=row["traceparent"],
                    user_id=row["user_id"],
                    user=users.get(row["user_id"]),
                    watching=inbox is not None and any(watcher.user_id == row["user_id"] for watcher in inbox.watchers),
                    preferences=preferences.get(row["user_id"], NO_PREFERENCES),
                    unsubscribed=(row["user_id"], row["inbox_id"], topic) in gone,
                    inbox_name=inbox.name if inbox else row["inbox_id"],
                    account_time_zone=account.time_zone if account else None,
                    notices=tuple(notices.get((account_id, row["email_id"]), ())),
                    report=report,
                )
            )
    return claimed


async def _notices_of(
    connection: Connection, emails: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], list[NoticeHeld]]:
    if not emails:
        return {}
    rows = await connection.fetch(
        """
        SELECT n.account_id, n.email_id, n.kind, n.snapshot, named.name AS contact_name,
            line.document ->> 'name' AS line_name
        FROM unnest($1::text[], $2::text[]) AS k (account_id, email_id)
        -- OFFSET 0 keeps it by index, whatever the planner knows of the table.
        CROSS JOIN LATERAL (
            SELECT account_id, email_id, kind, snapshot FROM notices
            WHERE account_id = k.account_id AND email_id = k.email_id
            OFFSET 0
        ) AS n
        LEFT JOIN contact_names AS named
            ON named.account_id = n.account_id AND named.contact_number = n.snapshot ->> 'contact_number'
        LEFT JOIN directory_entities AS line
            ON line.account_id = n.account_id AND line.entity = 'line' AND line.id = n.snapshot ->> 'line_number'
        """,
        *columns(emails, 2),
    )
    notices: dict[tuple[str, str], list[NoticeHeld]] = {}
    for row in rows:
        snapshot = CommunicationChanged.model_validate(row["snapshot"])
        held = NoticeHeld(row["kind"], snapshot, row["contact_name"], row["line_name"])
        notices.setdefault((row["account_id"], row["email_id"]), []).append(held)
    for of_email in notices.values():
        of_email.sort(key=lambda held: (held.snapshot.started_at, held.snapshot.communication_id))
    return notices


async def renew_leases(connection: Connection, emails: Sequence[ClaimedEmail], until: datetime) -> None:
    """Keep e-mails that are still being sent from being claimed by another process.

    One whose outcome is being written at this moment is left out: it needs no lease any more.
    """
    await connection.execute(
        """
        UPDATE emails SET locked_until = $3
        WHERE (account_id, email_id) IN (
            SELECT account_id, email_id FROM emails
            WHERE (account_id, email_id) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND outcome IS NULL
            FOR UPDATE SKIP LOCKED
        )
        """,
        *columns([email.key for email in emails], 2),
        until,
    )


async def give_back(connection: Connection, emails: Sequence[ClaimedEmail]) -> None:
    """Let others claim e-mails that nothing was attempted with; not those that somebody else has claimed meanwhile."""
    await connection.execute(
        """
        UPDATE emails AS e SET locked_until = NULL, attempts = e.attempts - 1
        FROM unnest($1::text[], $2::text[], $3::int[]) AS own (account_id, email_id, attempts)
        WHERE e.account_id = own.account_id AND e.email_id = own.email_id AND e.attempts = own.attempts
            AND e.outcome IS NULL
        """,
        *columns([(*email.key, email.attempts) for email in emails], 3),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """What comes of an attempt that ended `at` then."""

    email: ClaimedEmail
    comes: Comes
    at: datetime


async def record_attempts(connection: Connection, attempts: Sequence[Attempt]) -> None:
    """Write what came of attempts. An acceptance is written whatever another process made of it meanwhile.

    Outside a transaction as well: begun again after a failure, it writes the same.
    """
    over: list[tuple[str, str, str, str | None, datetime]] = []
    again: list[tuple[str, str, datetime, str, bool]] = []
    later: list[tuple[str, str, datetime]] = []
    # In the order of their ids: another process may be about to write some of the same.
    for one in sorted(attempts, key=lambda one: one.email.key):
        key = one.email.key
        match one.comes:
            case Over(outcome, detail):
                over.append((*key, outcome, detail, one.at))
            case Again(at, because, slow):
                again.append((*key, at, because, slow))
            case Later(at):
                later.append((*key, at))
            case unknown:
                assert_never(unknown)
    if over:
        # A report's contents have done their work; the row stays, so that it is never sent again.
        await connection.execute(
            """
            UPDATE emails AS e SET outcome = made.outcome, detail = made.detail, finished_at = made.at,
                locked_until = NULL, report = NULL
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
                AS made (account_id, email_id, outcome, detail, at)
            WHERE e.account_id = made.account_id AND e.email_id = made.email_id
                AND (e.outcome IS NULL OR made.outcome = 'sent')
            """,
            *columns(over, 5),
        )
    if again:
        await connection.execute(
            """
            UPDATE emails AS e SET next_attempt_at = made.at, detail = made.detail, slow = made.slow,
                locked_until = NULL
            FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::boolean[])
                AS made (account_id, email_id, at, detail, slow)
            WHERE e.account_id = made.account_id AND e.email_id = made.email_id AND e.outcome IS NULL
            """,
            *columns(again, 5),
        )
    if later:
        # As if it had been queued for then; what was attempted before keeps its five days.
        await connection.execute(
            """
            UPDATE emails AS e SET next_attempt_at = made.at, attempts = attempts - 1, locked_until = NULL,
                measured_from = NULL, due_at = CASE WHEN attempts > 1 THEN due_at ELSE made.at END
            FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS made (account_id, email_id, at)
            WHERE e.account_id = made.account_id AND e.email_id = made.email_id AND e.outcome IS NULL
            """,
            *columns(later, 3),
        )


async def lock_rate(connection: Connection, server: str) -> Bucket | None:
    """How much a mail server may be given, locked until the transaction ends; None before the first e-mail."""
    await connection.execute("INSERT INTO sending_rates (server) VALUES ($1) ON CONFLICT DO NOTHING", server)
    row = await connection.fetchrow(
        "SELECT left_over, counted_at FROM sending_rates WHERE server = $1 FOR UPDATE", server
    )
    return Bucket(row["left_over"], row["counted_at"]) if row and row["counted_at"] else None


async def save_rate(connection: Connection, server: str, bucket: Bucket) -> None:
    """Write how much is left, as `lock_rate` locked it."""
    await connection.execute(
        "UPDATE sending_rates SET left_over = $2, counted_at = $3 WHERE server = $1",
        server,
        bucket.left,
        bucket.counted_at,
    )


async def oldest_due_at(connection: Connection, now: datetime) -> datetime | None:
    """Since when the oldest e-mail that is due waits; None when none does."""
    due_at: datetime | None = await connection.fetchval(
        "SELECT min(due_at) FROM emails WHERE outcome IS NULL AND due_at <= $1", now
    )
    return due_at


async def forget(connection: Connection, now: datetime, limit: int) -> bool:
    """Delete some of what can't matter any more; True when there may be more of it."""
    communications = await connection.execute(
        """
        DELETE FROM communications WHERE (account_id, communication_id) IN (
            SELECT account_id, communication_id FROM communications
            WHERE kept_until <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        now,
        limit,
    )
    emails = await connection.execute(
        """
        DELETE FROM emails WHERE (account_id, email_id) IN (
            SELECT account_id, email_id FROM emails
            WHERE outcome IS NOT NULL AND finished_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        now - FORGET_EMAILS_AFTER,
        limit,
    )
    return f"DELETE {limit}" in (communications, emails)
