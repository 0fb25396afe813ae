"""Which communications share a thread."""

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
