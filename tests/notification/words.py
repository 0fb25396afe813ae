"""The words that notification's tests are written with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.communications import CommunicationChanged, Voicemail
from contracts.directory import Account, Inbox, Line, Snapshot, User, Watcher
from notification.watcher_emails import Candidate, Limits
from notification.watcher_settings import KINDS, EmailKind, WatcherSettings

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=30)
LIMITS = Limits()

ACCOUNT = "acme"
INBOX = "support"
CALLER = "+15550100"
LINE = "+15550199"


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def a_call(status: str = "missed", **given: Any) -> CommunicationChanged:
    """An inbound call that ended `at` (NOW by default) and reached us then."""
    at = given.pop("at", NOW)
    unread = status in ("missed", "voicemail", "abandoned", "failed")
    if status == "voicemail":
        given.setdefault("voicemail", Voicemail(recording_url="https://calls.example/r/1.mp3", duration_seconds=67))
    fields: dict[str, Any] = {
        "communication_id": "call-1",
        "kind": "call",
        "direction": "inbound",
        "status": status,
        "inbox_id": INBOX,
        "line_number": LINE,
        "contact_number": CALLER,
        "started_at": at - timedelta(seconds=20),
        "ended_at": at,
        "activity_at": at,
        "unread_at": at if unread else None,
        "received_at": at,
        "outcome": status if status in ("missed", "abandoned", "voicemail", "failed") else None,
        "version": 1,
    }
    return CommunicationChanged.model_validate(fields | given)


def a_message(**given: Any) -> CommunicationChanged:
    """An inbound message that came `at` (NOW by default)."""
    at = given.pop("at", NOW)
    fields: dict[str, Any] = {
        "communication_id": "message-1",
        "kind": "message",
        "direction": "inbound",
        "status": "received",
        "inbox_id": INBOX,
        "line_number": LINE,
        "contact_number": CALLER,
        "started_at": at,
        "activity_at": at,
        "unread_at": at,
        "received_at": at,
        "body": "Is the blue one still there?",
        "version": 1,
    }
    return CommunicationChanged.model_validate(fields | given)


def candidate(snapshot: CommunicationChanged, **given: Any) -> Candidate:
    given.setdefault("waits_from", min(snapshot.received_at, NOW))
    return Candidate(ACCOUNT, snapshot, **given)


def an_inbox(*watchers: str, added_at: datetime = LONG_AGO, **given: Any) -> Inbox:
    fields: dict[str, Any] = {
        "inbox_id": INBOX,
        "name": "Support",
        "kind": "connected",
        "watchers": tuple(Watcher(user_id=user_id, added_at=added_at) for user_id in watchers),
        "version": 1,
    }
    return Inbox.model_validate(fields | given)


def a_user(user_id: str = "wendy", **given: Any) -> User:
    fields: dict[str, Any] = {
        "user_id": user_id,
        "name": user_id.title(),
        "email": f"{user_id}@example.com",
        "role": "agent",
        "version": 1,
    }
    return User.model_validate(fields | given)


def an_account(**given: Any) -> Account:
    fields: dict[str, Any] = {"name": "Acme", "time_zone": "Europe/Berlin", "version": 1}
    return Account.model_validate(fields | given)


def a_line(**given: Any) -> Line:
    fields: dict[str, Any] = {"line_number": LINE, "inbox_id": INBOX, "name": "Hotline", "version": 1}
    return Line.model_validate(fields | given)


def settings(
    *kinds: EmailKind, digest_minutes: int = 0, enabled: bool = True, since: datetime = LONG_AGO
) -> WatcherSettings:
    """Settings with these kinds (all by default) on since long ago."""
    events = kinds or KINDS
    return WatcherSettings(
        enabled=enabled,
        events=events,
        digest_minutes=digest_minutes,
        turned_on=dict.fromkeys(events, since) if enabled else {},
    )


def users(*everybody: User) -> dict[str, User]:
    return {user.user_id: user for user in everybody}


def everything(*user_ids: str, added_at: datetime = LONG_AGO) -> Iterable[Snapshot]:
    """A directory: the account, its line, and the inbox with these users as watchers."""
    return [an_account(), a_line(), *(a_user(user_id) for user_id in user_ids), an_inbox(*user_ids, added_at=added_at)]
