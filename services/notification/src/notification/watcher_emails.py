"""Who is told of a communication, as what, and when: decided on its newest snapshot (N1–N3, N5, N8, M5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, assert_never
from uuid import UUID, uuid5

from contracts.communications import CommunicationChanged
from contracts.directory import Inbox, User
from notification.digest_windows import Held, Now, Window, ended_early, place
from notification.watcher_settings import DEFAULT, EmailKind, WatcherSettings

Purpose = Literal["watcher", "digest", "report"]

_EMAILS: Final = UUID("0b0f5b53-2a53-5f0a-9d8d-1d6f6a1f7f11")

RECORDING_WAIT: Final = timedelta(minutes=5)
"""How long a call that went to voicemail waits for its recording (N2)."""

_AT_ONCE: Final = frozenset({"missed", "abandoned", "busy", "no_answer", "failed"})
_UNANSWERED: Final = frozenset({"missed", "voicemail", "abandoned", "failed"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How old a communication may be to be told of, and how long an unexplained call waits for a voicemail."""

    max_age: timedelta = timedelta(hours=24)
    voicemail_grace: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A communication's newest snapshot. `origin_at`: the append time of the record behind it.

    `waits_from`: from when a wait for its voicemail counts: when it reached us, but never later than we read
    it, whatever the broker's clock says.
    """

    account_id: str
    snapshot: CommunicationChanged
    waits_from: datetime
    origin_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Account and communication."""
        return self.account_id, self.snapshot.communication_id

    @property
    def inbox(self) -> tuple[str, str]:
        """Account and inbox."""
        return self.account_id, self.snapshot.inbox_id


@dataclass(frozen=True, slots=True)
class Silent:
    """Nobody is told, whoever watches."""

    because: str


@dataclass(frozen=True, slots=True)
class Waits:
    """It can't be said yet what it is."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Tells:
    """It is told of, as the first of these kinds that is on."""

    kinds: tuple[EmailKind, ...]


def kept_until(snapshot: CommunicationChanged, limits: Limits) -> datetime:
    """When a snapshot can't matter to any e-mail any more."""
    return (snapshot.unread_at or snapshot.activity_at) + limits.max_age


def may_matter(snapshot: CommunicationChanged, now: datetime, limits: Limits) -> bool:
    """Whether a snapshot must be kept at all: what is outbound or too old (N3) tells nobody anything.

    A young inbound one is kept even while it is not unread: it must beat an older version that comes later.
    """
    return snapshot.direction == "inbound" and kept_until(snapshot, limits) > now


def explained_at(candidate: Candidate, limits: Limits) -> datetime | None:
    """From when on it is known what a communication is (N2); None for one that needs no attention.

    Waiting counts from when it reached us, not from the time it carries: what is late waits just as long.
    """
    snapshot = candidate.snapshot
    if snapshot.unread_at is None:
        return None
    if snapshot.kind == "message" or snapshot.status == "voicemail" or snapshot.outcome in _AT_ONCE:
        return candidate.waits_from
    if snapshot.outcome == "voicemail":
        return candidate.waits_from + RECORDING_WAIT
    # `completed` without an answer and an outcome that we do not know are no report (M1).
    return candidate.waits_from + limits.voicemail_grace


def telling(candidate: Candidate, now: datetime, limits: Limits) -> Silent | Waits | Tells:
    """What a communication is to its inbox's watchers now, whoever they are."""
    snapshot = candidate.snapshot
    explained = explained_at(candidate, limits)
    if snapshot.direction != "inbound":
        return Silent("outbound")
    if snapshot.unread_at is None or explained is None:
        return Silent("needs no attention")
    if _too_old(snapshot, now, limits):
        return Silent("too old")
    if snapshot.kind == "message":
        return Tells(("inbound_message",))
    if snapshot.status not in _UNANSWERED:
        return Silent("not an unanswered call")
    if explained > now:
        return Waits(explained)
    match snapshot.status:
        case "voicemail":
            return Tells(("voicemail", "missed_call"))
        case "abandoned":
            return Tells(("abandoned_call",))
        case _:
            return Tells(("missed_call",))


