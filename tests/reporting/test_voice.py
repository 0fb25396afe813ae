"""Voice analytics: telephony's analyses, our own where there is none, and the calls worth a listen (P6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from httpx import AsyncClient

from contracts import communications, inbox_events
from contracts.communications import CommunicationAnalyzed, Participant, Voicemail
from contracts.inbox_events import ContactNamed
from contracts.topics import COMMUNICATION_EVENTS, INBOX_EVENTS
from reporting.consumer import handlers
from reporting.timers import analyse_transcript
from service_kit.database import Database
from tests.reporting.test_analysing import ANGRY, HAPPY
from tests.reporting.words import (
    CONTACT,
    GRACE,
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
    token,
)

REPORT = "/v1/inboxes/support/reports/voice-analytics?date=2026-03-13"


class Desk:
    """The service without Kafka: what it consumes, its analyser, its HTTP side."""

    def __init__(self, database: Database, client: AsyncClient, clock: Ticking) -> None:
        self.database = database
        self.client = client
        self.clock = clock
        self.handlers = handlers(database, GRACE)

    async def hear(self, *found: CommunicationAnalyzed | Any) -> None:
        """Communications and analyses, as their topic brings them."""
        types = {CommunicationAnalyzed: communications.ANALYZED}
        await self.handlers[COMMUNICATION_EVENTS].handle(
            [received(one, type_=types.get(type(one), communications.CHANGED)) for one in found]
        )

    async def name(self, number: str, name: str, at: datetime = NOON) -> None:
        named = ContactNamed(contact_number=number, name=name, named_at=at)
        await self.handlers[INBOX_EVENTS].handle([received(named, type_=inbox_events.CONTACT_NAMED)])

    async def analyse(self) -> int:
        """Read all transcripts; says how many there were."""
        count = 0
        while await analyse_transcript(self.database, self.clock):
            count += 1
        return count

    async def report(self, user_id: str = "anna", accept: str = "application/json") -> Any:
        answer = await self.client.get(REPORT, headers={**token(user_id, self.clock), "Accept": accept})
        assert answer.status_code == 200, answer.text
        return answer.json() if accept == "application/json" else answer.text


@pytest_asyncio.fixture
async def desk(reporting: Database) -> AsyncIterator[Desk]:
    clock = Ticking(NEXT_MORNING)
    await know(reporting, the_directory())
    async with a_client(an_app(reporting, clock)) as client:
        yield Desk(reporting, client, clock)


def analysed(call_id: str, score: float | None = None, *, version: int = 1, **fields: Any) -> CommunicationAnalyzed:
    label = None if score is None else "positive" if score > 0.05 else "negative" if score < -0.05 else "neutral"
    sentiment = None if score is None else {"label": label, "score": score}
    return CommunicationAnalyzed.model_validate(
        {"communication_id": call_id, "version": version, "sentiment": sentiment, **fields}
    )


async def test_a_worked_day(desk: Desk) -> None:
    """By hand.

    Anna's two calls on the main line: 0.9 (30 s of her, 90 s of the contact) and -0.6 (90 s and 30 s).
    Bob's on the other line: 0.0 (96 s of him, 24 s of the contact: 80 %). One without an analysis, one of the
    week before. Talk: 216 s agents, 144 s contacts, 60 % and 40 %; sentiment (0.9 - 0.6 + 0) / 3 = 0.1.
    """
    await desk.hear(
        a_call("good", NOON),
        a_call("bad", NOON + timedelta(hours=1)),
        a_call("dull", NOON + timedelta(hours=1), user_id="bob", line_number=OTHER_LINE),
        a_call("silent", NOON),
        a_message("text", NOON),
        a_call("before", NOON - timedelta(days=7)),
        analysed("good", 0.9, topics=["Billing", "refund"], talk_seconds={"agent": 30, "contact": 90}),
        analysed("bad", -0.6, topics=["billing "], talk_seconds={"agent": 90, "contact": 30}, summary="Wants it back."),
        analysed("dull", 0.0, talk_seconds={"agent": 96, "contact": 24}),
        analysed("before", -0.2),
    )

    report = await desk.report()

    assert report["totals"] == pytest.approx(
        {
            "calls_analysed": 3,
            "calls_analysed_by_us": 0,
            "positive_calls": 1,
            "neutral_calls": 1,
            "negative_calls": 1,
            "sentiment_score": 0.1,
            "agent_talk_share": 0.6,
            "contact_talk_share": 0.4,
            "agent_talk_seconds": 216,
            "contact_talk_seconds": 144,
            "worth_a_listen": 3,
        }
    )
    assert (report["previous"]["calls_analysed"], report["previous"]["sentiment_score"]) == (1, -0.2)
    by_user = {row["key"]: row for row in report["by_user"]}
    assert (by_user["anna"]["calls_analysed"], by_user["anna"]["sentiment_score"]) == (2, pytest.approx(0.15))
    assert (by_user["bob"]["calls_analysed"], by_user["bob"]["agent_talk_share"]) == (1, pytest.approx(0.8))
    by_line = {row["key"]: row["calls_analysed"] for row in report["by_line"]}
    assert by_line == {LINE: 2, OTHER_LINE: 1}
    assert {row["key"]: row["calls_analysed"] for row in report["by_team"]} == {"first": 2, "second": 3}
    assert {row["key"]: row["calls_analysed"] for row in report["by_hour"] if row["calls_analysed"]} == {
        "12": 1,
        "13": 2,
    }
    assert report["topics"] == [
        {"topic": "billing", "calls": 2, "sentiment_score": pytest.approx(0.15)},
        {"topic": "refund", "calls": 1, "sentiment_score": 0.9},
    ]
    assert [
        (call["communication_id"], [reason["reason"] for reason in call["reasons"]])
        for call in report["worth_a_listen"]
    ] == [("bad", ["very_negative"]), ("dull", ["one_sided"]), ("good", ["very_positive"])]
    assert [(call["communication_id"], call["summary"]) for call in report["summaries"]] == [("bad", "Wants it back.")]


async def test_filters_of_the_settings_hold(desk: Desk) -> None:
    await desk.hear(
        a_call("annas"),
        a_call("bobs", user_id="bob"),
        a_call("on the other line", line_number=OTHER_LINE),
        *(analysed(name, 0.5) for name in ("annas", "bobs", "on the other line")),
    )
    body = {"enabled": False, "lines": [LINE], "users": ["anna"]}
    path = "/v1/inboxes/support/report-notifications"
    await desk.client.put(path, json=body, headers=token("ada", desk.clock))

    report = await desk.report()

    assert report["totals"]["calls_analysed"] == 1
    assert [row["key"] for row in report["by_line"]] == [LINE]


async def test_a_long_hold_is_worth_a_listen(desk: Desk) -> None:
    held = Participant(user_id="anna", answered_at=NOON, held_seconds=150)
    await desk.hear(a_call("held", participants=(held,)), analysed("held", 0.1))

    (call,) = (await desk.report())["worth_a_listen"]

    assert call["reasons"] == [{"reason": "long_hold", "words": "2 min 30 s on hold"}]
    assert call["held_seconds"] == 150


async def test_a_transcript_without_an_analysis_is_analysed_by_us_and_marked_so(desk: Desk) -> None:
    voicemail = a_missed_call(
        "voicemail", status="voicemail", voicemail=Voicemail(recording_url="https://x", transcript=ANGRY)
    )
    await desk.hear(voicemail, a_call("call"), analysed("call", transcript=HAPPY, language="en-US"))
    assert (await desk.report())["totals"]["calls_analysed"] == 0

    assert await desk.analyse() == 2

    report = await desk.report()
    assert (report["totals"]["calls_analysed"], report["totals"]["calls_analysed_by_us"]) == (2, 2)
    assert (report["totals"]["positive_calls"], report["totals"]["negative_calls"]) == (1, 1)
    assert all(call["analyser"] == "connected_inbox" for call in report["worth_a_listen"])
    assert "invoice" in [topic["topic"] for topic in report["topics"]]
    async with desk.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM own_analyses WHERE transcript IS NOT NULL") == 0


async def test_telephonys_analysis_beats_ours_whenever_it_comes(desk: Desk) -> None:
    await desk.hear(a_call("call"), analysed("call", transcript=HAPPY))
    await desk.analyse()
    await desk.hear(analysed("call", -0.3, version=2, transcript=HAPPY, topics=["delay"]))

    report = await desk.report()

    assert await desk.analyse() == 0
    assert (report["totals"]["negative_calls"], report["totals"]["calls_analysed_by_us"]) == (1, 0)
    assert [topic["topic"] for topic in report["topics"]] == ["delay"]


async def test_the_same_words_are_read_once_and_new_ones_again(desk: Desk) -> None:
    first = analysed("call", transcript=HAPPY)
    await desk.hear(a_call("call"), first)
    assert await desk.analyse() == 1
    await desk.hear(first, first.model_copy(update={"version": 2}))
    assert await desk.analyse() == 0

    await desk.hear(analysed("call", transcript=ANGRY, version=3))
    await desk.hear(first)
    assert await desk.analyse() == 1

    assert (await desk.report())["totals"]["negative_calls"] == 1


async def test_with_the_analyser_off_nothing_is_kept_to_be_read(desk: Desk) -> None:
    desk.handlers = handlers(desk.database, GRACE, analyse=False)
    await desk.hear(a_call("call"), analysed("call", transcript=HAPPY))

    assert await desk.analyse() == 0
    assert (await desk.report())["totals"]["calls_analysed"] == 0


async def test_contacts_are_shown_by_the_name_that_somebody_gave_them(desk: Desk) -> None:
    await desk.hear(a_call("call", contact_name="unknown"), analysed("call", -0.9))
    await desk.name(CONTACT, "Jo Lind", NOON)
    await desk.name(CONTACT, "older name", NOON - timedelta(days=1))

    (call,) = (await desk.report())["worth_a_listen"]

    assert (call["contact_number"], call["contact_name"]) == (CONTACT, "Jo Lind")


async def test_an_administrator_without_a_tie_sees_how_it_went_and_not_what_was_said(desk: Desk) -> None:
    await desk.hear(a_call("call"), analysed("call", -0.9, summary="A secret."))

    for accept in ("application/json", "text/csv", "text/html"):
        seen, by_supervisor = await desk.report("ada", accept), await desk.report("sue", accept)
        assert "A secret." not in str(seen)
        assert CONTACT not in str(seen)
        assert "A secret." in str(by_supervisor)
    (call,) = (await desk.report("ada"))["worth_a_listen"]
    assert (call["communication_id"], call["summary"], call["contact_number"]) == ("call", None, None)

    sees_all = the_account(version=2).model_copy(update={"admins_see_all": True})
    await know(desk.database, [received(sees_all, type_="directory.account.v1")])
    assert (await desk.report("ada"))["summaries"][0]["summary"] == "A secret."


async def test_a_day_without_calls_answers_with_nothing(desk: Desk) -> None:
    await have_read_through(desk.database, NEXT_MORNING)
    await keep(desk.database, a_message("text", datetime(2026, 3, 13, 9, tzinfo=UTC)))

    report = await desk.report()

    assert report["complete"] is True
    assert (report["totals"]["calls_analysed"], report["totals"]["sentiment_score"]) == (0, None)
    assert (report["topics"], report["worth_a_listen"], report["summaries"]) == ([], [], [])
