"""kill -9 in the midst of sending: every e-mail arrives, and what comes twice is what a connection was about.

`KILLED_EMAILS=1000`, as `make faults` has it, makes it a thousand.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta

import pytest

from contracts.topics import COMMUNICATION_EVENTS
from devstack.mail import MailCatcher, messages
from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.notification.test_service import learn, told, turn_on
from tests.notification.words import a_message
from tests.support import FreshTopics, eventually

EMAILS = int(os.environ.get("KILLED_EMAILS", "240"))
WATCHERS = ("wendy", "will", "wanda", "walt")
CONNECTIONS = 4
KILLS = 3


@pytest.mark.faults
@pytest.mark.timeout(420)
async def test_killed_while_sending_every_email_arrives_and_hardly_one_twice(
    kafka: FreshTopics, mail: MailCatcher, running_service: StartService
) -> None:
    await learn(kafka, *WATCHERS)
    service = await running_service(
        "notification", extra_env={"SMTP_URL": mail.url, "SMTP_CONNECTIONS": str(CONNECTIONS)}
    )
    await turn_on(service.url)
    at = utc_now() + timedelta(milliseconds=1)
    texts = [
        a_message(communication_id=f"m-{n}", contact_number=f"+1555{n:07}", at=at)
        for n in range(EMAILS // len(WATCHERS))
    ]
    await kafka.publish(COMMUNICATION_EVENTS, *(told(one) for one in texts))

    def arrived() -> int:
        # Looked up by name alone: reading thousands of files again and again would slow the server down.
        return sum(1 for _ in (mail.folder / "new").glob("*"))

    for kill in range(KILLS):
        goal = EMAILS * (kill + 1) // (KILLS + 1)
        await eventually(lambda goal=goal: arrived() >= goal, 120, every=0.01, because=f"{goal} e-mails")  # type: ignore[misc]
        await service.kill()
        await service.start()
    ids: Counter[str] = Counter()

    def all_arrived() -> bool:
        nonlocal ids
        ids = Counter(str(message["Message-ID"]) for message in messages(mail.folder))
        return len(ids) == EMAILS

    await eventually(all_arrived, 120, every=0.5, because="every e-mail")
    assert await service.stop()
    twice = sum(ids.values()) - len(ids)
    print(f"\n{EMAILS} e-mails, {KILLS} kills, {CONNECTIONS} connections: none lost, {twice} came twice")
    assert max(ids.values()) <= 1 + KILLS
    assert twice <= KILLS * CONNECTIONS
    # Each is for one watcher and one communication, and no other was made.
    assert len(ids) == len(texts) * len(WATCHERS)
