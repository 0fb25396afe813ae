"""Roles, marking as read, and order: the corners of what the user's document says (see test_the_users_document)."""

from __future__ import annotations

from typing import Any

from tests.inbox_state.words import (
    CUSTOMER,
    NEIGHBOUR,
    SALES_LINE,
    SALES_SECOND_LINE,
    Office,
    a_missed_call,
    a_reply,
    a_ringing_call,
    a_text,
    an_answered_call,
    at,
    ids_of,
    newer,
)

MANUAL_ONLY: dict[str, Any] = {
    "auto_mark_as_read": {"enabled": False, "after_hours": 720},
    "manual_mark_as_read_only": True,
}


async def set_automations(office: Office, who: str = "adam", inbox: str = "sales", **changes: Any) -> int:
    body = {"auto_mark_as_read": {"enabled": False, "after_hours": 720}, "manual_mark_as_read_only": False} | changes
    answer = await office.as_(who).put(f"/v1/inboxes/{inbox}/automations", json=body)
    return answer.status_code


class TestStep3Roles:
    async def test_connected_users_can_only_see_and_interact_with_the_inboxes_they_belong_to(
        self, office: Office
    ) -> None:
        await office.deliver(a_text("m1", 1))
        thread_id = (await office.the_thread())["thread_id"]
        panel = (await office.as_("sue").get("/v1/panel")).json()["items"]
        assert [row["inbox_id"] for row in panel] == ["support"]
        for path in ("/v1/inboxes/sales/threads", f"/v1/threads/{thread_id}", "/v1/inboxes/sales/automations"):
            assert (await office.as_("sue").get(path)).status_code == 404
        assert (await office.as_("sue").post(f"/v1/threads/{thread_id}/read")).status_code == 404

    async def test_connected_users_actively_manage_and_respond(self, office: Office) -> None:
        await office.deliver(a_text("m1", 1))
        sent = await office.as_("bert").post("/v1/inboxes/sales/messages", json={"to": CUSTOMER, "body": "Hello"})
        assert sent.status_code == 202
        assert (await office.the_thread())["unread"] == 0

    async def test_watching_users_can_view_but_cannot_interact(self, office: Office) -> None:
        await office.deliver(a_text("m1", 1))
        thread = await office.the_thread("wilma")
        assert thread["unread"] == 1
        wilma = office.as_("wilma")
        refused = [
            await wilma.post(f"/v1/threads/{thread['thread_id']}/read"),
            await wilma.post(f"/v1/threads/{thread['thread_id']}/unread", json={"from": "m1"}),
            await wilma.post("/v1/inboxes/sales/read"),
            await wilma.post("/v1/inboxes/sales/messages", json={"to": CUSTOMER, "body": "Hello"}),
            await wilma.post("/v1/inboxes/sales/calls", json={"to": CUSTOMER}),
        ]
        assert [answer.status_code for answer in refused] == [403] * 5
        assert await office.unread() == 1


class TestStep5MarkAsRead:
    async def test_by_default_a_reply_marks_the_conversation_as_read_across_the_inbox(self, office: Office) -> None:
        await office.deliver(a_text("m1", 1), a_missed_call("c1", 2))
        assert await office.unread("bert") == 2
        await office.deliver(a_reply("m2", 3, by="anna"))
        assert await office.unread("bert") == 0

    async def test_answering_the_contacts_call_marks_the_conversation_as_read(self, office: Office) -> None:
        await office.deliver(a_text("m1", 1))
        await office.deliver(an_answered_call("c1", 2, by="bert"))
        assert await office.unread("anna") == 0

    async def test_what_a_watcher_or_a_campaign_sends_clears_nothing(self, office: Office) -> None:
        await office.deliver(a_text("m1", 1), a_reply("m2", 2, by="wilma"), a_reply("m3", 3, by=None))
        assert await office.unread() == 1

    async def test_with_manual_mark_as_read_only_replies_and_calls_do_not_mark_as_read(self, office: Office) -> None:
        office.clock.now = at(0)
        assert await set_automations(office, **MANUAL_ONLY) == 200
        await office.deliver(a_text("m1", 1), a_reply("m2", 2), an_answered_call("c1", 3))
        office.clock.now = at(4)
        await office.as_("anna").post("/v1/inboxes/sales/messages", json={"to": CUSTOMER, "body": "Hello"})
        assert await office.unread() == 1

    async def test_the_setting_in_force_when_the_activity_happened_decides(self, office: Office) -> None:
        await office.deliver(a_text("m1", 1))
        office.clock.now = at(10)
        await set_automations(office, **MANUAL_ONLY)
        await office.deliver(a_reply("m2", 20))
        assert await office.unread() == 1
        await office.deliver(a_reply("m3", 5))
        assert await office.unread() == 0

    async def test_only_manual_action_or_the_timer_changes_it_then(self, office: Office) -> None:
        await set_automations(office, **MANUAL_ONLY)
        await office.deliver(a_text("m1", 1))
        thread = await office.the_thread()
        answer = await office.as_("bert").post(f"/v1/threads/{thread['thread_id']}/read")
        assert answer.json()["unread"] == 0

    async def test_auto_mark_reads_what_is_older_than_the_period_once_and_for_all(self, office: Office) -> None:
        await office.deliver(a_text("old", 0), a_text("new", 90))
        office.clock.now = at(120)
        assert await set_automations(office, auto_mark_as_read={"enabled": True, "after_hours": 1}) == 200
        await office.tick()
        assert await office.unread() == 1
        await set_automations(office)
        assert await office.unread() == 1
        await office.deliver(a_text("late", 30, contact_number=CUSTOMER))
        assert await office.unread() == 1

    async def test_age_counts_from_when_it_last_became_unread(self, office: Office) -> None:
        await office.deliver(a_text("m1", 0))
        thread = await office.the_thread()
        office.clock.now = at(50)
        await office.as_("anna").post(f"/v1/threads/{thread['thread_id']}/unread", json={"from": "m1"})
        office.clock.now = at(100)
        await set_automations(office, auto_mark_as_read={"enabled": True, "after_hours": 1})
        await office.tick()
        assert await office.unread() == 1
        office.clock.now = at(111)
        await office.tick()
        assert await office.unread() == 0

    async def test_the_two_settings_combine(self, office: Office) -> None:
        office.clock.now = at(0)
        await set_automations(
            office, auto_mark_as_read={"enabled": True, "after_hours": 1}, manual_mark_as_read_only=True
        )
        await office.deliver(a_text("m1", 0), a_reply("m2", 1))
        assert await office.unread() == 1
        office.clock.now = at(200)
        await office.tick()
        assert await office.unread() == 0

    async def test_admins_set_connected_inboxes_and_owners_their_personal_one(self, office: Office) -> None:
        assert await set_automations(office, "adam", "sales") == 200
        assert await set_automations(office, "anna", "sales") == 403
        assert await set_automations(office, "wilma", "sales") == 403
        assert await set_automations(office, "sue", "sales") == 404
        assert await set_automations(office, "anna", "annas") == 200
        assert await set_automations(office, "adam", "annas") == 200
        assert (await office.as_("wilma").get("/v1/inboxes/sales/automations")).status_code == 200


