"""Pages of administration, reports and one's own, without a browser."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.datastructures import FormData

from console.pages.admin import differences
from console.pages.editing import Edit, Typed, id_from, print_of
from service_kit.http import invalid
from tests.console.browser.office import Office
from tests.support.http import http_client


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Customer Support", "customer-support"),
        ("Größe & Co.", "grosse-co"),
        ("  ", ""),
        ("客服", ""),
        ("x" * 80, "x" * 64),
    ],
)
def test_an_id_is_made_from_a_name(name: str, wanted: str) -> None:
    assert id_from(name) == wanted


def test_a_form_reads_numbers_and_leaves_the_rest_as_it_was_typed() -> None:
    typed = Typed(FormData([("a", " 15 "), ("b", "soon"), ("c", "1\n2, 3"), ("d", "x"), ("d", "y")]))
    assert (typed.number("a"), typed.number("b"), typed.number("missing")) == (15, "soon", "")
    assert typed.lines("c") == ["1", "2", "3"]
    assert typed.many("d") == ["x", "y"]
    assert (typed.on("a"), typed.on("missing")) == (True, False)


def test_a_refused_form_keeps_what_was_typed_and_knows_which_field_was_wrong() -> None:
    edit = Edit({"name": "Typed"}, '"1"').refused(invalid("agents.users.0", "there is no such user"))
    assert edit.values == {"name": "Typed"}
    assert edit.error("agents.users") == "there is no such user"
    assert edit.error("agents.teams") is None
    assert edit.error("agents.use") is None


def test_an_overtaken_form_shows_what_is_stored_beside_what_was_typed() -> None:
    edit = Edit({"name": "Mine", "zone": "UTC"}, '"1"').overtaken(Edit({"name": "Theirs", "zone": "UTC"}, '"2"'))
    assert (edit.values["name"], edit.stored, edit.seen) == ("Mine", {"name": "Theirs"}, '"2"')


def test_a_document_s_print_changes_with_its_content_alone() -> None:
    assert print_of({"a": 1, "b": [2]}) == print_of({"b": [2], "a": 1})
    assert print_of({"a": 1}) != print_of({"a": 2})


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, [("b", 2, 3)]),
        ({"a": {"b": True}}, {"a": {"b": False}}, [("a.b", True, False)]),
        (None, {"a": 1}, [("a", None, 1)]),
        ({"a": 1}, None, [("a", 1, None)]),
        ({"a": 1}, {"a": 1}, []),
    ],
)
def test_the_audit_shows_only_what_changed(before: Any, after: Any, found: list[Any]) -> None:
    assert differences(before, after) == found


def browser_of(account: Office, user_id: str) -> httpx.AsyncClient:
    """Somebody's browser, as far as headers go."""
    cookie = {"Cookie": f"session={account.token(user_id)}", "Accept": "text/html"}
    return http_client(account.url, headers=cookie, timeout=60)


@pytest.mark.asyncio(loop_scope="session")
async def test_pages_answer_each_person_as_the_services_would(account: Office) -> None:
    async with browser_of(account, "anna") as anna, browser_of(account, "zoe") as zoe:
        assert (await anna.get("/admin/teams")).status_code == 403
        assert (await anna.get("/admin/inboxes/sales/members")).status_code == 200
        assert (await zoe.get("/admin/inboxes/sales/members")).status_code == 404
        assert (await zoe.get("/reports/sales/daily-activity/page?date=2026-01-01")).status_code == 404
        # What the page does not offer the service refuses.
        own = {"Sec-Fetch-Site": "same-origin"}
        refused = await anna.post("/admin/inboxes/sales/watchers", data={"user_id": "zoe"}, headers=own)
        assert refused.status_code == 403
        assert (await anna.get("/admin/inboxes/sales/deliveries")).status_code == 403
    async with http_client(account.url, timeout=60) as nobody:
        signed_out = await nobody.get("/admin/inboxes/sales/reports")
        assert signed_out.headers["location"] == "/sign-in?to=%2Fadmin%2Finboxes%2Fsales%2Freports"


@pytest.mark.asyncio(loop_scope="session")
async def test_another_site_s_form_changes_nothing(account: Office) -> None:
    async with browser_of(account, "ada") as ada:
        form = {"name": "Stolen", "team_id": "stolen"}
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}, {}):
            assert (await ada.post("/admin/new/team", data=form, headers=headers)).status_code == 403
    assert (await account.request("routing", "GET", "/v1/teams/stolen", as_="ada")).status_code == 404


@pytest.mark.asyncio(loop_scope="session")
async def test_a_report_may_run_no_script_and_only_the_console_may_frame_it(account: Office) -> None:
    async with browser_of(account, "ada") as ada:
        page = await ada.get("/admin/inboxes/sales/automations")
        assert page.headers["content-security-policy"].startswith("default-src 'self';")
        assert page.headers["cache-control"] == "no-store"
        report = await ada.get("/reports/sales/daily-activity/page?date=2026-01-01")
        policy = report.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'self'" in policy
        assert report.headers["cache-control"] == "no-store"
        table = await ada.get("/reports/sales/daily-activity/csv?date=2026-01-01")
        assert table.headers["content-disposition"] == 'attachment; filename="daily-activity-sales-2026-01-01.csv"'
        assert (await ada.get("/reports/sales/nothing?date=2026-01-01")).status_code == 404
