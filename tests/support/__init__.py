"""The words that tests are written with: servers, fresh databases and topics, running services, waiting."""

from tests.support.databases import FreshDatabase
from tests.support.services import JWT_SECRET, RunningService, bearer
from tests.support.topics import FreshTopics
from tests.support.waiting import eventually

__all__ = ["JWT_SECRET", "FreshDatabase", "FreshTopics", "RunningService", "bearer", "eventually"]