class TestStep6Communications:
    async def test_the_panel_lists_personal_connected_and_watching_inboxes(self, office: Office) -> None:
        await office.deliver(a_text("m1", 1), a_ringing_call("c1", 2))
        anna = (await office.as_("anna").get("/v1/panel")).json()["items"]
        assert [(row["inbox_id"], row["access"], row["unread"], row["active_calls"]) for row in anna] == [
            ("annas", "personal", 0, 0),
            ("sales", "connected", 1, 1),
        ]
        wilma = (await office.as_("wilma").get("/v1/panel")).json()["items"]
        assert [(row["inbox_id"], row["access"]) for row in wilma] == [("sales", "watching")]
        assert (await office.as_("adam").get("/v1/panel")).json() == {"items": []}

    async def test_all_outbound_communications_can_use_the_inboxs_own_number(self, office: Office) -> None:
        sent = await office.as_("anna").post("/v1/inboxes/sales/messages", json={"to": CUSTOMER, "body": "Hi"})
        assert sent.json()["line_number"] == SALES_SECOND_LINE
        await office.deliver(a_text("m1", 90, line_number=SALES_LINE))
        sent = await office.as_("anna").post("/v1/inboxes/sales/calls", json={"to": CUSTOMER})
        assert (sent.json()["line_number"], sent.json()["status"]) == (SALES_LINE, "queued")


class TestInformationHierarchy:
    async def test_by_default_conversations_are_grouped_by_contact(self, office: Office) -> None:
        await office.deliver(a_text("m1", 1), a_text("m2", 2), a_text("n1", 3, contact_number=NEIGHBOUR))
        assert ids_of(await office.threads()) == ["n1", "m2"]

    async def test_users_can_switch_to_an_unthreaded_view_and_it_is_remembered(self, office: Office) -> None:
        await office.deliver(a_text("m1", 1), a_text("m2", 2), a_text("n1", 3, contact_number=NEIGHBOUR))
        assert ids_of(await office.threads(view="unthreaded")) == ["n1", "m2", "m1"]
        await office.as_("anna").put("/v1/me/preferences", json={"view": "unthreaded"})
        assert ids_of(await office.threads("anna")) == ["n1", "m2", "m1"]
        assert ids_of(await office.threads("bert")) == ["n1", "m2"]

    async def test_sorted_by_the_most_recent_activity(self, office: Office) -> None:
        await office.deliver(a_text("m1", 1), a_text("n1", 2, contact_number=NEIGHBOUR), a_missed_call("c1", 3))
        assert ids_of(await office.threads()) == ["c1", "n1"]

    async def test_active_calls_stand_on_top_and_take_their_place_once_they_end(self, office: Office) -> None:
        call = a_ringing_call("c1", 1)
        await office.deliver(call, a_text("n1", 5, contact_number=NEIGHBOUR))
        top, below = await office.threads()
        assert (top["latest"]["communication_id"], top["active_call"], below["active_call"]) == ("c1", True, False)
        assert ids_of(await office.threads(view="unthreaded")) == ["c1", "n1"]
        await office.deliver(newer(call, status="missed", ended_at=at(3), activity_at=at(3), unread_at=at(3)))
        rows = await office.threads()
        assert ids_of(rows) == ["n1", "c1"]
        assert [row["active_call"] for row in rows] == [False, False]
