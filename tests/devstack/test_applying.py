"""A set-up file becomes an account on the real services; applied again it changes nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from contracts.topics import SERVICES
from devstack.api import Api, Refused
from devstack.applying import Change, apply, read_setup
from devstack.setup_file import parse
from service_kit.auth import sign
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.support.services import JWT_SECRET

SETUP = """
account: {account_id: acme, name: Acme, time_zone: Europe/Berlin, fallback_inbox_id: support}
users:
  anna: {name: Anna, email: anna@acme.example, endpoints: [sip:1001@pbx]}
  ben: {name: Ben, email: ben@acme.example, role: admin}
teams:
  team-1: {name: One, members: [anna], supervisors: [ben]}
inboxes:
  support:
    name: Support
    agents: {teams: [team-1]}
    business_hours: {mon: [{from: 09:00, to: 17:00}]}
    watchers: [ben]
    watcher_notifications: {enabled: true, events: [voicemail], digest_minutes: 0}
    automations: {auto_mark_as_read: {enabled: true, after_hours: 48}}
    report_notifications: {enabled: true, recipients: [watching], send_at: 17:30}
lines:
  +4930901820: {inbox_id: support, name: Front desk, primary: true}
"""


@pytest_asyncio.fixture
async def api(running_service: StartService) -> AsyncIterator[Api]:
    """The four services, as a machine that administers reaches them."""
    running = await asyncio.gather(*(running_service(service) for service in SERVICES))
    token = sign(
        JWT_SECRET, user_id="tests", account_id="acme", now=utc_now(), lasts=timedelta(hours=1), scope="directory"
    )
    with Api({service: one.url for service, one in zip(SERVICES, running, strict=True)}, token) as api:
        yield api


async def applied(text: str, api: Api) -> list[Change]:
    return await asyncio.to_thread(lambda: list(apply(parse(text), api)))


async def test_an_account_is_applied_again_and_again(api: Api) -> None:
    first = await applied(SETUP, api)
    assert Counter(change.how for change in first) == {"created": 7, "changed": 4}

    assert api.get("routing", "account")["fallback_inbox_id"] == "support"
    assert api.get("routing", "inboxes", "support")["business_hours"]["mon"] == [{"from": "09:00", "to": "17:00"}]
    assert api.get("notification", "inboxes", "support", "watcher-notifications")["events"] == ["voicemail"]
    assert api.get("inbox_state", "inboxes", "support", "automations")["auto_mark_as_read"]["after_hours"] == 48
    assert api.get("reporting", "inboxes", "support", "report-notifications")["send_at"] == "17:30"

    again = await applied(SETUP, api)
    assert {change.how for change in again} == {"unchanged"}

    changed = await applied(
        SETUP.replace("name: Front desk", "name: Desk").replace("watchers: [ben]", "watchers: []"), api
    )
    assert [change for change in changed if change.how != "unchanged"] == [
        Change("inbox support: watcher ben", "removed"),
        Change("line +4930901820", "changed", ("name",)),
    ]

    read = await asyncio.to_thread(read_setup, api, "acme")
    assert read.for_simulation() == parse(SETUP).for_simulation()


async def test_what_a_service_refuses_is_said_with_the_field(api: Api) -> None:
    with pytest.raises(Refused, match=r"PUT /v1/account: 422 .*time_zone"):
        await applied(SETUP.replace("Europe/Berlin", "Europe/Atlantis"), api)
