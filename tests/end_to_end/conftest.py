"""All four services as processes, and a small company on them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from devstack.mail import MailCatcher
from tests.conftest import StartService
from tests.end_to_end.company import ENVIRONMENT, Company
from tests.support import FreshDatabase, FreshTopics


@pytest_asyncio.fixture
async def company(
    kafka: FreshTopics,
    database: FreshDatabase,
    mail: MailCatcher,
    running_service: StartService,
) -> AsyncIterator[Company]:
    """A company with all of its services running."""
    services = {}
    for name in ("routing", "inbox_state", "notification", "reporting"):
        services[name] = await running_service(name, extra_env={**ENVIRONMENT, "SMTP_URL": mail.url}, wait=False)
    made = Company(kafka=kafka, database=database, mail_folder=mail.folder, services=services)
    await made.be_ready()
    await made.set_up()
    yield made
