"""The user's document, sentence by sentence: its steps 3, 5 and 6, and its information hierarchy.

Through a running service: records come through Kafka, people look and act over HTTP. Each sentence has an account
of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from contracts.communications import CommunicationChanged
from contracts.directory import Snapshot
from contracts.envelope import Event
from contracts.fields import key_of
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, TELEPHONY_COMMANDS
from service_kit.clock import utc_now
from service_kit.database import Database
from tests.inbox_state.words import (
    CUSTOMER,
    NEIGHBOUR,
    NINE,
    SALES_LINE,
    SALES_SECOND_LINE,
    a_missed_call,
    a_reply,
    a_ringing_call,
    a_text,
    an_answered_call,
    at,
    ids_of,
    newer,
    received,
    the_office,
    the_sales_inbox,
)
from tests.support import JWT_SECRET, RunningService, bearer, eventually
from tests.support.databases import Template, fresh_database
from tests.support.http import http_client
from tests.support.servers import Servers
from tests.support.services import QUICK
from tests.support.topics import FreshTopics, fresh_topics

pytestmark = pytest.mark.asyncio(loop_scope="module")

_accounts = count()


def ago(minutes: float) -> float:
    """So many minutes before now, in the minutes that the tests' words count in."""
    return (utc_now() - NINE).total_seconds() / 60 - minutes


@dataclass
class Account:
    """One account of the running service: what comes in through Kafka, and its people at their screens."""

    id: str
    kafka: FreshTopics
    database: Database
    url: str

    async def learn(self, *snapshots: Snapshot) -> None:
        """Routing tells of its directory."""
        await self.kafka.publish(
            DIRECTORY_EVENTS,
            *((key_of(self.id, "any", str(n)), self.event(one)) for n, one in enumerate(snapshots)),
        )

    async def deliver(self, *snapshots: CommunicationChanged) -> None:
        """Routing tells of communications, and they are taken in."""
        pairs = [(key_of(self.id, one.inbox_id, one.contact_number), self.event(one)) for one in snapshots]
        await self.kafka.publish(COMMUNICATION_EVENTS, *pairs)

        async def taken_in() -> bool:
            async with self.database.connection() as connection:
                rows = await connection.fetch(
                    "SELECT communication_id, version FROM communications WHERE account_id = $1", self.id
                )
            held: dict[str, int] = {row[0]: row[1] for row in rows}
            return all(held.get(one.communication_id, -1) >= one.version for one in snapshots)

        await eventually(taken_in, 40, because="the records being taken in")

    def event(self, snapshot: Snapshot | CommunicationChanged) -> Event[Any]:
        """A record of this account."""
        event = received(snapshot, self.id).event
        event.time = utc_now()
        return event

    def as_(self, user_id: str) -> httpx.AsyncClient:
        """Somebody at his screen."""
        return http_client(self.url, headers=bearer(user_id, self.id))

    async def ask(self, user_id: str, method: str, path: str, body: Any = None) -> httpx.Response:
        """One request of somebody's."""
        async with self.as_(user_id) as client:
            return await client.request(method, path, json=body)

    async def threads(self, user_id: str = "anna", inbox: str = "sales", view: str = "") -> list[dict[str, Any]]:
        """A list as somebody sees it."""
        answer = await self.ask(user_id, "GET", f"/v1/inboxes/{inbox}/threads" + (f"?view={view}" if view else ""))
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    async def panel(self, user_id: str = "anna") -> dict[str, dict[str, Any]]:
        """The panel as somebody sees it, by inbox."""
        return {row["inbox_id"]: row for row in (await self.ask(user_id, "GET", "/v1/panel")).json()["items"]}

    async def unread(self, user_id: str = "anna", inbox: str = "sales") -> int:
        """What is unread in an inbox."""
        return int((await self.panel(user_id))[inbox]["unread"])

    async def set(
        self, *, by: str = "adam", inbox: str = "sales", hours: int | None = None, manual: bool = False
    ) -> int:
        """Change the automations: auto-mark after so many hours, manual mark as read only."""
        body = {
            "auto_mark_as_read": {"enabled": hours is not None, "after_hours": hours or 720},
            "manual_mark_as_read_only": manual,
        }
        return (await self.ask(by, "PUT", f"/v1/inboxes/{inbox}/automations", body)).status_code

    async def becomes(self, unread: int, user_id: str = "anna", inbox: str = "sales") -> None:
        """Wait until so many are unread."""

        async def so_many() -> bool:
            return await self.unread(user_id, inbox) == unread

        await eventually(so_many, 40, because=f"{unread} unread")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    servers: Servers, database_template: Template, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[FreshTopics, Database, str]]:
    """inbox_state as a process on real Kafka and Postgres, for all sentences."""
    log: Path = tmp_path_factory.mktemp("document") / "inbox_state.log"
    with fresh_database(database_template) as database:
        async with fresh_topics(servers.kafka) as kafka:
            environment = {
                **QUICK,
                **kafka.environment,
                "INBOX_STATE_DATABASE_URL": database.dsn("inbox_state"),
                "JWT_SECRET": JWT_SECRET,
                "AUTO_MARK_EVERY": "0.2s",
            }
            service = RunningService("inbox_state", environment, log, ())
            own = Database(database.dsn("inbox_state"), "inbox_state", pool_size=2)
            await own.open()
            try:
                await service.start()
                yield kafka, own, service.url
            finally:
                await service.kill()
                await own.close()


