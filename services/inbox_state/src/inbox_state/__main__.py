"""inbox_state: what does the team see now?"""

from __future__ import annotations

from inbox_state.consumer import handlers
from inbox_state.http_api import router
from inbox_state.http_api.broadcast import Broadcast
from inbox_state.settings import InboxStateSettings
from inbox_state.timers import timers
from service_kit.clock import new_id, utc_now
from service_kit.consuming import Consumer
from service_kit.database import Database
from service_kit.outbox import Relay
from service_kit.publishing import Publisher
from service_kit.running import Service
from service_kit.settings import load


def main() -> None:
    """Compose inbox_state and run it until it is told to stop."""
    settings = load(InboxStateSettings)
    database = Database(settings.database_url, "inbox_state", pool_size=settings.database_pool_size)
    broadcast = Broadcast(database)
    publisher = Publisher(settings, client_id="inbox_state")
    service = Service(
        settings,
        name="inbox_state",
        title="inbox state",
        clock=utc_now,
        database=database,
        publisher=publisher,
        consumer=Consumer(
            settings,
            service="inbox_state",
            publisher=publisher,
            clock=utc_now,
            handlers=handlers(database, utc_now),
        ),
        relay=Relay(database, publisher, service="inbox_state", clock=utc_now),
        timers=timers(database, utc_now, settings.auto_mark_every, settings.stream_resume_within),
        workers=[broadcast],
        routers=[router(database, utc_now, new_id, broadcast)],
    )
    service.run()


if __name__ == "__main__":
    main()
