"""Who is told of a communication, as what, and when: decided on its newest snapshot (N1–N3, N5, N6, N8, M5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, assert_never
from uuid import UUID, uuid5

from contracts.communications import CommunicationChanged
from contracts.directory import Inbox, User
from notification.digest_windows import Held, Now, Window, ended_early, place
from notification.preferences import SilencedAs, silenced_as
from notification.quiet_hours import Quiet
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
    it, whatever the broker's clock says. `traceparent`: the trace that the snapshot came in.
    """

    account_id: str
    snapshot: CommunicationChanged
    waits_from: datetime
    origin_at: datetime | None = None
    traceparent: str | None = None

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


WatcherKey = tuple[str, str, str]
"""Account, inbox and user."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a watcher asked for himself, as to one inbox (N6)."""

    muted: bool = False
    unsubscribed: bool = False
    quiet: Quiet | None = None


NO_WISHES: Final = Wishes()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A watcher is told, as this."""

    kind: EmailKind


@dataclass(frozen=True, slots=True)
class Silenced:
    """A watcher would be told as this, and asked not to be: that is recorded, once (N7)."""

    kind: EmailKind
    outcome: SilencedAs


@dataclass(frozen=True, slots=True)
class Unwanted:
    """A watcher is not told."""

    because: Literal[
        "the user is not known yet",
        "the user is not active",
        "it reached us before the watcher was added",
        "e-mails of its kind are off",
        "it reached us before its kind was turned on",
    ]


Decision = Wanted | Silenced | Unwanted


def decision_on(
    tells: Tells,
    received_at: datetime,
    user: User | None,
    watching_since: datetime,
    settings: WatcherSettings,
    wishes: Wishes = NO_WISHES,
) -> Decision:
    """Whether a watcher is told, and as what: only of what reached us after he was added and the kind was
    turned on (N3).
    """
    if user is None:
        return Unwanted("the user is not known yet")
    if not user.active:
        return Unwanted("the user is not active")
    if received_at < _whole_milliseconds(watching_since):
        return Unwanted("it reached us before the watcher was added")
    on = [kind for kind in tells.kinds if kind in settings.turned_on]
    if not on:
        return Unwanted("e-mails of its kind are off")
    for kind in on:
        if received_at >= _whole_milliseconds(settings.turned_on[kind]):
            outcome = silenced_as(muted=wishes.muted, unsubscribed=wishes.unsubscribed)
            return Silenced(kind, outcome) if outcome else Wanted(kind)
    return Unwanted("it reached us before its kind was turned on")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided on one communication: ask again at `again_at`, or these `decisions` by user, now.

    `silent_because`: nobody is told, whoever watches.
    """

    candidate: Candidate
    again_at: datetime | None = None
    silent_because: str | None = None
    decisions: Mapping[str, Decision] = field(default_factory=dict)

    @property
    def watchers(self) -> dict[str, EmailKind]:
        """Who is told, and as what."""
        return {user_id: one.kind for user_id, one in self.decisions.items() if isinstance(one, Wanted)}


def decide(
    candidate: Candidate,
    inbox: Inbox | None,
    users: Mapping[str, User],
    settings: WatcherSettings,
    now: datetime,
    limits: Limits,
    wishes: Mapping[WatcherKey, Wishes] = MappingProxyType({}),
) -> Verdict:
    """Which of the inbox's watchers are told of a communication, and as what; and who isn't, because of what.

    `users` are the account's by id. An inbox or user that the directory copy does not know yet tells nobody:
    the verdict is asked for again when it does (N3). A watcher who is also connected is told (N8).
    """
    match telling(candidate, now, limits):
        case Silent(because):
            return Verdict(candidate, silent_because=because)
        case Waits(until):
            return Verdict(candidate, again_at=until)
        case Tells() as tells:
            if inbox is None:
                return Verdict(candidate, silent_because="the inbox is not known yet")
            return Verdict(
                candidate,
                decisions={
                    watcher.user_id: decision_on(
                        tells,
                        candidate.snapshot.received_at,
                        users.get(watcher.user_id),
                        watcher.added_at,
                        settings,
                        wishes.get((*candidate.inbox, watcher.user_id), NO_WISHES),
                    )
                    for watcher in inbox.watchers
                },
            )
        case unknown:
            assert_never(unknown)


