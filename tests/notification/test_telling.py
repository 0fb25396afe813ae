"""From a snapshot to an accepted e-mail, on a real Postgres and a real SMTP server (N1–N5)."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from contracts.communications import CommunicationChanged
from contracts.inbox_events import ContactNamed
from notification.timers import Upkeep
from tests.notification.conftest import Notifying, received
from tests.notification.words import (
    CALLER,
    NOW,
    a_call,
    a_line,
    a_message,
    a_user,
    an_account,
    an_inbox,
    everything,
    hours,
    minutes,
    seconds,
)

WENDY, WILL = "wendy@example.com", "will@example.com"


async def test_every_watcher_is_told_of_each_kind_once(notifying: Notifying) -> None:
    await notifying.know(everything("wendy", "will"))
    await notifying.turn_on()
    calls = [
        a_call("missed", communication_id="1"),
        a_call("voicemail", communication_id="2"),
        a_call("abandoned", communication_id="3"),
        a_message(communication_id="4"),
    ]
    for _ in range(3):
        await notifying.hear(*calls)
        await notifying.work()
    words = ("Abandoned call", "Message", "Missed call", "Voicemail")
    assert notifying.subjects == sorted(
        (who, f"{word} from {CALLER} · Support") for who in (WENDY, WILL) for word in words
    )


async def test_names_and_zones_in_force_are_shown(notifying: Notifying) -> None:
    await notifying.know(everything("wendy"))
    await notifying.turn_on()
    old = ContactNamed(contact_number=CALLER, name="Anne", named_at=NOW - hours(2))
    new = ContactNamed(contact_number=CALLER, name="Anna Berg", named_at=NOW - hours(1))
    await notifying.listening.hear_names([received(new, event_id="b"), received(old, event_id="a")])
    await notifying.listening.hear_names([received(old, event_id="a")])
    await notifying.hear(a_call("missed"))
    await notifying.work()
    (message,) = notifying.inbox
    assert message["Subject"] == f"Missed call from Anna Berg ({CALLER}) · Support"
    text = message.get_body(("plain",))
    assert text is not None
    assert "Hotline" in text.get_content()
    assert "10:29 CET" in text.get_content()


async def test_a_voicemail_is_one_email_when_its_recording_comes(notifying: Notifying) -> None:
    await notifying.know(everything("wendy"))
    await notifying.turn_on()
    await notifying.hear(a_call("missed", outcome=None))
    await notifying.work()
    assert notifying.subjects == []
    await notifying.hear(a_call("voicemail", outcome=None, version=2, received_at=NOW + seconds(10)))
    await notifying.pass_by(seconds(11))
    assert [subject for _, subject in notifying.subjects] == [f"Voicemail from {CALLER} · Support"]
    await notifying.pass_by(minutes(10))
    assert len(notifying.inbox) == 1


async def test_without_a_recording_a_call_is_told_as_missed_after_the_grace(notifying: Notifying) -> None:
    await notifying.know(everything("wendy"))
    await notifying.turn_on()
    await notifying.hear(
        a_call("missed", communication_id="unexplained", outcome=None),
        a_call("missed", communication_id="to voicemail", outcome="voicemail"),
    )
    await notifying.pass_by(seconds(29))
    assert len(notifying.inbox) == 0
    await notifying.pass_by(seconds(1))
    assert len(notifying.inbox) == 1
    await notifying.pass_by(seconds(269))
    assert len(notifying.inbox) == 1
    await notifying.pass_by(seconds(1))
    assert len(notifying.inbox) == 2


async def test_a_call_that_turns_out_answered_during_the_grace_is_not_told(notifying: Notifying) -> None:
    await notifying.know(everything("wendy"))
    await notifying.turn_on()
    await notifying.hear(a_call("missed", outcome=None))
    await notifying.work()
    await notifying.hear(a_call("completed", version=2))
    await notifying.pass_by(minutes(1))
    assert notifying.subjects == []


async def test_an_older_snapshot_that_comes_late_changes_nothing(notifying: Notifying) -> None:
    await notifying.know(everything("wendy"))
    await notifying.turn_on()
    await notifying.hear(a_call("completed", version=2))
    await notifying.hear(a_call("missed", version=1))
    await notifying.work()
    assert notifying.subjects == []


@pytest.mark.parametrize("late", ["inbox", "user", "account and line", "settings"])
async def test_a_directory_that_lags_loses_no_email(notifying: Notifying, late: str) -> None:
    await notifying.hear(a_call("missed"))
    await notifying.work()
    parts = {
        "inbox": notifying.know([an_inbox("wendy")]),
        "user": notifying.know([a_user("wendy")]),
        "account and line": notifying.know([an_account(), a_line()]),
        "settings": notifying.turn_on(),
    }
    last = parts.pop(late)
    for part in parts.values():
        await part
        await notifying.work()
    await last
    await notifying.pass_by(minutes(10))
    assert notifying.subjects == [(WENDY, f"Missed call from {CALLER} · Support")]


async def test_a_watcher_who_was_added_later_is_not_told_of_what_was_before(notifying: Notifying) -> None:
    await notifying.turn_on()
    await notifying.hear(a_call("missed"))
    await notifying.know(everything("wendy", added_at=NOW + seconds(1)))
    await notifying.work()
    assert notifying.subjects == []


async def test_a_replay_of_old_days_is_silent_and_leaves_no_row(notifying: Notifying) -> None:
    await notifying.know(everything("wendy"))
    await notifying.turn_on()
    await notifying.hear(*(a_call("missed", communication_id=str(n), at=NOW - hours(24 + n)) for n in range(50)))
    await notifying.work()
    assert notifying.subjects == []
    async with notifying.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM communications") == 0


async def test_two_replicas_in_any_order_tell_nobody_twice(notifying: Notifying) -> None:
    await notifying.know(everything("wendy", "will"))
    await notifying.turn_on()
    versions: list[CommunicationChanged] = []
    for n in range(20):
        versions += [
            a_call("ringing", communication_id=f"call-{n}", version=1),
            a_call("missed", communication_id=f"call-{n}", version=2),
            a_message(communication_id=f"text-{n}"),
        ]
    dice = random.Random(7)
    other = notifying.another_mailing()

    async def replica() -> None:
        for _ in range(4):
            batch = dice.sample(versions, len(versions))
            for start in range(0, len(batch), 9):
                await notifying.hear(*batch[start : start + 9])
                await notifying.evaluating.evaluate_due()

    await asyncio.gather(replica(), replica())
    await notifying.evaluate()
    await asyncio.gather(notifying.mailing.send_due(), other.send_due())
    assert len(notifying.inbox) == 2 * 40
    assert len({message["Message-ID"] for message in notifying.inbox}) == 2 * 40
    assert {message["Delivered-To"] for message in notifying.inbox} == {WENDY, WILL}


async def test_a_burst_gives_the_first_email_and_one_digest_per_window(notifying: Notifying) -> None:
    await notifying.know(everything("wendy", "will"))
    await notifying.turn_on(digest_minutes=5)
    for n in range(100):
        at = NOW + seconds(n)
        await notifying.hear(a_call("missed", communication_id=f"call-{n:03}", at=at))
        await notifying.pass_by(seconds(1))
    assert notifying.subjects == sorted((who, f"Missed call from {CALLER} · Support") for who in (WENDY, WILL))
    await notifying.pass_by(minutes(5))
    digests = [(who, subject) for who, subject in notifying.subjects if "calls" in subject]
    assert digests == sorted((who, "99 missed calls · Support") for who in (WENDY, WILL))
    await notifying.hear(a_call("missed", communication_id="in the next window", at=notifying.now))
    await notifying.work()
    assert len(notifying.inbox) == 4
    await notifying.pass_by(minutes(5))
    assert len(notifying.inbox) == 6
    await notifying.pass_by(hours(1))
    assert len(notifying.inbox) == 6


async def test_five_hundred_missed_calls_and_three_watchers_give_one_email_and_one_digest_a_window_each(
    notifying: Notifying,
) -> None:
    watchers = ("wendy", "will", "wanda")
    await notifying.know(everything(*watchers))
    await notifying.turn_on(digest_minutes=5)
    # Ten minutes of it, in batches as a consumer brings them.
    for batch in range(20):
        at = notifying.now
        await notifying.hear(
            *(
                a_call("missed", communication_id=f"call-{batch}-{n}", contact_number=f"+155501{n:02}", at=at)
                for n in range(25)
            )
        )
        await notifying.pass_by(seconds(30))
    await notifying.pass_by(minutes(5))
    by_watcher = {
        name: [subject for to, subject in notifying.subjects if to == f"{name}@example.com"] for name in watchers
    }
    for subjects in by_watcher.values():
        assert len(subjects) == 3
        (first,) = [subject for subject in subjects if subject.startswith("Missed call from ")]
        digests = [subject for subject in subjects if subject != first]
        assert sum(int(subject.partition(" ")[0]) for subject in digests) == 499
    await notifying.pass_by(hours(1))
    assert len(notifying.inbox) == 9


async def test_a_voicemail_is_not_held_by_the_window(notifying: Notifying) -> None:
    await notifying.know(everything("wendy"))
    await notifying.turn_on(digest_minutes=5)
    await notifying.hear(a_message())
    await notifying.work()
    await notifying.hear(a_call("voicemail"), a_call("missed", communication_id="held", received_at=NOW + seconds(1)))
    await notifying.pass_by(seconds(1))
    assert [subject.split()[0] for _, subject in notifying.subjects] == ["Message", "Voicemail"]
    # And a call held as missed whose recording comes leaves the digest.
    await notifying.hear(a_call("voicemail", communication_id="held", version=2))
    await notifying.pass_by(seconds(20))
    assert [subject.split()[0] for _, subject in notifying.subjects] == ["Message", "Voicemail", "Voicemail"]
    await notifying.pass_by(minutes(6))
    assert len(notifying.inbox) == 3


async def test_turning_emails_off_takes_back_what_is_still_held(notifying: Notifying) -> None:
    await notifying.know(everything("wendy"))
    await notifying.turn_on(digest_minutes=5)
    await notifying.hear(a_message(communication_id="1"))
    await notifying.work()
    await notifying.hear(a_message(communication_id="2"))
    await notifying.work()
    await notifying.turn_on(enabled=False)
    await notifying.pass_by(minutes(6))
    assert len(notifying.inbox) == 1
    assert ("wendy", "withdrawn", 1) in await notifying.outcomes()


async def test_what_is_over_is_forgotten_and_still_not_told_again(notifying: Notifying) -> None:
    await notifying.know(everything("wendy"))
    await notifying.turn_on()
    await notifying.hear(a_call("missed"))
    await notifying.work()
    notifying.now += timedelta(hours=25)
    await Upkeep(notifying.database, notifying.clock).forget()
    async with notifying.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM communications") == 0
    await notifying.hear(a_call("missed"))
    await notifying.work()
    assert len(notifying.inbox) == 1
