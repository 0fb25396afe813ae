"""What a watcher asked for is done: mute, quiet hours, unsubscribing (N6), and all of it is recorded (N7)."""

from __future__ import annotations

from datetime import time, timedelta

from notification.digest_windows import Window
from notification.preferences import Preferences
from notification.quiet_hours import QuietHours
from notification.watcher_emails import digest_id
from tests.notification.conftest import Notifying
from tests.notification.test_mailing import a_report, answering
from tests.notification.words import (
    CALLER,
    a_call,
    a_message,
    a_user,
    everything,
    hours,
    minutes,
    seconds,
)

# NOW is 09:30 in UTC, which is 10:30 in Berlin, the account's zone.
MORNING = Preferences(quiet_hours=QuietHours(time(10), time(12)))
MUTED = Preferences(muted_inbox_ids=("support",))


async def ready(notifying: Notifying, digest_minutes: int = 0) -> None:
    await notifying.know(everything("wendy", "will"))
    await notifying.turn_on(digest_minutes=digest_minutes)


async def test_who_mutes_an_inbox_hears_nothing_of_it_and_the_others_do(notifying: Notifying) -> None:
    await ready(notifying)
    await notifying.prefer(MUTED)
    await notifying.hear(a_call("missed"), a_message())
    await notifying.work()
    assert {to for to, _ in notifying.subjects} == {"will@example.com"}
    assert sorted(await notifying.outcomes()) == [
        ("wendy", "muted", 0),
        ("wendy", "muted", 0),
        ("will", "sent", 1),
        ("will", "sent", 1),
    ]


async def test_what_came_while_an_inbox_was_muted_does_not_come_later(notifying: Notifying) -> None:
    await ready(notifying)
    await notifying.prefer(MUTED)
    await notifying.hear(a_call("missed"))
    await notifying.work()
    await notifying.prefer(Preferences())
    await notifying.hear(a_call("voicemail", version=2))
    await notifying.know([a_user("wendy", name="Wendy W.", version=2)])
    await notifying.hear(a_message())
    await notifying.pass_by(minutes(10))
    assert [subject for to, subject in notifying.subjects if to == "wendy@example.com"] == [
        f"Message from {CALLER} · Support"
    ]


async def test_muting_stops_what_is_held_and_what_is_tried_again(notifying: Notifying) -> None:
    await ready(notifying, digest_minutes=5)
    notifying.mail.answer = answering("451 4.3.0 later", "451 4.3.0 later")
    await notifying.hear(a_call("missed", communication_id="1"))
    await notifying.work()
    await notifying.hear(a_call("missed", communication_id="2", received_at=notifying.now))
    await notifying.work()
    await notifying.prefer(MUTED)
    await notifying.pass_by(minutes(6))
    assert sorted(await notifying.outcomes()) == [
        ("wendy", "muted", 1),
        ("wendy", "muted", 2),
        ("will", "sent", 1),
        ("will", "sent", 2),
    ]


async def test_what_falls_in_quiet_hours_comes_as_one_digest_at_their_end(notifying: Notifying) -> None:
    await ready(notifying)
    await notifying.prefer(MORNING)
    await notifying.hear(
        a_call("missed", communication_id="1"),
        a_call("voicemail", communication_id="2"),
        a_call("abandoned", communication_id="3"),
        a_message(communication_id="4"),
    )
    await notifying.work()
    await notifying.pass_by(minutes(20))
    await notifying.hear(a_message(communication_id="5", at=notifying.now))
    await notifying.work()
    wendys = [subject for to, subject in notifying.subjects if to == "wendy@example.com"]
    assert wendys == []
    await notifying.pass_by(minutes(70) - seconds(1))
    assert len(notifying.inbox) == 5
    await notifying.pass_by(seconds(1))
    wendys = [subject for to, subject in notifying.subjects if to == "wendy@example.com"]
    assert wendys == ["1 missed call, 1 voicemail, 1 abandoned call, 2 messages · Support"]
    await notifying.pass_by(hours(26))
    assert len(notifying.inbox) == 6


async def test_quiet_hours_are_read_in_the_watchers_own_zone(notifying: Notifying) -> None:
    await ready(notifying)
    await notifying.know([a_user("wendy", time_zone="America/New_York", version=2)])
    await notifying.prefer(MORNING)
    await notifying.prefer(MORNING, "will")
    await notifying.hear(a_call("missed"))
    await notifying.work()
    assert [to for to, _ in notifying.subjects] == ["wendy@example.com"]


async def test_a_digest_shows_what_is_known_when_it_goes(notifying: Notifying) -> None:
    await ready(notifying)
    await notifying.prefer(MORNING)
    await notifying.hear(a_call("missed"))
    await notifying.work()
    late = a_call("voicemail", version=2)
    assert late.voicemail is not None
    said = late.voicemail.model_copy(update={"transcript": "Please call me back"})
    await notifying.hear(late.model_copy(update={"voicemail": said}))
    await notifying.pass_by(minutes(91))
    (email,) = [one for one in notifying.inbox if one["Delivered-To"] == "wendy@example.com"]
    text = email.get_body(("plain",))
    assert text is not None
    assert email["Subject"] == f"Voicemail from {CALLER} · Support"
    assert "Please call me back" in text.get_content()