NoticeKey = tuple[str, str, str]
"""Account, communication and user: under it there is one notice, ever."""


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
    """A notice that there is already, the version of the snapshot in it, and the e-mail that it is part of."""

    kind: EmailKind
    version: int
    email_id: str
    purpose: Purpose
    inbox_id: str


@dataclass(frozen=True, slots=True)
class QueuedEmail:
    """An e-mail to send at `due_at`. `measured_from`: since when its latency counts, None where it was held.

    With an `outcome` it is only recorded: its reader does not want it. `traceparent`: the trace of what it tells,
    None for a digest: it tells of several.
    """

    account_id: str
    email_id: str
    purpose: Purpose
    inbox_id: str
    user_id: str
    due_at: datetime
    measured_from: datetime | None = None
    outcome: SilencedAs | None = None
    traceparent: str | None = None


@dataclass(slots=True)
class Arrangement:
    """What verdicts come to: the rows to write."""

    emails: dict[tuple[str, str], QueuedEmail] = field(default_factory=dict)
    new: dict[NoticeKey, Notice] = field(default_factory=dict)
    updated: dict[NoticeKey, Notice] = field(default_factory=dict)
    dropped: list[NoticeKey] = field(default_factory=list)
    windows: dict[WatcherKey, Window] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.emails or self.new or self.updated or self.dropped)


def windows_needed(
    verdicts: Iterable[Verdict],
    told: Mapping[NoticeKey, Told],
    settings: Mapping[tuple[str, str], WatcherSettings],
    now: datetime,
    wishes: Mapping[WatcherKey, Wishes] = MappingProxyType({}),
) -> list[WatcherKey]:
    """The windows to lock before `arrange`, in the order to lock them."""
    opening = {
        (*verdict.candidate.inbox, user_id)
        for verdict in verdicts
        for user_id in verdict.watchers
        if (*verdict.candidate.key, user_id) not in told
    }
    gathering = {
        key
        for key in opening
        if settings.get(key[:2], DEFAULT).digest_minutes
        or ((quiet := wishes.get(key, NO_WISHES).quiet) is not None and quiet.until(now))
    }
    holding = {
        (account_id, one.inbox_id, user_id) for (account_id, _, user_id), one in told.items() if one.purpose == "digest"
    }
    return sorted(gathering | holding)


def digests_needed(told: Mapping[NoticeKey, Told], windows: Mapping[WatcherKey, Window]) -> set[tuple[str, str]]:
    """The digests (account, e-mail) of which `arrange` must know whether somebody has begun to send them."""
    return {(key[0], one.email_id) for key, one in told.items() if one.purpose == "digest"} | {
        (key[0], digest_id(key, window)) for key, window in windows.items() if window.holds
    }


