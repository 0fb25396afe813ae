"""Nobody overwrites what he has not seen: ETag and If-Match over the directory (RFC 9110 §13)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.routing.building import LINE
from tests.routing.conftest import Api

PERSON = {"name": "Anna", "email": "anna@acme.example"}
BODIES: dict[str, dict[str, Any]] = {
    "account": {"name": "Acme Ltd", "time_zone": "Europe/Berlin"},
    "users/anna": PERSON | {"name": "Anna B."},
    "teams/night": {"name": "Night shift", "members": ["chloe"]},
    "inboxes/sales": {"name": "Sales and more", "agents": {"users": ["anna"]}},
    f"lines/{LINE}": {"inbox_id": "sales", "name": "Front desk"},
}


async def put(api: Api, path: str, body: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.client.put(f"/v1/{path}", json=body, headers={**api.headers, **named})


async def get(api: Api, path: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.client.get(f"/v1/{path}", headers={**api.headers, **named})


@pytest.mark.parametrize("path", BODIES)
async def test_a_change_for_an_older_state_is_refused_and_changes_nothing(api: Api, path: str) -> None:
    seen = (await get(api, path)).headers["etag"]
    first = await put(api, path, BODIES[path], If_Match=seen)
    assert first.status_code == 200
    assert first.headers["etag"] == (await get(api, path)).headers["etag"] != seen
    second = await put(api, path, BODIES[path] | {"name": "Overwritten"}, If_Match=seen)
    assert (second.status_code, second.headers["content-type"]) == (412, "application/problem+json")
    assert second.headers["etag"] == first.headers["etag"], "the answer says what to read again"
    assert (await get(api, path)).json()["name"] == BODIES[path]["name"]


async def test_of_many_who_saw_the_same_state_one_wins(api: Api) -> None:
    seen = (await get(api, "teams/night")).headers["etag"]
    answers = await asyncio.gather(
        *(put(api, "teams/night", {"name": f"Night {number}"}, If_Match=seen) for number in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    (winner,) = (answer.json()["name"] for answer in answers if answer.status_code == 200)
    assert (await get(api, "teams/night")).json()["name"] == winner


async def test_a_put_of_the_same_keeps_the_tag(api: Api) -> None:
    before = await get(api, "users/anna")
    again = await put(api, "users/anna", PERSON | {"endpoints": ["sip:1001@pbx"]}, If_Match=before.headers["etag"])
    assert (again.status_code, again.headers["etag"]) == (200, before.headers["etag"])


async def test_what_is_there_already_is_not_created(api: Api) -> None:
    assert (await put(api, "users/anna", PERSON, If_None_Match="*")).status_code == 412
    assert (await put(api, "users/new", PERSON, If_None_Match="*")).status_code == 200


async def test_what_is_not_there_matches_nothing(api: Api) -> None:
    assert (await put(api, "users/new", PERSON, If_Match="*")).status_code == 412
    assert (await put(api, "users/anna", PERSON, If_Match="*")).status_code == 200
    assert (await get(api, "users/new")).status_code == 404


async def test_a_deletion_for_an_older_state_is_refused(api: Api) -> None:
    seen = (await get(api, "teams/night")).headers["etag"]
    await put(api, "teams/night", {"name": "Changed"})
    deleted = await api.client.delete("/v1/teams/night", headers={**api.headers, "If-Match": seen})
    assert deleted.status_code == 412
    now = (await get(api, "teams/night")).headers["etag"]
    deleted = await api.client.delete("/v1/teams/night", headers={**api.headers, "If-Match": f'"0", {now}'})
    assert deleted.status_code == 204


async def test_what_one_has_seen_is_not_sent_again(api: Api) -> None:
    seen = (await get(api, "inboxes/sales")).headers["etag"]
    again = await get(api, "inboxes/sales", If_None_Match=f"W/{seen}")
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", seen)
    await put(api, "inboxes/sales", BODIES["inboxes/sales"])
    assert (await get(api, "inboxes/sales", If_None_Match=seen)).status_code == 200


async def test_who_is_shown_less_has_another_tag(api: Api) -> None:
    as_agent = await get(api.of("ben"), "users/anna")
    assert as_agent.status_code == 200
    assert as_agent.headers["etag"] != (await get(api, "users/anna")).headers["etag"]


@pytest.mark.parametrize("header", ["7", '"open', '"1" "2"', "W/7", ""])
async def test_what_is_no_tag_is_refused_by_the_headers_name(api: Api, header: str) -> None:
    answer = await put(api, "users/anna", PERSON, If_Match=header)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("If-Match: ")


async def test_a_weak_tag_never_allows_a_change(api: Api) -> None:
    seen = (await get(api, "users/anna")).headers["etag"]
    assert (await put(api, "users/anna", PERSON, If_Match=f"W/{seen}")).status_code == 412


async def test_a_bad_body_is_told_before_an_old_tag(api: Api) -> None:
    answer = await put(api, "teams/night", {"name": "Night", "members": ["nobody"]}, If_Match='"0"')
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "members")
