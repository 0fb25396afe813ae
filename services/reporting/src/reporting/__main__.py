"""The reporting service, put together."""

from __future__ import annotations

from datetime import timedelta

from reporting.consumer import arrived_in, handlers, stages
from reporting.http_api import router
from reporting.metrics import SERVICE
from reporting.settings import ReportingSettings
from reporting.timers import timers
from service_kit import input_progress
from service_kit.clock import new_id, utc_now
from service_kit.consuming import Consumer
from service_kit.database import Database
from service_kit.following import Follower
from service_kit.outbox import Relay
from service_kit.publishing import Publisher
from service_kit.running import Service
from service_kit.settings import load


def main() -> None:
    """Run reporting until it is told to stop."""
    settings = load(ReportingSettings)
    database = Database(settings.database_url, SERVICE, pool_size=settings.database_pool_size)
    publisher = Publisher(settings, client_id=SERVICE)
    consumer = Consumer(
        settings,
        service=SERVICE,
        publisher=publisher,
        clock=utc_now,
        handlers=handlers(database, settings.report_grace, analyse=settings.analyse_transcripts),
        progress=input_progress.noted_in(database),
    )
    every = timedelta(seconds=settings.report_timer_seconds)
    Service(
        settings,
        name=SERVICE,
        title="how did it go?",
        clock=utc_now,
        database=database,
        publisher=publisher,
        consumer=consumer,
        relay=Relay(database, publisher, service=SERVICE, clock=utc_now),
        timers=timers(database, utc_now, settings.report_grace, every, analysing=settings.analyse_transcripts),
        workers=[
            Follower(
                settings,
                stages(settings.report_waits_for),
                clock=utc_now,
                every=every,
                arrived=arrived_in(database),
            )
        ],
        routers=[router(database, utc_now, new_id, settings.report_grace)],
    ).run()


if __name__ == "__main__":
    main()