@pytest_asyncio.fixture(loop_scope="module")
async def office(running: tuple[FreshTopics, Database, str]) -> Account:
    """A fresh account with the office of the tests' words: Anna and Bert work Sales, Wilma watches it."""
    kafka, database, url = running
    account = Account(f"account-{next(_accounts)}", kafka, database, url)
    await account.learn(*the_office())

    async def known() -> bool:
        async with database.connection() as connection:
            held = await connection.fetchval(
                "SELECT count(*) FROM directory_entities WHERE account_id = $1 AND NOT deleted", account.id
            )
        return bool(held == len(the_office()))

    await eventually(known, 40, because="the directory")
    return account


class TestStep3AssignUserRoles:
    async def test_permissions_for_accessing_and_interacting_are_tied_to_roles_within_the_inbox(
        self, office: Account
    ) -> None:
        async def statuses(user_id: str) -> tuple[int, int]:
            seen = await office.ask(user_id, "GET", "/v1/inboxes/sales/threads")
            acted = await office.ask(user_id, "POST", "/v1/inboxes/sales/read")
            return seen.status_code, acted.status_code

        answers = {user_id: await statuses(user_id) for user_id in ("anna", "wilma", "sue", "adam")}
        assert answers == {"anna": (200, 200), "wilma": (200, 403), "sue": (404, 404), "adam": (404, 404)}

    async def test_connected_users_can_only_see_and_interact_with_the_inboxes_they_belong_to(
        self, office: Account
    ) -> None:
        await office.deliver(a_text("m1", ago(5)), a_text("s1", ago(4), inbox_id="support"))
        (thread,) = await office.threads()
        assert list(await office.panel("sue")) == ["support"]
        assert ids_of(await office.threads("sue", "all")) == ["s1"]
        for method, path in (
            ("GET", "/v1/inboxes/sales/threads"),
            ("GET", f"/v1/threads/{thread['thread_id']}"),
            ("POST", f"/v1/threads/{thread['thread_id']}/read"),
            ("POST", "/v1/inboxes/sales/read"),
        ):
            assert (await office.ask("sue", method, path)).status_code == 404
        assert await office.unread() == 1

    async def test_connected_users_are_populated_from_the_inboxs_agent_list(self, office: Account) -> None:
        await office.learn(the_sales_inbox(2, connected=("anna", "sue")))

        async def sue_is_in_and_bert_is_out() -> bool:
            panels = await office.panel("sue"), await office.panel("bert")
            return ["sales" in panel for panel in panels] == [True, False]

        await eventually(sue_is_in_and_bert_is_out)
        assert (await office.panel("sue"))["sales"]["access"] == "connected"

    async def test_connected_users_can_actively_manage_and_respond_to_communications(self, office: Account) -> None:
        await office.deliver(a_text("m1", ago(5)))
        (thread,) = await office.threads("bert")
        path = f"/v1/threads/{thread['thread_id']}"
        assert (await office.ask("bert", "POST", f"{path}/read")).json()["unread"] == 0
        assert (await office.ask("bert", "POST", f"{path}/unread", {"from": "m1"})).json()["unread"] == 1
        sent = await office.ask("bert", "POST", "/v1/inboxes/sales/messages", {"to": CUSTOMER, "body": "Hello"})
        assert sent.status_code == 202

    async def test_watching_users_are_added_manually_for_monitoring(self, office: Account) -> None:
        await office.deliver(a_text("m1", ago(5)))
        watchers = [*the_sales_inbox().watchers, the_sales_inbox().watchers[0].model_copy(update={"user_id": "sue"})]
        await office.learn(the_sales_inbox(2, watchers=watchers))

        async def sue_watches() -> bool:
            return (await office.panel("sue")).get("sales", {}).get("access") == "watching"

        await eventually(sue_watches)
        assert ids_of(await office.threads("sue")) == ["m1"]

    async def test_watching_users_can_view_but_cannot_directly_interact(self, office: Account) -> None:
        await office.deliver(a_text("m1", ago(5)))
        (thread,) = await office.threads("wilma")
        refused = [
            await office.ask("wilma", "POST", f"/v1/threads/{thread['thread_id']}/read"),
            await office.ask("wilma", "POST", f"/v1/threads/{thread['thread_id']}/unread", {"from": "m1"}),
            await office.ask("wilma", "POST", "/v1/inboxes/sales/read"),
            await office.ask("wilma", "POST", "/v1/inboxes/sales/messages", {"to": CUSTOMER, "body": "Hello"}),
            await office.ask("wilma", "POST", "/v1/inboxes/sales/calls", {"to": CUSTOMER}),
        ]
        assert [answer.status_code for answer in refused] == [403] * 5
        assert (thread["unread"], await office.unread("wilma")) == (1, 1)


