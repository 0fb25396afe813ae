"""Reporting over HTTP: who may, what is refused, what is answered (A1, A2, A6, P3, P7)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from httpx import AsyncClient

from contracts import directory
from reporting.figures import DAILY_ACTIVITY, VOICE_ANALYTICS
from service_kit.auth import sign
from service_kit.database import Database
from tests.reporting.words import (
    ACCOUNT,
    DAY,
    LINE,
    NEXT_MORNING,
    NOON,
    OTHER_LINE,
    Ticking,
    a_call,
    a_client,
    a_message,
    a_missed_call,
    an_app,
    have_read_through,
    keep,
    know,
    received,
    the_account,
    the_directory,
    the_inbox,
)
from tests.support import JWT_SECRET

SETTINGS = "/v1/inboxes/support/report-notifications"
REPORT = "/v1/inboxes/support/reports/daily-activity"
AUDIT = "/v1/audit/reporting"

CLOCK = Ticking(NEXT_MORNING)


def token(user_id: str, account_id: str = ACCOUNT, *, scope: str = "") -> dict[str, str]:
    signed = sign(
        JWT_SECRET, user_id=user_id, account_id=account_id, now=CLOCK.now, lasts=timedelta(hours=1), scope=scope
    )
    return {"Authorization": f"Bearer {signed}"}


MACHINE = token("setup", scope="directory")


@pytest_asyncio.fixture
async def client(reporting: Database) -> AsyncIterator[AsyncClient]:
    await know(reporting, the_directory())
    async with a_client(an_app(reporting, CLOCK)) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        (SETTINGS, "GET", {"ada": 200, "anna": 200, "wim": 200, "sue": 404, "stranger": 404, "nobody": 403}),
        (SETTINGS, "PUT", {"ada": 200, "anna": 403, "wim": 403, "sue": 404, "stranger": 404, "nobody": 403}),
        (
            f"{REPORT}?date=2026-03-13",
            "GET",
            {"ada": 200, "anna": 200, "wim": 200, "sue": 200, "stranger": 404, "nobody": 403},
        ),
        (f"{REPORT}/send", "POST", {"ada": 202, "anna": 403, "wim": 403, "sue": 403, "stranger": 404, "nobody": 403}),
        (AUDIT, "GET", {"ada": 200, "anna": 403, "wim": 403, "sue": 403, "stranger": 403, "nobody": 403}),
    ],
)
async def test_each_may_what_his_role_and_tie_allow(
    client: AsyncClient, path: str, method: str, expected: dict[str, int]
) -> None:
    body = {"PUT": {"enabled": True}, "POST": {"date": "2026-03-13"}}.get(method)

    for user_id, status in expected.items():
        answer = await client.request(method, path, json=body, headers=token(user_id))
        assert answer.status_code == status, user_id
    assert (await client.request(method, path, json=body)).status_code == 401
    other_account = await client.request(method, path, json=body, headers=token("ada", "another"))
    assert other_account.status_code == 403


async def test_a_machine_reads_and_writes_settings_and_no_reports(client: AsyncClient) -> None:
    assert (await client.put(SETTINGS, json={"enabled": True}, headers=MACHINE)).status_code == 200
    assert (await client.get(SETTINGS, headers=MACHINE)).json()["enabled"] is True
    assert (await client.get("/v1/inboxes/none/report-notifications", headers=MACHINE)).status_code == 404
    assert (await client.get(f"{REPORT}?date=2026-03-13", headers=MACHINE)).status_code == 403
    sent = await client.post(f"{REPORT}/send", json={"date": "2026-03-13"}, headers=token("ada", scope="directory"))
    assert sent.status_code == 403


async def test_settings_begin_off_with_everything_chosen(client: AsyncClient) -> None:
    answer = await client.get(SETTINGS, headers=token("ada"))

    assert answer.json() == {
        "enabled": False,
        "reports": ["daily_activity", "voice_analytics"],
        "recipients": ["connected", "watching", "team_supervisors", "team_members"],
        "lines": "all",
        "users": "all",
        "teams": "all",
        "send_at": "07:00",
    }


async def test_settings_are_kept_as_they_were_put_and_audited_once(client: AsyncClient) -> None:
    body = {
        "enabled": True,
        "reports": ["daily_activity"],
        "recipients": ["watching"],
        "lines": [LINE],
        "users": "all",
        "teams": ["first"],
        "send_at": "06:30",
    }
    before = (await client.get(SETTINGS, headers=token("ada"))).json()

    for _ in range(2):
        answer = await client.put(SETTINGS, json=body, headers=token("ada"))
        assert (answer.status_code, answer.json()) == (200, body)

    assert (await client.get(SETTINGS, headers=token("anna"))).json() == body
    entries = (await client.get(AUDIT, headers=token("ada"))).json()["items"]
    assert len(entries) == 1
    assert (entries[0]["by"], entries[0]["action"]) == ("ada", "changed")
    assert (entries[0]["entity"], entries[0]["entity_id"]) == ("report_notifications", "support")
    assert (entries[0]["before"], entries[0]["after"]) == (before, body)
    assert datetime.fromisoformat(entries[0]["at"]) == CLOCK.now


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "enabled"),
        ({"enabled": "yes"}, "enabled"),
        ({"enabled": True, "reports": ["weekly"]}, "reports.0"),
        ({"enabled": True, "recipients": ["everybody"]}, "recipients.0"),
        ({"enabled": True, "lines": "some"}, "lines"),
        ({"enabled": True, "users": [1]}, "users"),
        ({"enabled": True, "teams": {}}, "teams"),
        ({"enabled": True, "send_at": "25:00"}, "send_at"),
        ({"enabled": True, "send_at": 7}, "send_at"),
        ({"enabled": True, "sent_at": "07:00"}, "sent_at"),
    ],
)
async def test_bad_settings_are_refused_by_field_and_change_nothing(
    client: AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await client.put(SETTINGS, json=body, headers=token("ada"))

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await client.get(SETTINGS, headers=token("ada"))).json()["enabled"] is False
    refused = await client.put(SETTINGS, json=body, headers=token("anna"))
    assert refused.status_code == 403


async def test_a_days_report_has_every_key_of_the_contract(client: AsyncClient, reporting: Database) -> None:
    await keep(
        reporting,
        a_call("answered"),
        a_missed_call("missed", NOON + timedelta(hours=1), line_number=OTHER_LINE),
        a_message("text", NOON, user_id=None),
        a_call("a week before", NOON - timedelta(days=7)),
        a_call("another inbox", inbox_id="sales"),
    )
    await have_read_through(reporting, NEXT_MORNING)

    report = (await client.get(f"{REPORT}?date=2026-03-13", headers=token("sue"))).json()

    names = [figure.name for figure in DAILY_ACTIVITY]
    assert list(report) == [
        *("inbox_id", "report", "from", "to", "time_zone", "complete", "totals", "previous"),
        *("by_hour", "by_line", "by_user", "by_team"),
    ]
    assert (report["from"], report["to"], report["time_zone"]) == ("2026-03-13", "2026-03-13", "Europe/Berlin")
    assert report["complete"] is True
    assert list(report["totals"]) == list(report["previous"]) == names
    assert report["totals"]["calls_inbound"] == 2
    assert report["totals"]["answer_rate"] == 0.5
    assert report["previous"]["calls_inbound"] == 1
    assert [row["key"] for row in report["by_hour"]] == [f"{hour:02d}" for hour in range(24)]
    assert {row["key"]: (row["name"], row["calls_inbound"]) for row in report["by_line"]} == {
        LINE: ("Main", 1),
        OTHER_LINE: (OTHER_LINE, 1),
    }
    assert {row["key"]: (row["name"], row["answered"]) for row in report["by_user"]} == {
        "anna": ("Anna", 1),
        "bob": ("Bob", 0),
    }
    assert {row["key"]: (row["name"], row["talk_seconds"]) for row in report["by_team"]} == {
        "first": ("First", 60),
        "second": ("Second", 60),
    }
    assert all(list(row) == ["key", "name", *names] for row in report["by_hour"] + report["by_user"])


async def test_a_range_holds_both_its_ends_and_is_compared_with_the_week_before(
    client: AsyncClient, reporting: Database
) -> None:
    await keep(reporting, *(a_call(f"c{n}", NOON - timedelta(days=n)) for n in range(10)))

    report = (await client.get(f"{REPORT}?from=2026-03-11&to=2026-03-13", headers=token("anna"))).json()

    assert report["totals"]["calls_inbound"] == 3
    assert report["previous"]["calls_inbound"] == 3


async def test_a_report_is_complete_when_every_partition_of_every_input_is_read_past_its_end(
    client: AsyncClient, reporting: Database
) -> None:
    async def is_complete() -> Any:
        return (await client.get(f"{REPORT}?date=2026-03-13", headers=token("ada"))).json()["complete"]

    assert await is_complete() is False
    await have_read_through(reporting, NEXT_MORNING, partitions=2)
    assert await is_complete() is True
    async with reporting.transaction() as connection:
        await connection.execute(
            "INSERT INTO input_progress VALUES ('communication-events', 2, $1)", datetime(2026, 3, 13, 22, tzinfo=UTC)
        )
    assert await is_complete() is False


async def test_filters_of_the_settings_hold_over_http(client: AsyncClient, reporting: Database) -> None:
    await keep(
        reporting,
        a_call("anna's"),
        a_call("bob's", NOON + timedelta(hours=1), user_id="bob"),
        a_missed_call("nobody's"),
        a_missed_call("on the other line", line_number=OTHER_LINE),
    )
    body = {"enabled": False, "lines": [LINE], "teams": ["first"]}
    await client.put(SETTINGS, json=body, headers=token("ada"))

    report = (await client.get(f"{REPORT}?date=2026-03-13", headers=token("ada"))).json()

    assert (report["totals"]["answered"], report["totals"]["missed"]) == (1, 1)
    assert [row["key"] for row in report["by_line"]] == [LINE]
    assert [row["key"] for row in report["by_user"]] == ["anna"]
    assert [row["key"] for row in report["by_team"]] == ["first"]


async def test_csv_and_html_come_when_asked_for(client: AsyncClient) -> None:
    address = f"{REPORT}?date=2026-03-13"

    as_csv = await client.get(address, headers={**token("ada"), "Accept": "text/csv"})
    as_html = await client.get(address, headers={**token("ada"), "Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    as_json = await client.get(address, headers={**token("ada"), "Accept": "*/*"})

    assert as_csv.headers["content-type"].startswith("text/csv")
    assert as_csv.text.startswith("section,key,name,figure,value\r\n")
    assert as_html.headers["content-type"].startswith("text/html")
    assert as_json.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "date"),
        ("date=yesterday", "date"),
        ("date=2026-02-30", "date"),
        ("date=0001-01-01", "date"),
        ("date=2026-03-13&to=2026-03-14", "to"),
        ("from=2026-03-13", "to"),
        ("from=2026-03-13&to=2026-03-12", "to"),
        ("from=2025-01-01&to=2026-03-12", "to"),
    ],
)
async def test_a_bad_range_is_refused_by_field(client: AsyncClient, query: str, field: str) -> None:
    answer = await client.get(f"{REPORT}?{query}", headers=token("ada"))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


async def test_a_date_that_the_zone_skipped_has_no_report(client: AsyncClient, reporting: Database) -> None:
    await know(reporting, [received(the_account(time_zone="Pacific/Apia", version=2), type_=directory.ACCOUNT)])

    skipped = await client.get(f"{REPORT}?date=2011-12-30", headers=token("ada"))
    sent = await client.post(f"{REPORT}/send", json={"date": "2011-12-30"}, headers=token("ada"))

    assert skipped.status_code == 404
    assert (sent.status_code, sent.json()["errors"][0]["field"]) == (422, "date")
    assert (await client.get(f"{REPORT}?date=2011-12-31", headers=token("ada"))).status_code == 200


@pytest.mark.parametrize("day", [DAY + timedelta(days=1), DAY + timedelta(days=30)])
async def test_only_a_past_days_report_can_be_sent(client: AsyncClient, day: Any) -> None:
    answer = await client.post(f"{REPORT}/send", json={"date": day.isoformat()}, headers=token("ada"))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "date"


async def test_voice_analytics_has_every_key_of_the_contract_and_its_own(client: AsyncClient) -> None:
    address = "/v1/inboxes/support/reports/voice-analytics?date=2026-03-13"

    report = (await client.get(address, headers=token("ada"))).json()

    assert list(report) == [
        *("inbox_id", "report", "from", "to", "time_zone", "complete", "totals", "previous"),
        *("by_hour", "by_line", "by_user", "by_team", "topics", "worth_a_listen", "summaries"),
    ]
    assert report["report"] == "voice_analytics"
    assert list(report["totals"]) == [figure.name for figure in VOICE_ANALYTICS]
    as_csv = await client.get(address, headers={**token("ada"), "Accept": "text/csv"})
    assert as_csv.text.startswith("section,key,name,figure,value\r\ntotals,,,calls_analysed,0\r\n")
    as_html = await client.get(address, headers={**token("ada"), "Accept": "text/html"})
    assert "No call of this period has been analysed." in as_html.text


async def test_a_report_that_there_is_not_is_not_found(client: AsyncClient) -> None:
    weather = await client.get("/v1/inboxes/support/reports/weather?date=2026-03-13", headers=token("ada"))

    assert weather.status_code == 404


async def test_nothing_crosses_accounts(client: AsyncClient, reporting: Database) -> None:
    await know(reporting, the_directory("another"))
    await keep(reporting, a_call("theirs"), account_id="another")

    report = (await client.get(f"{REPORT}?date=2026-03-13", headers=token("ada"))).json()

    assert report["totals"]["calls_inbound"] == 0


async def test_the_owner_of_a_personal_inbox_sets_its_reports(client: AsyncClient, reporting: Database) -> None:
    own = the_inbox("annas").model_copy(
        update={"kind": "personal", "owner_id": "anna", "connected": ("anna",), "watchers": ()}
    )
    await know(reporting, [received(own, type_=directory.INBOX)])
    path = "/v1/inboxes/annas/report-notifications"

    assert (await client.put(path, json={"enabled": True}, headers=token("anna"))).status_code == 200
    assert (await client.put(path, json={"enabled": True}, headers=token("bob"))).status_code == 404


async def test_everybody_finds_the_inboxes_whose_reports_he_may_read_and_no_other(
    client: AsyncClient, reporting: Database
) -> None:
    own = the_inbox("annas").model_copy(
        update={
            "kind": "personal",
            "owner_id": "anna",
            "agents": directory.Agents(),
            "connected": ("anna",),
            "watchers": (),
        }
    )
    gone = the_inbox("gone").model_copy(update={"deleted": True})
    await know(reporting, [received(one, type_=directory.INBOX) for one in (own, gone)])
    await know(reporting, the_directory("another"))

    async def found_by(user_id: str) -> list[str]:
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/v1/reports/inboxes", params=query, headers=token(user_id))).json()
            found.extend(item["inbox_id"] for item in page["items"])
            cursor = page["next_cursor"]
        return found

    assert {user_id: await found_by(user_id) for user_id in ("ada", "anna", "wim", "sue", "stranger")} == {
        "ada": ["annas", "support"],
        "anna": ["annas", "support"],
        "wim": ["support"],
        # She supervises one of the inbox's teams, and is tied to no inbox.
        "sue": ["support"],
        "stranger": [],
    }
    wrong = await client.get("/v1/reports/inboxes", params={"cursor": "nothing"}, headers=token("ada"))
    assert wrong.status_code == 422
