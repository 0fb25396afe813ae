"""Filters, search and export over HTTP (I5)."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from contracts.directory import Agents, Inbox
from inbox_state.http_api import export
from inbox_state.http_api.export import safe_cell
from inbox_state.storage import lists, search
from tests.inbox_state.words import (
    CUSTOMER,
    NEIGHBOUR,
    SALES_LINE,
    Office,
    a_missed_call,
    a_reply,
    a_ringing_call,
    a_text,
    at,
    ids_of,
    newer,
    the_sales_inbox,
)


@pytest.fixture(params=["few hits", "many hits"])
def however_many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of looking: hits looked up one by one, and the list walked through."""
    if request.param == "many hits":
        monkeypatch.setattr(search, "FEW", 0)


async def found(office: Office, q: str, inbox: str = "sales", **query: Any) -> tuple[list[str], list[str]]:
    """The latest communications of the threads found, and the communications found."""
    threaded = ids_of(await office.threads(q=q, inbox=inbox, **query))
    return threaded, ids_of(await office.threads(q=q, inbox=inbox, view="unthreaded", **query))


@pytest.fixture
async def full(office: Office) -> Office:
    """Sales with a few contacts."""
    await office.deliver(
        a_text("m1", 1, body="Where is my Invoice?", contact_name="Clara Klein"),
        a_reply("m2", 2, body="Here it is."),
        a_text("n1", 3, contact_number=NEIGHBOUR, body="Für José: die Rechnung 4711"),
        a_missed_call("c1", 4, contact_number="+493012345678", voicemail={"transcript": "It's about the invoice"}),
        a_text("s1", 5, contact_number="83729", body="Your code is 123456"),
        a_text("x1", 6, contact_number="ACME", body="Newsletter"),
        a_ringing_call("w1", 0, contact_number="anonymous"),
        a_text("p1", 7, inbox_id="annas", body="a private invoice"),
        a_text("z1", 8, inbox_id="support", body="an invoice for support"),
    )
    return office


FOUND: tuple[tuple[str, list[str], list[str]], ...] = (
    ("+1 555 012 3001", ["m2"], ["m2", "m1"]),
    ("+1555", ["n1", "m2"], ["n1", "m2", "m1"]),
    ("0123001", ["m2"], ["m2", "m1"]),
    ("3002", ["n1"], ["n1"]),
    ("030 12345678", ["c1"], ["c1"]),
    ("0049 30 12345678", ["c1"], ["c1"]),
    ("83729", ["s1"], ["s1"]),
    ("acme", ["x1"], ["x1"]),
    ("anonymous", ["w1"], ["w1"]),
    ("clara", ["m2"], ["m2", "m1"]),
    ("klein clara", ["m2"], ["m2", "m1"]),
    ("clara wrong", [], []),
    ("invoice", ["c1", "m2"], ["c1", "m1"]),
    ("INVOI", ["c1", "m2"], ["c1", "m1"]),
    ("my invoice", ["m2"], ["m1"]),
    ("jose", ["n1"], ["n1"]),
    ("4711", ["n1"], ["n1"]),
    ("nothing of the kind", [], []),
    ("'; DROP TABLE threads --", [], []),
    ("back\\slash' & | ! :*", [], []),
)
"""What is looked for; the latest communication of each thread found; each communication found."""


@pytest.mark.usefixtures("however_many")
async def test_search_by_number_name_and_text(full: Office) -> None:
    assert [(q, *await found(full, q)) for q, _, _ in FOUND] == list(FOUND)


@pytest.mark.usefixtures("however_many")
async def test_search_goes_through_ones_own_inboxes_only_and_with_every_filter(full: Office) -> None:
    assert await found(full, "invoice", "all") == (["p1", "c1", "m2"], ["p1", "c1", "m1"])
    assert (await full.threads("sue", "all", q="invoice"))[0]["latest"]["communication_id"] == "z1"
    assert await full.threads("adam", "all", q="invoice") == []
    assert await found(full, "invoice", unread=True) == (["c1"], ["c1"])
    assert await found(full, "invoice", unread=False) == (["m2"], ["m1"])
    assert await found(full, "invoice", kind="call") == (["c1"], ["c1"])
    assert await found(full, "invoice", kind="message", line=SALES_LINE) == (["m2"], ["m1"])
    assert await found(full, "invoice", active=True) == ([], [])
    assert await found(full, "anonymous", active=True) == (["w1"], ["w1"])
    assert await found(full, "invoice", failed=True) == ([], [])