class TestStep5InboxAutomations:
    async def test_the_tab_controls_unread_in_both_connected_and_personal_inboxes(self, office: Account) -> None:
        for inbox in ("sales", "annas"):
            assert await office.set(inbox=inbox, hours=24, manual=True) == 200
            shown = (await office.ask("anna", "GET", f"/v1/inboxes/{inbox}/automations")).json()
            assert shown == {
                "auto_mark_as_read": {"enabled": True, "after_hours": 24},
                "manual_mark_as_read_only": True,
            }

    async def test_by_default_a_reply_marks_the_conversation_as_read_across_the_inbox(self, office: Account) -> None:
        await office.deliver(a_text("m1", ago(5)), a_missed_call("c1", ago(4)))
        assert await office.unread() == 2
        await office.deliver(a_reply("m2", ago(3), by="anna"))
        assert await office.unread() == 0

    async def test_this_clears_unread_for_the_entire_team_even_for_who_still_needs_to_follow_up(
        self, office: Account
    ) -> None:
        await office.deliver(a_text("m1", ago(5)))
        await office.ask("anna", "POST", "/v1/inboxes/sales/messages", {"to": CUSTOMER, "body": "On it"})
        assert [await office.unread(user_id) for user_id in ("anna", "bert", "wilma")] == [0, 0, 0]

    async def test_the_settings_let_unread_stay_until_someone_handles_it_or_be_cleared_over_time(
        self, office: Account
    ) -> None:
        await office.set(manual=True)
        await office.deliver(a_text("m1", ago(90)), a_reply("m2", ago(0)))
        assert await office.unread() == 1
        await office.set(manual=True, hours=1)
        await office.becomes(0)

    async def test_admins_manage_connected_inboxes_and_agents_or_admins_personal_ones_alike(
        self, office: Account
    ) -> None:
        assert await office.set(by="adam", inbox="sales", hours=24) == 200
        assert await office.set(by="anna", inbox="sales", hours=24) == 403
        assert await office.set(by="wilma", inbox="sales", hours=24) == 403
        assert await office.set(by="sue", inbox="sales", hours=24) == 404
        assert await office.set(by="anna", inbox="annas", hours=24) == 200
        assert await office.set(by="adam", inbox="annas", hours=48) == 200


