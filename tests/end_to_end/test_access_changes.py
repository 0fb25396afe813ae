"""Who leaves a team loses what it gave him, everywhere and at once (I2): from routing's API to open streams."""

from __future__ import annotations

import time
from typing import Any

from tests.conftest import StartService
from tests.end_to_end.company import ACCOUNT, SALES_LINE, Company
from tests.support import FreshDatabase, FreshTopics, bearer, eventually
from tests.support.streams import open_stream

WITHIN_SECONDS = 5.0
CONTACT = "+15550123001"


async def test_an_agent_who_leaves_a_team_gets_404_within_five_seconds_and_his_stream_says_gone(
    kafka: FreshTopics, database: FreshDatabase, running_service: StartService, tmp_path: Any
) -> None:
    services = {name: await running_service(name) for name in ("routing", "inbox_state")}
    company = Company(kafka, database, tmp_path, services)
    url = services["inbox_state"].url
    await company.put("routing", "/v1/account", {"name": "Acme", "time_zone": "UTC"})
    for user_id in ("anna", "ben"):
        await company.put("routing", f"/v1/users/{user_id}", {"name": user_id, "email": f"{user_id}@acme.example"})
    await company.put("routing", "/v1/teams/first", {"name": "First", "members": ["anna", "ben"]})
    sales: dict[str, Any] = {"name": "Sales", "kind": "connected", "agents": {"users": [], "teams": ["first"]}}
    await company.put("routing", "/v1/inboxes/sales", sales)
    await company.put("routing", f"/v1/lines/{SALES_LINE}", {"inbox_id": "sales"})
    own: dict[str, Any] = {"name": "Anna's", "kind": "personal", "owner_id": "anna"}
    await company.put("routing", "/v1/inboxes/annas", own)
    await company.put("routing", "/v1/lines/+12125550109", {"inbox_id": "annas"})
    await company.a_text("m1", "about the invoice", contact=CONTACT)
    await company.a_text("m2", "hello Anna", contact=CONTACT, line="+12125550109")

    async def both_are_there() -> bool:
        answer = await company.request("inbox_state", "GET", "/v1/inboxes/all/threads", as_="anna")
        return answer.status_code == 200 and len(answer.json()["items"]) == 2

    await eventually(both_are_there, 40, because="both texts")
    thread_id = (await company.threads("sales"))[0]["thread_id"]
    streams = {user_id: await open_stream(url, bearer(user_id, ACCOUNT)) for user_id in ("anna", "ben")}
    await company.a_text("m3", "more about it", contact=CONTACT)
    for stream in streams.values():
        await stream.hears(lambda heard: any(one.data.get("communication_id") == "m3" for one in heard))

    began = time.monotonic()
    await company.put("routing", "/v1/teams/first", {"name": "First", "members": ["ben"]})

    async def refused() -> bool:
        answer = await company.request("inbox_state", "GET", "/v1/inboxes/sales/threads", as_="anna")
        return answer.status_code == 404

    await eventually(refused, WITHIN_SECONDS, because="404")
    await streams["anna"].hears(
        lambda heard: any(one.event == "gone" and one.data == {"inbox_id": "sales"} for one in heard),
        WITHIN_SECONDS - (time.monotonic() - began),
    )
    for method, path in (
        ("GET", f"/v1/threads/{thread_id}"),
        ("GET", f"/v1/threads/{thread_id}/communications"),
        ("POST", f"/v1/threads/{thread_id}/read"),
        ("POST", "/v1/inboxes/sales/messages"),
        ("GET", "/v1/stream?inbox_id=sales"),
    ):
        assert (await company.request("inbox_state", method, path, as_="anna")).status_code == 404, path
    panel = await company.get("inbox_state", "/v1/panel", as_="anna")
    assert [row["inbox_id"] for row in panel["items"]] == ["annas"]
    assert await company.get("inbox_state", "/v1/inboxes/all/threads?q=invoice", as_="anna") == {
        "items": [],
        "next_cursor": None,
    }
    exported = await company.request(
        "inbox_state", "GET", "/v1/inboxes/all/threads", as_="anna", headers={"Accept": "text/csv"}
    )
    assert "m2" in exported.text
    assert "m1" not in exported.text

    told = len(streams["anna"].heard)
    await company.a_text("m4", "and more", contact=CONTACT)
    await company.a_text("m5", "hello again", contact=CONTACT, line="+12125550109")
    await streams["ben"].hears(lambda heard: any(one.data.get("communication_id") == "m4" for one in heard))
    await streams["anna"].hears(lambda heard: any(one.data.get("communication_id") == "m5" for one in heard))
    gone = next(n for n, one in enumerate(streams["anna"].heard) if one.event == "gone")
    assert told > gone
    assert not [one for one in streams["anna"].heard[gone + 1 :] if one.data.get("inbox_id") == "sales"]
