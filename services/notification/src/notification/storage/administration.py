"""What administrators set for an inbox, and what readers set for themselves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from notification.preferences import DEFAULT as NO_PREFERENCES
from notification.preferences import Preferences, Subscription, Topic
from notification.quiet_hours import QuietHours
from notification.storage.columns import columns
from notification.watcher_settings import DEFAULT, WatcherSettings
from service_kit.database import Connection


async def watcher_settings(
    connection: Connection, inboxes: Collection[tuple[str, str]]
) -> dict[tuple[str, str], WatcherSettings]:
    """The settings of these inboxes (account, inbox), where they were ever put."""
    accounts, ids = columns(sorted(set(inboxes)), 2)
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


async def preferences_of(connection: Connection, account_id: str, users: Sequence[str]) -> dict[str, Preferences]:
    """What these users set for themselves, where they ever did."""
    rows = await connection.fetch(
        """
        SELECT user_id, muted_inbox_ids, quiet_from, quiet_to FROM notification_preferences
        WHERE account_id = $1 AND user_id = ANY($2)
        """,
        account_id,
        users,
    )
    return {row["user_id"]: _preferences(row) for row in rows}


async def lock_preferences(connection: Connection, account_id: str, user_id: str) -> Preferences:
    """One user's preferences, locked until the transaction ends; the default where he never set any."""
    await connection.execute(
        """
        INSERT INTO notification_preferences (account_id, user_id, muted_inbox_ids)
        VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING
        """,
        account_id,
        user_id,
        list(NO_PREFERENCES.muted_inbox_ids),
    )
    row = await connection.fetchrow(
        """
        SELECT muted_inbox_ids, quiet_from, quiet_to FROM notification_preferences
        WHERE account_id = $1 AND user_id = $2
        FOR UPDATE
        """,
        account_id,
        user_id,
    )
    return _preferences(row)


async def save_preferences(connection: Connection, account_id: str, user_id: str, preferences: Preferences) -> None:
    """Write preferences that `lock_preferences` locked."""
    quiet = preferences.quiet_hours
    await connection.execute(
        """
        UPDATE notification_preferences SET muted_inbox_ids = $3, quiet_from = $4, quiet_to = $5
        WHERE account_id = $1 AND user_id = $2
        """,
        account_id,
        user_id,
        list(preferences.muted_inbox_ids),
        quiet.begins if quiet else None,
        quiet.ends if quiet else None,
    )


def _preferences(row: Any) -> Preferences:
    return Preferences(
        muted_inbox_ids=tuple(row["muted_inbox_ids"]),
        quiet_hours=QuietHours(row["quiet_from"], row["quiet_to"]) if row["quiet_from"] is not None else None,
    )


async def unsubscribed(connection: Connection, account_id: str, users: Sequence[str]) -> set[tuple[str, str, Topic]]:
    """What these users no longer want: user, inbox, topic."""
    rows = await connection.fetch(
        "SELECT user_id, inbox_id, topic FROM unsubscriptions WHERE account_id = $1 AND user_id = ANY($2)",
        account_id,
        users,
    )
    return {(row["user_id"], row["inbox_id"], row["topic"]) for row in rows}


async def unsubscribe(connection: Connection, subscription: Subscription, now: datetime) -> bool:
    """Stop a subscription; False when it was stopped before."""
    s = subscription
    return (
        await connection.fetchval(
            """
            INSERT INTO unsubscriptions (account_id, user_id, inbox_id, topic, at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT DO NOTHING
            RETURNING true
            """,
            s.account_id,
            s.user_id,
            s.inbox_id,
            s.topic,
            now,
        )
        is not None
    )


async def subscribe_again(connection: Connection, subscription: Subscription) -> bool:
    """Take an unsubscription back; False where there is none."""
    s = subscription
    return (
        await connection.fetchval(
            """
            DELETE FROM unsubscriptions WHERE account_id = $1 AND user_id = $2 AND inbox_id = $3 AND topic = $4
            RETURNING true
            """,
            s.account_id,
            s.user_id,
            s.inbox_id,
            s.topic,
        )
        is not None
    )


async def let_digests_go(connection: Connection, account_id: str, user_id: str, at: datetime) -> None:
    """Have a user's digests that nobody has begun to send go out by `at`, where they were held for longer.

    By the index `emails_unfinished_of_user`.
    """
    await connection.execute(
        """
        UPDATE emails SET next_attempt_at = $3, due_at = $3
        WHERE (account_id, email_id) IN (
            SELECT account_id, email_id FROM emails
            WHERE account_id = $1 AND user_id = $2 AND outcome IS NULL AND purpose = 'digest'
                AND attempts = 0 AND next_attempt_at > $3
            ORDER BY account_id, email_id
            FOR UPDATE
        )
        """,
        account_id,
        user_id,
        at,
    )
