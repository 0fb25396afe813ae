"""What administrators and watchers may see and put over HTTP (N1, N7, A1, A2, A4, A6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiosmtpd.smtp import Envelope
from pydantic import SecretStr

from devstack.mail import Stage
from notification.http_api import router
from notification.preferences import Preferences
from service_kit.auth import Tokens
from service_kit.clock import new_id, utc_now
from service_kit.http import create_app, encode_cursor
from service_kit.settings import TokenSettings
from tests.notification.conftest import LINKS, Notifying
from tests.notification.test_mailing import a_report
from tests.notification.words import (
    ACCOUNT,
    NOW,
    a_call,
    a_message,
    a_user,
    an_account,
    an_inbox,
    hours,
    minutes,
)
from tests.support import JWT_SECRET, bearer

SETTINGS = "/v1/inboxes/support/watcher-notifications"
DELIVERIES = "/v1/inboxes/support/deliveries"
ON = {"enabled": True, "events": ["missed_call", "voicemail"], "digest_minutes": 0}

ADMIN = bearer("ada", ACCOUNT)
WATCHER = bearer("wendy", ACCOUNT)
CONNECTED = bearer("carl", ACCOUNT)
MACHINE = bearer("ci", ACCOUNT, scope="directory")


async def _nothing() -> dict[str, bool]:
    return {}


@pytest_asyncio.fixture
async def http(notifying: Notifying) -> AsyncIterator[httpx.AsyncClient]:
    """The service's HTTP side, for an account with an admin, an agent, a watcher, a stranger and an inactive user."""
    await notifying.know(
        [
            an_account(),
            a_user("ada", role="admin"),
            a_user("wendy"),
            a_user("carl"),
            a_user("steve"),
            a_user("ian", active=False),
            an_inbox("wendy", connected=("carl",)),
        ]
    )
    app = create_app("notification", title="test", ready=_nothing, live=dict)
    app.state.tokens = Tokens(TokenSettings(jwt_secret=SecretStr(JWT_SECRET)), utc_now)
    app.include_router(router(notifying.database, notifying.clock, new_id, LINKS))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_an_inbox_begins_with_emails_off_and_all_kinds_chosen(http: httpx.AsyncClient) -> None:
    answer = await http.get(SETTINGS, headers=WATCHER)
    assert answer.status_code == 200
    assert answer.json() == {
        "enabled": False,
        "events": ["missed_call", "voicemail", "abandoned_call", "inbound_message"],
        "digest_minutes": 5,
    }


