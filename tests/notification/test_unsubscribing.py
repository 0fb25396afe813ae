"""Stopping e-mails from the e-mail itself (N6, RFC 8058), as a mail program, a link scanner and a person do it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from email.message import EmailMessage
from html.parser import HTMLParser

import httpx
import pytest
import pytest_asyncio

from notification.http_api import router
from notification.preferences import Subscription
from service_kit.clock import new_id
from service_kit.http import create_app
from tests.notification.conftest import LINKS, PUBLIC_URL, Notifying
from tests.notification.test_mailing import a_report
from tests.notification.words import ACCOUNT, a_call, a_message, an_inbox, everything, minutes

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


async def _nothing() -> dict[str, bool]:
    return {}


@pytest_asyncio.fixture
async def http(notifying: Notifying) -> AsyncIterator[httpx.AsyncClient]:
    """Anybody, without a token."""
    app = create_app("notification", title="test", ready=_nothing, live=dict)
    app.include_router(router(notifying.database, notifying.clock, new_id, LINKS))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PUBLIC_URL) as client:
        yield client


def link_of(email: EmailMessage) -> str:
    """The address in an e-mail's header."""
    found = re.fullmatch(r"<(https://[^>]+)>", str(email["List-Unsubscribe"]).strip())
    assert found
    assert email["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    return found[1]


def parts_of(email: EmailMessage) -> tuple[str, str]:
    text, html = email.get_body(("plain",)), email.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


async def an_email(notifying: Notifying, *watchers: str) -> EmailMessage:
    await notifying.know(everything(*watchers))
    await notifying.turn_on()
    await notifying.hear(a_call("missed"))
    await notifying.work()
    return next(one for one in notifying.inbox if one["Delivered-To"] == "wendy@example.com")


async def hears_of_the_next(notifying: Notifying) -> set[str]:
    """Who gets an e-mail of something new."""
    before = len(notifying.inbox)
    notifying.now += minutes(1)
    await notifying.hear(a_message(communication_id=f"m-{notifying.now}", at=notifying.now))
    await notifying.work()
    return {str(one["Delivered-To"]).partition("@")[0] for one in notifying.inbox[before:]}


async def test_one_click_stops_that_inboxs_emails_for_that_reader(
    http: httpx.AsyncClient, notifying: Notifying
) -> None:
    email = await an_email(notifying, "wendy", "will")
    for _ in range(2):
        answer = await http.post(link_of(email), data=ONE_CLICK)
        assert answer.status_code == 200
    assert await hears_of_the_next(notifying) == {"will"}
    async with notifying.database.connection() as connection:
        rows = await connection.fetch("SELECT by, entity, entity_id, after FROM audit")
    assert [tuple(row) for row in rows] == [
        ("wendy", "subscription", "support", {"user_id": "wendy", "topic": "watcher_emails", "subscribed": False})
    ]


async def test_another_inboxs_emails_go_on(http: httpx.AsyncClient, notifying: Notifying) -> None:
    await http.post(LINKS.link(Subscription(ACCOUNT, "sales", "wendy", "watcher_emails")), data=ONE_CLICK)
    await http.post(LINKS.link(Subscription("globex", "support", "wendy", "watcher_emails")), data=ONE_CLICK)
    await an_email(notifying, "wendy")
    assert await hears_of_the_next(notifying) == {"wendy"}


async def test_looking_at_a_link_stops_nothing(http: httpx.AsyncClient, notifying: Notifying) -> None:
    link = link_of(await an_email(notifying, "wendy"))
    for method in ("GET", "HEAD", "OPTIONS"):
        await http.request(method, link)
    page = await http.get(link)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "Support" in page.text
    assert await hears_of_the_next(notifying) == {"wendy"}


class Form(HTMLParser):
    """A page's form, as a browser would send it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.method = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.method = given.get("method") or "get"
            assert "action" not in given, "it is sent to the address of the page"
        if tag == "input":
            self.fields[given.get("name") or ""] = given.get("value") or ""


async def test_the_page_has_a_button_that_does_it_and_one_that_takes_it_back(
    http: httpx.AsyncClient, notifying: Notifying
) -> None:
    link = link_of(await an_email(notifying, "wendy"))
    asks = Form((await http.get(link)).text)
    assert asks.method == "post"
    stopped = await http.post(link, data=asks.fields)
    assert "any more" in stopped.text
    assert await hears_of_the_next(notifying) == set()
    assert "are stopped" in (await http.get(link)).text
    back = await http.post(link, data=Form(stopped.text).fields)
    assert "again" in back.text
    assert await hears_of_the_next(notifying) == {"wendy"}


async def test_a_report_is_stopped_by_its_own_link_and_the_reader_still_watches(
    http: httpx.AsyncClient, notifying: Notifying
) -> None:
    await an_email(notifying, "wendy")
    await notifying.ask_for(a_report())
    await notifying.work()
    report = notifying.inbox[-1]
    text, html = parts_of(report)
    link = link_of(report)
    assert f"Stop this report: {link}" in text
    assert f'<a href="{link}"' in html
    assert "daily activity reports" in (await http.get(link)).text
    await http.post(link, data=ONE_CLICK)
    await notifying.ask_for(a_report().model_copy(update={"email_id": "tomorrows", "date": "2026-03-02"}))
    assert await hears_of_the_next(notifying) == {"wendy"}
    assert [one for one in await notifying.outcomes() if one[1] == "unsubscribed"] == [("wendy", "unsubscribed", 1)]


async def test_the_link_stands_in_both_parts_of_every_email(notifying: Notifying) -> None:
    email = await an_email(notifying, "wendy")
    for part in parts_of(email):
        assert link_of(email) in part
        assert "because you watch the inbox" in part


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_link_that_was_not_made_here_is_not_found(http: httpx.AsyncClient, method: str) -> None:
    forged = LINKS.link(Subscription(ACCOUNT, "support", "wendy", "watcher_emails"))[:-3]
    for_a_program = await http.request(method, forged)
    assert for_a_program.status_code == 404
    assert for_a_program.headers["content-type"] == "application/problem+json"
    for_a_person = await http.request(method, forged, headers={"Accept": "text/html,*/*;q=0.8"})
    assert for_a_person.status_code == 404
    assert "can't be used" in for_a_person.text


async def test_a_name_cannot_break_out_of_the_page(http: httpx.AsyncClient, notifying: Notifying) -> None:
    await notifying.know([an_inbox("wendy", name="<script>alert(1)</script>")])
    page = await http.get(LINKS.link(Subscription(ACCOUNT, "support", "wendy", "watcher_emails")))
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text


async def test_the_link_of_an_inbox_that_is_gone_still_works(http: httpx.AsyncClient) -> None:
    link = LINKS.link(Subscription(ACCOUNT, "gone", "wendy", "watcher_emails"))
    assert "this inbox" in (await http.get(link)).text
    assert (await http.post(link, content=b"x" * 10_000)).status_code == 200
