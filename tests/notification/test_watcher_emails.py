"""Who is told of what, and when: the decision table of N1, N2, N3, N8 and M5."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts.communications import CommunicationChanged
from contracts.directory import Inbox
from notification.watcher_emails import RECORDING_WAIT, decide, may_matter
from notification.watcher_settings import EmailKind, WatcherSettings, put
from tests.notification.words import (
    LIMITS,
    LONG_AGO,
    NOW,
    a_call,
    a_message,
    a_user,
    an_inbox,
    candidate,
    hours,
    seconds,
    settings,
    users,
)


def told(
    snapshot: CommunicationChanged,
    *,
    now: datetime = NOW,
    inbox: Inbox | None = None,
    with_settings: WatcherSettings | None = None,
    **user: Any,
) -> EmailKind | None:
    """As what wendy, who watches, is told of a snapshot; None when she isn't."""
    verdict = decide(
        candidate(snapshot),
        inbox or an_inbox("wendy"),
        users(a_user("wendy", **user)),
        with_settings or settings(),
        now,
        LIMITS,
    )
    return verdict.watchers.get("wendy")


@pytest.mark.parametrize(
    ("snapshot", "kind"),
    [
        (a_call("missed"), "missed_call"),
        (a_call("failed"), "missed_call"),
        (a_call("abandoned"), "abandoned_call"),
        (a_call("voicemail"), "voicemail"),
        (a_message(), "inbound_message"),
        (a_call("completed"), None),
        (a_call("in_progress"), None),
        (a_call("ringing"), None),
        (a_call("no_answer", direction="outbound"), None),
        (a_message(direction="outbound", status="delivered", unread_at=None), None),
    ],
)
def test_a_communication_is_told_as_what_it_is(snapshot: CommunicationChanged, kind: EmailKind | None) -> None:
    assert told(snapshot) == kind


@pytest.mark.parametrize(
    ("kinds", "snapshot", "kind"),
    [
        (("missed_call",), a_call("missed"), "missed_call"),
        (("voicemail",), a_call("missed"), None),
        (("abandoned_call",), a_call("abandoned"), "abandoned_call"),
        (("missed_call",), a_call("abandoned"), None),
        (("inbound_message",), a_message(), "inbound_message"),
        (("missed_call",), a_message(), None),
        (("voicemail",), a_call("voicemail"), "voicemail"),
        (("missed_call",), a_call("voicemail"), "missed_call"),
        (("voicemail", "missed_call"), a_call("voicemail"), "voicemail"),
        (("abandoned_call",), a_call("voicemail"), None),
    ],
)
def test_only_the_kinds_that_are_on_are_told_and_a_voicemail_falls_back_to_a_missed_call(
    kinds: tuple[EmailKind, ...], snapshot: CommunicationChanged, kind: EmailKind | None
) -> None:
    assert told(snapshot, with_settings=settings(*kinds)) == kind


def test_nothing_is_told_while_watcher_emails_are_off() -> None:
    assert told(a_call("missed"), with_settings=settings(enabled=False)) is None


@pytest.mark.parametrize(
    ("status", "outcome", "wait"),
    [
        ("missed", "missed", seconds(0)),
        ("missed", "busy", seconds(0)),
        ("missed", "no_answer", seconds(0)),
        ("abandoned", "abandoned", seconds(0)),
        ("failed", "failed", seconds(0)),
        ("missed", None, seconds(30)),
        ("abandoned", None, seconds(30)),
        ("missed", "completed", seconds(30)),
        ("missed", "no word that we know", seconds(30)),
        ("missed", "voicemail", RECORDING_WAIT),
        ("voicemail", "voicemail", seconds(0)),
        ("voicemail", None, seconds(0)),
    ],
)
def test_an_unanswered_call_waits_for_its_voicemail_as_its_outcome_says(
    status: str, outcome: str | None, wait: timedelta
) -> None:
    call = candidate(a_call(status, outcome=outcome))
    at_once = decide(call, an_inbox("wendy"), users(a_user()), settings(), NOW, LIMITS)
    assert at_once.again_at == (NOW + wait if wait else None)
    assert bool(at_once.watchers) == (not wait)
    later = decide(call, an_inbox("wendy"), users(a_user()), settings(), NOW + wait, LIMITS)
    assert "wendy" in later.watchers


