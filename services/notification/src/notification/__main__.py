"""The notification service, put together."""

from __future__ import annotations

from notification.consumer import Listening
from notification.http_api import router
from notification.metrics import SERVICE
from notification.sending import MailConnections
from notification.settings import NotificationSettings
from notification.timers import Evaluating, Mailing, Upkeep
from service_kit.clock import new_id, utc_now
from service_kit.consuming import Consumer
from service_kit.database import Database
from service_kit.publishing import Publisher
from service_kit.running import Service
from service_kit.settings import load


def main() -> None:
    """Run notification until it is told to stop."""
    settings = load(NotificationSettings)
    database = Database(settings.database_url, SERVICE, pool_size=settings.database_pool_size)
    publisher = Publisher(settings, client_id=SERVICE)

    mailing = Mailing(
        database,
        utc_now,
        MailConnections(settings.mail_server, settings.smtp_connections),
        sender=settings.sender,
        unsubscribe_links=settings.unsubscribe_links,
        console_links=settings.console_links,
        first_pause=settings.email_retry_pause,
        max_per_second=settings.smtp_max_per_second,
    )
    evaluating = Evaluating(database, utc_now, settings.limits, send=mailing.wake)
    upkeep = Upkeep(database, utc_now)
    listening = Listening(database, utc_now, settings.limits, evaluate=evaluating.wake, send=mailing.wake)
    consumer = Consumer(
        settings,
        service=SERVICE,
        publisher=publisher,
        clock=utc_now,
        handlers=listening.handlers(),
    )
    Service(
        settings,
        name=SERVICE,
        title="who was told?",
        clock=utc_now,
        database=database,
        publisher=publisher,
        consumer=consumer,
        timers=[evaluating.timer, mailing.timer, *upkeep.timers],
        routers=[router(database, utc_now, new_id, settings.unsubscribe_links)],
    ).run()


if __name__ == "__main__":
    main()