async def test_what_is_tried_again_does_not_come_in_quiet_hours(notifying: Notifying) -> None:
    await ready(notifying)
    notifying.mail.answer = answering("451 4.3.0 later", "451 4.3.0 later")
    await notifying.hear(a_call("missed"))
    await notifying.work()
    await notifying.prefer(MORNING)
    await notifying.pass_by(minutes(1))
    assert [to for to, _ in notifying.subjects] == ["will@example.com"]
    assert ("wendy", None, 1) in await notifying.outcomes()
    await notifying.pass_by(minutes(89))
    assert ("wendy", "sent", 2) in await notifying.outcomes()


async def test_quiet_all_day_is_one_digest_a_day(notifying: Notifying) -> None:
    await ready(notifying)
    await notifying.prefer(Preferences(quiet_hours=QuietHours(time(12), time(12))))
    for hour in range(1, 48):
        notifying.now += hours(1)
        await notifying.hear(a_message(communication_id=f"m-{hour}", at=notifying.now))
        await notifying.work()
    wendys = [subject for to, subject in notifying.subjects if to == "wendy@example.com"]
    assert wendys == ["24 messages · Support", f"Message from {CALLER} · Support"]


async def test_a_server_that_puts_off_the_daily_digest_costs_a_moment_not_a_day(notifying: Notifying) -> None:
    await ready(notifying)
    await notifying.prefer(Preferences(quiet_hours=QuietHours(time(12), time(12))))
    await notifying.hear(a_call("missed"))
    await notifying.work()
    notifying.mail.answer = answering("451 4.7.1 greylisted")
    await notifying.pass_by(minutes(90))
    assert ("wendy", None, 1) in await notifying.outcomes()
    await notifying.pass_by(minutes(1))
    assert ("wendy", "sent", 2) in await notifying.outcomes()


async def test_unsubscribing_stops_that_inboxs_emails_and_not_the_reports(notifying: Notifying) -> None:
    await ready(notifying)
    await notifying.unsubscribe()
    await notifying.hear(a_call("missed"))
    await notifying.ask_for(a_report())
    await notifying.work()
    assert [subject for to, subject in notifying.subjects if to == "wendy@example.com"] == [
        "Daily activity of Support, 1 March 2026"
    ]
    assert ("wendy", "unsubscribed", 0) in await notifying.outcomes()


async def test_unsubscribing_from_a_report_stops_that_report_alone(notifying: Notifying) -> None:
    await ready(notifying)
    await notifying.unsubscribe("daily_activity")
    await notifying.hear(a_call("missed"))
    await notifying.ask_for(a_report())
    other = a_report().model_copy(update={"email_id": "another", "report": "voice_analytics", "subject": "Voices"})
    await notifying.ask_for(other)
    await notifying.work()
    assert [subject for to, subject in notifying.subjects if to == "wendy@example.com"] == [
        f"Missed call from {CALLER} · Support",
        "Voices",
    ]
    assert ("wendy", "unsubscribed", 1) in await notifying.outcomes()


async def test_who_unsubscribes_while_something_is_queued_does_not_get_it(notifying: Notifying) -> None:
    await ready(notifying)
    notifying.mail.answer = answering(*["451 4.3.0 later"] * 3)
    await notifying.hear(a_call("missed"))
    await notifying.ask_for(a_report())
    await notifying.work()
    await notifying.unsubscribe()
    await notifying.unsubscribe("daily_activity")
    await notifying.pass_by(hours(1))
    assert [to for to, _ in notifying.subjects] == ["will@example.com"]
    assert [outcome for user, outcome, _ in await notifying.outcomes() if user == "wendy"] == ["unsubscribed"] * 2


async def test_muting_and_quiet_hours_leave_reports_alone(notifying: Notifying) -> None:
    await ready(notifying)
    await notifying.prefer(Preferences(muted_inbox_ids=("support",), quiet_hours=QuietHours(time(0), time(0))))
    await notifying.ask_for(a_report())
    await notifying.work()
    assert [subject for _, subject in notifying.subjects] == ["Daily activity of Support, 1 March 2026"]


async def test_a_digest_has_one_id_in_every_replica(notifying: Notifying) -> None:
    await ready(notifying, digest_minutes=5)
    for n in range(3):
        await notifying.hear(a_message(communication_id=f"{n}"))
        await notifying.evaluate()
    async with notifying.database.connection() as connection:
        rows = await connection.fetch("SELECT email_id FROM emails WHERE purpose = 'digest' AND user_id = 'wendy'")
        window = await connection.fetchrow("SELECT ends_at, since FROM digest_windows WHERE user_id = 'wendy'")
    assert window is not None
    assert [row["email_id"] for row in rows] == [
        digest_id(("acme", "support", "wendy"), Window(window["ends_at"], True, window["since"]))
    ]
    assert window["ends_at"] == notifying.now + timedelta(minutes=5)
