"""How much a mail server is given at a time (N4)."""

from __future__ import annotations

from notification.rate_limits import Bucket, refilled, taken
from tests.notification.words import NOW, seconds


def test_the_bucket_begins_full_with_what_a_second_brings() -> None:
    assert refilled(None, 14, NOW) == Bucket(14, NOW)
    assert refilled(None, 0.2, NOW) == Bucket(1, NOW)


def test_it_fills_at_the_rate_and_no_further() -> None:
    empty = taken(refilled(None, 10, NOW), 10)
    assert refilled(empty, 10, NOW + seconds(0.5)).left == 5
    assert refilled(empty, 10, NOW + seconds(60)).left == 10


def test_a_replica_whose_clock_is_behind_changes_nothing() -> None:
    empty = taken(refilled(None, 10, NOW), 10)
    assert refilled(empty, 10, NOW - seconds(5)) == empty
    assert refilled(refilled(empty, 10, NOW - seconds(5)), 10, NOW + seconds(0.1)).left == 1


def test_over_any_time_no_more_goes_than_the_rate_and_one_second_of_it() -> None:
    bucket, gone = None, 0
    for tick in range(1_000):
        bucket = refilled(bucket, 7, NOW + seconds(tick / 50))
        claimed = int(bucket.left)
        gone += claimed
        bucket = taken(bucket, claimed)
    assert 7 * 19 <= gone <= 7 * 21
