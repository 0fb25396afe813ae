"""Every page of the console."""

from fastapi import APIRouter

from console.pages import admin, admin_inbox, inbox, me, reports, sign_in
from console.rendering import Renderer
from console.services import Services
from console.session import Sessions
from console.settings import ConsoleSettings
from console.visitors import Visitors
from service_kit.clock import Clock


def router(
    settings: ConsoleSettings, services: Services, sessions: Sessions, renderer: Renderer, clock: Clock
) -> APIRouter:
    """The routes of all pages."""
    visitors = Visitors(services, sessions)
    whole = APIRouter(include_in_schema=False)
    whole.include_router(sign_in.router(settings, services, sessions, renderer, clock))
    whole.include_router(inbox.router(visitors, renderer))
    whole.include_router(admin.router(visitors, services, renderer))
    whole.include_router(admin_inbox.router(visitors, services, renderer, clock))
    whole.include_router(me.router(visitors, services, renderer))
    whole.include_router(reports.router(visitors, services, renderer, clock))
    return whole
