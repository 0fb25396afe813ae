"""From a telephony event to the agent's list, the watcher's e-mail and the report: everything real."""

from __future__ import annotations

from datetime import timedelta
from email.header import decode_header, make_header
from email.message import Message
from zoneinfo import ZoneInfo

import orjson

from contracts import telephony
from contracts.topics import TELEPHONY_COMMANDS
from service_kit.clock import utc_now
from tests.end_to_end.company import SALES_LINE, Company
from tests.support import eventually

CALLER = "+12125550177"


def subject(mail: Message) -> str:
    return str(make_header(decode_header(mail["Subject"])))


async def test_a_missed_call_becomes_an_unread_thread_an_email_and_a_figure(company: Company) -> None:
    await company.a_call("c1", contact=CALLER)
    await eventually(lambda: company.kafka.records(TELEPHONY_COMMANDS), because="the ring command")
    ring = orjson.loads((await company.kafka.records(TELEPHONY_COMMANDS))[0].value)
    assert ring["call_id"] == "c1"
    assert ring["layers"][0]["mode"] == "simultaneous"
    assert sorted(ring["layers"][0]["user_ids"]) == ["anna", "ben"]
    assert ring["layers"][0]["endpoints"]["anna"] == ["sip:1001@pbx"]

    async def on_top() -> bool:
        threads = await company.threads("sales")
        return bool(threads) and threads[0]["active_call"] is True

    await eventually(on_top, because="the active call on top")
    assert await company.unread("sales") == 0

    await company.it_ends("c1", "no_answer")

    async def unread() -> bool:
        return await company.unread("sales") == 1

    await eventually(unread, because="the missed call being unread")
    thread = (await company.threads("sales", as_="wim"))[0]
    assert (thread["contact_number"], thread["latest"]["status"], thread["active_call"]) == (CALLER, "missed", False)

    mail = (await eventually(company.mails, because="the watcher's e-mail"))[0]
    assert "Missed call" in subject(mail)
    assert mail["To"] == "Wim Watcher <wim@acme.example>"

    day = utc_now().astimezone(ZoneInfo("America/New_York")).date()

    async def counted() -> bool:
        path = f"/v1/inboxes/sales/reports/daily-activity?date={day}"
        totals = (await company.get("reporting", path, as_="wim"))["totals"]
        assert (totals["calls_inbound"], totals["missed"], totals["answered"]) == (1, 1, 0)
        return True

    await eventually(counted, because="the figure of today")


async def test_a_reply_reads_the_thread_for_everyone_and_a_watcher_may_not_reply(company: Company) -> None:
    await company.a_text("m1", "Where is my order?", contact=CALLER)

    async def unread() -> bool:
        return await company.unread("sales", as_="ben") == 1

    await eventually(unread)
    refused = await company.request(
        "inbox_state", "POST", "/v1/inboxes/sales/messages", as_="wim", json={"to": CALLER, "body": "hi"}
    )
    assert refused.status_code == 403
    sent = await company.request(
        "inbox_state", "POST", "/v1/inboxes/sales/messages", as_="anna", json={"to": CALLER, "body": "On its way"}
    )
    assert (sent.status_code, sent.json()["status"], sent.json()["line_number"]) == (202, "queued", SALES_LINE)
    assert await company.unread("sales", as_="ben") == 0

    found = await company.kafka.records(TELEPHONY_COMMANDS, at_least=1)
    command = orjson.loads(found[-1].value)
    assert (command["to_number"], command["body"]) == (CALLER, "On its way")
    placed = {"direction": "outbound", "line_number": SALES_LINE, "contact_number": CALLER}
    await company.tell(
        "telephony.message.sent.v1",
        telephony.MessageSent.model_validate({"message_id": command["message_id"], **placed}),
    )
    await company.tell(
        "telephony.message.status.v1",
        telephony.MessageStatus(message_id=command["message_id"], status="delivered"),
    )

    async def delivered() -> bool:
        latest = (await company.threads("sales"))[0]["latest"]
        return (latest["status"], latest["body"], latest["user_id"]) == ("delivered", "On its way", "anna")

    await eventually(delivered, because="the reply being delivered, with what was typed")


async def test_a_voicemail_is_one_unread_and_one_email(company: Company) -> None:
    await company.a_call("c1", contact=CALLER)
    await company.it_ends("c1", "voicemail")
    await company.tell(
        "telephony.voicemail.recorded.v1",
        telephony.VoicemailRecorded(
            call_id="c1", recording_url="https://pbx.example/r/1", duration_seconds=12, transcript="Call me back"
        ),
    )
    await eventually(company.mails)

    async def a_voicemail() -> bool:
        thread = (await company.threads("sales"))[0]
        return (thread["unread"], thread["latest"]["status"]) == (1, "voicemail")

    await eventually(a_voicemail)
    assert [subject(mail).split()[0] for mail in company.mails()] == ["Voicemail"]


async def test_yesterdays_report_is_sent_once_to_each_recipient(company: Company) -> None:
    zone = ZoneInfo("America/New_York")
    yesterday = (utc_now() - timedelta(days=1)).astimezone(zone)
    noon = yesterday.replace(hour=12, minute=0, second=0, microsecond=0)
    placed = {"direction": "inbound", "line_number": SALES_LINE, "contact_number": CALLER}
    started = telephony.CallStarted.model_validate({"call_id": "y1", **placed})
    await company.tell("telephony.call.started.v1", started, at=noon)
    answered = telephony.CallAnswered(call_id="y1", user_id="anna")
    await company.tell("telephony.call.answered.v1", answered, at=noon + timedelta(seconds=8))
    ended = telephony.CallEnded(call_id="y1", outcome="completed")
    await company.tell("telephony.call.ended.v1", ended, at=noon + timedelta(seconds=98))

    path = f"/v1/inboxes/sales/reports/daily-activity?date={noon.date()}"

    async def counted() -> bool:
        report = await company.get("reporting", path, as_="ada")
        assert report["totals"]["answered"] == 1
        assert report["totals"]["talk_seconds"] == 90
        assert report["totals"]["average_answer_seconds"] == 8
        return True

    await eventually(counted)
    for _ in range(2):
        asked = await company.request(
            "reporting",
            "POST",
            "/v1/inboxes/sales/reports/daily-activity/send",
            as_="ada",
            json={"date": str(noon.date())},
        )
        assert asked.status_code == 202, asked.text
    await eventually(lambda: [mail for mail in company.mails() if mail["To"] == "Wim Watcher <wim@acme.example>"])

    async def all_sent() -> bool:
        (row,) = await company.rows("SELECT count(*) AS waiting FROM notification.emails WHERE outcome IS NULL")
        (held,) = await company.rows("SELECT count(*) AS waiting FROM reporting.outbox")
        return int(row["waiting"]) == int(held["waiting"]) == 0

    await eventually(all_sent)
    assert len(company.mails()) == 1
