"""The decision as one table: kinds, settings, grace, age, membership, quiet hours, mute, unsubscribing, digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from itertools import combinations, product
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from contracts.communications import CommunicationChanged
from contracts.directory import Inbox, User
from notification.digest_windows import Window
from notification.quiet_hours import Quiet, QuietHours
from notification.watcher_emails import (
    NO_WISHES,
    QueuedEmail,
    Silenced,
    Unwanted,
    Wanted,
    Wishes,
    arrange,
    decide,
)
from notification.watcher_settings import KINDS, EmailKind, WatcherSettings
from tests.notification.words import (
    ACCOUNT,
    INBOX,
    LIMITS,
    NOW,
    a_call,
    a_message,
    a_user,
    an_inbox,
    candidate,
    hours,
    minutes,
    seconds,
    settings,
    users,
)

WENDY: Final = (ACCOUNT, INBOX, "wendy")


@dataclass(frozen=True)
class Case:
    """Something that wendy, who watches, is told at once, until one part of it is replaced."""

    snapshot: CommunicationChanged = field(default_factory=lambda: a_call("missed"))
    inbox: Inbox | None = field(default_factory=lambda: an_inbox("wendy"))
    user: User | None = field(default_factory=a_user)
    settings: WatcherSettings = field(default_factory=settings)
    wishes: Wishes = NO_WISHES
    window: Window | None = None
    now: datetime = NOW

    def comes_to(self) -> str:
        """What comes of it: `missed_call at once`, `voicemail at 09:35`, `muted`, `wait until 09:30:30`, or why not."""
        by_user = users(self.user) if self.user else {}
        wishes = {WENDY: self.wishes}
        verdict = decide(candidate(self.snapshot), self.inbox, by_user, self.settings, self.now, LIMITS, wishes)
        if verdict.again_at:
            return f"wait until {verdict.again_at:%H:%M:%S}"
        match verdict.decisions.get("wendy"):
            case None:
                return verdict.silent_because or "does not watch"
            case Unwanted(because):
                return because
            case Silenced(_, outcome):
                return outcome
            case Wanted(kind):
                windows = {WENDY: self.window} if self.window else {}
                by_inbox = {(ACCOUNT, INBOX): self.settings}
                begun: set[tuple[str, str]] = set()
                arranged = arrange([verdict], {}, by_inbox, windows, begun, self.now, LIMITS, wishes)
                (email,) = arranged.emails.values()
                return f"{kind} {_when(email, self.now)}"


def _when(email: QueuedEmail, now: datetime) -> str:
    return "at once" if email.due_at == now else f"at {email.due_at:%H:%M}"


def case(**changed: Any) -> Case:
    return replace(Case(), **changed)


def quiet(span: str, zone: str = "UTC") -> Wishes:
    begins, _, ends = span.partition("-")
    return Wishes(quiet=Quiet(QuietHours(time.fromisoformat(begins), time.fromisoformat(ends)), ZoneInfo(zone)))


def digest(digest_minutes: int = 5) -> WatcherSettings:
    return settings(digest_minutes=digest_minutes)


OPEN = Window(NOW + minutes(3))

TABLE: Final[list[tuple[str, Case, str]]] = [
    # kinds
    ("a missed call", case(), "missed_call at once"),
    ("a voicemail", case(snapshot=a_call("voicemail")), "voicemail at once"),
    ("an abandoned call", case(snapshot=a_call("abandoned")), "abandoned_call at once"),
    ("a message", case(snapshot=a_message()), "inbound_message at once"),
    ("an inbound call that failed", case(snapshot=a_call("failed")), "missed_call at once"),
    ("an answered call", case(snapshot=a_call("completed")), "needs no attention"),
    ("a ringing call", case(snapshot=a_call("ringing")), "needs no attention"),
    ("an outbound call", case(snapshot=a_call("no_answer", direction="outbound")), "outbound"),
    ("a sent message", case(snapshot=a_message(direction="outbound", status="sent", unread_at=None)), "outbound"),
    # settings
    ("off", case(settings=settings(enabled=False)), "e-mails of its kind are off"),
    ("its kind off", case(settings=settings("voicemail")), "e-mails of its kind are off"),
    (
        "a voicemail, voicemails off",
        case(snapshot=a_call("voicemail"), settings=settings("missed_call")),
        "missed_call at once",
    ),
    (
        "a voicemail, both off",
        case(snapshot=a_call("voicemail"), settings=settings("abandoned_call")),
        "e-mails of its kind are off",
    ),
    ("turned on since", case(settings=settings(since=NOW + seconds(1))), "it reached us before its kind was turned on"),
    ("turned on in that moment", case(settings=settings(since=NOW)), "missed_call at once"),
    # grace
    ("no outcome", case(snapshot=a_call(outcome=None)), "wait until 09:30:30"),
    ("`completed`, and nobody answered", case(snapshot=a_call(outcome="completed")), "wait until 09:30:30"),
    ("gone to voicemail", case(snapshot=a_call(outcome="voicemail")), "wait until 09:35:00"),
    ("busy", case(snapshot=a_call(outcome="busy")), "missed_call at once"),
    (
        "no outcome, after the grace",
        case(snapshot=a_call(outcome=None), now=NOW + seconds(30)),
        "missed_call at once",
    ),
    (
        "gone to voicemail, no recording",
        case(snapshot=a_call(outcome="voicemail"), now=NOW + minutes(5)),
        "missed_call at once",
    ),
    (
        "no outcome, and it reached us late",
        case(snapshot=a_call(at=NOW - hours(2), outcome=None, received_at=NOW)),
        "wait until 09:30:30",
    ),
    # age
    ("23 h 59 min old", case(snapshot=a_call(at=NOW - hours(23) - minutes(59))), "missed_call at once"),
    ("a day old", case(snapshot=a_call(at=NOW - hours(24))), "too old"),
    ("a day old, and it reached us now", case(snapshot=a_call(at=NOW - hours(24), received_at=NOW)), "too old"),
    # membership
    ("the inbox is not known yet", case(inbox=None), "the inbox is not known yet"),
    ("he does not watch", case(inbox=an_inbox("will")), "does not watch"),
    ("he is connected alone", case(inbox=an_inbox(connected=("wendy",))), "does not watch"),
    ("he is connected and watches", case(inbox=an_inbox("wendy", connected=("wendy",))), "missed_call at once"),
    (
        "he watches since",
        case(inbox=an_inbox("wendy", added_at=NOW + seconds(1))),
        "it reached us before the watcher was added",
    ),
    ("he is not known yet", case(user=None), "the user is not known yet"),
    ("he is not active", case(user=a_user(active=False)), "the user is not active"),
    # mute and unsubscribing
    ("muted", case(wishes=Wishes(muted=True)), "muted"),
    ("unsubscribed", case(wishes=Wishes(unsubscribed=True)), "unsubscribed"),
    ("both", case(wishes=Wishes(muted=True, unsubscribed=True)), "unsubscribed"),
    ("muted, and it waits", case(snapshot=a_call(outcome=None), wishes=Wishes(muted=True)), "wait until 09:30:30"),
    (
        "muted, and off",
        case(settings=settings(enabled=False), wishes=Wishes(muted=True)),
        "e-mails of its kind are off",
    ),
    # quiet hours: NOW is 09:30 in UTC, 10:30 in Berlin, 04:30 in New York, 15:00 in Kolkata
    ("quiet", case(wishes=quiet("09:00-12:00")), "missed_call at 12:00"),
    ("quiet, a voicemail", case(snapshot=a_call("voicemail"), wishes=quiet("09:00-12:00")), "voicemail at 12:00"),
    ("not quiet in Berlin", case(wishes=quiet("09:00-10:00", "Europe/Berlin")), "missed_call at once"),
    ("quiet in Berlin", case(wishes=quiet("10:00-12:00", "Europe/Berlin")), "missed_call at 11:00"),
    ("night in New York", case(wishes=quiet("22:00-07:00", "America/New_York")), "missed_call at 12:00"),
    ("noon in Kolkata", case(wishes=quiet("14:30-16:00", "Asia/Kolkata")), "missed_call at 10:30"),
    ("quiet begins now", case(wishes=quiet("09:30-10:00")), "missed_call at 10:00"),
    ("quiet ends now", case(wishes=quiet("09:00-09:30")), "missed_call at once"),
    ("once a day", case(wishes=quiet("08:00-08:00")), "missed_call at 08:00"),
    ("quiet and muted", case(wishes=replace(quiet("09:00-12:00"), muted=True)), "muted"),
    # digest
    ("the first", case(settings=digest()), "missed_call at once"),
    ("within the window", case(settings=digest(), window=OPEN), "missed_call at 09:33"),
    ("a voicemail within it", case(snapshot=a_call("voicemail"), settings=digest(), window=OPEN), "voicemail at once"),
    (
        "after the window",
        case(settings=digest(), window=Window(NOW)),
        "missed_call at once",
    ),
    (
        "after a window that ended in a digest",
        case(settings=digest(), window=Window(NOW - minutes(1), holds=True)),
        "missed_call at 09:34",
    ),
    ("no windows any more", case(window=OPEN), "missed_call at once"),
    (
        "the window ends in quiet hours",
        case(settings=digest(), window=OPEN, wishes=quiet("09:32-11:00")),
        "missed_call at 11:00",
    ),
    (
        "a voicemail before quiet hours",
        case(snapshot=a_call("voicemail"), settings=digest(), window=OPEN, wishes=quiet("09:32-11:00")),
        "voicemail at once",
    ),
    (
        "quiet, within the window",
        case(settings=digest(), window=OPEN, wishes=quiet("09:00-12:00")),
        "missed_call at 12:00",
    ),
]


@pytest.mark.parametrize(("given", "comes_to"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_comes_of_a_communication_is_what_the_table_says(given: Case, comes_to: str) -> None:
    assert given.comes_to() == comes_to


SNAPSHOTS: Final[dict[EmailKind, CommunicationChanged]] = {
    "missed_call": a_call("missed"),
    "voicemail": a_call("voicemail"),
    "abandoned_call": a_call("abandoned"),
    "inbound_message": a_message(),
}
OTHERS: Final[dict[EmailKind, EmailKind]] = {
    "missed_call": "voicemail",
    "voicemail": "abandoned_call",
    "abandoned_call": "missed_call",
    "inbound_message": "missed_call",
}

IN_THE_WAY: Final = ("kind off", "turned on since", "too old", "watches since", "not active", "does not watch")
OWN_WISHES: Final = ("muted", "unsubscribed")


def every_case() -> Iterator[tuple[EmailKind, frozenset[str], bool, int]]:
    """Every kind, with any of the things in the way, quiet or not, with and without a window that is open."""
    hindrances = [frozenset(some) for count in range(4) for some in combinations((*IN_THE_WAY, *OWN_WISHES), count)]
    return product(KINDS, hindrances, (False, True), (0, 5))


def test_one_thing_in_the_way_is_enough_and_nothing_else_is() -> None:
    for kind, hindered, is_quiet, digest_minutes in every_case():
        age = hours(24) if "too old" in hindered else timedelta()
        snapshot = SNAPSHOTS[kind].model_copy(
            update={"unread_at": NOW - age, "received_at": NOW - age, "started_at": NOW - age}
        )
        since = NOW + seconds(1) if "turned on since" in hindered else NOW - hours(48)
        added_at = NOW + seconds(1) if "watches since" in hindered else NOW - hours(48)
        on = settings(OTHERS[kind] if "kind off" in hindered else kind, digest_minutes=digest_minutes, since=since)
        wishes = replace(
            quiet("09:00-12:00") if is_quiet else NO_WISHES,
            muted="muted" in hindered,
            unsubscribed="unsubscribed" in hindered,
        )
        came_to = case(
            snapshot=snapshot,
            inbox=an_inbox("will" if "does not watch" in hindered else "wendy", added_at=added_at),
            user=a_user(active="not active" not in hindered),
            settings=on,
            wishes=wishes,
            window=OPEN if digest_minutes else None,
        ).comes_to()

        if hindered & set(IN_THE_WAY):
            expected = None
        elif "unsubscribed" in hindered:
            expected = "unsubscribed"
        elif "muted" in hindered:
            expected = "muted"
        elif is_quiet:
            expected = f"{kind} at 12:00"
        elif digest_minutes and kind != "voicemail":
            expected = f"{kind} at 09:33"
        else:
            expected = f"{kind} at once"
        if expected is None:
            assert "at " not in came_to.replace("it reached us", ""), (kind, hindered, came_to)
            assert came_to not in OWN_WISHES, (kind, hindered, came_to)
        else:
            assert came_to == expected, (kind, hindered, came_to)
