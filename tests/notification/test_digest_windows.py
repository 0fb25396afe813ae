"""A burst does not become a storm (N5)."""

from __future__ import annotations

from notification.digest_windows import Held, Now, Window, ended_early, place
from tests.notification.words import NOW, minutes, seconds

FIVE = minutes(5)


def test_the_first_email_is_immediate_and_opens_a_window() -> None:
    assert place(None, "missed_call", FIVE, NOW) == (Now(), Window(NOW + FIVE))


def test_what_follows_within_the_window_is_held_until_it_ends() -> None:
    window = Window(NOW + FIVE)
    held = Window(NOW + FIVE, holds=True, since=NOW + minutes(4))
    assert place(window, "missed_call", FIVE, NOW + minutes(4)) == (Held(held), held)


def test_a_voicemail_is_never_held() -> None:
    window = Window(NOW + FIVE, holds=True)
    assert place(window, "voicemail", FIVE, NOW + minutes(1)) == (Now(), window)


def test_an_email_after_a_quiet_window_is_immediate_again() -> None:
    assert place(Window(NOW), "missed_call", FIVE, NOW) == (Now(), Window(NOW + FIVE))


def test_a_digest_opens_the_next_window_so_an_endless_burst_gives_one_email_per_window() -> None:
    window: Window | None = None
    immediate, digests = 0, set()
    for second in range(0, 1_200, 10):
        placed, window = place(window, "inbound_message", FIVE, NOW + seconds(second))
        match placed:
            case Now():
                immediate += 1
            case Held(held):
                digests.add(held.ends_at)
    assert immediate == 1
    assert digests == {NOW + minutes(5), NOW + minutes(10), NOW + minutes(15), NOW + minutes(20)}


def test_a_window_of_no_length_holds_nothing() -> None:
    assert place(Window(NOW + FIVE, holds=True), "missed_call", minutes(0), NOW)[0] == Now()


def test_a_digest_that_another_replica_has_begun_takes_nothing_more() -> None:
    now = NOW + minutes(4)
    window = ended_early(Window(NOW + FIVE, holds=True), now)
    held = Window(now + FIVE, holds=True, since=now)
    assert place(window, "missed_call", FIVE, now) == (Held(held), held)
