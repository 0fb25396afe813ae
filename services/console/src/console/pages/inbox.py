"""The inbox screen: one page for all its addresses; its script shows what the address names."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import HTMLResponse, RedirectResponse

from console.rendering import Renderer
from console.visitors import Visitors


def router(visitors: Visitors, renderer: Renderer) -> APIRouter:
    """The routes of the inbox screen."""
    routes = APIRouter()
    signed_in = Annotated[str, Depends(visitors.token)]

    @routes.get("/")
    async def home(_token: signed_in) -> RedirectResponse:
        return RedirectResponse("/inboxes/all", 303)

    @routes.get("/inboxes/{inbox_id}")
    @routes.get("/inboxes/{inbox_id}/threads/{thread_id}")
    async def screen(_token: signed_in) -> HTMLResponse:
        # Nothing of the account is in it: it paints at once, whatever the services do.
        return renderer.page("inbox.html")

    return routes
