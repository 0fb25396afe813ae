"""HTTP in: the directory, who would ring, and what waits for a mapping (contract §3)."""

from __future__ import annotations

from fastapi import APIRouter

from routing.http_api import communications, inboxes, lines, people
from routing.http_api.callers import administers, doors
from routing.http_api.changing import Administration
from routing.storage.directory import Directories
from service_kit import audit
from service_kit.clock import Clock, Identify
from service_kit.database import Database


def router(database: Database, directories: Directories, clock: Clock, identify: Identify) -> APIRouter:
    """Every endpoint of routing."""
    before = doors(database)
    administration = Administration(database, directories, clock, identify)
    whole = APIRouter()
    whole.include_router(people.router(database, before, administration, clock, identify))
    whole.include_router(inboxes.router(database, directories, before, administration, clock))
    whole.include_router(lines.router(database, before, administration))
    whole.include_router(communications.router(database, directories, before))
    whole.include_router(audit.routes("/v1/audit", database, administers))
    return whole
