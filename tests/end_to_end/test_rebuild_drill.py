"""The drill of docs/operating.md: inbox_state emptied and filled again shows everybody exactly what he saw."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from contracts.telephony import CallAnswered, CallLeg, CallStarted, MessageSent, MessageStatus
from contracts.topics import EVENT_TOPICS, SERVICES, TELEPHONY_COMMANDS
from devstack.stack import service_environment
from service_kit.clock import utc_now
from tests.end_to_end.company import SALES_LINE, Company
from tests.end_to_end.reference import every_email_is_explained, everything_agrees
from tests.end_to_end.streams import a_stream, deliver
from tests.support import eventually
from tests.support.topics import PARTITIONS

SALES = "/v1/inboxes/sales/threads?view=threaded"
PEOPLE = ("ada", "anna", "ben", "wim")
DERIVED_FROM_VERSIONS = ("version",)


async def everything_is_read(company: Company) -> bool:
    """Whether every service has committed all that lies on the topics that it reads."""
    prefix, bootstrap = company.kafka.prefix, company.kafka.bootstrap
    admin, client = AIOKafkaAdminClient(bootstrap_servers=bootstrap), AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await admin.start()
    await client.start()
    try:
        for service in SERVICES:
            read = [topic.named(prefix) for topic in EVENT_TOPICS if service in topic.consumers]
            partitions = [TopicPartition(name, number) for name in read for number in range(PARTITIONS)]
            committed = await admin.list_consumer_group_offsets(prefix + service)
            for partition, end in (await client.end_offsets(partitions)).items():
                held = committed.get(partition)
                assert end == 0 or (held is not None and held.offset == end), (service, partition)
    finally:
        await client.stop()
        await admin.close()
    return True


async def all_pages(company: Company, path: str, *, as_: str) -> list[dict[str, Any]]:
    """Every item of a list."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await company.get("inbox_state", f"{path}{'&' if '?' in path else '?'}limit=200{cursor}", as_=as_)
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = f"&cursor={page['next_cursor']}"


async def what_they_see(company: Company) -> dict[str, Any]:
    """Everybody's panel, both views with all rows in their order, every thread's communications, and the settings."""
    seen: dict[str, Any] = {}
    for person in PEOPLE:
        look = partial(company.get, "inbox_state", as_=person)
        seen[f"{person}: panel"] = (await look("/v1/panel"))["items"]
        seen[f"{person}: preferences"] = await look("/v1/me/preferences")
        for view in ("threaded", "unthreaded"):
            path = f"/v1/inboxes/all/threads?view={view}"
            seen[f"{person}: {view}"] = await all_pages(company, path, as_=person)
        seen[f"{person}: named"] = await all_pages(company, "/v1/inboxes/all/threads?q=Robin", as_=person)
    for thread in seen["anna: threaded"]:
        path = f"/v1/threads/{thread['thread_id']}/communications"
        seen[thread["thread_id"]] = await all_pages(company, path, as_="anna")
    for inbox_id in ("sales", "support"):
        seen[f"{inbox_id}: automations"] = await company.get(
            "inbox_state", f"/v1/inboxes/{inbox_id}/automations", as_="anna"
        )
    return seen


async def by_hand(company: Company, method: str, path: str, *, as_: str = "anna", **given: Any) -> Any:
    """Something that a person does over HTTP."""
    answer = await company.request("inbox_state", method, path, as_=as_, **given)
    assert answer.status_code < 300, (path, answer.status_code, answer.text)
    return answer.json()


async def telephony_does_both(company: Company, sent: dict[str, Any], placed: dict[str, Any]) -> None:
    """The text is delivered and the call made: left alone, they would fail of themselves while the test goes on."""
    where: dict[str, Any] = {"direction": "outbound", "line_number": SALES_LINE}
    message_id, call_id = sent["communication_id"], placed["communication_id"]
    text = MessageSent(message_id=message_id, contact_number=sent["contact_number"], **where)
    await company.tell("telephony.message.sent.v1", text)
    await company.tell("telephony.message.status.v1", MessageStatus(message_id=message_id, status="delivered"))
    call = CallStarted(call_id=call_id, contact_number=placed["contact_number"], user_id="anna", **where)
    await company.tell("telephony.call.started.v1", call)
    await company.tell("telephony.call.answered.v1", CallAnswered(call_id=call_id, user_id="anna"))
    await company.it_ends(call_id, "completed")


