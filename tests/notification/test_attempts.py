"""What comes of an attempt to send (N4)."""

from __future__ import annotations

import pytest

from notification.attempts import (
    GIVE_UP_AFTER,
    Accepted,
    Again,
    Deferred,
    Over,
    Refused,
    Result,
    Withdrawn,
    after,
)
from tests.notification.words import NOW, seconds


@pytest.mark.parametrize(
    ("result", "outcome"),
    [(Accepted(), "sent"), (Refused("550 no"), "refused"), (Withdrawn("gone"), "withdrawn")],
)
def test_what_is_final_is_recorded_and_stops(result: Result, outcome: str) -> None:
    comes = after(result, attempts=1, due_at=NOW, now=NOW, first_pause=seconds(30))
    assert isinstance(comes, Over)
    assert comes.outcome == outcome


@pytest.mark.parametrize(("attempts", "pause"), [(1, 30), (2, 60), (3, 120), (8, 3_840), (1_000, 14_400)])
def test_pauses_double_up_to_four_hours(attempts: int, pause: int) -> None:
    comes = after(Deferred("451"), attempts=attempts, due_at=NOW, now=NOW, first_pause=seconds(30))
    assert comes == Again(NOW + seconds(pause), "451")


def test_after_five_days_the_last_attempt_has_been_made() -> None:
    almost = NOW + GIVE_UP_AFTER - seconds(1)
    last = after(Deferred("451"), attempts=40, due_at=NOW, now=almost, first_pause=seconds(30))
    assert last == Again(NOW + GIVE_UP_AFTER, "451")
    over = after(Deferred("451"), attempts=41, due_at=NOW, now=NOW + GIVE_UP_AFTER, first_pause=seconds(30))
    assert over == Over("expired", "451")