@pytest.mark.usefixtures("however_many")
async def test_a_given_name_finds_and_so_does_the_latest_one_of_telephony(full: Office) -> None:
    await full.as_("anna").put(f"/v1/contacts/{NEIGHBOUR}", json={"name": "Zoë the Neighbour"})
    assert await found(full, "zoe") == (["n1"], ["n1"])
    await full.deliver(a_text("m3", 9, contact_name="Mrs Klein-Gross"))
    assert await found(full, "gross klein") == (["m3"], ["m3", "m2", "m1"])
    assert await found(full, "clara") == ([], [])


@pytest.mark.usefixtures("however_many")
async def test_what_moves_or_changes_is_found_where_it_is_and_as_it_is(full: Office) -> None:
    text = a_text("m1", 1, body="Where is my Invoice?", contact_name="Clara Klein", version=2)
    await full.deliver(newer(text, inbox_id="annas", body="Where is my parcel?"))
    assert await found(full, "invoice") == (["c1"], ["c1"])
    assert await found(full, "parcel", "all") == (["p1"], ["m1"])
    assert await found(full, "clara") == ([], [])
    assert await found(full, "clara", "annas") == (["p1"], ["p1", "m1"])


@pytest.mark.usefixtures("however_many")
@pytest.mark.parametrize("view", ["threaded", "unthreaded"])
async def test_pages_of_a_search_never_repeat_or_skip(office: Office, view: str) -> None:
    texts = [a_text(f"m{n:02}", n % 3, contact_number=f"+1555012{n:04}", body="needle") for n in range(17)]
    calls = [a_ringing_call(f"c{n}", 1, contact_number=f"+1555012{n:04}") for n in range(3)]
    await office.deliver(*texts, *calls, a_text("other", 9, contact_number="+4930123456"))
    seen: list[str] = []
    cursor = None
    while True:
        query: dict[str, str] = {"view": view, "limit": "3", "q": "+1555"} | ({"cursor": cursor} if cursor else {})
        page = (await office.as_("anna").get("/v1/inboxes/all/threads", params=query)).json()
        seen += ids_of(page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    expected = {one.communication_id for one in [*texts, *calls]}
    if view == "threaded":
        # Either of a contact's two is his latest.
        assert len(seen) == len(set(seen)) == 17
    else:
        assert sorted(seen) == sorted(expected)
    assert set(seen[:3]) & {"c0", "c1", "c2"} or view == "threaded"


async def test_a_search_for_nothing_is_refused_and_an_empty_one_is_none(full: Office) -> None:
    answer = await full.as_("anna").get("/v1/inboxes/sales/threads", params={"q": "?!"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "q")
    answer = await full.as_("anna").get("/v1/inboxes/sales/threads", params={"q": "x" * 201})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "q")
    assert len(await full.threads(q=" ")) == 6


async def test_a_team_narrows_a_list_to_the_inboxes_that_it_works(full: Office) -> None:
    await full.learn(the_sales_inbox(2, agents=Agents(users=("anna", "bert"), teams=("first",))))
    await full.learn(
        Inbox(
            version=2,
            inbox_id="support",
            name="Support",
            kind="connected",
            connected=("sue",),
            agents=Agents(teams=("first",)),
        )
    )
    assert {row["inbox_id"] for row in await full.threads("anna", "all")} == {"annas", "sales"}
    assert {row["inbox_id"] for row in await full.threads("anna", "all", team="first")} == {"sales"}
    assert len(await full.threads("anna", "sales", team="first")) == 6
    assert await full.threads("anna", "annas", team="first") == []
    assert await full.threads("anna", "all", team="unknown") == []


async def test_what_failed_is_listed_in_both_views(office: Office) -> None:
    await office.deliver(
        a_reply("m1", 1, status="undelivered"),
        a_reply("m2", 2, by=None, status="failed", contact_number=NEIGHBOUR),
        a_missed_call("c1", 3, status="failed", contact_number="+15550123003"),
        a_text("m3", 4, contact_number="+15550123004"),
    )
    assert ids_of(await office.threads(failed=True)) == ["m1"]
    assert ids_of(await office.threads(view="unthreaded", failed=True)) == ["c1", "m2", "m1"]
    assert ids_of(await office.threads(view="unthreaded", failed=False)) == ["m3"]


async def exported(office: Office, user: str = "anna", inbox: str = "sales", **query: Any) -> list[dict[str, str]]:
    answer = await office.as_(user).get(
        f"/v1/inboxes/{inbox}/threads", params=query, headers={"Accept": "text/csv, application/json;q=0.5"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv; charset=utf-8")
    assert answer.headers["content-disposition"] == f'attachment; filename="communications-{inbox}.csv"'
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


async def test_the_unthreaded_list_is_exported_whole_in_its_order(
    full: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr("inbox_state.http_api.views.ROWS_AT_ONCE", 2)
    rows = await exported(full, limit=1)
    assert [row["communication_id"] for row in rows] == ids_of(await full.threads(view="unthreaded"))
    first = {row["communication_id"]: row for row in rows}["m1"]
    assert (first["inbox_name"], first["kind"], first["direction"], first["status"]) == (
        "Sales",
        "message",
        "inbound",
        "received",
    )
    assert (first["body"], first["contact_name"], first["unread"]) == ("Where is my Invoice?", "Clara Klein", "false")
    assert (first["activity_at"], first["answered_at"]) == (at(1).isoformat().replace("+00:00", "Z"), "")
    spoken = {row["communication_id"]: row for row in rows}["c1"]
    assert spoken["voicemail_transcript"] == "It's about the invoice"
    assert [row["communication_id"] for row in await exported(full, q="invoice", unread=True)] == ["c1"]
    assert {row["inbox_id"] for row in await exported(full, inbox="all")} == {"sales", "annas"}


async def test_no_cell_of_an_export_can_run_as_a_formula(office: Office) -> None:
    bodies = ["=1+1", "+cmd", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", 'a "quoted", text\nover lines']
    await office.deliver(
        *(a_text(f"m{n}", n, body=body, contact_name="=HYPERLINK(1)") for n, body in enumerate(bodies))
    )
    rows = {row["communication_id"]: row for row in await exported(office)}
    assert {(row["contact_number"], row["line_number"], row["contact_name"]) for row in rows.values()} == {
        (f"'{CUSTOMER}", f"'{SALES_LINE}", "'=HYPERLINK(1)")
    }
    assert [rows[f"m{n}"]["body"] for n in range(len(bodies))] == [*(f"'{body}" for body in bodies[:-1]), bodies[-1]]
    assert safe_cell(-3) == "-3"


async def test_an_export_is_for_whoever_may_read_the_list(full: Office) -> None:
    headers = {"Accept": "text/csv"}
    assert (await full.as_("sue").get("/v1/inboxes/sales/threads", headers=headers)).status_code == 404
    assert len(await exported(full, "wilma")) == 7
    refused = await full.as_("anna").get("/v1/inboxes/sales/threads", params={"view": "threaded"}, headers=headers)
    assert (refused.status_code, refused.headers["content-type"]) == (406, "application/problem+json")
    empty = await full.as_("anna").get("/v1/inboxes/sales/threads", params={"q": "nothing here"}, headers=headers)
    assert empty.text.splitlines() == [",".join(export.COLUMNS)]


async def test_who_loses_an_inbox_while_he_exports_it_gets_no_more_of_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inbox_state.http_api.views.ROWS_AT_ONCE", 2)
    await office.deliver(*(a_text(f"m{n}", n) for n in range(9)), a_text("own", 0, inbox_id="annas"))
    pages = 0
    page_of = lists.communications_page

    async def and_then_lose_it(*given: Any) -> Any:
        nonlocal pages
        pages += 1
        rows = await page_of(*given)
        if pages == 2:
            await office.learn(the_sales_inbox(2, connected=("bert",)))
        return rows

    monkeypatch.setattr(lists, "communications_page", and_then_lose_it)
    assert [row["communication_id"] for row in await exported(office, inbox="all")] == ["m8", "m7", "m6", "m5", "own"]
