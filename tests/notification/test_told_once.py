"""No order and no repetition of snapshots tells one user of one communication twice (N2, M5)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from contracts.communications import CommunicationChanged
from notification.digest_windows import Window
from notification.quiet_hours import Quiet, QuietHours
from notification.watcher_emails import (
    Candidate,
    NoticeKey,
    QueuedEmail,
    Told,
    WatcherKey,
    Wishes,
    arrange,
    decide,
    digests_needed,
    explained_at,
    may_matter,
    windows_needed,
)
from tests.notification.words import INBOX, LIMITS, NOW, a_call, a_message, a_user, an_inbox, candidate, settings, users

WATCHERS = ("wendy", "will")

NIGHTS = Quiet(QuietHours(time(10, 40), time(10, 50)), ZoneInfo("Europe/Berlin"))
"""Quiet hours that begin ten minutes after NOW on this clock, and last ten."""

WISHES = (
    Wishes(),
    Wishes(muted=True),
    Wishes(unsubscribed=True),
    Wishes(muted=True, unsubscribed=True),
    Wishes(quiet=NIGHTS),
    Wishes(quiet=Quiet(QuietHours(time(9), time(9)), ZoneInfo("America/New_York"))),
)


class Memory:
    """What Postgres keeps, in memory: newest snapshots, notices under their keys, windows, the queue."""

    def __init__(self, digest_minutes: int) -> None:
        self.now = NOW
        self.settings = settings(digest_minutes=digest_minutes)
        self.wishes: dict[WatcherKey, Wishes] = {}
        self.newest: dict[tuple[str, str], Candidate] = {}
        self.due: dict[tuple[str, str], datetime] = {}
        self.told: dict[NoticeKey, Told] = {}
        self.windows: dict[WatcherKey, Window] = {}
        self.queue: dict[tuple[str, str], QueuedEmail] = {}
        self.sent: set[tuple[str, str]] = set()
        self.heard: Counter[NoticeKey] = Counter()
        self.silenced: Counter[NoticeKey] = Counter()
        self.heard_as: dict[NoticeKey, str] = {}

    def hear(self, snapshot: CommunicationChanged) -> None:
        heard = candidate(snapshot, waits_from=min(snapshot.received_at, self.now))
        known = self.newest.get(heard.key)
        if not may_matter(snapshot, self.now, LIMITS) or (known and known.snapshot.version >= snapshot.version):
            return
        self.newest[heard.key] = heard
        if (explained := explained_at(heard, LIMITS)) is not None:
            self.due[heard.key] = explained
        else:
            self.due.pop(heard.key, None)

    def evaluate(self, *, all_again: bool = False) -> None:
        keys = list(self.newest) if all_again else [key for key, at in self.due.items() if at <= self.now]
        verdicts = [
            decide(
                self.newest[key],
                an_inbox(*WATCHERS),
                users(*(a_user(one) for one in WATCHERS)),
                self.settings,
                self.now,
                LIMITS,
                self.wishes,
            )
            for key in keys
        ]
        by_inbox = {("acme", INBOX): self.settings}
        told = {key: one for key, one in self.told.items() if key[:2] in keys}
        needed = windows_needed(verdicts, told, by_inbox, self.now, self.wishes)
        windows = {key: self.windows[key] for key in needed if key in self.windows}
        not_begun = digests_needed(told, windows) - self.sent
        arranged = arrange(verdicts, told, by_inbox, windows, not_begun, self.now, LIMITS, self.wishes)
        for email_key, email in arranged.emails.items():
            self.queue.setdefault(email_key, email)
        for key, notice in (arranged.new | arranged.updated).items():
            purpose = self.queue[key[0], notice.email_id].purpose
            self.told[key] = Told(notice.kind, notice.candidate.snapshot.version, notice.email_id, purpose, INBOX)
        for key in arranged.dropped:
            del self.told[key]
        self.windows |= arranged.windows
        for verdict in verdicts:
            self.due.pop(verdict.candidate.key, None)
            if verdict.again_at is not None:
                self.due[verdict.candidate.key] = verdict.again_at

    def send(self) -> None:
        for key, email in self.queue.items():
            if key in self.sent or email.due_at > self.now:
                continue
            wishes = self.wishes.get((email.account_id, email.inbox_id, email.user_id), Wishes())
            if email.outcome or wishes.muted or wishes.unsubscribed:
                self.sent.add(key)
                for notice_key, one in self.told.items():
                    if (notice_key[0], one.email_id) == key and notice_key[2] == email.user_id:
                        self.silenced[notice_key] += 1
            elif until := wishes.quiet and wishes.quiet.postponed(self.now, email.due_at):
                # As the queue keeps it: due when the quiet hours end.
                self.queue[key] = replace(email, due_at=until)
            else:
                self.sent.add(key)
                for notice_key, one in self.told.items():
                    if (notice_key[0], one.email_id) == key and notice_key[2] == email.user_id:
                        self.heard[notice_key] += 1
                        self.heard_as[notice_key] = one.kind


def versions_of(name: str) -> list[CommunicationChanged]:
    """A call that rings, is missed, turns out a voicemail, and gets its transcript; and a text."""
    return [
        a_call("ringing", communication_id=name, version=1),
        a_call("missed", communication_id=name, version=2, outcome=None),
        a_call("voicemail", communication_id=name, version=3),
        a_call("voicemail", communication_id=name, version=4, received_at=NOW + timedelta(seconds=40)),
        a_call("completed", communication_id=f"{name}-answered", version=2),
        a_call("missed", communication_id=f"{name}-answered", version=1, outcome="missed"),
        a_message(communication_id=f"{name}-text"),
    ]


STEPS = st.lists(
    st.one_of(
        st.sampled_from([*versions_of("one"), *versions_of("two"), *versions_of("three")]),
        st.integers(min_value=0, max_value=400).map(lambda seconds: timedelta(seconds=seconds)),
        st.sampled_from(["evaluate", "evaluate everything again", "send"]),
        st.tuples(st.sampled_from(WATCHERS), st.sampled_from(WISHES)),
    ),
    max_size=80,
)


@given(steps=STEPS, digest_minutes=st.sampled_from([0, 1, 5]))
def test_no_order_or_repetition_tells_anybody_twice(
    steps: list[CommunicationChanged | timedelta | str | tuple[str, Wishes]], digest_minutes: int
) -> None:
    memory = Memory(digest_minutes)
    for step in steps:
        match step:
            case CommunicationChanged():
                memory.hear(step)
            case timedelta():
                memory.now += step
            case "evaluate":
                memory.evaluate()
            case "send":
                memory.send()
            case (watcher, wishes):
                memory.wishes["acme", INBOX, watcher] = wishes
            case _:
                memory.evaluate(all_again=True)
    # All day quiet: everything comes within a day.
    for pause in (6, 6, 6, 24 * 60 - 30, 6):
        memory.evaluate()
        memory.now += timedelta(minutes=pause)
        memory.send()
    assert all(times == 1 for times in (memory.heard + memory.silenced).values())
    # And nothing is lost: whoever is to be told by the newest snapshots has been, or did not want to be.
    for key, newest in memory.newest.items():
        if newest.snapshot.unread_at is not None:
            assert all((*key, watcher) in memory.heard + memory.silenced for watcher in WATCHERS)


@given(order=st.permutations(versions_of("one")))
def test_in_every_order_of_delivery_before_the_evaluation_the_newest_snapshot_decides(
    order: list[CommunicationChanged],
) -> None:
    memory = Memory(0)
    for snapshot in order:
        memory.hear(snapshot)
    memory.now += timedelta(seconds=45)
    memory.evaluate()
    memory.send()
    assert memory.heard_as == {
        ("acme", "one", "wendy"): "voicemail",
        ("acme", "one", "will"): "voicemail",
        ("acme", "one-text", "wendy"): "inbound_message",
        ("acme", "one-text", "will"): "inbound_message",
    }


def test_a_call_held_in_a_digest_that_turns_out_a_voicemail_goes_at_once_and_only_once() -> None:
    memory = Memory(5)
    memory.hear(a_message())
    memory.hear(a_call("missed", outcome="missed", received_at=NOW + timedelta(milliseconds=1)))
    memory.now += timedelta(seconds=1)
    memory.evaluate()
    memory.send()
    assert set(memory.heard_as.values()) == {"inbound_message"}
    memory.hear(a_call("voicemail", version=2))
    memory.now += timedelta(seconds=20)
    memory.evaluate()
    memory.send()
    assert memory.heard_as["acme", "call-1", "wendy"] == "voicemail"
    memory.now += timedelta(minutes=6)
    memory.send()
    assert set(memory.heard.values()) == {1}
