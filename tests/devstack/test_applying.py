"""A set-up file becomes an account on the real services; applied again it changes nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import yaml

from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, INBOX_EVENTS, SERVICES
from devstack.api import Api, Refused
from devstack.applying import Change, apply
from devstack.patience import Patient
from devstack.reading import read_setup, read_whole_setup
from devstack.setup_file import parse
from devstack.setup_text import written
from service_kit.auth import sign
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.devstack.conftest import Inboxctl
from tests.support.databases import FreshDatabase
from tests.support.services import JWT_SECRET
from tests.support.topics import FreshTopics
from tests.support.waiting import eventually
from tests.support.whole_account import INBOXES, LINES, TEAMS, USERS, WATCHERS, whole_account

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
async def urls(running_service: StartService) -> dict[str, str]:
    """The four services."""
    running = await asyncio.gather(*(running_service(service) for service in SERVICES))
    return {service: one.url for service, one in zip(SERVICES, running, strict=True)}


@contextmanager
def of_account(urls: dict[str, str], account_id: str) -> Iterator[Api]:
    """The four services, as a machine that administers an account reaches them."""
    token = sign(
        JWT_SECRET, user_id="tests", account_id=account_id, now=utc_now(), lasts=timedelta(hours=1), scope="directory"
    )
    with Api(urls, token) as api:
        yield api


@pytest.fixture
def api(urls: dict[str, str]) -> Iterator[Api]:
    """The same for acme."""
    with of_account(urls, "acme") as api:
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


def exported(api: Api, account_id: str) -> str:
    found = read_whole_setup(Patient(api), account_id, to_the_last=True)
    assert found is not None
    return written(found)


class Traces:
    """Whatever a change leaves behind: records on the topics, entries of the audits, and outboxes that are empty."""

    def __init__(self, kafka: FreshTopics, database: FreshDatabase) -> None:
        self._kafka = kafka
        self._database = database

    async def all(self) -> dict[str, int]:
        connection = await asyncpg.connect(self._database.admin_dsn)
        try:

            async def everything_is_relayed() -> bool:
                waiting = [await connection.fetchval(f"SELECT count(*) FROM {one}.outbox") for one in SERVICES]
                return not any(waiting)

            await eventually(everything_is_relayed, because="empty outboxes")
            audits = {one: await connection.fetchval(f"SELECT count(*) FROM {one}.audit") for one in SERVICES}
        finally:
            await connection.close()
        topics = (DIRECTORY_EVENTS, INBOX_EVENTS, COMMUNICATION_EVENTS)
        return audits | {topic.name: len(await self._kafka.records(topic)) for topic in topics}


async def test_a_whole_account_is_applied_once_and_copied_to_an_empty_one(
    urls: dict[str, str], kafka: FreshTopics, database: FreshDatabase
) -> None:
    text, traces = whole_account(), Traces(kafka, database)
    with of_account(urls, "acme") as api:
        first = Counter(change.how for change in await applied(text, api))
        # The account once more for its fallback, an inbox, and three settings of each inbox.
        assert first["created"] == 1 + TEAMS + USERS + INBOXES * (1 + WATCHERS) + LINES
        assert first["changed"] > INBOXES * 2
        left = await traces.all()
        assert left[DIRECTORY_EVENTS.name] >= first["created"]

        again = Counter(change.how for change in await applied(text, api))
        assert set(again) == {"unchanged"}
        assert again["unchanged"] == first["created"] + 3 * INBOXES
        assert await traces.all() == left
        copy = await asyncio.to_thread(exported, api, "acme")
        assert set(Counter(change.how for change in await applied(copy, api))) == {"unchanged"}
        assert await traces.all() == left

    with of_account(urls, "copy") as api:
        await asyncio.to_thread(lambda: list(apply(parse(copy).for_account("copy"), api)))
        assert await asyncio.to_thread(exported, api, "copy") == copy.replace("account_id: acme", "account_id: copy")


async def test_who_changes_teams_keeps_his_place_in_the_ring_layers(api: Api) -> None:
    document = yaml.load(SETUP, yaml.BaseLoader)
    document["teams"]["team-2"] = {"name": "Two", "members": ["ben"]}
    document["inboxes"]["support"] |= {
        "agents": {"teams": ["team-1", "team-2"]},
        "ring_layers": [{"users": ["anna", "ben"]}],
    }
    await applied(yaml.safe_dump(document), api)
    document["teams"]["team-1"]["members"], document["teams"]["team-2"]["members"] = ["ben"], ["anna"]
    changed = await applied(yaml.safe_dump(document), api)
    assert {change.what for change in changed if change.how == "changed"} == {"team team-1", "team team-2"}
    assert api.get("routing", "inboxes", "support")["ring_layers"][0]["users"] == ["anna", "ben"]


async def test_a_person_diffs_applies_and_exports(urls: dict[str, str], inboxctl: Inboxctl, tmp_path: Path) -> None:
    environment = {"JWT_SECRET": JWT_SECRET} | {f"{service.upper()}_URL": url for service, url in urls.items()}
    file = tmp_path / "acme.yaml"
    file.write_text(SETUP)

    async def ran(code: int, *arguments: str) -> list[str]:
        ended = await inboxctl(*arguments, env=environment)
        assert ended.code == code, (ended.out, ended.err)
        return (ended.out if code != 2 else ended.err).splitlines()

    new = await ran(1, "diff", "acme.yaml")
    assert new == await ran(1, "apply", "--dry-run", "acme.yaml")
    assert "+ user anna {name: Anna, email: anna@acme.example, endpoints: ['sip:1001@pbx']}" in new
    assert "+ inbox support: watcher ben" in new
    assert "~ inbox support: report-notifications: send_at 07:00 → 17:30" in new
    with of_account(urls, "acme") as api:
        assert api.find("routing", "account") is None, "showing changes nothing"

    told = await ran(0, "apply", "acme.yaml")
    assert told[:-1] == new
    assert told[-1] == "acme: 7 created, 4 changed"
    assert await ran(0, "diff", "acme.yaml") == []
    assert await ran(0, "apply", "acme.yaml") == ["acme: 10 unchanged"]

    document = yaml.load(SETUP, yaml.BaseLoader)
    del document["teams"], document["users"]["anna"]
    document["users"]["cleo"] = {"name": "Cléo", "email": "cleo@acme.example"}
    document["inboxes"]["support"] |= {"agents": {"users": ["cleo"]}, "watchers": ["cleo"]}
    document["lines"]["+4930901820"]["name"] = "Desk"
    file.write_text(yaml.safe_dump(document, allow_unicode=True))
    changes = [
        "+ user cleo {name: Cléo, email: cleo@acme.example}",
        "+ inbox support: agents.users [cleo]",
        "- inbox support: agents.teams [team-1]",
        "+ inbox support: watcher cleo",
        '~ line +4930901820: name "Front desk" → Desk',
        "- inbox support: watcher ben",
    ]
    kept = [f"  not in the file, and left alone: {what}" for what in ("user anna", "team team-1")]
    assert sorted(await ran(1, "diff", "acme.yaml")) == sorted(changes + kept)
    gone = ["~ user anna: active true → false", "- team team-1"]
    assert sorted(await ran(1, "diff", "--prune", "acme.yaml")) == sorted(changes + gone)
    told = await ran(0, "apply", "--prune", "acme.yaml")
    assert told[-1] == "acme: 5 unchanged, 2 created, 3 changed, 2 removed"
    assert await ran(0, "diff", "--prune", "acme.yaml") == []

    exported = await ran(0, "export", "--account", "acme")
    assert await ran(0, "export", "--account", "acme", "-o", "copy.yaml") == []
    assert (tmp_path / "copy.yaml").read_text().splitlines() == exported
    assert await ran(0, "diff", "copy.yaml") == []
    await ran(0, "apply", "--account", "globex", "copy.yaml")
    copied = await ran(0, "export", "--account", "globex")
    assert copied == [line.replace("account_id: acme", "account_id: globex") for line in exported]
    assert await ran(0, "diff", "--account", "globex", "copy.yaml") == []

    file.write_text(SETUP.replace("Europe/Berlin", "Europe/Atlantis"))
    refused = await inboxctl("apply", "acme.yaml", env=environment)
    assert refused.code == 1
    assert "PUT /v1/account: 422" in refused.err
    assert "time_zone: is no IANA time zone" in refused.err
    assert "apply it again when that is mended" in refused.err
    assert "Traceback" not in refused.err
    nobody = await inboxctl("export", "--account", "initech", env=environment)
    assert (nobody.code, nobody.out, nobody.err) == (1, "", "there is no account initech\n")
    file.write_text("account: [")
    assert "not YAML" in " ".join(await ran(2, "diff", "acme.yaml"))
    environment["REPORTING_URL"] = "http://127.0.0.1:9"
    (away,) = await ran(2, "diff", "--patience", "0", "copy.yaml")
    assert away.startswith("reporting at http://127.0.0.1:9 does not answer")