class TestAutoMarkAsRead:
    async def test_when_enabled_messages_move_from_unread_to_read_after_the_configured_period(
        self, office: Account
    ) -> None:
        assert await office.set(hours=1) == 200
        await office.deliver(a_text("old", ago(61)), a_text("young", ago(30), contact_number=NEIGHBOUR))
        await office.becomes(1)
        assert {row["latest"]["communication_id"]: row["unread"] for row in await office.threads()} == {
            "old": 0,
            "young": 1,
        }

    async def test_unread_messages_do_not_accumulate_indefinitely(self, office: Account) -> None:
        assert await office.set(hours=1) == 200
        for batch in range(3):
            await office.deliver(*(a_text(f"m{batch}-{n}", ago(100 - n)) for n in range(5)))
            await office.becomes(0)

    async def test_existing_unread_messages_outside_the_timeframe_are_marked_in_a_one_time_cleanup(
        self, office: Account
    ) -> None:
        a_month = 30 * 24 * 60
        await office.deliver(
            a_text("ancient", ago(a_month + 60)),
            a_text("older", ago(a_month + 1), contact_number=NEIGHBOUR),
            a_text("recent", ago(a_month - 60), contact_number="+15550123009"),
        )
        assert await office.unread() == 3
        assert await office.set(hours=30 * 24) == 200
        await office.becomes(1)
        assert await office.set() == 200
        assert await office.unread() == 1


class TestManualMarkAsReadOnly:
    async def test_when_enabled_agent_activity_does_not_clear_unread_status(self, office: Account) -> None:
        await office.set(manual=True)
        await office.deliver(a_text("m1", ago(0)))
        await office.ask("anna", "POST", "/v1/inboxes/sales/messages", {"to": CUSTOMER, "body": "Hello"})
        assert await office.unread() == 1

    async def test_replies_and_calls_do_not_mark_messages_as_read(self, office: Account) -> None:
        await office.set(manual=True)
        await office.deliver(a_text("m1", ago(0)), a_reply("m2", ago(0)), an_answered_call("c1", ago(0)))
        await office.ask("anna", "POST", "/v1/inboxes/sales/calls", {"to": CUSTOMER})
        assert await office.unread() == 1

    async def test_only_manual_action_or_the_auto_mark_timer_can_change_their_status(self, office: Account) -> None:
        await office.set(manual=True)
        await office.deliver(a_text("m1", ago(90)), a_text("n1", ago(90), contact_number=NEIGHBOUR))
        await office.deliver(a_reply("m2", ago(0)), a_reply("n2", ago(0), contact_number=NEIGHBOUR))
        assert await office.unread() == 2
        thread = (await office.threads())[0]
        await office.ask("bert", "POST", f"/v1/threads/{thread['thread_id']}/read")
        assert await office.unread() == 1
        await office.set(manual=True, hours=1)
        await office.becomes(0)

    async def test_one_agents_reply_does_not_remove_unread_status_for_others(self, office: Account) -> None:
        await office.set(manual=True)
        await office.deliver(a_text("m1", ago(5)))
        await office.ask("anna", "POST", "/v1/inboxes/sales/messages", {"to": CUSTOMER, "body": "Hello"})
        assert [await office.unread(user_id) for user_id in ("anna", "bert", "wilma")] == [1, 1, 1]

    async def test_paired_with_a_longer_auto_mark_period_older_messages_are_still_cleaned_up(
        self, office: Account
    ) -> None:
        week = 7 * 24 * 60
        await office.set(manual=True, hours=7 * 24)
        await office.deliver(a_text("old", ago(week + 60)), a_text("new", ago(60), contact_number=NEIGHBOUR))
        await office.deliver(a_reply("r1", ago(0)), a_reply("r2", ago(0), contact_number=NEIGHBOUR))
        await office.becomes(1)
        unread = {row["contact_number"]: row["unread"] for row in await office.threads()}
        assert unread == {CUSTOMER: 0, NEIGHBOUR: 1}


