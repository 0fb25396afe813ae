"""What is known of communications, and who is told of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.communications import CommunicationChanged
from contracts.directory import Inbox, User
from notification import wording
from notification.digest_windows import Window
from notification.preferences import DEFAULT as NO_PREFERENCES
from notification.quiet_hours import Quiet
from notification.storage.administration import preferences_of, unsubscribed
from notification.storage.columns import columns
from notification.watcher_emails import (
    Arrangement,
    Candidate,
    Notice,
    NoticeKey,
    QueuedEmail,
    Told,
    WatcherKey,
    Wishes,
)
from service_kit import directory_copy
from service_kit.database import Connection


async def keep_newest_snapshots(
    connection: Connection,
    candidates: Iterable[tuple[Candidate, datetime | None, datetime]],
) -> None:
    """Keep each snapshot (with when to evaluate it, and until when it is kept) unless a newer one is there.

    The version is compared in the row's lock by one statement, in id order: two replicas may hold
    overlapping batches during a rebalance.
    """
    rows = [
        {
            "account_id": candidate.account_id,
            "communication_id": candidate.snapshot.communication_id,
            "version": candidate.snapshot.version,
            "inbox_id": candidate.snapshot.inbox_id,
            "snapshot": candidate.snapshot.model_dump_json(exclude_none=True),
            "unread": candidate.snapshot.unread_at is not None,
            "waits_from": candidate.waits_from,
            "origin_at": candidate.origin_at,
            "evaluate_at": evaluate_at,
            "kept_until": kept_until,
            "traceparent": candidate.traceparent,
        }
        for candidate, evaluate_at, kept_until in candidates
    ]
    await connection.execute(
        """
        INSERT INTO communications AS held (
            account_id, communication_id, version, inbox_id, snapshot, unread, waits_from, origin_at, evaluate_at,
            kept_until, traceparent
        )
        SELECT account_id, communication_id, version, inbox_id, snapshot::jsonb, unread, waits_from, origin_at,
            evaluate_at, kept_until, traceparent
        FROM json_to_recordset($1::json) AS n (
            account_id text, communication_id text, version bigint, inbox_id text, snapshot text, unread boolean,
            waits_from timestamptz, origin_at timestamptz, evaluate_at timestamptz, kept_until timestamptz,
            traceparent text
        )
        ORDER BY account_id, communication_id
        ON CONFLICT (account_id, communication_id) DO UPDATE SET
            version = excluded.version, inbox_id = excluded.inbox_id, snapshot = excluded.snapshot,
            unread = excluded.unread, waits_from = excluded.waits_from, origin_at = excluded.origin_at,
            evaluate_at = excluded.evaluate_at, kept_until = excluded.kept_until,
            traceparent = excluded.traceparent
        WHERE held.version < excluded.version
        """,
        rows,
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
        *columns(rows, 5),
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
        *columns(sorted(set(changed)), 3),
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
        *columns([(row["account_id"], row["entity"], row["id"]) for row in taken], 3),
        now,
    )
    return len(taken)


async def take_due_communications(connection: Connection, now: datetime, limit: int) -> list[Candidate]:
    """The communications to evaluate now, oldest due first, locked until the transaction ends."""
    rows = await connection.fetch(
        """
        SELECT account_id, snapshot, waits_from, origin_at, traceparent FROM communications
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
            traceparent=row["traceparent"],
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
        *columns([(*key, at) for key, at in times.items()], 3),
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


async def wishes(
    connection: Connection, inboxes: Mapping[tuple[str, str], Inbox], users: Mapping[str, Mapping[str, User]]
) -> dict[WatcherKey, Wishes]:
    """What the watchers of these inboxes asked for themselves, where they asked for anything."""
    found: dict[WatcherKey, Wishes] = {}
    for account_id, known in users.items():
        preferences = await preferences_of(connection, account_id, list(known))
        gone = await unsubscribed(connection, account_id, list(known))
        if not preferences and not gone:
            continue
        account = await directory_copy.account(connection, account_id)
        for (owner, inbox_id), inbox in inboxes.items():
            if owner != account_id:
                continue
            for watcher in inbox.watchers:
                user = known.get(watcher.user_id)
                if user is None:
                    continue
                own = preferences.get(user.user_id, NO_PREFERENCES)
                zone = wording.zone(user.time_zone, account.time_zone if account else None)
                found[account_id, inbox_id, user.user_id] = Wishes(
                    muted=inbox_id in own.muted_inbox_ids,
                    unsubscribed=(user.user_id, inbox_id, "watcher_emails") in gone,
                    quiet=Quiet(own.quiet_hours, zone) if own.quiet_hours else None,
                )
    return found


