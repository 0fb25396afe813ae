"""HTTP in: what watchers are told, what readers want, and who was told (contract §3)."""

from fastapi import APIRouter

from notification.http_api import administration, deliveries, preferences, unsubscribing
from notification.unsubscribe_links import UnsubscribeLinks
from service_kit import audit, directory_copy
from service_kit.clock import Clock, Identify
from service_kit.database import Database


def router(database: Database, clock: Clock, identify: Identify, links: UnsubscribeLinks) -> APIRouter:
    """Every route of notification. Rights are checked before a request's body is looked at (A1)."""
    whole = APIRouter(prefix="/v1")
    whole.include_router(administration.router(database, clock, identify))
    whole.include_router(preferences.router(database, clock, identify))
    whole.include_router(deliveries.router(database))
    whole.include_router(unsubscribing.router(database, clock, identify, links))
    whole.include_router(audit.routes("/audit/notification", database, directory_copy.is_admin))
    return whole