def kind_for(
    tells: Tells, received_at: datetime, settings: WatcherSettings, watching_since: datetime
) -> EmailKind | None:
    """As what a watcher is told, None when he isn't: only of what reached us after he was added and the kind
    was turned on (N3).
    """
    if received_at < _whole_milliseconds(watching_since):
        return None
    for kind in tells.kinds:
        turned_on = settings.turned_on.get(kind)
        if turned_on is not None and received_at >= _whole_milliseconds(turned_on):
            return kind
    return None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided on one communication: ask again at `again_at`, or tell `watchers` now."""

    candidate: Candidate
    again_at: datetime | None = None
    watchers: Mapping[str, EmailKind] = field(default_factory=dict)


def decide(
    candidate: Candidate,
    inbox: Inbox | None,
    users: Mapping[str, User],
    settings: WatcherSettings,
    now: datetime,
    limits: Limits,
) -> Verdict:
    """Which of the inbox's watchers are told of a communication, and as what.

    `users` are the account's by id. An inbox or user that the directory copy does not know yet tells nobody:
    the verdict is asked for again when it does (N3). A watcher who is also connected is told (N8).
    """
    match telling(candidate, now, limits):
        case Silent():
            return Verdict(candidate)
        case Waits(until):
            return Verdict(candidate, again_at=until)
        case Tells() as tells:
            if inbox is None:
                return Verdict(candidate)
            watchers = {
                watcher.user_id: kind
                for watcher in inbox.watchers
                if (user := users.get(watcher.user_id)) is not None
                and user.active
                and (kind := kind_for(tells, candidate.snapshot.received_at, settings, watcher.added_at))
            }
            return Verdict(candidate, watchers=watchers)
        case unknown:
            assert_never(unknown)


NoticeKey = tuple[str, str, str]
"""Account, communication and user: under it there is one notice, ever."""

WindowKey = tuple[str, str, str]
"""Account, inbox and user."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One watcher is told of one communication, by the e-mail `email_id`."""

    candidate: Candidate
    user_id: str
    kind: EmailKind
    email_id: str

    @property
    def key(self) -> NoticeKey:
        """Account, communication, user."""
        return (*self.candidate.key, self.user_id)


@dataclass(frozen=True, slots=True)
class Told:
    """A notice that there is already, and the e-mail that it is part of."""

    kind: EmailKind
    email_id: str
    purpose: Purpose
    inbox_id: str


@dataclass(frozen=True, slots=True)
class QueuedEmail:
    """An e-mail to send at `due_at`. `measured_from`: since when its latency counts, None where it was held."""

    account_id: str
    email_id: str
    purpose: Purpose
    inbox_id: str
    user_id: str
    due_at: datetime
    measured_from: datetime | None = None


@dataclass(slots=True)
class Arrangement:
    """What verdicts come to: the rows to write."""

    emails: dict[tuple[str, str], QueuedEmail] = field(default_factory=dict)
    new: dict[NoticeKey, Notice] = field(default_factory=dict)
    updated: dict[NoticeKey, Notice] = field(default_factory=dict)
    dropped: list[NoticeKey] = field(default_factory=list)
    windows: dict[WindowKey, Window] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.emails or self.new or self.updated or self.dropped)


def windows_needed(
    verdicts: Iterable[Verdict],
    told: Mapping[NoticeKey, Told],
    settings: Mapping[tuple[str, str], WatcherSettings],
) -> list[WindowKey]:
    """The windows to lock before `arrange`, in the order to lock them."""
    opening = {
        (*verdict.candidate.inbox, user_id)
        for verdict in verdicts
        if settings.get(verdict.candidate.inbox, DEFAULT).digest_minutes
        for user_id in verdict.watchers
        if (*verdict.candidate.key, user_id) not in told
    }
    holding = {
        (account_id, one.inbox_id, user_id) for (account_id, _, user_id), one in told.items() if one.purpose == "digest"
    }
    return sorted(opening | holding)


def digests_needed(told: Mapping[NoticeKey, Told], windows: Mapping[WindowKey, Window]) -> set[tuple[str, str]]:
    """The digests (account, e-mail) of which `arrange` must know whether somebody has begun to send them."""
    return {(key[0], one.email_id) for key, one in told.items() if one.purpose == "digest"} | {
        (key[0], digest_id(key, window.ends_at)) for key, window in windows.items() if window.holds
    }