async def told(connection: Connection, communications: Collection[tuple[str, str]]) -> dict[NoticeKey, Told]:
    """Who was told of these communications."""
    rows = await connection.fetch(
        """
        SELECT n.account_id, n.communication_id, n.user_id, n.kind, n.email_id, e.purpose, e.inbox_id,
            (n.snapshot ->> 'version')::bigint AS version
        FROM unnest($1::text[], $2::text[]) AS k (account_id, communication_id)
        -- OFFSET 0 keeps both by index, whatever the planner knows of the tables.
        CROSS JOIN LATERAL (
            SELECT account_id, communication_id, user_id, kind, email_id, snapshot FROM notices
            WHERE account_id = k.account_id AND communication_id = k.communication_id
            OFFSET 0
        ) AS n
        CROSS JOIN LATERAL (
            SELECT purpose, inbox_id FROM emails WHERE account_id = n.account_id AND email_id = n.email_id
            OFFSET 0
        ) AS e
        """,
        *columns(sorted(communications), 2),
    )
    return {
        (row["account_id"], row["communication_id"], row["user_id"]): Told(
            row["kind"], row["version"], row["email_id"], row["purpose"], row["inbox_id"]
        )
        for row in rows
    }


async def lock_windows(connection: Connection, keys: Sequence[WatcherKey]) -> dict[WatcherKey, Window]:
    """The windows that there are under these sorted keys; all of the keys are locked."""
    if not keys:
        return {}
    await connection.execute(
        """
        INSERT INTO digest_windows (account_id, inbox_id, user_id)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ORDER BY 1, 2, 3
        ON CONFLICT DO NOTHING
        """,
        *columns(keys, 3),
    )
    rows = await connection.fetch(
        """
        SELECT account_id, inbox_id, user_id, ends_at, holds, since FROM digest_windows
        WHERE (account_id, inbox_id, user_id) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))
        ORDER BY account_id, inbox_id, user_id
        FOR UPDATE
        """,
        *columns(keys, 3),
    )
    return {
        (row["account_id"], row["inbox_id"], row["user_id"]): Window(row["ends_at"], row["holds"], row["since"])
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
        *columns(sorted(emails), 2),
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
        *columns([_notice_row(notice) for notice in arrangement.updated.values()], 6),
    )
    await connection.execute(
        """
        DELETE FROM notices
        WHERE (account_id, communication_id, user_id) IN (
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        )
        """,
        *columns(arrangement.dropped, 3),
    )
    await connection.execute(
        """
        UPDATE digest_windows AS w SET ends_at = n.ends_at, holds = n.holds, since = n.since
        FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::boolean[], $6::timestamptz[])
            AS n (account_id, inbox_id, user_id, ends_at, holds, since)
        WHERE w.account_id = n.account_id AND w.inbox_id = n.inbox_id AND w.user_id = n.user_id
        """,
        *columns([(*key, one.ends_at, one.holds, one.since) for key, one in arrangement.windows.items()], 6),
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
        *columns([_notice_row(notice) for notice in notices], 6),
    )
    return len(rows)


def _notice_row(notice: Notice) -> tuple[str, ...]:
    snapshot = notice.candidate.snapshot.model_dump_json(exclude_none=True)
    return (*notice.key, notice.kind, notice.email_id, snapshot)


async def queue_emails(connection: Connection, emails: Iterable[QueuedEmail], now: datetime) -> None:
    """Queue e-mails, or record those that nobody wants; one that was ever queued under its id stays as it is."""
    await connection.execute(
        """
        INSERT INTO emails
            (account_id, email_id, purpose, inbox_id, user_id, due_at, measured_from, next_attempt_at, queued_at,
            outcome, finished_at, traceparent)
        SELECT account_id, email_id, purpose, inbox_id, user_id, due_at, measured_from, due_at, $2::timestamptz,
            outcome, CASE WHEN outcome IS NOT NULL THEN $2::timestamptz END, traceparent
        FROM json_to_recordset($1::json) AS n (
            account_id text, email_id text, purpose text, inbox_id text, user_id text, due_at timestamptz,
            measured_from timestamptz, outcome text, traceparent text
        )
        ORDER BY account_id, email_id
        ON CONFLICT DO NOTHING
        """,
        list(emails),
        now,
    )
