"""Architecture §4: a consumer stops when so much is poison that the fault must be its own."""

from __future__ import annotations

from service_kit.consuming import DeadLetterLimit

GOOD, POISON = False, True


def test_a_hundred_in_a_row_reach_it() -> None:
    limit = DeadLetterLimit(in_a_row=100, of_last_thousand=500)
    assert not limit.reached_by([POISON] * 99)
    assert limit.reached_by([POISON] * 100)


def test_a_row_goes_on_from_one_batch_to_the_next() -> None:
    limit = DeadLetterLimit(in_a_row=100, of_last_thousand=500)
    limit.count([POISON] * 60)
    assert not limit.reached_by([POISON] * 39)
    assert limit.reached_by([POISON] * 40)


def test_one_good_record_ends_a_row() -> None:
    limit = DeadLetterLimit(in_a_row=100, of_last_thousand=500)
    limit.count([POISON] * 99 + [GOOD])
    assert not limit.reached_by([POISON] * 99)


def test_more_than_half_of_the_last_thousand_reach_it() -> None:
    limit = DeadLetterLimit(in_a_row=100, of_last_thousand=500)
    limit.count([POISON, GOOD] * 500)
    assert not limit.reached_by([])
    assert limit.reached_by([GOOD, POISON, POISON, POISON])


def test_what_lies_further_back_is_forgotten() -> None:
    limit = DeadLetterLimit(in_a_row=1_000, of_last_thousand=500)
    limit.count([POISON] * 500)
    limit.count([GOOD] * 1_000)
    assert not limit.reached_by([POISON] * 500)