class TestStep6ManagingCommunications:
    async def test_connected_personal_and_watching_inboxes_can_be_accessed_from_the_inbox_panel(
        self, office: Account
    ) -> None:
        await office.deliver(a_text("m1", ago(5)), a_ringing_call("c1", ago(1), contact_number=NEIGHBOUR))
        rows = (await office.panel("anna")).values()
        assert [(row["inbox_id"], row["name"], row["access"], row["unread"], row["active_calls"]) for row in rows] == [
            ("annas", "Anna", "personal", 0, 0),
            ("sales", "Sales", "connected", 1, 1),
        ]
        assert {row["access"] for row in (await office.panel("wilma")).values()} == {"watching"}

    async def test_the_desired_inbox_opens_to_manage_its_communications(self, office: Account) -> None:
        await office.deliver(a_text("m1", ago(5)), a_text("m2", ago(4)))
        (thread,) = await office.threads()
        opened = await office.ask("anna", "GET", f"/v1/threads/{thread['thread_id']}/communications")
        assert ids_of(opened.json()["items"]) == ["m2", "m1"]
        assert await office.unread() == 2

    async def test_who_belongs_to_multiple_inboxes_sees_several_and_can_switch_between_them(
        self, office: Account
    ) -> None:
        await office.deliver(a_text("m1", ago(5)), a_text("p1", ago(4), inbox_id="annas"))
        assert ids_of(await office.threads("anna", "sales")) == ["m1"]
        assert ids_of(await office.threads("anna", "annas")) == ["p1"]
        assert [(row["inbox_name"]) for row in await office.threads("anna", "all")] == ["Anna", "Sales"]

    async def test_connected_users_can_initiate_calls_or_send_messages_from_the_inbox(self, office: Account) -> None:
        sent = await office.ask("anna", "POST", "/v1/inboxes/sales/messages", {"to": CUSTOMER, "body": "Hi"})
        called = await office.ask("bert", "POST", "/v1/inboxes/sales/calls", {"to": CUSTOMER})
        assert [(one.status_code, one.json()["status"]) for one in (sent, called)] == [(202, "queued")] * 2
        wanted = {one.json()["communication_id"].encode() for one in (sent, called)}

        async def telephony_was_told() -> bool:
            records = await office.kafka.records(TELEPHONY_COMMANDS, at_least=2)
            return wanted <= {record.key for record in records}

        await eventually(telephony_was_told)

    async def test_outbound_communications_use_the_inboxs_number_so_that_responses_come_back_to_it(
        self, office: Account
    ) -> None:
        sent = await office.ask("anna", "POST", "/v1/inboxes/sales/messages", {"to": CUSTOMER, "body": "Hi"})
        assert sent.json()["line_number"] == SALES_SECOND_LINE
        await office.deliver(a_text("m1", ago(0), line_number=SALES_LINE))
        called = await office.ask("anna", "POST", "/v1/inboxes/sales/calls", {"to": CUSTOMER})
        assert called.json()["line_number"] == SALES_LINE
        other = {"to": CUSTOMER, "body": "Hi", "from": "+15550100003"}
        assert (await office.ask("anna", "POST", "/v1/inboxes/sales/messages", other)).status_code == 422


