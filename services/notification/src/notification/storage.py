"""Every SQL statement of the service: a function is a statement that keeps a promise."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from contracts.communications import CommunicationChanged
from contracts.directory import Account, Inbox, User
from contracts.emails import EmailRequested
from notification.attempts import Again, Over
from notification.digest_windows import Window
from notification.watcher_emails import (
    Arrangement,
    Candidate,
    Notice,
    NoticeKey,
    Purpose,
    QueuedEmail,
    Told,
    WindowKey,
)
from notification.watcher_settings import DEFAULT, EmailKind, WatcherSettings
from service_kit import directory_copy
from service_kit.database import Connection

FORGET_EMAILS_AFTER: Final = timedelta(days=90)


async def watcher_settings(
    connection: Connection, inboxes: Collection[tuple[str, str]]
) -> dict[tuple[str, str], WatcherSettings]:
    """The settings of these inboxes (account, inbox), where they were ever put."""
    accounts, ids = _columns(sorted(set(inboxes)), 2)
    rows = await connection.fetch(
        """
        SELECT account_id, inbox_id, enabled, events, digest_minutes, turned_on
        FROM watcher_settings
        WHERE (account_id, inbox_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
        """,
        accounts,
        ids,
    )
    return {(row["account_id"], row["inbox_id"]): _settings(row) for row in rows}


async def lock_watcher_settings(connection: Connection, account_id: str, inbox_id: str) -> WatcherSettings:
    """One inbox's settings, locked until the transaction ends; the default where they were never put."""
    await connection.execute(
        """
        INSERT INTO watcher_settings (account_id, inbox_id, enabled, events, digest_minutes, turned_on)
        VALUES ($1, $2, $3, $4, $5, '{}')
        ON CONFLICT DO NOTHING
        """,
        account_id,
        inbox_id,
        DEFAULT.enabled,
        list(DEFAULT.events),
        DEFAULT.digest_minutes,
    )
    row = await connection.fetchrow(
        """
        SELECT enabled, events, digest_minutes, turned_on FROM watcher_settings
        WHERE account_id = $1 AND inbox_id = $2
        FOR UPDATE
        """,
        account_id,
        inbox_id,
    )
    return _settings(row)


async def save_watcher_settings(
    connection: Connection, account_id: str, inbox_id: str, settings: WatcherSettings
) -> None:
    """Write settings that `lock_watcher_settings` locked."""
    await connection.execute(
        """
        UPDATE watcher_settings SET enabled = $3, events = $4, digest_minutes = $5, turned_on = $6
        WHERE account_id = $1 AND inbox_id = $2
        """,
        account_id,
        inbox_id,
        settings.enabled,
        list(settings.events),
        settings.digest_minutes,
        {kind: at.isoformat() for kind, at in settings.turned_on.items()},
    )


def _settings(row: Any) -> WatcherSettings:
    return WatcherSettings(
        enabled=row["enabled"],
        events=tuple(row["events"]),
        digest_minutes=row["digest_minutes"],
        turned_on={kind: datetime.fromisoformat(at) for kind, at in row["turned_on"].items()},
    )


async def keep_newest_snapshots(
    connection: Connection,
    candidates: Iterable[tuple[Candidate, datetime | None, datetime]],
) -> None:
    """Keep each snapshot (with when to evaluate it, and until when it is kept) unless a newer one is there.

    The version is compared in the row's lock by one statement, in id order: two replicas may hold
    overlapping batches during a rebalance.
    """
    rows = [
        (
            candidate.account_id,
            candidate.snapshot.communication_id,
            candidate.snapshot.version,
            candidate.snapshot.inbox_id,
            candidate.snapshot.model_dump_json(exclude_none=True),
            candidate.snapshot.unread_at is not None,
            candidate.waits_from,
            candidate.origin_at,
            evaluate_at,
            kept_until,
        )
        for candidate, evaluate_at, kept_until in candidates
    ]
    await connection.execute(
        """
        INSERT INTO communications AS held (
            account_id, communication_id, version, inbox_id, snapshot, unread, waits_from, origin_at, evaluate_at,
            kept_until
        )
        SELECT account_id, communication_id, version, inbox_id, snapshot::jsonb, unread, waits_from, origin_at,
            evaluate_at, kept_until
        FROM unnest(
            $1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::boolean[], $7::timestamptz[],
            $8::timestamptz[], $9::timestamptz[], $10::timestamptz[]
        ) AS n (
            account_id, communication_id, version, inbox_id, snapshot, unread, waits_from, origin_at, evaluate_at,
            kept_until
        )
        ORDER BY account_id, communication_id
        ON CONFLICT (account_id, communication_id) DO UPDATE SET
            version = excluded.version, inbox_id = excluded.inbox_id, snapshot = excluded.snapshot,
            unread = excluded.unread, waits_from = excluded.waits_from, origin_at = excluded.origin_at,
            evaluate_at = excluded.evaluate_at, kept_until = excluded.kept_until
        WHERE held.version < excluded.version
        """,
        *_columns(rows, 10),
    )


@dataclass(frozen=True, slots=True)
class ContactName:
    """A name that somebody gave a contact; the newest by `(named_at, event_id)` counts (I17)."""

    account_id: str
    contact_number: str
    name: str
    named_at: datetime
    event_id: str


async def keep_newest_names(connection: Connection, names: Iterable[ContactName]) -> None:
    """Keep each name unless a newer one is there. One name per contact, please."""
    rows = [(n.account_id, n.contact_number, n.name, n.named_at, n.event_id) for n in names]
    await connection.execute(
        """
        INSERT INTO contact_names AS held (account_id, contact_number, name, named_at, event_id)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
        ORDER BY 1, 2
        ON CONFLICT (account_id, contact_number) DO UPDATE SET
            name = excluded.name, named_at = excluded.named_at, event_id = excluded.event_id
        WHERE (held.named_at, held.event_id) < (excluded.named_at, excluded.event_id)
        """,
        *_columns(rows, 5),
    )


async def ask_to_re_evaluate(connection: Connection, changed: Collection[tuple[str, str, str]]) -> None:
    """Have the communications of these (account, `inbox` or `user`, id) looked at again, once this commits.

    An entry that is there already is written again, so that whoever takes it waits for this transaction:
    taken before, it would be answered from the directory as it was.
    """
    await connection.execute(
        """
        INSERT INTO re_evaluations AS r (account_id, entity, id)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ORDER BY 1, 2, 3
        ON CONFLICT (account_id, entity, id) DO UPDATE SET asked = r.asked + 1
        """,
        *_columns(sorted(set(changed)), 3),
    )


async def take_re_evaluations(connection: Connection, now: datetime, limit: int) -> int:
    """Make due what the oldest asked-for re-evaluations concern, and say how many of these there were."""
    taken = await connection.fetch(
        """
        DELETE FROM re_evaluations WHERE (account_id, entity, id) IN (
            SELECT account_id, entity, id FROM re_evaluations LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        RETURNING account_id, entity, id
        """,
        limit,
    )
    if not taken:
        return 0
    # As a second statement: it must see what was committed while the first one waited.
    await connection.execute(
        """
        WITH taken AS (
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS t (account_id, entity, id)
        ), inboxes AS (
            SELECT account_id, id AS inbox_id FROM taken WHERE entity = 'inbox'
            UNION
            SELECT tie.account_id, tie.inbox_id
            FROM taken JOIN directory_ties AS tie ON tie.account_id = taken.account_id AND tie.user_id = taken.id
            WHERE taken.entity = 'user' AND tie.watching_since IS NOT NULL
        ), due AS (
            SELECT c.account_id, c.communication_id
            FROM communications AS c JOIN inboxes USING (account_id, inbox_id)
            WHERE c.unread AND c.kept_until > $4
            ORDER BY c.account_id, c.communication_id
            FOR UPDATE OF c
        )
        UPDATE communications AS c SET evaluate_at = $4
        FROM due WHERE c.account_id = due.account_id AND c.communication_id = due.communication_id
        """,
        *_columns([(row["account_id"], row["entity"], row["id"]) for row in taken], 3),
        now,
    )
    return len(taken)


async def take_due_communications(connection: Connection, now: datetime, limit: int) -> list[Candidate]:
    """The communications to evaluate now, oldest due first, locked until the transaction ends."""
    rows = await connection.fetch(
        """
        SELECT account_id, snapshot, waits_from, origin_at FROM communications
        WHERE evaluate_at <= $1
        ORDER BY evaluate_at
        LIMIT $2
        FOR UPDATE SKIP LOCKED
        """,
        now,
        limit,
    )
    return [
        Candidate(
            row["account_id"],
            CommunicationChanged.model_validate(row["snapshot"]),
            waits_from=row["waits_from"],
            origin_at=row["origin_at"],
        )
        for row in rows
    ]


async def set_evaluation_times(connection: Connection, times: Mapping[tuple[str, str], datetime | None]) -> None:
    """When each communication that `take_due_communications` took is evaluated again; None: when asked for."""
    await connection.execute(
        """
        UPDATE communications AS c SET evaluate_at = n.evaluate_at
        FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS n (account_id, communication_id, evaluate_at)
        WHERE c.account_id = n.account_id AND c.communication_id = n.communication_id
        """,
        *_columns([(*key, at) for key, at in times.items()], 3),
    )


async def watched_inboxes(
    connection: Connection, inboxes: Collection[tuple[str, str]]
) -> tuple[dict[tuple[str, str], Inbox], dict[str, dict[str, User]]]:
    """The living ones of these inboxes, and per account the users who watch any of them."""
    wanted: dict[str, set[str]] = {}
    for account_id, inbox_id in inboxes:
        wanted.setdefault(account_id, set()).add(inbox_id)
    found: dict[tuple[str, str], Inbox] = {}
    users: dict[str, dict[str, User]] = {}
    for account_id, ids in wanted.items():
        living = await directory_copy.entities(connection, Inbox, account_id, sorted(ids))
        found |= {(account_id, inbox_id): inbox for inbox_id, inbox in living.items()}
        watchers = sorted({watcher.user_id for inbox in living.values() for watcher in inbox.watchers})
        users[account_id] = await directory_copy.entities(connection, User, account_id, watchers) if watchers else {}
    return found, users


async def told(connection: Connection, communications: Collection[tuple[str, str]]) -> dict[NoticeKey, Told]:
    """Who was told of these communications."""
    rows = await connection.fetch(
        """
        SELECT n.account_id, n.communication_id, n.user_id, n.kind, n.email_id, e.purpose, e.inbox_id
        FROM notices AS n JOIN emails AS e USING (account_id, email_id)
        WHERE (n.account_id, n.communication_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
        """,
        *_columns(sorted(communications), 2),
    )
    return {
        (row["account_id"], row["communication_id"], row["user_id"]): Told(
            row["kind"], row["email_id"], row["purpose"], row["inbox_id"]
        )
        for row in rows
    }


async def lock_windows(connection: Connection, keys: Sequence[WindowKey]) -> dict[WindowKey, Window]:
    """The windows that there are under these sorted keys; all of the keys are locked."""
    if not keys:
        return {}
    await connection.execute(
        """
        INSERT INTO digest_windows (account_id, inbox_id, user_id)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ORDER BY 1, 2, 3
        ON CONFLICT DO NOTHING
        """,
        *_columns(keys, 3),
    )
    rows = await connection.fetch(
        """
        SELECT account_id, inbox_id, user_id, ends_at, holds FROM digest_windows
        WHERE (account_id, inbox_id, user_id) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))
        ORDER BY account_id, inbox_id, user_id
        FOR UPDATE
        """,
        *_columns(keys, 3),
    )
    return {
        (row["account_id"], row["inbox_id"], row["user_id"]): Window(row["ends_at"], row["holds"])
        for row in rows
        if row["ends_at"] is not None
    }


async def lock_digests_not_begun(connection: Connection, emails: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of these digests that nobody has begun to send, locked so that nobody does.

    Only for whoever has locked their windows: that is the order of locks.
    """
    if not emails:
        return set()
    rows = await connection.fetch(
        """
        SELECT account_id, email_id FROM emails
        WHERE (account_id, email_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
            AND attempts = 0 AND outcome IS NULL
        ORDER BY account_id, email_id
        FOR UPDATE
        """,
        *_columns(sorted(emails), 2),
    )
    return {(row["account_id"], row["email_id"]) for row in rows}


async def save_arrangement(connection: Connection, arrangement: Arrangement, now: datetime) -> int:
    """Queue e-mails and notices; what is there already under its key stays as it is. Returns the new notices."""
    await queue_emails(connection, arrangement.emails.values(), now)
    inserted = await _insert_notices(connection, arrangement.new.values())
    await connection.execute(
        """
        UPDATE notices AS n SET kind = m.kind, email_id = m.email_id, snapshot = m.snapshot::jsonb
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
            AS m (account_id, communication_id, user_id, kind, email_id, snapshot)
        WHERE n.account_id = m.account_id AND n.communication_id = m.communication_id AND n.user_id = m.user_id
        """,
        *_columns([_notice_row(notice) for notice in arrangement.updated.values()], 6),
    )
    await connection.execute(
        """
        DELETE FROM notices
        WHERE (account_id, communication_id, user_id) IN (
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        )
        """,
        *_columns(arrangement.dropped, 3),
    )
    await connection.execute(
        """
        UPDATE digest_windows AS w SET ends_at = n.ends_at, holds = n.holds
        FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::boolean[])
            AS n (account_id, inbox_id, user_id, ends_at, holds)
        WHERE w.account_id = n.account_id AND w.inbox_id = n.inbox_id AND w.user_id = n.user_id
        """,
        *_columns([(*key, window.ends_at, window.holds) for key, window in arrangement.windows.items()], 5),
    )
    return inserted


async def _insert_notices(connection: Connection, notices: Iterable[Notice]) -> int:
    rows = await connection.fetch(
        """
        INSERT INTO notices (account_id, communication_id, user_id, kind, email_id, snapshot)
        SELECT account_id, communication_id, user_id, kind, email_id, snapshot::jsonb
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
            AS n (account_id, communication_id, user_id, kind, email_id, snapshot)
        ORDER BY account_id, communication_id, user_id
        ON CONFLICT DO NOTHING
        RETURNING 1
        """,
        *_columns([_notice_row(notice) for notice in notices], 6),
    )
    return len(rows)


def _notice_row(notice: Notice) -> tuple[str, ...]:
    snapshot = notice.candidate.snapshot.model_dump_json(exclude_none=True)
    return (*notice.key, notice.kind, notice.email_id, snapshot)


async def queue_emails(connection: Connection, emails: Iterable[QueuedEmail], now: datetime) -> None:
    """Queue e-mails; one that was ever queued under its id stays as it is."""
    rows = [(e.account_id, e.email_id, e.purpose, e.inbox_id, e.user_id, e.due_at, e.measured_from) for e in emails]
    await connection.execute(
        """
        INSERT INTO emails
            (account_id, email_id, purpose, inbox_id, user_id, due_at, measured_from, next_attempt_at, queued_at)
        SELECT account_id, email_id, purpose, inbox_id, user_id, due_at, measured_from, due_at, $8
        FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[]
        ) AS n (account_id, email_id, purpose, inbox_id, user_id, due_at, measured_from)
        ORDER BY account_id, email_id
        ON CONFLICT DO NOTHING
        """,
        *_columns(rows, 7),
        now,
    )


async def queue_report(
    connection: Connection,
    account_id: str,
    request: EmailRequested,
    measured_from: datetime | None,
    now: datetime,
) -> None:
    """Queue a report's e-mail; one that was ever queued under its id stays as it is."""
    await connection.execute(
        """
        INSERT INTO emails
            (account_id, email_id, purpose, inbox_id, user_id, report, report_kind, report_date, due_at,
            measured_from, next_attempt_at, queued_at)
        VALUES ($1, $2, 'report', $3, $4, $5, $6, $7, $9, $8, $9, $9)
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
    """An e-mail that this process alone may send until its lease ends, and what the directory says of it now."""

    account_id: str
    email_id: str
    purpose: Purpose
    attempts: int
    due_at: datetime
    measured_from: datetime | None
    locked_until: datetime
    user_id: str
    user: User | None
    watching: bool
    inbox_name: str
    account_time_zone: str | None
    notices: tuple[NoticeHeld, ...]
    report: EmailRequested | None


async def claim_emails(connection: Connection, now: datetime, lease: timedelta, limit: int) -> list[ClaimedEmail]:
    """Claim e-mails that are due, each for one attempt that must be recorded before its lease ends.

    The transaction ends before anything is sent: what is not recorded comes again when the lease is over.
    """
    rows = await connection.fetch(
        """
        UPDATE emails SET locked_until = $2, attempts = attempts + 1
        WHERE (account_id, email_id) IN (
            SELECT account_id, email_id FROM emails
            WHERE outcome IS NULL AND next_attempt_at <= $1 AND (locked_until IS NULL OR locked_until <= $1)
            ORDER BY next_attempt_at
            LIMIT $3
            FOR UPDATE SKIP LOCKED
        )
        RETURNING account_id, email_id, purpose, inbox_id, user_id, report, attempts, due_at, measured_from,
            locked_until
        """,
        now,
        now + lease,
        limit,
    )
    notices = await _notices_of(connection, [(row["account_id"], row["email_id"]) for row in rows])
    claimed: list[ClaimedEmail] = []
    for account_id in sorted({row["account_id"] for row in rows}):
        own = [row for row in rows if row["account_id"] == account_id]
        users = await directory_copy.entities(connection, User, account_id, [row["user_id"] for row in own])
        inboxes = await directory_copy.entities(connection, Inbox, account_id, [row["inbox_id"] for row in own])
        account = (await directory_copy.entities(connection, Account, account_id, [account_id])).get(account_id)
        for row in own:
            inbox = inboxes.get(row["inbox_id"])
            claimed.append(
                ClaimedEmail(
                    account_id=account_id,
                    email_id=row["email_id"],
                    purpose=row["purpose"],
                    attempts=row["attempts"],
                    due_at=row["due_at"],
                    measured_from=row["measured_from"],
                    locked_until=row["locked_until"],
                    user_id=row["user_id"],
                    user=users.get(row["user_id"]),
                    watching=inbox is not None and any(watcher.user_id == row["user_id"] for watcher in inbox.watchers),
                    inbox_name=inbox.name if inbox else row["inbox_id"],
                    account_time_zone=account.time_zone if account else None,
                    notices=tuple(notices.get((account_id, row["email_id"]), ())),
                    report=EmailRequested.model_validate(row["report"]) if row["report"] else None,
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
        FROM notices AS n
        LEFT JOIN contact_names AS named
            ON named.account_id = n.account_id AND named.contact_number = n.snapshot ->> 'contact_number'
        LEFT JOIN directory_entities AS line
            ON line.account_id = n.account_id AND line.entity = 'line' AND line.id = n.snapshot ->> 'line_number'
        WHERE (n.account_id, n.email_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
        """,
        *_columns(emails, 2),
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
    """Keep e-mails that are still being sent from being claimed by another process."""
    await connection.execute(
        """
        UPDATE emails SET locked_until = $3
        WHERE (account_id, email_id) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND outcome IS NULL
        """,
        *_columns([(email.account_id, email.email_id) for email in emails], 2),
        until,
    )


async def record_attempt(connection: Connection, email: ClaimedEmail, comes: Over | Again, now: datetime) -> None:
    """Write what came of an attempt. An acceptance is written whatever another process made of it meanwhile."""
    match comes:
        case Over(outcome, detail):
            # A report's contents have done their work; the row stays, so that it is never sent again.
            await connection.execute(
                """
                UPDATE emails SET outcome = $3, detail = $4, finished_at = $5, locked_until = NULL, report = NULL
                WHERE account_id = $1 AND email_id = $2 AND (outcome IS NULL OR $3 = 'sent')
                """,
                email.account_id,
                email.email_id,
                outcome,
                detail,
                now,
            )
        case Again(at, detail):
            await connection.execute(
                """
                UPDATE emails SET next_attempt_at = $3, detail = $4, locked_until = NULL
                WHERE account_id = $1 AND email_id = $2 AND outcome IS NULL
                """,
                email.account_id,
                email.email_id,
                at,
                detail,
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


async def deliveries(
    connection: Connection,
    account_id: str,
    inbox_id: str,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """An inbox's e-mails, newest first, by the index `emails_of_inbox`."""
    rows = await connection.fetch(
        """
        SELECT e.email_id, e.purpose, e.user_id, e.report_kind, e.report_date, e.queued_at, e.due_at,
            e.next_attempt_at, e.attempts, e.outcome, e.detail, e.finished_at,
            coalesce(
                (
                    SELECT jsonb_agg(jsonb_build_object('communication_id', communication_id, 'kind', kind)
                        ORDER BY communication_id)
                    FROM notices AS n WHERE n.account_id = e.account_id AND n.email_id = e.email_id
                ), '[]'
            ) AS told
        FROM emails AS e
        WHERE e.account_id = $1 AND e.inbox_id = $2
            AND ($3::timestamptz IS NULL OR (e.queued_at, e.email_id) < ($3, $4))
        ORDER BY e.queued_at DESC, e.email_id DESC
        LIMIT $5
        """,
        account_id,
        inbox_id,
        before[0] if before else None,
        before[1] if before else None,
        limit,
    )
    return [dict(row) for row in rows]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One administrative change: who, when, what, before and after (A6)."""

    id: str
    at: datetime
    user_id: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


async def add_audit_entry(connection: Connection, account_id: str, entry: AuditEntry) -> None:
    """Record an administrative change, in the transaction that makes it."""
    await connection.execute(
        """
        INSERT INTO audit_entries (account_id, id, at, user_id, action, subject, before, after)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        account_id,
        entry.id,
        entry.at,
        entry.user_id,
        entry.action,
        entry.subject,
        entry.before,
        entry.after,
    )


async def audit_entries(connection: Connection, account_id: str, before_id: str | None, limit: int) -> list[AuditEntry]:
    """An account's administrative changes, newest first: ids are UUIDv7, so they sort by time."""
    rows = await connection.fetch(
        """
        SELECT id, at, user_id, action, subject, before, after FROM audit_entries
        WHERE account_id = $1 AND ($2::text IS NULL OR id < $2)
        ORDER BY id DESC
        LIMIT $3
        """,
        account_id,
        before_id,
        limit,
    )
    return [AuditEntry(**dict(row)) for row in rows]


def _columns(rows: Collection[Sequence[Any]], count: int) -> list[list[Any]]:
    """Rows as the columns that `unnest` takes, `count` of them even where there is no row."""
    if not rows:
        return [[] for _ in range(count)]
    return [list(column) for column in zip(*rows, strict=True)]