def arrange(
    verdicts: Collection[Verdict],
    told: Mapping[NoticeKey, Told],
    settings: Mapping[tuple[str, str], WatcherSettings],
    windows: Mapping[WatcherKey, Window],
    not_begun: Collection[tuple[str, str]],
    now: datetime,
    limits: Limits,
    wishes: Mapping[WatcherKey, Wishes] = MappingProxyType({}),
) -> Arrangement:
    """Put what is wanted into e-mails: at once, or into the digest that ends the window (N5) or the quiet hours (N6).

    `not_begun` are the digests (account, e-mail) that nobody has begun to send: only to them is added.

    Whoever was told is not told again (N2), nor who did not want to be. What is still held in a digest follows
    the newest snapshot: a voicemail leaves the digest and goes at once, unless the watcher's quiet hours hold,
    and what is no longer wanted is dropped.
    """
    arrangement = Arrangement(
        windows={
            key: (
                ended_early(window, now)
                if window.holds and (key[0], digest_id(key, window)) not in not_begun
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
                watcher = (*candidate.inbox, key[2])
                _follow(arrangement, verdict, key, one, now, limits, wishes.get(watcher, NO_WISHES))
        for user_id, decision in verdict.decisions.items():
            if (*candidate.key, user_id) in told:
                continue
            match decision:
                case Unwanted():
                    continue
                case Silenced(kind, outcome):
                    email = _recorded(candidate, user_id, now, outcome)
                case Wanted(kind):
                    watcher = (*candidate.inbox, user_id)
                    quiet = wishes.get(watcher, NO_WISHES).quiet
                    placed, window = place(arrangement.windows.get(watcher), kind, window_length, now, quiet)
                    if window is not None:
                        arrangement.windows[watcher] = window
                    email = _placed(placed, candidate, watcher, now, limits)
                case unknown:
                    assert_never(unknown)
            notice = Notice(candidate, user_id, kind, email.email_id)
            arrangement.emails[candidate.account_id, email.email_id] = email
            arrangement.new[notice.key] = notice
    return arrangement


def watcher_email_id(account_id: str, communication_id: str, user_id: str) -> str:
    """The id of the e-mail that tells one watcher of one communication: always the same."""
    return str(uuid5(_EMAILS, f"communication/{account_id}/{user_id}/{communication_id}"))


def digest_id(watcher: WatcherKey, window: Window) -> str:
    """The id of the digest that ends a window: always the same."""
    times = [window.ends_at.isoformat(), *([window.since.isoformat()] if window.since else [])]
    return str(uuid5(_EMAILS, "/".join(("digest", *watcher, *times))))


def _follow(
    arrangement: Arrangement,
    verdict: Verdict,
    key: NoticeKey,
    one: Told,
    now: datetime,
    limits: Limits,
    wishes: Wishes,
) -> None:
    account_id, _, user_id = key
    candidate = verdict.candidate
    match verdict.decisions.get(user_id):
        case Wanted(kind):
            is_quiet = wishes.quiet is not None and wishes.quiet.until(now) is not None
            if kind == "voicemail" and one.kind != "voicemail" and not is_quiet:
                email = _at_once(candidate, user_id, now, limits)
                arrangement.emails[account_id, email.email_id] = email
                arrangement.updated[key] = Notice(candidate, user_id, kind, email.email_id)
            elif kind != one.kind or candidate.snapshot.version != one.version:
                arrangement.updated[key] = Notice(candidate, user_id, kind, one.email_id)
        case Silenced(kind, outcome):
            email = _recorded(candidate, user_id, now, outcome)
            arrangement.emails[account_id, email.email_id] = email
            arrangement.updated[key] = Notice(candidate, user_id, kind, email.email_id)
        case _:
            arrangement.dropped.append(key)


def _placed(
    placed: Now | Held, candidate: Candidate, watcher: WatcherKey, now: datetime, limits: Limits
) -> QueuedEmail:
    account_id, inbox_id, user_id = watcher
    match placed:
        case Now():
            return _at_once(candidate, user_id, now, limits)
        case Held(window):
            return QueuedEmail(
                account_id=account_id,
                email_id=digest_id(watcher, window),
                purpose="digest",
                inbox_id=inbox_id,
                user_id=user_id,
                due_at=window.ends_at,
            )
        case unknown:
            assert_never(unknown)


def _recorded(candidate: Candidate, user_id: str, now: datetime, outcome: SilencedAs) -> QueuedEmail:
    return QueuedEmail(
        account_id=candidate.account_id,
        email_id=watcher_email_id(*candidate.key, user_id),
        purpose="watcher",
        inbox_id=candidate.snapshot.inbox_id,
        user_id=user_id,
        due_at=now,
        outcome=outcome,
    )


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
        traceparent=candidate.traceparent,
    )


def _too_old(snapshot: CommunicationChanged, now: datetime, limits: Limits) -> bool:
    return snapshot.unread_at is not None and now - snapshot.unread_at >= limits.max_age


def _whole_milliseconds(instant: datetime) -> datetime:
    # The broker's append times have whole milliseconds: what came in the same one must not look earlier.
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