async def test_an_inbox_that_is_not_there_is_404_for_an_admin(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/inboxes/none/watcher-notifications", headers=ADMIN)).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "enabled"),
        ({"enabled": "yes"}, "enabled"),
        ({"enabled": True, "events": ["nonsense"]}, "events.0"),
        ({"enabled": True, "digest_minutes": -1}, "digest_minutes"),
        ({"enabled": True, "digest_minutes": 1.5}, "digest_minutes"),
        ({"enabled": True, "digest": 1}, "digest"),
    ],
)
async def test_bad_input_names_the_field_and_changes_nothing(
    http: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await http.put(SETTINGS, headers=ADMIN, json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await http.get(SETTINGS, headers=ADMIN)).json()["enabled"] is False


async def test_a_change_is_recorded_once_with_before_and_after(http: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await http.put(SETTINGS, headers=ADMIN, json=ON)).json() == ON
    assert (await http.put(SETTINGS, headers=MACHINE, json={"enabled": False})).status_code == 200
    page = (await http.get("/v1/audit/notification", headers=ADMIN, params={"limit": 1})).json()
    (newest,) = page["items"]
    assert (newest["by"], newest["action"]) == ("ci", "changed")
    assert newest["before"] == ON
    assert newest["after"]["enabled"] is False
    rest = (await http.get("/v1/audit/notification", headers=ADMIN, params={"cursor": page["next_cursor"]})).json()
    assert [(one["by"], one["entity_id"], one["after"]) for one in rest["items"]] == [("ada", "support", ON)]
    assert rest["next_cursor"] is None
    assert (await http.get("/v1/audit/notification", headers=WATCHER)).status_code == 403


async def pages(http: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """Every delivery that a filter finds, read in pages of two."""
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        given = query | {"limit": 2} | ({"cursor": cursor} if cursor else {})
        answer = await http.get(DELIVERIES, headers=ADMIN, params=given)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= 2
        seen += page["items"]
        cursor = page.get("next_cursor")
        if cursor is None:
            return seen


async def test_an_admin_lists_every_delivery_and_its_outcome(http: httpx.AsyncClient, notifying: Notifying) -> None:
    assert (await http.get(DELIVERIES, headers=ADMIN)).json() == {"items": []}
    await http.put(SETTINGS, headers=ADMIN, json=ON)
    for n in range(5):
        await notifying.hear(a_call("missed", communication_id=f"call-{n}"))
        await notifying.work()
    seen = await pages(http)
    assert sorted(one["communications"][0]["communication_id"] for one in seen) == [f"call-{n}" for n in range(5)]
    assert {(one["user_id"], one["outcome"], one["communications"][0]["kind"]) for one in seen} == {
        ("wendy", "sent", "missed_call")
    }


async def test_deliveries_are_found_by_outcome_user_kind_and_time(
    http: httpx.AsyncClient, notifying: Notifying
) -> None:
    await notifying.know([an_inbox("wendy", "carl", "steve", connected=("carl",), version=2)])
    await notifying.turn_on()
    await notifying.prefer(Preferences(muted_inbox_ids=("support",)), "carl")
    await notifying.unsubscribe(user_id="steve")

    async def answer(stage: Stage, envelope: Envelope, address: str) -> str | None:
        return (
            {1: "550 5.1.1 no", 2: "451 4.3.0 later"}.get(notifying.now.hour - NOW.hour) if stage == "message" else None
        )

    notifying.mail.answer = answer
    for hour, snapshot in enumerate(
        (a_call("missed"), a_call("voicemail", communication_id="2"), a_message(communication_id="3"))
    ):
        notifying.now = NOW + hours(hour)
        await notifying.hear(snapshot)
        await notifying.work()
    await notifying.ask_for(a_report())
    await notifying.evaluate()

    def told(items: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
        return sorted(
            (one["user_id"], one.get("report") or one["communications"][0]["kind"], one["outcome"]) for one in items
        )

    everything = told(await pages(http))
    assert everything == sorted(
        [
            ("wendy", "missed_call", "sent"),
            ("wendy", "voicemail", "refused"),
            ("wendy", "inbound_message", "deferred"),
            ("wendy", "daily_activity", "queued"),
            *(("carl", kind, "muted") for kind in ("missed_call", "voicemail", "inbound_message")),
            *(("steve", kind, "unsubscribed") for kind in ("missed_call", "voicemail", "inbound_message")),
        ]
    )
    for outcome in ("sent", "deferred", "refused", "queued", "muted", "unsubscribed", "expired"):
        assert told(await pages(http, outcome=outcome)) == [one for one in everything if one[2] == outcome]
    assert told(await pages(http, outcome=["muted", "sent"])) == [
        one for one in everything if one[2] in ("muted", "sent")
    ]
    assert told(await pages(http, user="carl")) == [one for one in everything if one[0] == "carl"]
    assert told(await pages(http, kind="voicemail")) == [one for one in everything if one[1] == "voicemail"]
    assert told(await pages(http, kind="daily_activity")) == [("wendy", "daily_activity", "queued")]
    since, until = (NOW + hours(1)).isoformat(), (NOW + hours(2)).isoformat()
    assert told(await pages(http, since=since, until=until)) == [one for one in everything if one[1] == "voicemail"]
    assert told(await pages(http, user="wendy", outcome="sent", kind="missed_call", until=since)) == [
        ("wendy", "missed_call", "sent")
    ]
    (deferred,) = await pages(http, outcome="deferred")
    assert deferred["detail"].startswith("451")
    assert deferred["next_attempt_at"] > deferred["queued_at"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"outcome": "lost"}, "outcome.0"),
        ({"kind": "call"}, "kind.0"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-03-02T10:00:00"}, "until"),
        ({"user": "a\0b"}, "user"),
        ({"limit": "0"}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": encode_cursor("2026-03-02T10:00:00", "x")}, "cursor"),
        ({"cursor": encode_cursor(1, 2)}, "cursor"),
        ({"cursor": encode_cursor("2026-03-02T10:00:00Z", "a\0b")}, "cursor"),
    ],
)
async def test_a_filter_that_is_none_is_named(http: httpx.AsyncClient, query: dict[str, str], field: str) -> None:
    answer = await http.get(DELIVERIES, headers=ADMIN, params=query)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


PREFERENCES = "/v1/me/notification-preferences"


async def test_somebody_who_never_chose_anything_hears_everything_at_any_time(http: httpx.AsyncClient) -> None:
    answer = await http.get(PREFERENCES, headers=WATCHER)
    assert answer.json() == {"muted_inbox_ids": [], "quiet_hours": None, "unsubscribed": []}


async def test_preferences_are_put_read_and_recorded_once(http: httpx.AsyncClient) -> None:
    wanted = {"muted_inbox_ids": ["support"], "quiet_hours": {"from": "22:00", "to": "07:00"}}
    for _ in range(2):
        answer = await http.put(PREFERENCES, headers=WATCHER, json=wanted)
        assert answer.status_code == 200
        assert answer.json() == wanted | {"unsubscribed": []}
    assert (await http.get(PREFERENCES, headers=WATCHER)).json() == wanted | {"unsubscribed": []}
    assert (await http.get(PREFERENCES, headers=CONNECTED)).json()["quiet_hours"] is None
    audit = (await http.get("/v1/audit/notification", headers=ADMIN)).json()["items"]
    assert [(one["by"], one["entity"], one["entity_id"]) for one in audit] == [
        ("wendy", "notification_preferences", "wendy")
    ]
    assert (await http.put(PREFERENCES, headers=WATCHER, json={})).json() == {
        "muted_inbox_ids": [],
        "quiet_hours": None,
        "unsubscribed": [],
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"muted_inbox_ids": ["none"]}, "muted_inbox_ids.0"),
        ({"muted_inbox_ids": ["support", "../x"]}, "muted_inbox_ids.1"),
        ({"muted_inbox_ids": "support"}, "muted_inbox_ids"),
        ({"quiet_hours": {"from": "22:00"}}, "quiet_hours.to"),
        ({"quiet_hours": {"from": "24:00", "to": "07:00"}}, "quiet_hours.from"),
        ({"quiet_hours": {"from": "9:00", "to": "10:00"}}, "quiet_hours.from"),
        ({"quiet_hours": {"from": 22, "to": "07:00"}}, "quiet_hours.from"),
        ({"quiet_hours": {"from": "22:00", "to": "07:00", "zone": "UTC"}}, "quiet_hours.zone"),
        ({"unsubscribed": [{"inbox_id": "support", "topic": "everything"}]}, "unsubscribed.0.topic"),
        ({"unsubscribed": [{"inbox_id": "none", "topic": "watcher_emails"}]}, "unsubscribed.0.inbox_id"),
        ({"mute": ["support"]}, "mute"),
    ],
)
async def test_a_preference_that_is_none_is_named_and_changes_nothing(
    http: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    await http.put(PREFERENCES, headers=WATCHER, json={"muted_inbox_ids": ["support"]})
    answer = await http.put(PREFERENCES, headers=WATCHER, json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await http.get(PREFERENCES, headers=WATCHER)).json()["muted_inbox_ids"] == ["support"]


async def test_an_inbox_that_one_no_longer_watches_may_stay_muted(
    http: httpx.AsyncClient, notifying: Notifying
) -> None:
    body = {"muted_inbox_ids": ["support"]}
    await http.put(PREFERENCES, headers=WATCHER, json=body)
    await notifying.know([an_inbox("steve", version=2)])
    assert (await http.put(PREFERENCES, headers=WATCHER, json=body)).status_code == 200


async def test_new_quiet_hours_count_for_what_the_old_ones_held(http: httpx.AsyncClient, notifying: Notifying) -> None:
    # It is 10:30 in Berlin.
    await notifying.turn_on()
    await http.put(PREFERENCES, headers=WATCHER, json={"quiet_hours": {"from": "10:00", "to": "20:00"}})
    await notifying.hear(a_call("missed"), a_message())
    await notifying.work()
    await http.put(PREFERENCES, headers=WATCHER, json={"quiet_hours": {"from": "10:00", "to": "11:00"}})
    await notifying.pass_by(minutes(29))
    assert notifying.inbox == []
    await notifying.pass_by(minutes(1))
    assert [subject for _, subject in notifying.subjects] == ["1 missed call, 1 message · Support"]


async def test_without_quiet_hours_what_they_held_comes_now_and_what_follows_is_not_lost(
    http: httpx.AsyncClient, notifying: Notifying
) -> None:
    hours_of_quiet = {"quiet_hours": {"from": "10:00", "to": "20:00"}}
    await notifying.turn_on()
    await http.put(PREFERENCES, headers=WATCHER, json=hours_of_quiet)
    await notifying.hear(a_call("missed"))
    await notifying.work()
    await http.put(PREFERENCES, headers=WATCHER, json={})
    await notifying.work()
    assert len(notifying.inbox) == 1
    # The same quiet hours again end at the same time as the digest that went early: it is another digest.
    notifying.now += minutes(1)
    await http.put(PREFERENCES, headers=WATCHER, json=hours_of_quiet)
    await notifying.hear(a_message())
    await notifying.work()
    assert len(notifying.inbox) == 1
    await notifying.pass_by(hours(10))
    assert len(notifying.inbox) == 2
