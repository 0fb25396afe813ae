"""Walking through a long list while it changes (I4): what did not change is seen exactly once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from contracts.communications import CommunicationChanged
from tests.inbox_state.words import Office, a_ringing_call, a_text, at, newer

THREADS = 10_000
AT_ONCE = 500
A_PAGE = 200


def a_contact(number: int) -> str:
    return f"+1555{number:07}"


def texts() -> list[CommunicationChanged]:
    """One of each contact, in groups of the same time: only the id tells those apart."""
    return [a_text(f"m{n:05}", n // 7, contact_number=a_contact(n)) for n in range(THREADS)]


@pytest.mark.timeout(300)
async def test_ten_thousand_threads_are_seen_once_each_while_new_messages_come(office: Office) -> None:
    everything = texts()
    office.clock.now = at(THREADS)
    for start in range(0, THREADS, AT_ONCE):
        await office.deliver(*everything[start : start + AT_ONCE])
    calls = [a_ringing_call(f"c{n}", n, contact_number=a_contact(n * 1_000)) for n in range(5)]
    await office.deliver(*calls)
    seen: dict[str, Counter[str]] = {"threaded": Counter(), "unthreaded": Counter()}
    changed: set[str] = set()
    ids = {view: "contact_number" if view == "threaded" else "communication_id" for view in seen}
    cursors: dict[str, str | None] = dict.fromkeys(seen, "")
    pages = 0
    async with office.as_("anna") as anna:
        while any(cursor is not None for cursor in cursors.values()):
            for view, cursor in cursors.items():
                if cursor is None:
                    continue
                query = {"view": view, "limit": str(A_PAGE)} | ({"cursor": cursor} if cursor else {})
                answer = (await anna.get("/v1/inboxes/sales/threads", params=query)).json()
                seen[view].update(row[ids[view]] for row in answer["items"])
                cursors[view] = answer["next_cursor"]
            pages += 1
            # Somebody known writes again, somebody new writes, a read mark moves, and a call comes and goes.
            known = [a_contact((pages * 7_919 + n) % THREADS) for n in range(10)]
            changed |= {*known, a_contact(THREADS + pages), a_contact(pages * 13)}
            when = THREADS / 7 + pages
            await office.deliver(
                *(a_text(f"again-{pages}-{n}", when, contact_number=one) for n, one in enumerate(known)),
                a_text(f"new-{pages}", when, contact_number=a_contact(THREADS + pages)),
                a_ringing_call(f"call-{pages}", when, contact_number=a_contact(pages * 13)),
            )
            if pages == 20:
                ended = at(when)
                await office.deliver(
                    *(newer(one, status="completed", activity_at=ended, ended_at=ended) for one in calls)
                )
                changed |= {one.contact_number for one in calls}
            office.clock.now += timedelta(seconds=1)
    stood_still = {a_contact(n) for n in range(THREADS)} - changed
    assert len(stood_still) > THREADS * 0.9
    assert {contact: seen["threaded"][contact] for contact in stood_still} == dict.fromkeys(stood_still, 1)
    # In the unthreaded list a message keeps its place whatever else its contact writes.
    assert {one.communication_id: seen["unthreaded"][one.communication_id] for one in everything} == {
        one.communication_id: 1 for one in everything
    }
