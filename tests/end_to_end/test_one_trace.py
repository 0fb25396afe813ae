"""One trace from the telephony system's event, or an agent's click, to everything that came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest_asyncio

from contracts import telephony
from contracts.envelope import Event, traceparent_of
from contracts.topics import SERVICES, TELEPHONY_COMMANDS, TELEPHONY_EVENTS
from devstack.mail import MailCatcher
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.end_to_end.company import ENVIRONMENT, Company
from tests.support import FreshDatabase, FreshTopics, bearer, eventually
from tests.support.collector import Collector, TakenSpan, running_collector
from tests.support.topics import Raw

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BROKEN_TRACE = "0af7651916cd43dd8448eb211c80319c"
PBX_SPAN = "00f067aa0ba902b7"
CALLER = "+12125550177"


@pytest_asyncio.fixture
async def traced(
    kafka: FreshTopics, database: FreshDatabase, mail: MailCatcher, running_service: StartService
) -> AsyncIterator[tuple[Company, Collector]]:
    """A company whose services export their spans to a collector of this process."""
    with running_collector() as collector:
        environment = {**ENVIRONMENT, **collector.environment, "SMTP_URL": mail.url}
        services = {name: await running_service(name, extra_env=environment, wait=False) for name in SERVICES}
        company = Company(kafka=kafka, database=database, mail_folder=mail.folder, services=services)
        await company.be_ready()
        await company.set_up()
        yield company, collector


def lines_of(company: Company, service: str, event: str) -> list[dict[str, Any]]:
    """The log lines of one kind that a service has written."""
    lines = map(orjson.loads, company.services[service].log_text.splitlines())
    return [line for line in lines if line.get("event") == event]


async def test_a_call_is_one_trace_from_its_event_to_the_email(traced: tuple[Company, Collector]) -> None:
    company, collector = traced
    headers = [("traceparent", f"00-{BROKEN_TRACE}-{PBX_SPAN}-01".encode())]
    await company.kafka.send(TELEPHONY_EVENTS, [Raw(b"no JSON", b"k", headers)])
    await company.a_call("c1", contact=CALLER)
    ended = Event(
        id="ended-1",
        source="/tests",
        type="telephony.call.ended.v1",
        time=utc_now(),
        account_id="acme",
        data=telephony.CallEnded(call_id="c1", outcome="no_answer"),
        traceparent=f"00-{TRACE}-{PBX_SPAN}-01",
    )
    await company.kafka.publish(TELEPHONY_EVENTS, (b"c1", ended))

    async def whole() -> dict[str, TakenSpan]:
        by_id = {span.span_id: span for span in collector.of(TRACE)}
        assert {span.service for span in by_id.values()} == set(SERVICES)
        assert any(span.name == "send e-mail" for span in by_id.values())
        return by_id

    by_id = await eventually(whole, 60, because="spans of all four services in the trace")
    (mailed,) = (span for span in by_id.values() if span.name == "send e-mail")
    assert (mailed.service, mailed.attributes["email.outcome"]) == ("notification", "sent")
    path = [mailed]
    while path[-1].parent_id in by_id:
        path.append(by_id[path[-1].parent_id])
    assert [(span.service, span.name) for span in path] == [
        ("notification", "send e-mail"),
        ("notification", "process communication-events"),
        ("routing", "process telephony-events"),
    ]
    assert path[-1].parent_id == PBX_SPAN
    # The call's other event came without a context: it began a trace of its own.
    others = {span.trace_id for span in collector.spans if span.name == "process telephony-events"} - {TRACE}
    assert len(others) == 1

    assert [line["trace_id"] for line in lines_of(company, "notification", "email_attempted")] == [TRACE]
    # What can't be read is found by its trace as well.
    (buried,) = lines_of(company, "routing", "dead_lettered")
    assert buried["trace_id"] == BROKEN_TRACE
    for span in collector.spans:
        assert CALLER[2:] not in str(span), "a span must not tell who called"
        assert "@acme.example" not in str(span)


async def test_what_an_agent_asks_for_is_in_the_trace_of_his_request(traced: tuple[Company, Collector]) -> None:
    company, collector = traced
    answer = await company.request(
        "inbox_state",
        "POST",
        "/v1/inboxes/sales/messages",
        headers={**bearer("anna", "acme"), "traceparent": f"00-{TRACE}-{PBX_SPAN}-01"},
        json={"to": CALLER, "body": "On its way"},
    )
    assert answer.status_code == 202, answer.text
    (command,) = await company.kafka.records(TELEPHONY_COMMANDS, at_least=1)
    assert (traceparent_of(command.headers) or "")[3:35] == TRACE

    def by_name() -> dict[tuple[str, str], TakenSpan]:
        found = {(span.service, span.name.split("/")[0].strip()): span for span in collector.of(TRACE)}
        # Routing takes the request as a fact, and its snapshot goes to everybody in the same trace.
        assert found.keys() >= {
            ("inbox_state", "POST"),
            ("routing", "process inbox-events"),
            ("inbox_state", "process communication-events"),
            ("reporting", "process communication-events"),
        }
        return found

    request = (await eventually(by_name, because="the request's spans in three services"))["inbox_state", "POST"]
    assert (request.service, request.parent_id) == ("inbox_state", PBX_SPAN)
    assert request.name == "POST /inboxes/{inbox_id}/messages"
    assert request.attributes["http.response.status_code"] == 202

    path = "/v1/inboxes/sales/reports/daily-activity/send"
    asked = await company.request("reporting", "POST", path, as_="ada", json={"date": str(company.yesterday().date())})
    assert asked.status_code == 202, asked.text

    def of_the_report() -> dict[str, TakenSpan]:
        made = [span for span in collector.spans if span.name == "make report"]
        assert len(made) == 1
        found = {span.name: span for span in collector.of(made[0].trace_id)}
        assert found.keys() >= {"make report", "process email-requests", "send e-mail"}
        return found

    report = await eventually(of_the_report, 60, because="a report's trace")
    assert report["send e-mail"].service == "notification"
    (sent,) = lines_of(company, "reporting", "report_sent")
    assert sent["trace_id"] == report["make report"].trace_id