def test_a_broker_whose_clock_is_an_hour_ahead_delays_nothing() -> None:
    assert told(a_call("missed", received_at=NOW + hours(1))) == "missed_call"


def test_the_wait_counts_from_when_the_call_reached_us_not_from_the_time_it_carries() -> None:
    late = candidate(a_call("missed", at=NOW - hours(3), outcome=None, received_at=NOW))
    verdict = decide(late, an_inbox("wendy"), users(a_user()), settings(), NOW, LIMITS)
    assert verdict.again_at == NOW + LIMITS.voicemail_grace


@pytest.mark.parametrize(("age", "is_told"), [(hours(23.99), True), (hours(24), False), (hours(24 * 30), False)])
def test_what_is_a_day_old_is_told_no_more(age: timedelta, is_told: bool) -> None:
    call = a_call("missed", at=NOW - age)
    assert (told(call) is not None) == is_told
    assert may_matter(call, NOW, LIMITS) == is_told


@pytest.mark.parametrize(("before", "is_told"), [(seconds(1), False), (seconds(0), True), (seconds(-1), True)])
def test_only_what_reached_us_after_the_watcher_was_added_is_told(before: timedelta, is_told: bool) -> None:
    call = a_call("missed", received_at=NOW - before)
    assert (told(call, inbox=an_inbox("wendy", added_at=NOW)) is not None) == is_told


@pytest.mark.parametrize(("before", "is_told"), [(seconds(1), False), (seconds(0), True), (seconds(-1), True)])
def test_only_what_reached_us_after_the_kind_was_turned_on_is_told(before: timedelta, is_told: bool) -> None:
    call = a_call("missed", received_at=NOW - before)
    assert (told(call, with_settings=settings(since=NOW)) is not None) == is_told


def test_an_append_time_in_the_same_millisecond_is_not_taken_for_earlier() -> None:
    added_at = NOW + timedelta(microseconds=700)
    assert told(a_call("missed", received_at=NOW), inbox=an_inbox("wendy", added_at=added_at)) == "missed_call"


def test_a_watcher_who_is_also_connected_is_told() -> None:
    assert told(a_call("missed"), inbox=an_inbox("wendy", connected=("wendy",))) == "missed_call"


def test_who_is_only_connected_is_not_told() -> None:
    assert told(a_call("missed"), inbox=an_inbox(connected=("wendy",))) is None


def test_an_inactive_watcher_is_not_told() -> None:
    assert told(a_call("missed"), active=False) is None


def test_nobody_is_told_of_an_inbox_or_by_users_that_the_directory_does_not_know_yet() -> None:
    call = candidate(a_call("missed"))
    assert not decide(call, None, users(a_user()), settings(), NOW, LIMITS).watchers
    assert not decide(call, an_inbox("wendy"), {}, settings(), NOW, LIMITS).watchers


@pytest.mark.parametrize(
    ("snapshot", "matters"),
    [
        (a_call("ringing"), True),
        (a_call("completed"), True),
        (a_call("completed", at=NOW - hours(25)), False),
        (a_message(direction="outbound", unread_at=None), False),
    ],
)
def test_a_young_inbound_snapshot_is_kept_even_while_it_tells_nothing(
    snapshot: CommunicationChanged, matters: bool
) -> None:
    assert may_matter(snapshot, NOW, LIMITS) == matters


def test_a_kind_that_stays_on_keeps_the_instant_it_was_turned_on() -> None:
    first = put(WatcherSettings(), enabled=True, events=["missed_call"], digest_minutes=5, now=LONG_AGO)
    second = put(first, enabled=True, events=["voicemail", "missed_call"], digest_minutes=5, now=NOW)
    assert second.turned_on == {"missed_call": LONG_AGO, "voicemail": NOW}
    assert put(second, enabled=True, events=["missed_call", "voicemail"], digest_minutes=5, now=NOW) == second


def test_turning_off_and_on_again_begins_anew() -> None:
    first = put(WatcherSettings(), enabled=True, events=["missed_call"], digest_minutes=5, now=LONG_AGO)
    off = put(first, enabled=False, events=["missed_call"], digest_minutes=5, now=NOW - hours(1))
    again = put(off, enabled=True, events=["missed_call"], digest_minutes=5, now=NOW)
    assert again.turned_on == {"missed_call": NOW}
