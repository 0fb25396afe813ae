"""Whatever happens, in whatever order: the lists that people see equal those of a plain model, step by step.

Events come late and twice, people reply, mark and change settings over HTTP, hours pass and timers tick.
`INTERLEAVINGS=200` tries that many.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pydantic import SecretStr

from contracts.communications import CommunicationChanged
from contracts.directory import Inbox
from inbox_state.http_api import router
from inbox_state.http_api.broadcast import Broadcast
from inbox_state.settings import InboxStateSettings
from service_kit.clock import new_id, utc_now
from service_kit.database import Database
from service_kit.publishing import Publisher
from service_kit.running import Service
from tests.inbox_state.histories import a_history
from tests.inbox_state.plain_model import PlainInbox, place_of
from tests.inbox_state.words import CUSTOMER, NEIGHBOUR, HandClock, Office, at, newer, the_office, the_sales_inbox
from tests.support import JWT_SECRET, FreshDatabase

T = TypeVar("T")

_numbers = count()
_MOST_UNREAD_MARKS = 8
"""More manual unreads in one thread are kept as fewer that cover them; the plain model knows no such thing."""


class Work:
    """One event loop and one office for all runs; each run has an account of its own."""

    def __init__(self, dsn: str) -> None:
        self.runner = asyncio.Runner()
        self.database = Database(dsn, "inbox_state", pool_size=3)
        self.clock = HandClock()
        self.run(self.database.open())
        given = {"INBOX_STATE_DATABASE_URL": dsn, "jwt_secret": SecretStr(JWT_SECRET), "log_level": "warning"}
        settings = InboxStateSettings.model_validate(given)
        service = Service(
            settings,
            name="inbox_state",
            title="inbox state",
            clock=utc_now,
            database=self.database,
            publisher=Publisher(settings, client_id="inbox_state"),
            routers=[router(self.database, self.clock, new_id, Broadcast(self.database))],
        )
        self.office = Office(self.database, self.clock, service.app)

    def run(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self.runner.run(awaited())

    def close(self) -> None:
        self.run(self.database.close())
        self.runner.close()


@pytest.fixture
def work(database: FreshDatabase) -> Iterator[Work]:
    """The office, outside pytest's event loop."""
    work = Work(database.dsn("inbox_state"))
    yield work
    work.close()


