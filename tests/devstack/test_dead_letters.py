"""Which dead letters are meant: by place, service, reason, source and time, all of them together."""

from __future__ import annotations

from datetime import UTC, datetime

from devstack.dead_letters import DeadLetter, Wanted


def a_letter(*, failed_at: str = "2026-03-02T10:00:00+00:00", consumer: str = "routing") -> DeadLetter:
    return DeadLetter(
        topic="routing-telephony-events-dlq",
        partition=1,
        offset=7,
        reason="invalid_data",
        detail="call_id",
        source_topic="telephony-events",
        source_partition="1",
        source_offset="42",
        consumer=consumer,
        failed_at=failed_at,
        key=None,
        value=b"{}",
        headers=(),
    )


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_what_is_not_given_matters_not() -> None:
    assert Wanted().takes(a_letter())
    assert Wanted().everything
    assert not Wanted(reason="invalid_data").everything


def test_everything_that_is_given_has_to_fit() -> None:
    place = "routing-telephony-events-dlq/1/7"
    assert Wanted((place,), "routing", "invalid_data", "telephony-events", NINE, NOON).takes(a_letter())
    assert not Wanted((place,), "reporting").takes(a_letter())
    assert not Wanted(("routing-telephony-events-dlq/1/8",)).takes(a_letter())
    assert not Wanted(reason="too_large").takes(a_letter())
    assert not Wanted(source_topic="inbox-events").takes(a_letter())


def test_a_span_of_time_holds_its_beginning_and_not_its_end() -> None:
    at_nine, at_noon = a_letter(failed_at="2026-03-02T10:00:00+01:00"), a_letter(failed_at="2026-03-02T12:00:00Z")
    span = Wanted(since=NINE, until=NOON)
    assert span.takes(at_nine)
    assert not span.takes(at_noon)


def test_one_whose_time_cannot_be_read_lies_in_no_span() -> None:
    assert not Wanted(since=NINE).takes(a_letter(failed_at=""))
    assert Wanted(service="routing").takes(a_letter(failed_at="yesterday"))