async def a_day_of_work(company: Company) -> None:
    """All that comes over HTTP and decides what is read, on top of what telephony brought."""
    contacts = [f"+1212555020{n}" for n in range(5)]
    for contact in contacts:
        await company.a_text(f"from-{contact}", "Are you there?", contact=contact)

    async def all_five() -> list[dict[str, Any]]:
        rows = {row["contact_number"]: row for row in await all_pages(company, SALES, as_="anna")}
        return [rows[contact] for contact in contacts] if rows.keys() >= set(contacts) else []

    replied, called, marked, halfway, named = await eventually(all_five)
    text = {"to": replied["contact_number"], "body": "On its way."}
    sent = await by_hand(company, "POST", "/v1/inboxes/sales/messages", json=text)
    placed = await by_hand(company, "POST", "/v1/inboxes/sales/calls", json={"to": called["contact_number"]})
    await telephony_does_both(company, sent, placed)
    await by_hand(company, "POST", f"/v1/threads/{marked['thread_id']}/read", json={})
    oldest = (await all_pages(company, f"/v1/threads/{halfway['thread_id']}/communications", as_="anna"))[-1]
    await by_hand(company, "POST", f"/v1/threads/{halfway['thread_id']}/read", json={})
    await by_hand(
        company, "POST", f"/v1/threads/{halfway['thread_id']}/unread", json={"from": oldest["communication_id"]}
    )
    await by_hand(company, "PUT", f"/v1/contacts/{named['contact_number'].replace('+', '%2B')}", json={"name": "Robin"})
    await by_hand(company, "PUT", "/v1/me/preferences", json={"view": "unthreaded"})

    # Ben answers; later he leaves the team, and the inbox is set to manual: what he did then stays as it was decided.
    await company.a_call("answered-by-ben", contact=named["contact_number"])
    await company.tell("telephony.call.answered.v1", CallAnswered(call_id="answered-by-ben", user_id="ben"))
    await company.tell(
        "telephony.call.leg.v1", CallLeg(call_id="answered-by-ben", leg_id="l1", user_id="ben", state="left")
    )
    await company.it_ends("answered-by-ben", "completed")

    async def he_has_read_it() -> bool:
        (row,) = [row for row in await all_pages(company, SALES, as_="anna") if row["thread_id"] == named["thread_id"]]
        return bool(row["unread"] == 0 and row["latest"]["communication_id"] == "answered-by-ben")

    await eventually(he_has_read_it)
    manual_only = {"auto_mark_as_read": {"enabled": False, "after_hours": 720}, "manual_mark_as_read_only": True}
    await by_hand(company, "PUT", "/v1/inboxes/sales/automations", as_="ada", json=manual_only)
    sales = {"name": "Sales", "kind": "connected", "agents": {"users": ["anna"]}}
    await company.put("routing", "/v1/inboxes/sales", sales)

    async def he_is_out() -> bool:
        panel = await company.get("inbox_state", "/v1/panel", as_="ben")
        return all(item["inbox_id"] != "sales" for item in panel["items"])

    await eventually(he_is_out)
    await company.a_text("after-all-that", "Still there?", contact="+12125550777", line=SALES_LINE)
    await eventually(partial(everything_is_read, company), 60)


async def rebuild(company: Company) -> str:
    """`inboxctl rebuild inbox_state --yes`, as the operator types it; returns what it says."""
    dsns = {f"{name.upper()}_DATABASE_URL": company.database.dsn(name) for name in ("routing", "inbox_state")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "devstack.inboxctl", "rebuild", "inbox_state", "--yes"),
        env=service_environment({**company.kafka.environment, **dsns}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


def without_versions(seen: Any) -> Any:
    """The same without what only says how often a row changed."""
    if isinstance(seen, dict):
        return {name: without_versions(value) for name, value in seen.items() if name not in DERIVED_FROM_VERSIONS}
    return [without_versions(one) for one in seen] if isinstance(seen, list) else seen


@pytest.mark.timeout(420)
async def test_inbox_state_emptied_and_filled_again_shows_exactly_the_same_and_tells_nobody(company: Company) -> None:
    # In this one every voicemail has its recording: nothing is left to be mailed after minutes.
    await deliver(company, a_stream(150, utc_now(), seed=3))
    await eventually(partial(everything_agrees, company), 60, every=0.5)
    await a_day_of_work(company)
    await eventually(lambda: len(company.mails()) > 0, 30)
    await eventually(partial(every_email_is_explained, company), 60, every=0.5)
    before = without_versions(await what_they_see(company))
    mails = len(company.mails())
    commands = len(await company.kafka.records(TELEPHONY_COMMANDS))

    said = await rebuild(company)
    assert "emptied" in said
    await eventually(partial(everything_is_read, company), 60)

    after = without_versions(await what_they_see(company))
    for what, was in before.items():
        assert after[what] == was, what
    assert after.keys() == before.keys()
    assert len(company.mails()) == mails
    assert len(await company.kafka.records(TELEPHONY_COMMANDS)) == commands


async def test_a_rebuild_is_only_done_when_it_is_meant(company: Company) -> None:
    dsn = company.database.dsn("inbox_state")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inbox_state.rebuilding"),
        env=service_environment({"INBOX_STATE_DATABASE_URL": dsn}),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"--yes" in said
    assert await company.rows("SELECT FROM inbox_state.directory_ties")
