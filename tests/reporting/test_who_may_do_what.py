"""Every route of reporting against every kind of caller (A1, I2, P7). A route that the table lacks fails the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from fastapi import FastAPI
from httpx import AsyncClient

from contracts import directory
from contracts.communications import CommunicationAnalyzed
from reporting.facts import analysis_of
from reporting.storage import rows
from service_kit.clock import utc_now
from service_kit.database import Database
from tests.reporting.words import (
    ACCOUNT,
    CONTACT,
    LINE,
    Ticking,
    a_call,
    a_client,
    an_app,
    keep,
    know,
    received,
    the_account,
    the_directory,
)
from tests.support import bearer
from tests.support.matrix import Attempt, attempted, forged_tokens, routes_of

OTHERS = "globex"

CALLERS = {
    "admin": bearer("ada", ACCOUNT),
    "agent": bearer("anna", ACCOUNT),
    "watcher": bearer("wim", ACCOUNT),
    "supervisor": bearer("sue", ACCOUNT),
    "stranger": bearer("stranger", ACCOUNT),
    "machine": bearer("ci", ACCOUNT, scope="directory"),
    "foreigner": bearer("ada", OTHERS),
    "inactive": bearer("gone", ACCOUNT),
    "unknown": bearer("nobody", ACCOUNT),
}
"""Anna works `support`, Wim watches it, Sue supervises one of its teams without a tie, Globex is another account."""

AT_NO_PRICE = {"inactive": 403, "unknown": 403}

SETTINGS = "/v1/inboxes/{inbox_id}/report-notifications"
REPORT = "/v1/inboxes/{inbox_id}/reports/{report}"


def tied(**answers: int) -> dict[str, int]:
    """For whoever is tied to `support` and for administrators; to the others it does not exist."""
    return (
        dict.fromkeys(("admin", "agent", "watcher", "machine"), 200)
        | dict.fromkeys(("supervisor", "stranger", "foreigner"), 404)
        | AT_NO_PRICE
        | answers
    )


TABLE = (
    Attempt(f"GET {SETTINGS}", "/v1/inboxes/support/report-notifications", tied()),
    Attempt(
        f"PUT {SETTINGS}",
        "/v1/inboxes/support/report-notifications",
        tied(agent=403, watcher=403),
        {"enabled": True},
    ),
    # Reports are for people; a supervisor looks without a tie (P7).
    *(
        Attempt(
            f"GET {REPORT}",
            f"/v1/inboxes/support/reports/{kind}?date=2026-03-13",
            tied(supervisor=200, machine=403),
            headers={"Accept": accept},
        )
        for kind in ("daily-activity", "voice-analytics")
        for accept in ("application/json", "text/csv", "text/html")
    ),
    # Whoever is a person has such a list, be it empty.
    Attempt(
        "GET /v1/reports/inboxes",
        "/v1/reports/inboxes",
        dict.fromkeys(("admin", "agent", "watcher", "supervisor", "stranger", "foreigner"), 200)
        | {"machine": 403}
        | AT_NO_PRICE,
    ),
    *(
        Attempt(
            f"POST {REPORT}/send",
            f"/v1/inboxes/support/reports/{kind}/send",
            tied(admin=202, agent=403, watcher=403, supervisor=403, machine=403),
            {"date": "2026-03-13"},
        )
        for kind in ("daily-activity", "voice-analytics")
    ),
    Attempt(
        "GET /v1/audit/reporting",
        "/v1/audit/reporting",
        dict.fromkeys(("agent", "watcher", "supervisor", "stranger"), 403)
        | {"admin": 200, "machine": 200, "foreigner": 200}
        | AT_NO_PRICE,
    ),
)


class Office:
    """The application over an account with a call, and another account that has nothing of it."""

    def __init__(self, database: Database, app: FastAPI, client: AsyncClient) -> None:
        self.database = database
        self.app = app
        self.client = client

    async def state(self) -> list[Any]:
        """Everything that a request could change."""
        async with self.database.connection() as connection:
            return [
                await connection.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
                for table in ("report_notifications", "schedules", "asked_reports", "audit", "outbox")
            ]

    async def forget(self) -> None:
        """Undo what a request changed."""
        async with self.database.transaction() as connection:
            for table in ("report_notifications", "schedules", "asked_reports", "audit", "outbox"):
                await connection.execute(f"DELETE FROM {table}")


@pytest_asyncio.fixture
async def office(reporting: Database) -> AsyncIterator[Office]:
    gone = directory.User(version=1, user_id="gone", name="Gone", email="gone@example.com", role="admin", active=False)
    boss = directory.User(version=1, user_id="ada", name="Boss", email="boss@globex.example", role="admin")
    await know(reporting, [*the_directory(), received(gone, type_=directory.USER)])
    await know(
        reporting,
        [
            received(the_account(), type_=directory.ACCOUNT, account_id=OTHERS),
            received(boss, type_=directory.USER, account_id=OTHERS),
        ],
    )
    await keep(reporting, a_call("call"))
    analysis = CommunicationAnalyzed.model_validate(
        {
            "communication_id": "call",
            "version": 1,
            "summary": "A secret.",
            "sentiment": {"label": "negative", "score": -0.9},
        }
    )
    async with reporting.transaction() as connection:
        await rows.save_analyses(connection, [analysis_of(ACCOUNT, analysis)])
    app = an_app(reporting, Ticking(utc_now()))
    async with a_client(app) as client:
        yield Office(reporting, app, client)


async def test_the_table_has_every_route_and_no_other(office: Office) -> None:
    assert attempted(TABLE) == routes_of(office.app)


async def test_everybody_gets_the_answer_that_the_table_says(office: Office) -> None:
    wrong: list[str] = []
    for attempt in TABLE:
        for caller, headers in CALLERS.items():
            before = await office.state()
            answer = await attempt.by(office.client, headers)
            expected = attempt.answers[caller]
            if answer.status_code != expected:
                wrong.append(f"{attempt.path} by {caller}: {answer.status_code}, not {expected}: {answer.text}")
            if answer.status_code >= 400 and answer.headers["content-type"] != "application/problem+json":
                wrong.append(f"{attempt.path} by {caller}: {answer.headers['content-type']}")
            if expected >= 400 and await office.state() != before:
                wrong.append(f"{attempt.path} by {caller} changed something")
            await office.forget()
    assert not wrong, "\n".join(wrong)


async def test_a_token_that_is_not_good_opens_nothing(office: Office) -> None:
    wrong: list[str] = []
    before = await office.state()
    for attempt in TABLE:
        for what, token in forged_tokens("ada", ACCOUNT).items():
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = await attempt.by(office.client, headers)
            if answer.status_code != 401:
                wrong.append(f"{attempt.route} with {what}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)
    assert await office.state() == before


async def test_nobody_sees_anything_of_another_account(office: Office) -> None:
    for attempt in TABLE:
        answer = await attempt.by(office.client, CALLERS["foreigner"])
        for word in ("Acme", "Anna", "anna", "Support", "secret", LINE, CONTACT):
            assert word not in answer.text, attempt.route


async def test_an_inbox_that_is_not_there_is_not_there_for_anybody(office: Office) -> None:
    for attempt in TABLE:
        if "{inbox_id}" in attempt.route:
            for caller in ("admin", "agent", "supervisor", "stranger"):
                elsewhere = Attempt(
                    attempt.route, attempt.path.replace("support", "nowhere"), {}, attempt.body, attempt.headers
                )
                answer = await elsewhere.by(office.client, CALLERS[caller])
                assert answer.status_code == 404, (attempt.route, caller)


async def test_no_report_shows_an_address(office: Office) -> None:
    for attempt in TABLE:
        for caller in ("agent", "watcher", "supervisor"):
            answer = await attempt.by(office.client, CALLERS[caller])
            assert "example.com" not in answer.text, attempt.route