class AnyInterleaving(RuleBasedStateMachine):
    """What may happen; `plain` is what must come of it."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work
        self.account_id = f"run-{next(_numbers)}"
        self.plain = PlainInbox(self.account_id, frozenset({"anna", "bert"}))
        self.to_come: list[CommunicationChanged] = []
        self.came: list[CommunicationChanged] = []
        self.automations = {"sales": (False, False), "support": (False, False)}

    @initialize(data=st.data())
    def open(self, data: st.DataObject) -> None:
        """Anna and Bert work both inboxes, and the phones have rung already."""
        self.work.clock.now = at(0)
        support = Inbox(version=2, inbox_id="support", name="Support", kind="connected", connected=("anna", "bert"))
        self.work.run(self.work.office.learn(*the_office(), the_sales_inbox(2), support, account_id=self.account_id))
        for _ in range(data.draw(st.integers(1, 5))):
            self.to_come += data.draw(a_history(f"c{next(_numbers)}"))

    @rule(data=st.data())
    def something_happens_out_there(self, data: st.DataObject) -> None:
        """All that will ever be known of a call or text; its records are yet to come."""
        self.to_come += data.draw(a_history(f"c{next(_numbers)}"))

    @rule(data=st.data(), again=st.integers(0, 2))
    def records_come(self, data: st.DataObject, again: int) -> None:
        """Some of those to come, in any order, and some that came before."""
        batch = data.draw(st.lists(st.sampled_from(self.to_come), unique_by=id, max_size=5)) if self.to_come else []
        self.to_come = [one for one in self.to_come if not any(one is taken for taken in batch)]
        repeated = data.draw(st.lists(st.sampled_from(self.came), max_size=again)) if self.came else []
        self.deliver(data.draw(st.permutations(batch + repeated)))

    def deliver(self, batch: list[CommunicationChanged]) -> None:
        """Records come as one batch."""
        self.pass_time(1)
        if batch:
            self.came += batch
            self.work.run(self.work.office.deliver(*batch, account_id=self.account_id))
            self.plain.deliver(batch)

    @rule(
        inbox=st.sampled_from(["sales", "support"]),
        to=st.sampled_from([CUSTOMER, NEIGHBOUR]),
        what=st.sampled_from(["messages", "calls"]),
        fate=st.sampled_from(["delivered", "failed"]),
    )
    def somebody_replies(self, inbox: str, to: str, what: str, fate: str) -> None:
        """Over HTTP; what telephony makes of it is yet to come."""
        self.pass_time(1)
        body = {"to": to} | ({"body": "Hello"} if what == "messages" else {})
        answer = self.ask("POST", f"/v1/inboxes/{inbox}/{what}", body, status=202)
        sent = CommunicationChanged.model_validate(
            {name: answer[name] for name in CommunicationChanged.model_fields if name in answer}
        )
        self.plain.send(sent)
        ended = "no_answer" if what == "calls" else fate
        self.to_come += [
            newer(sent, status="in_progress" if what == "calls" else "sent"),
            newer(newer(sent), status=ended),
        ]

    @rule(data=st.data(), everything=st.booleans())
    def somebody_marks_read(self, data: st.DataObject, everything: bool) -> None:
        """A thread, all of it or through what he has seen."""
        self.pass_time(1)
        one = self.any_known(data)
        if one is not None:
            body = None if everything else {"through": one.communication_id}
            self.ask("POST", f"/v1/threads/{self.plain.thread_of(one)}/read", body)
            self.plain.read(self.plain.thread_of(one), None if everything else place_of(one))

    @rule(data=st.data())
    def somebody_marks_unread(self, data: st.DataObject) -> None:
        """A thread, from a communication on."""
        self.pass_time(1)
        one = self.any_known(data)
        if one is None:
            return
        thread_id = self.plain.thread_of(one)
        marks = self.plain.marks.get(thread_id)
        if marks is None or len(marks.unread) < _MOST_UNREAD_MARKS:
            self.ask("POST", f"/v1/threads/{thread_id}/unread", {"from": one.communication_id})
            self.plain.unread(thread_id, place_of(one), self.work.clock.now)

    @rule(inbox=st.sampled_from(["sales", "support"]))
    def somebody_marks_an_inbox_read(self, inbox: str) -> None:
        """Everything in it, whatever it is."""
        self.pass_time(1)
        marked = self.ask("POST", f"/v1/inboxes/{inbox}/read")["marked"]
        threads = {self.plain.thread_of(one): one.inbox_id for one in self.plain.known.values()}
        figures = self.plain.threads()
        mine = [id for id, inbox_id in threads.items() if inbox_id == inbox and figures[id].unread]
        assert marked == sum(len(figures[id].unread) for id in mine)
        for id in mine:
            self.plain.read(id, None)

    @rule(inbox=st.sampled_from(["sales", "support"]), auto=st.sampled_from([True, True, False]), manual=st.booleans())
    def an_admin_changes_the_automations(self, inbox: str, auto: bool, manual: bool) -> None:
        """Either of them, or none."""
        self.pass_time(1)
        body = {"auto_mark_as_read": {"enabled": auto, "after_hours": 1}, "manual_mark_as_read_only": manual}
        self.ask("PUT", f"/v1/inboxes/{inbox}/automations", body, by="adam")
        self.automations[inbox] = (auto, manual)
        self.plain.manual_only.setdefault(inbox, []).append((self.work.clock.now, manual))

    @rule(minutes=st.sampled_from([5, 65, 130]))
    def time_passes_and_timers_tick(self, minutes: int) -> None:
        """Auto-mark comes by."""
        self.pass_time(minutes)
        self.work.run(self.work.office.tick())
        for inbox, (auto, _) in self.automations.items():
            if auto:
                self.plain.tick(inbox, self.work.clock.now - timedelta(hours=1))

    @invariant()
    def the_lists_show_what_the_plain_model_says(self) -> None:
        """The same order, the same unread, in both views; the panel adds up."""
        rows = self.ask("GET", "/v1/inboxes/all/threads?limit=200&view=threaded")["items"]
        assert [(row["thread_id"], row["unread"]) for row in rows] == self.plain.in_order()
        rows = self.ask("GET", "/v1/inboxes/all/threads?limit=200&view=unthreaded")["items"]
        assert [(row["communication_id"], row["unread"]) for row in rows] == self.plain.unthreaded()
        panel = self.ask("GET", "/v1/panel")["items"]
        assert sum(row["unread"] for row in panel) == sum(row["unread"] for row in rows)

    def teardown(self) -> None:
        """What is still to come comes, and then everything once more."""
        self.deliver(self.to_come)
        self.the_lists_show_what_the_plain_model_says()
        self.deliver(list(reversed(self.came)))
        self.the_lists_show_what_the_plain_model_says()

    def pass_time(self, minutes: int) -> None:
        """No two things happen at once."""
        self.work.clock.now += timedelta(minutes=minutes)

    def any_known(self, data: st.DataObject) -> CommunicationChanged | None:
        """Something that is on the screen."""
        known = sorted(self.plain.known.values(), key=lambda one: one.communication_id)
        return data.draw(st.sampled_from(known)) if known else None

    def ask(self, method: str, path: str, body: Any = None, *, by: str = "anna", status: int = 200) -> Any:
        """One request."""

        async def asked() -> Any:
            async with self.work.office.as_(by, account_id=self.account_id) as client:
                answer = await client.request(method, path, json=body)
            assert answer.status_code == status, (method, path, answer.status_code, answer.text)
            return answer.json()

        return self.work.run(asked())


def test_any_interleaving_shows_what_the_plain_model_says(work: Work) -> None:
    class Here(AnyInterleaving):
        def __init__(self) -> None:
            super().__init__(work)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=int(os.environ.get("INTERLEAVINGS", "8")),
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        ),
    )