def arrange(
    verdicts: Collection[Verdict],
    told: Mapping[NoticeKey, Told],
    settings: Mapping[tuple[str, str], WatcherSettings],
    windows: Mapping[WindowKey, Window],
    not_begun: Collection[tuple[str, str]],
    now: datetime,
    limits: Limits,
) -> Arrangement:
    """Put what is wanted into e-mails: at once, or into the digest that ends the window (N5).

    `not_begun` are the digests (account, e-mail) that nobody has begun to send: only to them is added.

    Whoever was told is not told again (N2). What is still held in a digest follows the newest snapshot: a
    voicemail leaves the digest and goes at once, and what is no longer wanted is dropped.
    """
    arrangement = Arrangement(
        windows={
            key: (
                ended_early(window, now)
                if window.holds and (key[0], digest_id(key, window.ends_at)) not in not_begun
                else window
            )
            for key, window in windows.items()
        }
    )
    told_of: dict[tuple[str, str], list[tuple[NoticeKey, Told]]] = {}
    for key, one in told.items():
        told_of.setdefault(key[:2], []).append((key, one))
    oldest_first = sorted(verdicts, key=lambda v: (v.candidate.snapshot.received_at, v.candidate.key))
    for verdict in oldest_first:
        if verdict.again_at is not None:
            continue
        candidate = verdict.candidate
        window_length = settings.get(candidate.inbox, DEFAULT).window
        for key, one in told_of.get(candidate.key, ()):
            # What was held in time is told, however long its window.
            if (key[0], one.email_id) in not_begun and not _too_old(candidate.snapshot, now, limits):
                _follow(arrangement, verdict, key, one, now, limits)
        for user_id, kind in verdict.watchers.items():
            if (*candidate.key, user_id) in told:
                continue
            window_key = (*candidate.inbox, user_id)
            placed, window = place(arrangement.windows.get(window_key), kind, window_length, now)
            if window is not None:
                arrangement.windows[window_key] = window
            match placed:
                case Now():
                    email = _at_once(candidate, user_id, now, limits)
                case Held(until):
                    email = QueuedEmail(
                        account_id=candidate.account_id,
                        email_id=digest_id(window_key, until),
                        purpose="digest",
                        inbox_id=candidate.snapshot.inbox_id,
                        user_id=user_id,
                        due_at=until,
                    )
                case unknown:
                    assert_never(unknown)
            notice = Notice(candidate, user_id, kind, email.email_id)
            arrangement.emails[candidate.account_id, email.email_id] = email
            arrangement.new[notice.key] = notice
    return arrangement


def watcher_email_id(account_id: str, communication_id: str, user_id: str) -> str:
    """The id of the e-mail that tells one watcher of one communication: always the same."""
    return str(uuid5(_EMAILS, f"communication/{account_id}/{user_id}/{communication_id}"))


def digest_id(window: WindowKey, ends_at: datetime) -> str:
    """The id of the digest that ends a window: always the same."""
    return str(uuid5(_EMAILS, "/".join(("digest", *window, ends_at.isoformat()))))


def _follow(
    arrangement: Arrangement, verdict: Verdict, key: NoticeKey, one: Told, now: datetime, limits: Limits
) -> None:
    account_id, _, user_id = key
    kind = verdict.watchers.get(user_id)
    if kind is None:
        arrangement.dropped.append(key)
    elif kind == "voicemail" and one.kind != "voicemail":
        email = _at_once(verdict.candidate, user_id, now, limits)
        arrangement.emails[account_id, email.email_id] = email
        arrangement.updated[key] = Notice(verdict.candidate, user_id, kind, email.email_id)


def _at_once(candidate: Candidate, user_id: str, now: datetime, limits: Limits) -> QueuedEmail:
    explained = explained_at(candidate, limits)
    measured_from = candidate.origin_at
    if measured_from is not None and explained is not None:
        measured_from = max(measured_from, explained)
    return QueuedEmail(
        account_id=candidate.account_id,
        email_id=watcher_email_id(*candidate.key, user_id),
        purpose="watcher",
        inbox_id=candidate.snapshot.inbox_id,
        user_id=user_id,
        due_at=now,
        measured_from=measured_from,
    )


def _too_old(snapshot: CommunicationChanged, now: datetime, limits: Limits) -> bool:
    return snapshot.unread_at is not None and now - snapshot.unread_at >= limits.max_age


def _whole_milliseconds(instant: datetime) -> datetime:
    # The broker's append times have whole milliseconds: what came in the same one must not look earlier.
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
