"""Links that stop an e-mail: nobody else can make one, and they outlive a change of secrets (N6, RFC 8058)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification.preferences import TOPICS, Subscription
from notification.unsubscribe_links import UnsubscribeLinks, signing_key

OURS = Subscription("acme", "support", "wendy", "watcher_emails")
LINKS = UnsubscribeLinks("https://inbox.example.com/", [signing_key("one secret")])


def test_a_link_says_what_it_stops() -> None:
    assert LINKS.link(OURS) == f"https://inbox.example.com/v1/unsubscribe/{LINKS.signed(OURS)}"
    assert LINKS.read(LINKS.signed(OURS)) == OURS


@given(st.text(), st.text(), st.text(), st.sampled_from(TOPICS))
def test_whatever_the_ids_a_link_reads_back_and_is_safe_in_a_header_and_a_path(
    account_id: str, inbox_id: str, user_id: str, topic: str
) -> None:
    subscription = Subscription(account_id, inbox_id, user_id, topic)  # type: ignore[arg-type] # one of TOPICS
    signed = LINKS.signed(subscription)
    assert LINKS.read(signed) == subscription
    assert set(signed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_no_other_secret_makes_a_link() -> None:
    forged = UnsubscribeLinks("https://inbox.example.com", [signing_key("another secret")]).signed(OURS)
    assert LINKS.read(forged) is None


def test_a_link_for_one_thing_is_none_for_another() -> None:
    version, content, mac = LINKS.signed(OURS).split(".")
    other = LINKS.signed(Subscription("acme", "support", "will", "watcher_emails")).split(".")[1]
    assert LINKS.read(f"{version}.{other}.{mac}") is None
    assert LINKS.read(f"v2.{content}.{mac}") is None


@given(st.integers(min_value=0, max_value=len(LINKS.signed(OURS)) - 1), st.sampled_from("AZaz09-_."))
def test_a_changed_character_breaks_it(place: int, other: str) -> None:
    signed = LINKS.signed(OURS)
    changed = signed[:place] + other + signed[place + 1 :]
    # The last character of a base64 text carries bits that nothing stands in.
    assert changed == signed or LINKS.read(changed) is None or place == len(signed) - 1


@pytest.mark.parametrize(
    "nonsense", ["", ".", "v1..", "v1.abc", "a.b.c", "é", "v1.W10.W10", "x" * 5_000, "v1.=.=", "\0"]
)
def test_nonsense_is_no_link(nonsense: str) -> None:
    assert LINKS.read(nonsense) is None


def test_a_new_secret_keeps_the_links_of_the_old_one() -> None:
    rolled = UnsubscribeLinks("https://inbox.example.com", [signing_key("a newer secret"), signing_key("one secret")])
    assert rolled.read(LINKS.signed(OURS)) == OURS
    assert rolled.signed(OURS) != LINKS.signed(OURS)
    assert LINKS.read(rolled.signed(OURS)) is None
