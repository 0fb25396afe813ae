"""The API beyond the user's document: paging, filters, marks, sending, rights and what it answers to nonsense."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from contracts.directory import Account
from contracts.topics import INBOX_EVENTS, TELEPHONY_COMMANDS
from service_kit.outbox import Relay
from service_kit.publishing import Publisher
from tests.inbox_state.words import (
    CUSTOMER,
    NEIGHBOUR,
    SALES_LINE,
    SUPPORT_LINE,
    Office,
    a_missed_call,
    a_reply,
    a_ringing_call,
    a_text,
    a_user,
    at,
    ids_of,
    newer,
    the_sales_inbox,
)
from tests.support import FreshTopics


async def pages(office: Office, path: str, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        answer = await office.as_("anna").get(path, params=query | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return items


@pytest.mark.parametrize("view", ["threaded", "unthreaded"])
async def test_pages_never_repeat_or_skip_even_where_times_are_equal(office: Office, view: str) -> None:
    texts = [a_text(f"m{n:02}", n % 3, contact_number=f"+1555012{n:04}") for n in range(23)]
    calls = [a_ringing_call(f"c{n}", 1, contact_number=f"+1555013{n:04}") for n in range(3)]
    await office.deliver(*texts, *calls)
    seen = ids_of(await pages(office, "/v1/inboxes/all/threads", view=view, limit=4))
    assert sorted(seen) == sorted(one.communication_id for one in [*texts, *calls])
    assert set(seen[:3]) == {"c0", "c1", "c2"}


async def test_a_thread_shows_its_communications_newest_first(office: Office) -> None:
    await office.deliver(*(a_text(f"m{n}", n) for n in range(7)), a_text("other", 9, contact_number=NEIGHBOUR))
    thread = (await office.threads(limit=2))[1]
    seen = await pages(office, f"/v1/threads/{thread['thread_id']}/communications", limit=3)
    assert ids_of(seen) == [f"m{n}" for n in reversed(range(7))]
    assert {(one["thread_id"], one["inbox_name"], one["unread"], one["active"]) for one in seen} == {
        (thread["thread_id"], "Sales", True, False)
    }


async def test_filters_narrow_both_views(office: Office) -> None:
    await office.deliver(
        a_text("read", 1),
        a_reply("reply", 2),
        a_missed_call("call", 3, contact_number=NEIGHBOUR),
        a_ringing_call("ringing", 4, contact_number="+15550123003"),
        a_text("second", 5, contact_number="+15550123004", line_number=SUPPORT_LINE),
    )
    assert ids_of(await office.threads(unread=True)) == ["second", "call"]
    assert ids_of(await office.threads(unread=False)) == ["ringing", "reply"]
    assert ids_of(await office.threads(active=True)) == ["ringing"]
    assert ids_of(await office.threads(kind="call")) == ["ringing", "call"]
    assert ids_of(await office.threads(line=SUPPORT_LINE)) == ["second"]
    assert ids_of(await office.threads(view="unthreaded", unread=True)) == ["second", "call"]
    assert ids_of(await office.threads(view="unthreaded", unread=False)) == ["ringing", "reply", "read"]
    assert ids_of(await office.threads(view="unthreaded", active=True)) == ["ringing"]
    assert ids_of(await office.threads(view="unthreaded", kind="call")) == ["ringing", "call"]
    assert ids_of(await office.threads(view="unthreaded", line=SUPPORT_LINE)) == ["second"]


async def test_all_inboxes_is_the_union_of_those_one_is_tied_to(office: Office) -> None:
    await office.deliver(
        a_text("sales", 1), a_text("annas", 2, inbox_id="annas"), a_text("support", 3, inbox_id="support")
    )
    rows = await office.threads("anna", "all")
    assert [(row["inbox_id"], row["inbox_name"]) for row in rows] == [("annas", "Anna"), ("sales", "Sales")]
    assert await office.threads("adam", "all") == []


async def test_opening_and_viewing_never_changes_unread(office: Office) -> None:
    await office.deliver(a_text("m1", 1))
    thread = await office.the_thread()
    for path in (f"/v1/threads/{thread['thread_id']}", f"/v1/threads/{thread['thread_id']}/communications"):
        assert (await office.as_("anna").get(path)).status_code == 200
    assert await office.unread() == 1


async def test_marking_read_through_what_was_seen_leaves_what_arrived_meanwhile_unread(office: Office) -> None:
    await office.deliver(a_text("m1", 1), a_text("m2", 2))
    thread_id = (await office.the_thread())["thread_id"]
    await office.deliver(a_text("m3", 3))
    answer = await office.as_("anna").post(f"/v1/threads/{thread_id}/read", json={"through": "m2"})
    assert answer.json()["unread"] == 1
    again = await office.as_("anna").post(f"/v1/threads/{thread_id}/read", json={"through": "m1"})
    assert again.json()["unread"] == 1


async def test_what_arrives_late_is_never_silently_read(office: Office) -> None:
    await office.deliver(a_text("m1", 10))
    thread_id = (await office.the_thread())["thread_id"]
    await office.as_("anna").post(f"/v1/threads/{thread_id}/read")
    await office.deliver(a_text("late", 20, unread_at=at(5), activity_at=at(5)))
    assert await office.unread() == 1


async def test_marking_unread_from_a_communication_on(office: Office) -> None:
    await office.deliver(*(a_text(f"m{n}", 1) for n in range(5)), a_reply("m9", 2))
    thread_id = (await office.the_thread())["thread_id"]
    answer = await office.as_("anna").post(f"/v1/threads/{thread_id}/unread", json={"from": "m3"})
    assert answer.json()["unread"] == 2
    unread = [one["communication_id"] for one in await office.threads(view="unthreaded", unread=True)]
    assert unread == ["m4", "m3"]


async def test_a_mark_needs_a_communication_of_the_thread(office: Office) -> None:
    await office.deliver(a_text("m1", 1), a_text("n1", 2, contact_number=NEIGHBOUR))
    thread_id = (await office.threads())[1]["thread_id"]
    answer = await office.as_("anna").post(f"/v1/threads/{thread_id}/unread", json={"from": "n1"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "from")
    answer = await office.as_("anna").post(f"/v1/threads/{thread_id}/read", json={"through": "nothing"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "through")


async def test_a_whole_inbox_can_be_marked_read(office: Office) -> None:
    await office.deliver(
        a_text("m1", 1), a_text("m2", 2), a_text("n1", 3, contact_number=NEIGHBOUR), a_text("a1", 4, inbox_id="annas")
    )
    answer = await office.as_("bert").post("/v1/inboxes/sales/read")
    assert answer.json() == {"marked": 3}
    assert (await office.unread(), await office.unread(inbox="annas")) == (0, 1)


async def test_a_message_shows_at_once_as_queued_and_telephony_moves_it(office: Office) -> None:
    office.clock.now = at(5)
    sent = (
        await office.as_("anna").post("/v1/inboxes/sales/messages", json={"to": "+1 (555) 012-3001", "body": "Hi"})
    ).json()
    assert (sent["status"], sent["contact_number"], sent["user_id"]) == ("queued", CUSTOMER, "anna")
    thread = await office.the_thread()
    assert thread["latest"] == sent
    requested = a_reply(
        sent["communication_id"],
        6,
        status="delivered",
        body="Hi",
        requested_at=at(5),
        received_at=at(5),
        activity_at=at(5),
    )
    await office.deliver(requested)
    assert (await office.the_thread())["latest"]["status"] == "delivered"


async def test_the_echo_of_a_reply_reads_nothing_that_came_after_it(office: Office) -> None:
    await office.deliver(a_text("m1", 1))
    office.clock.now = at(5)
    sent = (await office.as_("anna").post("/v1/inboxes/sales/messages", json={"to": CUSTOMER, "body": "Hi"})).json()
    assert await office.unread() == 0
    await office.deliver(a_text("m2", 4))
    await office.deliver(a_reply(sent["communication_id"], 6, requested_at=at(5), received_at=at(5), activity_at=at(5)))
    assert await office.unread() == 1


async def test_a_request_leaves_a_fact_a_command_and_the_thread_in_the_outbox(office: Office) -> None:
    await office.as_("anna").post("/v1/inboxes/sales/messages", json={"to": CUSTOMER, "body": "Hi", "from": SALES_LINE})
    await office.as_("anna").post("/v1/inboxes/sales/calls", json={"to": CUSTOMER})
    async with office.database.connection() as connection:
        rows = await connection.fetch("SELECT topic, header_names, header_values, value FROM outbox ORDER BY id")
    types = [dict(zip(row["header_names"], row["header_values"], strict=True))["ce_type"].decode() for row in rows]
    assert list(zip((row["topic"] for row in rows), types, strict=True)) == [
        ("inbox-events", "inbox.message.requested.v1"),
        ("telephony-commands", "telephony.send_message.v1"),
        ("inbox-events", "inbox.thread.changed.v1"),
        ("inbox-events", "inbox.call.requested.v1"),
        ("telephony-commands", "telephony.place_call.v1"),
        ("inbox-events", "inbox.thread.changed.v1"),
    ]
    assert b'"system":"pbx"' in rows[1]["value"]
    assert b'"sip:1001@pbx"' in rows[4]["value"]


async def test_a_call_that_waited_for_the_broker_until_it_expired_is_placed_no_more(
    office: Office, kafka: FreshTopics
) -> None:
    asked = office.as_("anna")
    sent = await asked.post("/v1/inboxes/sales/messages", json={"to": CUSTOMER, "body": "Hi"})
    called = await asked.post("/v1/inboxes/sales/calls", json={"to": CUSTOMER})
    assert (sent.status_code, called.status_code) == (202, 202)
    publisher = Publisher(kafka.settings, client_id="tests")
    await publisher.open()
    try:
        # The broker is back after five minutes: a call is worth one, a text ten.
        back_at = office.clock() + timedelta(minutes=5)
        await Relay(office.database, publisher, service="inbox_state", clock=lambda: back_at).relay_batch()
    finally:
        await publisher.close()
    (command,) = await kafka.records(TELEPHONY_COMMANDS, at_least=1)
    headers = dict(command.headers)
    assert headers["ce_type"] == b"telephony.send_message.v1"
    # What the header says is what the command says: telephony systems look at either.
    expires_at = datetime.fromisoformat(orjson.loads(command.value)["expires_at"])
    assert datetime.fromisoformat(headers["ce_expirytime"].decode()) == expires_at
    # Routing hears of both, or it could not show the call as failed.
    facts = [dict(record.headers)["ce_type"] for record in await kafka.records(INBOX_EVENTS, at_least=4)]
    assert {b"inbox.message.requested.v1", b"inbox.call.requested.v1"} < set(facts)


async def test_the_same_idempotency_key_changes_nothing_and_answers_the_same(office: Office) -> None:
    key = {"Idempotency-Key": "once"}
    anna = office.as_("anna")
    body = {"to": CUSTOMER, "body": "Hi"}
    first = await anna.post("/v1/inboxes/sales/messages", json=body, headers=key)
    second = await anna.post("/v1/inboxes/sales/messages", json=body, headers=key)
    other = await anna.post("/v1/inboxes/sales/messages", json=body | {"body": "Other"}, headers=key)
    assert (first.status_code, second.status_code, second.json()) == (202, 202, first.json())
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert len(await office.threads(view="unthreaded")) == 1


async def test_an_idempotency_key_holds_for_seven_days(office: Office) -> None:
    async def sent() -> str:
        body = {"to": CUSTOMER, "body": "Hi"}
        answer = await office.as_("anna").post(
            "/v1/inboxes/sales/messages", json=body, headers={"Idempotency-Key": "once"}
        )
        return str(answer.json()["communication_id"])

    first = await sent()
    office.clock.now += timedelta(days=7)
    await office.tick()
    assert await sent() == first
    office.clock.now += timedelta(seconds=1)
    await office.tick()
    assert await sent() != first


@pytest.mark.parametrize(
    ("user", "inbox", "body", "status", "field"),
    [
        ("anna", "sales", {"to": "anonymous", "body": "Hi"}, 422, "to"),
        ("anna", "sales", {"to": "ACME", "body": "Hi"}, 422, "to"),
        ("anna", "sales", {"to": CUSTOMER, "body": "Hi", "from": SUPPORT_LINE}, 422, "from"),
        ("anna", "sales", {"to": CUSTOMER}, 422, "body"),
        ("anna", "annas", {"to": CUSTOMER, "body": "Hi"}, 409, None),
        ("sue", "sales", {}, 404, None),
        ("wilma", "sales", {}, 403, None),
        ("adam", "sales", {}, 404, None),
        ("gone", "sales", {}, 403, None),
        ("nobody", "sales", {}, 403, None),
    ],
)
async def test_what_cannot_be_sent_is_refused_in_the_right_order(
    office: Office, user: str, inbox: str, body: dict[str, str], status: int, field: str | None
) -> None:
    answer = await office.as_(user).post(f"/v1/inboxes/{inbox}/messages", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert field is None or answer.json()["errors"][0]["field"] == field


async def test_without_a_token_everything_answers_401(office: Office) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=office.app), base_url="http://x") as nobody:
        for method, path in (
            ("GET", "/v1/panel"),
            ("GET", "/v1/inboxes/sales/threads"),
            ("POST", "/v1/inboxes/sales/messages"),
            ("PUT", "/v1/inboxes/sales/automations"),
            ("GET", "/v1/audit/inbox-state"),
        ):
            assert (await nobody.request(method, path)).status_code == 401


async def test_admins_see_a_foreign_inbox_only_if_the_account_lets_them_and_never_act(office: Office) -> None:
    await office.deliver(a_text("m1", 1))
    assert (await office.as_("adam").get("/v1/inboxes/sales/threads")).status_code == 404
    await office.learn(Account(version=2, name="Acme", time_zone="Europe/Berlin", admins_see_all=True))
    assert ids_of(await office.threads("adam", "all")) == ["m1"]
    panel = (await office.as_("adam").get("/v1/panel")).json()["items"]
    assert {row["access"] for row in panel} == {"admin"}
    assert (await office.as_("adam").post("/v1/inboxes/sales/read")).status_code == 403


async def test_a_change_of_members_takes_effect_at_once(office: Office) -> None:
    await office.deliver(a_text("m1", 1))
    await office.learn(the_sales_inbox(2, connected=("anna",)))
    assert (await office.as_("bert").get("/v1/inboxes/sales/threads")).status_code == 404
    await office.learn(a_user("anna", 2, active=False))
    assert (await office.as_("anna").get("/v1/inboxes/sales/threads")).status_code == 403


async def test_accounts_never_see_each_other(office: Office) -> None:
    await office.deliver(a_text("m1", 1))
    thread_id = (await office.the_thread())["thread_id"]
    await office.learn(
        Account(version=1, name="Other", time_zone="UTC"), a_user("anna"), the_sales_inbox(), account_id="other"
    )
    stranger = office.as_("anna", account_id="other")
    assert (await stranger.get("/v1/inboxes/sales/threads")).json()["items"] == []
    assert (await stranger.get(f"/v1/threads/{thread_id}")).status_code == 404


async def test_a_machine_sets_automations_but_sees_no_communications(office: Office) -> None:
    machine = office.as_("terraform", scope="directory")
    body = {"auto_mark_as_read": {"enabled": True, "after_hours": 24}, "manual_mark_as_read_only": False}
    assert (await machine.put("/v1/inboxes/sales/automations", json=body)).json() == body
    assert (await machine.get("/v1/inboxes/sales/automations")).json() == body
    assert (await machine.put("/v1/inboxes/none/automations", json=body)).status_code == 404
    assert (await machine.get("/v1/inboxes/sales/threads")).status_code == 403
    audit = (await machine.get("/v1/audit/inbox-state")).json()["items"]
    assert [(entry["by"], entry["entity"], entry["entity_id"], entry["before"], entry["after"]) for entry in audit] == [
        ("terraform", "automations", "sales", None, body)
    ]


async def test_setting_the_same_again_changes_and_records_nothing(office: Office) -> None:
    body = {"auto_mark_as_read": {"enabled": True, "after_hours": 24}, "manual_mark_as_read_only": False}
    for _ in range(3):
        await office.as_("adam").put("/v1/inboxes/sales/automations", json=body)
    audit = (await office.as_("adam").get("/v1/audit/inbox-state")).json()["items"]
    assert len(audit) == 1
    wrong = body | {"auto_mark_as_read": {"enabled": True, "after_hours": 0}}
    refused = await office.as_("adam").put("/v1/inboxes/sales/automations", json=wrong)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "auto_mark_as_read.after_hours")
    assert (await office.as_("anna").get("/v1/audit/inbox-state")).status_code == 403


async def test_a_name_that_somebody_gave_shows_in_every_row(office: Office) -> None:
    await office.deliver(a_text("m1", 1, contact_name="WIRELESS CALLER"))
    assert (await office.the_thread())["contact_name"] == "WIRELESS CALLER"
    for path in (f"/v1/contacts/{CUSTOMER}", f"/v1/contacts/%20{CUSTOMER[1:]}"):
        answer = await office.as_("anna").put(path, json={"name": "Clara"})
        assert answer.json() == {"contact_number": CUSTOMER, "name": "Clara"}
    thread = await office.the_thread()
    assert (thread["contact_name"], thread["latest"]["contact_name"]) == ("Clara", "Clara")
    assert (await office.as_("wilma").put(f"/v1/contacts/{CUSTOMER}", json={"name": "X"})).status_code == 403
    assert (await office.as_("anna").put("/v1/contacts/anonymous", json={"name": "X"})).status_code == 422


async def test_a_reply_without_a_name_does_not_hide_the_contacts(office: Office) -> None:
    await office.deliver(a_text("m1", 1, contact_name="Clara"), a_text("m2", 2, contact_name="Clara Klein"))
    await office.deliver(a_reply("m3", 3), a_missed_call("c1", 4))
    thread = await office.the_thread()
    assert (thread["contact_name"], thread["latest"].get("contact_name")) == ("Clara Klein", None)
    await office.deliver(a_text("m2", 2, contact_name=None, version=2))
    assert (await office.the_thread())["contact_name"] == "Clara"
    await office.deliver(a_text("m1", 1, inbox_id="annas", contact_name="Clara", version=2))
    assert (await office.the_thread())["contact_name"] is None


async def test_a_manual_unread_between_two_deliveries_gives_what_one_after_both_gives(office: Office) -> None:
    async def so_much_is_unread(contact: str, reply_is_late: bool) -> list[str]:
        def of(kind: str) -> str:
            return f"{kind}-{contact[-1]}"

        reply = a_reply(of("reply"), 3, contact_number=contact)
        await office.deliver(*(a_text(of(f"m{n}"), n, contact_number=contact) for n in (1, 2, 5)))
        if not reply_is_late:
            await office.deliver(reply)
        rows = await office.threads()
        (thread_id,) = [row["thread_id"] for row in rows if row["contact_number"] == contact]
        office.clock.now = at(10)
        await office.as_("anna").post(f"/v1/threads/{thread_id}/unread", json={"from": of("m2")})
        await office.deliver(reply)
        shown = await office.threads(view="unthreaded", unread=True, q=contact)
        return [row["communication_id"][:2] for row in shown]

    early, late = await so_much_is_unread(CUSTOMER, False), await so_much_is_unread(NEIGHBOUR, True)
    assert early == late == ["m5", "m2"]


async def test_a_reply_that_fails_flags_the_thread_until_one_succeeds(office: Office) -> None:
    reply = a_reply("m1", 1)
    await office.deliver(reply)
    assert not (await office.the_thread())["send_failed"]
    await office.deliver(newer(reply, status="undelivered"))
    assert (await office.the_thread())["send_failed"]
    assert ids_of(await office.threads(failed=True)) == ["m1"]
    await office.deliver(a_reply("m2", 2, status="sending"))
    assert (await office.the_thread())["send_failed"]
    await office.deliver(a_reply("m2", 2, status="delivered", version=2))
    assert not (await office.the_thread())["send_failed"]


async def test_nonsense_is_answered_clearly(office: Office) -> None:
    anna = office.as_("anna")
    for cursor in ("nonsense", "W10", "WzEsMiwzXQ"):
        answer = await anna.get("/v1/inboxes/sales/threads", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")
    assert (await anna.get("/v1/inboxes/sa%00les/threads")).status_code == 404
    assert (await anna.get("/v1/threads/%00")).status_code == 404
    assert (await anna.get("/v1/inboxes/sales/threads", params={"view": "sideways"})).status_code == 422
    assert (await anna.get("/v1/inboxes/sales/threads", params={"limit": 0})).status_code == 422


async def test_bodies_keep_all_but_nul(office: Office) -> None:
    sent = await office.as_("anna").post("/v1/inboxes/sales/messages", json={"to": CUSTOMER, "body": "a\0b ☎ 'x'"})
    assert sent.json()["body"] == "a\ufffdb ☎ 'x'"
