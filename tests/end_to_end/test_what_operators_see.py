"""Operators see how it goes, and never who called or what was said (contract §4, architecture §6)."""

from __future__ import annotations

import orjson
import pytest_asyncio

from contracts import telephony
from contracts.topics import TELEPHONY_EVENTS, dead_letter_topic
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.end_to_end.company import Company
from tests.end_to_end.streams import a_stream, deliver
from tests.operations import words
from tests.support import eventually
from tests.support.http import http_client
from tests.support.services import RunningService
from tests.support.topics import Raw

CANARY = "+12125550188"
CANARY_DIGITS = "2125550188"
SECRET_WORDS = "the vault opens at midnight"

FED = {
    "routing": [
        "consumer_lag_records",
        "consumer_last_progress_age_seconds",
        "ring_plan_seconds",
        "outbox_oldest_age_seconds",
        "dead_letters_total",
        "unrouted_communications",
        "commands_not_taken_total",
        "telephony_last_event_age_seconds",
    ],
    "inbox_state": [
        "consumer_lag_records",
        "consumer_last_progress_age_seconds",
        "event_to_view_seconds",
        "outbox_oldest_age_seconds",
        "dead_letters_total",
    ],
    "notification": [
        "consumer_lag_records",
        "consumer_last_progress_age_seconds",
        "event_to_email_seconds",
        "email_oldest_age_seconds",
        "dead_letters_total",
    ],
    "reporting": [
        "consumer_lag_records",
        "consumer_last_progress_age_seconds",
        "outbox_oldest_age_seconds",
        "dead_letters_total",
    ],
}


async def metrics_of(service: RunningService) -> str:
    async with http_client() as client:
        return (await client.get(f"{service.url}/metrics")).text


@pytest_asyncio.fixture
async def busy(company: Company) -> Company:
    """A company after a day of traffic, with bad records among it and a caller who must not be seen anywhere."""
    await deliver(company, a_stream(300, utc_now(), seed=5))
    await company.a_call("secret-call", contact=CANARY)
    await company.it_ends("secret-call")
    await company.a_text("secret-text", SECRET_WORDS, contact=CANARY)
    await company.tell(
        "telephony.voicemail.recorded.v1",
        telephony.VoicemailRecorded(
            call_id="secret-call",
            recording_url="https://pbx.example/secret-recording",
            duration_seconds=3,
            transcript=SECRET_WORDS,
        ),
    )
    bad = {"message_id": "bad", "body": SECRET_WORDS, "contact_number": CANARY, "line_number": 7, "direction": "in"}
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"bad-1"),
        ("ce_source", b"/tests"),
        ("ce_type", b"telephony.message.received.v1"),
        ("ce_time", utc_now().isoformat().encode()),
        ("ce_accountid", b"acme"),
    ]
    await company.kafka.send(
        TELEPHONY_EVENTS,
        [
            Raw(orjson.dumps(bad), CANARY.encode(), headers),
            Raw(SECRET_WORDS.encode(), CANARY.encode(), headers),
        ],
    )
    # A text under a call's id: that is found by routing, not by the envelope.
    await company.a_text("secret-call", SECRET_WORDS, contact=CANARY)
    await company.kafka.records(dead_letter_topic("routing", TELEPHONY_EVENTS), at_least=3)

    async def mailed() -> bool:
        return any(SECRET_WORDS in str(mail) for mail in company.mails())

    await eventually(mailed, 60, because="the e-mail about the secret text")
    return company


async def test_no_number_text_address_or_token_is_in_any_log_line_or_metric(busy: Company) -> None:
    for name, service in busy.services.items():
        written = service.log_text + await metrics_of(service)
        assert written
        for secret in (CANARY_DIGITS, SECRET_WORDS, "@acme.example", "secret-recording", "eyJ", "212555"):
            assert secret not in written, f"{secret!r} is in what {name} writes"


async def test_every_metric_of_the_contract_is_there_for_its_service(busy: Company) -> None:
    for name, wanted in FED.items():
        text = await metrics_of(busy.services[name])
        for metric in wanted:
            assert f"# TYPE connected_inbox_{metric.removesuffix('_total')}" in text, f"{name} lacks {metric}"
    routing = await metrics_of(busy.services["routing"])
    assert 'connected_inbox_dead_letters_total{reason="bad_data",service="routing"} 1.0' in routing
    assert 'connected_inbox_dead_letters_total{reason="kind_changed",service="routing"} 1.0' in routing
    assert 'connected_inbox_telephony_last_event_age_seconds{service="routing",system="default"}' in routing
    view = await metrics_of(busy.services["inbox_state"])
    assert 'connected_inbox_event_to_view_seconds_count{service="inbox_state"} 0.0' not in view
    email = await metrics_of(busy.services["notification"])
    assert 'connected_inbox_event_to_email_seconds_count{service="notification"} 0.0' not in email


async def test_every_metric_that_a_rule_a_dashboard_or_a_document_names_is_in_a_scrape(
    busy: Company, running_service: StartService
) -> None:
    shown = words.metrics_of_rules() | words.metrics_of_dashboards()
    told = words.metrics_of_documents()
    console = await running_service("console", extra_env={"DEVELOPMENT_SIGN_IN": "true"})
    running = {**busy.services, "console": console}

    async def all_there() -> bool:
        scraped = "".join([await metrics_of(one) for one in running.values()])
        # What a rule or a dashboard computes with must have a value before anything happens, or it shows nothing.
        samples = words.metrics_in("\n".join(line for line in scraped.splitlines() if not line.startswith("#")))
        described = words.metrics_in("\n".join(line for line in scraped.splitlines() if line.startswith("# TYPE")))
        assert shown - samples == set()
        # A counter is described without its suffix.
        assert told - samples - described - {f"{name}_total" for name in described} == set()
        return True

    await eventually(all_there, 40, because="every metric in the scrapes")
