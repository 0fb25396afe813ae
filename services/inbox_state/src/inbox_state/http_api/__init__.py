"""HTTP in: what agents see and do, and what administrators set (contract §3)."""

from fastapi import APIRouter

from inbox_state.http_api import administration, marks, outbound, stream, views
from inbox_state.http_api.broadcast import Broadcast
from inbox_state.http_api.sight import Sights
from service_kit import audit, directory_copy
from service_kit.clock import Clock, Identify, new_secret
from service_kit.database import Database


def router(database: Database, clock: Clock, identify: Identify, broadcast: Broadcast) -> APIRouter:
    """Every route of inbox_state."""
    sights = Sights(database)
    whole = APIRouter(prefix="/v1")
    whole.include_router(views.router(database, sights))
    whole.include_router(marks.router(database, sights, clock))
    whole.include_router(outbound.router(database, sights, clock, identify))
    whole.include_router(administration.router(database, sights, clock, identify))
    whole.include_router(stream.router(database, sights, clock, new_secret, broadcast))
    whole.include_router(audit.routes("/audit/inbox-state", database, directory_copy.is_admin))
    return whole
