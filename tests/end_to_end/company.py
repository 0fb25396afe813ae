"""The words of the end-to-end tests: a company, its calls and texts, and what its people see."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from mailbox import MaildirMessage
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import asyncpg
import httpx

from contracts import telephony
from contracts.envelope import Event
from contracts.fields import Data
from contracts.topics import TELEPHONY_EVENTS
from devstack.mail import messages
from devstack.simulator import key_for
from devstack.stack import is_ready
from service_kit.clock import utc_now
from service_kit.database import prepare
from tests.support import FreshDatabase, FreshTopics, RunningService, bearer, eventually
from tests.support.http import http_client

ENVIRONMENT: Final = {
    "VOICEMAIL_GRACE": "1s",
    "REPORT_GRACE": "0",
    "EMAIL_RETRY_PAUSE": "1s",
    "SMTP_CONNECTIONS": "1",
    "SESSION_TIMEOUT_MS": "1500",
    "HEARTBEAT_INTERVAL_MS": "300",
}

ACCOUNT: Final = "acme"
ZONE: Final = ZoneInfo("America/New_York")
SALES_LINE: Final = "+12125550100"
SUPPORT_LINE: Final = "+12125550101"
FALLBACK_LINE: Final = "+12125550102"

USERS: Final[dict[str, dict[str, Any]]] = {
    "ada": {"name": "Ada Admin", "role": "admin"},
    "anna": {"name": "Anna Agent", "role": "agent", "endpoints": ["sip:1001@pbx"]},
    "ben": {"name": "Ben Agent", "role": "agent"},
    "wim": {"name": "Wim Watcher", "role": "agent"},
    "zoe": {"name": "Zoe Stranger", "role": "agent"},
}
INBOXES: Final = {"sales": SALES_LINE, "support": SUPPORT_LINE}


@dataclass
class Company:
    """One account on its own topics and database. Anna and Ben work sales and support, Wim watches both."""

    kafka: FreshTopics
    database: FreshDatabase
    mail_folder: Path
    services: Mapping[str, RunningService]
    numbers: Any = field(default_factory=lambda: count(1))

    async def be_ready(self) -> None:
        """Wait until every service is ready."""
        for name, service in self.services.items():
            await eventually(partial(asyncio.to_thread, is_ready, service.url), 60, because=f"{name} being ready")

    async def request(self, service: str, method: str, path: str, *, as_: str = "", **given: Any) -> httpx.Response:
        """One HTTP request, as a person, or as the machine that administers."""
        headers = bearer(as_, ACCOUNT) if as_ else bearer("setup", ACCOUNT, scope="directory")
        async with http_client(self.services[service].url, headers=headers) as client:
            return await client.request(method, path, **given)

    async def get(self, service: str, path: str, *, as_: str) -> Any:
        """What a person reads there."""
        answer = await self.request(service, "GET", path, as_=as_)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()

    async def put(self, service: str, path: str, body: Any = None) -> None:
        """Administer, waiting until the service knows what the path names."""

        async def done() -> bool:
            answer = await self.request(service, "PUT", path, json=body)
            assert answer.status_code < 300, (path, answer.status_code, answer.text)
            return True

        await eventually(done)

    async def set_up(self) -> None:
        """Create the account with everything on."""
        await self.put("routing", "/v1/account", {"name": "Acme", "time_zone": ZONE.key})
        for user_id, user in USERS.items():
            await self.put("routing", f"/v1/users/{user_id}", {"email": f"{user_id}@acme.example", **user})
        for inbox_id, line in INBOXES.items():
            await self.put(
                "routing",
                f"/v1/inboxes/{inbox_id}",
                {"name": inbox_id.title(), "kind": "connected", "agents": {"users": ["anna", "ben"]}},
            )
            await self.put("routing", f"/v1/lines/{line}", {"inbox_id": inbox_id, "name": inbox_id})
            await self.put("routing", f"/v1/inboxes/{inbox_id}/watchers/wim")
            await self.put(
                "notification",
                f"/v1/inboxes/{inbox_id}/watcher-notifications",
                {
                    "enabled": True,
                    "events": ["missed_call", "voicemail", "abandoned_call", "inbound_message"],
                    "digest_minutes": 0,
                },
            )
            await self.put(
                "reporting",
                f"/v1/inboxes/{inbox_id}/report-notifications",
                {
                    "enabled": True,
                    "reports": ["daily_activity"],
                    "recipients": ["watching"],
                    "lines": "all",
                    "users": "all",
                    "teams": "all",
                    "send_at": "07:00",
                },
            )

        async def known_everywhere() -> bool:
            for inbox_id in INBOXES:
                for service, path in (
                    ("inbox_state", f"/v1/inboxes/{inbox_id}/threads"),
                    ("notification", f"/v1/inboxes/{inbox_id}/watcher-notifications"),
                    ("reporting", f"/v1/inboxes/{inbox_id}/report-notifications"),
                ):
                    answer = await self.request(service, "GET", path, as_="wim")
                    assert answer.status_code == 200, (path, answer.status_code, answer.text)
            return True

        await eventually(known_everywhere)

    async def tell(self, event_type: str, data: Data, *, at: datetime | None = None) -> None:
        """Publish one telephony event."""
        event = Event(
            id=f"e{next(self.numbers)}",
            source="/tests",
            type=event_type,
            time=at or utc_now(),
            account_id=ACCOUNT,
            data=data,
        )
        await self.kafka.publish(TELEPHONY_EVENTS, (key_for(data), event))

    async def a_call(self, call_id: str, *, contact: str, line: str = SALES_LINE) -> None:
        """An inbound call begins."""
        await self.tell(
            "telephony.call.started.v1",
            telephony.CallStarted(call_id=call_id, direction="inbound", line_number=line, contact_number=contact),
        )

    async def it_ends(self, call_id: str, outcome: str | None = None) -> None:
        """The call ends."""
        await self.tell("telephony.call.ended.v1", telephony.CallEnded(call_id=call_id, outcome=outcome))

    async def a_text(self, message_id: str, body: str, *, contact: str, line: str = SALES_LINE) -> None:
        """A text comes in."""
        await self.tell(
            "telephony.message.received.v1",
            telephony.MessageReceived(
                message_id=message_id, direction="inbound", line_number=line, contact_number=contact, body=body
            ),
        )

    async def threads(self, inbox_id: str, *, as_: str = "anna") -> list[dict[str, Any]]:
        """The first page of an inbox's threads."""
        answer = await self.get("inbox_state", f"/v1/inboxes/{inbox_id}/threads", as_=as_)
        return list(answer["items"])

    async def unread(self, inbox_id: str, *, as_: str = "anna") -> int:
        """The unread count of an inbox in somebody's panel."""
        panel = await self.get("inbox_state", "/v1/panel", as_=as_)
        return next(int(item["unread"]) for item in panel["items"] if item["inbox_id"] == inbox_id)

    def mails(self) -> list[MaildirMessage]:
        """Every e-mail that was sent."""
        return messages(self.mail_folder)

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """What stands in the database, as its administrator sees it."""
        connection = await asyncpg.connect(self.database.admin_dsn)
        try:
            await prepare(connection)
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    def yesterday(self) -> datetime:
        """A time of yesterday, as the account's clock has it."""
        return utc_now().astimezone(ZONE) - timedelta(days=1)
