"""Which communications share a thread."""

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from contracts.numbers import ANONYMOUS
from contracts.threads import thread_id


def test_one_contact_in_one_inbox_is_one_thread() -> None:
    first = thread_id("acme", "sales", "+16175550123", "call-1")
    assert thread_id("acme", "sales", "+16175550123", "msg-9") == first
    assert thread_id("acme", "support", "+16175550123", "call-1") != first
    assert thread_id("other", "sales", "+16175550123", "call-1") != first


def test_strangers_are_not_one_person() -> None:
    assert thread_id("acme", "sales", ANONYMOUS, "call-1") != thread_id("acme", "sales", ANONYMOUS, "call-2")
    assert thread_id("acme", "sales", ANONYMOUS, "call-1") == thread_id("acme", "sales", ANONYMOUS, "call-1")


@given(st.text(), st.text(), st.text())
def test_a_thread_s_id_is_the_version_5_uuid_of_its_inbox_and_contact(account: str, inbox: str, contact: str) -> None:
    expected = uuid5(UUID("2c8e0d3b-90b1-5d57-8a52-5b3c2f3b9b64"), f"{account}/{inbox}/{contact}")
    assert thread_id(account, inbox, contact, "call-1") == str(expected)
