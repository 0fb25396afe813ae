"""Stopping e-mails from the e-mail itself, in one click and without a login (N6, RFC 8058)."""

from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from notification.preferences import Subscription
from notification.rendering import PageState, unsubscribe_page, unusable_link_page
from notification.storage import administration as storage
from notification.unsubscribe_links import UnsubscribeLinks
from service_kit import audit, directory_copy
from service_kit.clock import Clock, Identify
from service_kit.database import Connection, Database
from service_kit.http import not_found

_MAX_FORM_BYTES: Final = 4_096
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


def router(database: Database, clock: Clock, identify: Identify, links: UnsubscribeLinks) -> APIRouter:
    """The routes behind the links in e-mails. The address itself is signed: they ask for no token."""
    routes = APIRouter(tags=["unsubscribing"])

    @routes.get("/unsubscribe/{signed}", response_class=HTMLResponse)
    async def show_subscription(signed: str, request: Request) -> Response:
        """A page that asks. It changes nothing: whatever scans the links of an e-mail may open it."""
        subscription = links.read(signed)
        if subscription is None:
            return _unusable(request)
        async with database.connection() as connection:
            gone = await storage.unsubscribed(connection, subscription.account_id, [subscription.user_id])
            key = (subscription.user_id, subscription.inbox_id, subscription.topic)
            return await _page(connection, subscription, "is stopped" if key in gone else "asks")

    @routes.post(
        "/unsubscribe/{signed}",
        response_class=HTMLResponse,
        openapi_extra={
            "requestBody": {
                "description": "`List-Unsubscribe=One-Click`, or nothing; `subscribe=again` takes it back.",
                "content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}},
            }
        },
    )
    async def stop_subscription(signed: str, request: Request) -> Response:
        """Stop that inbox's watcher e-mails or that report for that reader, and nothing else. Again: the same."""
        subscription = links.read(signed)
        if subscription is None:
            return _unusable(request)
        again = await _asks_to_subscribe_again(request)
        async with database.transaction() as connection:
            now = clock()
            if again:
                changed = await storage.subscribe_again(connection, subscription)
            else:
                changed = await storage.unsubscribe(connection, subscription, now)
            if changed:
                about = {"user_id": subscription.user_id, "topic": subscription.topic}
                entry = audit.Entry(
                    id=identify(),
                    at=now,
                    by=subscription.user_id,
                    action="changed",
                    entity="subscription",
                    entity_id=subscription.inbox_id,
                    before=about | {"subscribed": not again},
                    after=about | {"subscribed": again},
                )
                await audit.record(connection, subscription.account_id, [entry])
            return await _page(connection, subscription, "is back" if again else "is now stopped")

    return routes


async def _page(connection: Connection, subscription: Subscription, state: PageState) -> Response:
    inbox = await directory_copy.inbox(connection, subscription.account_id, subscription.inbox_id)
    page = unsubscribe_page(state, subscription.topic, inbox.name if inbox else None)
    return HTMLResponse(page, headers=_HEADERS)


def _unusable(request: Request) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(unusable_link_page(), status_code=404, headers=_HEADERS)
    raise not_found("this link was not made here, or not all of it was copied")


async def _asks_to_subscribe_again(request: Request) -> bool:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MAX_FORM_BYTES:
            return False
    return parse_qs(content.decode("latin-1")).get("subscribe") == ["again"]
