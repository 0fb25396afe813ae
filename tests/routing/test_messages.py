"""What a message's facts add up to: M2, by table."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from contracts.communications import CommunicationChanged
from contracts.envelope import Event
from routing.communications import conclude, merge, snapshot, stand
from routing.messages import RANKS
from tests.routing.building import (
    a_directory,
    at,
    folded,
    outbound,
    received,
    shown,
    status,
    text_in,
    text_out,
    text_requested,
)


@pytest.mark.parametrize(("first", "second"), list(permutations(RANKS, 2)))
def test_the_highest_status_wins_whatever_comes_late(first: str, second: str) -> None:
    message = shown(text_out(), status(9, first), status(5, second))
    assert message["status"] == max("sent", first, second, key=RANKS.__getitem__)


def test_the_order_of_ranks_is_the_contracts() -> None:
    assert sorted(RANKS, key=RANKS.__getitem__) == ["queued", "sending", "sent", "failed", "undelivered", "delivered"]


def test_the_error_comes_with_the_winning_status() -> None:
    failed = status(5, "undelivered", error_code="30003")
    assert shown(text_out(), failed, status(7, "failed", error_code="1"))["error_code"] == "30003"
    assert "error_code" not in shown(text_out(), failed, status(9, "delivered"))


def test_a_status_that_we_do_not_know_ranks_as_nothing_and_is_kept() -> None:
    message = shown(text_out(), status(3, "accepted"), status(9, "partially_delivered"), status(5, "sending"))
    assert (message["status"], message["provider_status"]) == ("sent", "partially_delivered")


def test_an_inbound_text_is_received_and_unread_from_its_own_time() -> None:
    message = shown(received(text_in(5, body="hi", contact_name="Joe"), after=30))
    assert message["status"] == "received"
    assert (message["unread_at"], message["received_at"]) == ("2026-03-02T12:00:05Z", "2026-03-02T12:00:35Z")
    assert (message["body"], message["contact_name"]) == ("hi", "Joe")


def test_an_automatic_text_has_no_user_and_makes_nothing_unread() -> None:
    message = shown(text_out(body="Your parcel is here"))
    assert "user_id" not in message
    assert "unread_at" not in message


def test_what_the_agent_typed_is_never_erased() -> None:
    facts = [text_requested(), text_out(3, body="as the provider cut it", user_id="robot"), status(5, "delivered")]
    for order in permutations(facts):
        message = shown(*order)
        assert (message["body"], message["user_id"], message["status"]) == ("as typed", "anna", "delivered")
        assert message["activity_at"] == message["received_at"] == "2026-03-02T12:00:00Z"
        assert message["started_at"] == "2026-03-02T12:00:03Z"


@pytest.mark.parametrize("late", [text_out(900), status(900, "queued", **outbound()), status(900, "strange")])
def test_any_telephony_fact_takes_the_verdict_back_whatever_its_rank(late: Event[Any]) -> None:
    communication, _ = folded([text_requested()])
    assert conclude(communication) == "not_taken"
    known = a_directory()
    failed = snapshot(communication, stand(communication, known))
    assert (failed["status"], failed["reason"]) == ("failed", "not_taken")
    merge(communication, late, at(901), known)
    assert snapshot(communication, stand(communication, known))["status"] in ("sent", "queued")


def test_a_status_alone_shows_once_it_tells_where_the_message_went() -> None:
    _, standing = folded([status(3, "delivered")])
    assert standing.place is None
    message = shown(status(3, "delivered", **outbound()))
    assert (message["status"], message["started_at"]) == ("delivered", "2026-03-02T12:00:03Z")


def test_every_snapshot_is_what_the_contract_says() -> None:
    picture = {"url": "https://pbx.example/p.png", "content_type": "image/png"}
    for message in (
        shown(text_in(media=[picture])),
        shown(text_out(body="x", media=[picture]), status(4, "failed", error_code="30006")),
        shown(text_requested(media=[picture])),
    ):
        assert message["media"] == [picture]
        changed = CommunicationChanged.model_validate(message | {"version": 1})
        assert changed.model_dump(exclude_none=True, mode="json") == message | {"version": 1, "participants": []}