class TestInformationHierarchy:
    async def test_by_default_conversations_are_displayed_threaded_grouping_messages_by_contact(
        self, office: Account
    ) -> None:
        await office.deliver(a_text("m1", ago(5)), a_text("m2", ago(4)), a_text("n1", ago(3), contact_number=NEIGHBOUR))
        rows = await office.threads()
        assert [(row["contact_number"], row["latest"]["communication_id"], row["unread"]) for row in rows] == [
            (NEIGHBOUR, "n1", 1),
            (CUSTOMER, "m2", 2),
        ]

    async def test_users_can_switch_to_an_unthreaded_view_as_needed(self, office: Account) -> None:
        await office.deliver(a_text("m1", ago(5)), a_text("m2", ago(4)), a_text("n1", ago(3), contact_number=NEIGHBOUR))
        assert ids_of(await office.threads(view="unthreaded")) == ["n1", "m2", "m1"]
        await office.ask("anna", "PUT", "/v1/me/preferences", {"view": "unthreaded"})
        assert ids_of(await office.threads("anna")) == ["n1", "m2", "m1"]
        assert ids_of(await office.threads("bert")) == ["n1", "m2"]

    async def test_calls_voicemails_and_messages_are_sorted_by_the_most_recent_activity(self, office: Account) -> None:
        voicemail = a_missed_call(
            "v1", ago(3), "voicemail", contact_number=NEIGHBOUR, voicemail={"recording_url": "https://x.example/1"}
        )
        await office.deliver(
            voicemail, a_text("m1", ago(2)), a_missed_call("c1", ago(4), contact_number="+15550123009")
        )
        for view in ("threaded", "unthreaded"):
            assert ids_of(await office.threads(view=view)) == ["m1", "v1", "c1"]
        await office.deliver(a_text("m2", ago(1), contact_number="+15550123009"))
        assert ids_of(await office.threads()) == ["m2", "m1", "v1"]

    async def test_active_calls_are_displayed_at_the_top_of_the_inbox_and_flagged(self, office: Account) -> None:
        await office.deliver(a_ringing_call("c1", ago(9)), a_text("n1", ago(1), contact_number=NEIGHBOUR))
        rows = await office.threads()
        assert [(row["latest"]["communication_id"], row["active_call"]) for row in rows] == [
            ("c1", True),
            ("n1", False),
        ]
        rows = await office.threads(view="unthreaded")
        assert [(row["communication_id"], row["active"]) for row in rows] == [("c1", True), ("n1", False)]
        assert ids_of(await office.threads("anna", "all")) == ["c1", "n1"]

    async def test_once_the_call_ends_it_takes_its_place_by_its_time(self, office: Account) -> None:
        call = a_ringing_call("c1", ago(9))
        await office.deliver(
            call,
            a_text("n1", ago(1), contact_number=NEIGHBOUR),
            a_text("o1", ago(7), contact_number="+15550123009"),
        )
        ended = at(ago(5))
        await office.deliver(newer(call, status="missed", ended_at=ended, activity_at=ended, unread_at=ended))
        for view in ("threaded", "unthreaded"):
            assert ids_of(await office.threads(view=view)) == ["n1", "c1", "o1"]
        assert not any(row["active_call"] for row in await office.threads())

    async def test_ongoing_and_past_interactions_stand_in_one_clear_layout(self, office: Account) -> None:
        await office.deliver(
            an_answered_call("c1", ago(9), contact_number=NEIGHBOUR),
            a_ringing_call("c2", ago(8), contact_number="+15550123009"),
            a_text("m1", ago(1)),
            a_text("m2", ago(2), contact_number="+15550123008"),
        )
        assert ids_of(await office.threads()) == ["c2", "c1", "m1", "m2"]
        assert (await office.panel())["sales"]["active_calls"] == 2
