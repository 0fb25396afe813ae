"""The routing service, put together."""

from __future__ import annotations

from routing.consumer import Routing
from routing.http_api import router
from routing.metrics import SERVICE, LastEvents
from routing.settings import RoutingSettings
from routing.storage.directory import Directories
from routing.timers import Conclusions, watch_systems
from service_kit import input_progress
from service_kit.clock import new_id, utc_now
from service_kit.consuming import Consumer
from service_kit.database import Database
from service_kit.outbox import Relay
from service_kit.publishing import Publisher
from service_kit.running import Service
from service_kit.settings import load


def main() -> None:
    """Run routing until it is told to stop."""
    settings = load(RoutingSettings)
    database = Database(settings.database_url, SERVICE, pool_size=settings.database_pool_size)
    publisher = Publisher(settings, client_id=SERVICE)
    directories = Directories()
    last_events = LastEvents(utc_now)
    routing = Routing(database, directories, utc_now, last_events, settings.max_call_hours)
    conclusions = Conclusions(database, directories, utc_now, settings.max_call_hours)
    consumer = Consumer(
        settings,
        service=SERVICE,
        publisher=publisher,
        clock=utc_now,
        handlers=routing.handlers(),
        progress=input_progress.noted_in(database),
    )
    Service(
        settings,
        name=SERVICE,
        title="whose is this, and who should ring?",
        clock=utc_now,
        database=database,
        publisher=publisher,
        consumer=consumer,
        relay=Relay(database, publisher, service=SERVICE, clock=utc_now),
        timers=[*conclusions.timers(), watch_systems(database, last_events)],
        routers=[router(database, directories, utc_now, new_id)],
    ).run()


if __name__ == "__main__":
    main()
