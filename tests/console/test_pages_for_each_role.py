"""Every page and every form of the console against every kind of visitor. A route that the tables lack fails the test.

The console decides nothing: a form that it does not offer is sent all the same, with the tag of what is stored, and
the services refuse it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any, Final

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from console.application import application
from console.settings import ConsoleSettings
from service_kit.clock import utc_now
from tests.console.browser.office import SALES_LINE, Office
from tests.support import eventually
from tests.support.http import http_client

VISITORS: Final = ("ada", "anna", "wim", "zoe", "foreign", "nobody", "signed out")
"""An administrator, an agent and a watcher of `sales`, a stranger to it, another account's administrator, somebody
whom the directory does not know, and no session."""
OF_NO_ROLE: Final = {"/sign-in", "/sign-in/development", "/sign-in/openid", "/sign-in/openid/answer", "/sign-out"}
"""They begin and end a session: `test_session.py`."""
MACHINERY: Final = {"/health/live", "/health/ready", "/metrics", "/v1/{path:path}", "/static/{path:path}"}


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its route and the status that each visitor gets."""

    route: str
    answers: dict[str, int]
    path: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """What a form sends, the page whose tag it carries, and what those get who may not send it."""

    route: str
    refused: dict[str, int]
    sent: dict[str, Any]
    path: str = ""
    seen_on: str = ""
    done: int = 303


WITHOUT_ACCESS: Final = {"nobody": 403, "signed out": 303}


def for_admins() -> dict[str, int]:
    return {"ada": 200, "anna": 403, "wim": 403, "zoe": 403, "foreign": 200} | WITHOUT_ACCESS


def of_sales(**answers: int) -> dict[str, int]:
    return {"ada": 200, "anna": 200, "wim": 200, "zoe": 404, "foreign": 404} | WITHOUT_ACCESS | answers


def everybody(status: int, **answers: int) -> dict[str, int]:
    return dict.fromkeys(("ada", "anna", "wim", "zoe", "foreign"), status) | WITHOUT_ACCESS | answers


INBOX: Final = "/admin/inboxes/{inbox_id}"
REPORT: Final = "/reports/{inbox_id}/{kind}"
DAY: Final = "date=2026-01-01"

PAGES: Final = (
    # The shell of the inbox holds nothing of an account: what it shows it asks the services for.
    Page("/", everybody(303, nobody=303)),
    Page("/inboxes/{inbox_id}", everybody(200, nobody=200)),
    Page("/inboxes/{inbox_id}/threads/{thread_id}", everybody(200, nobody=200)),
    Page("/admin", for_admins() | {"ada": 303, "foreign": 303}),
    *(Page(f"/admin/{name}", for_admins()) for name in ("inboxes", "users", "teams", "lines", "account")),
    *(Page(f"/admin/new/{name}", for_admins()) for name in ("inbox", "user", "team", "line")),
    Page("/admin/unrouted", for_admins()),
    Page("/admin/audit", for_admins()),
    # Users of the same id are in both accounts: each administrator finds his own.
    Page("/admin/users/{user_id}", for_admins()),
    Page("/admin/teams/{team_id}", for_admins() | {"foreign": 404}),
    Page("/admin/lines/{number}", for_admins() | {"foreign": 404}),
    Page(INBOX, everybody(303)),
    *(
        Page(f"{INBOX}/{tab}", of_sales())
        for tab in ("settings", "members", "lines", "ringing", "notifications", "reports", "automations")
    ),
    Page(f"{INBOX}/deliveries", of_sales(anna=403, wim=403)),
    Page("/me", everybody(200)),
    Page("/reports", everybody(303, zoe=200, foreign=200)),
    *(
        Page(route, of_sales(), f"/reports/sales/{kind}{end}?{DAY}")
        for kind in ("daily-activity", "voice-analytics")
        for route, end in ((REPORT, ""), (f"{REPORT}/page", "/page"), (f"{REPORT}/csv", "/csv"))
    ),
)

NOT_ADMIN: Final = {"anna": 403, "wim": 403, "zoe": 403}
NOT_MINE: Final = {"anna": 403, "wim": 403, "zoe": 404, "foreign": 404}

FORMS: Final = (
    Form("/admin/new/inbox", NOT_ADMIN, {"name": "New", "kind": "connected"}),
    Form("/admin/new/user", NOT_ADMIN, {"name": "New", "email": "new@acme.example", "role": "admin"}),
    Form("/admin/new/team", NOT_ADMIN, {"name": "New"}),
    Form("/admin/new/line", NOT_ADMIN, {"line_number": "+12125550155"}),
    Form("/admin/account", NOT_ADMIN, {"name": "Taken", "time_zone": "UTC"}, seen_on="/admin/account"),
    Form(
        "/admin/users/{user_id}",
        NOT_ADMIN,
        {"name": "Zoe", "email": "zoe@acme.example", "role": "admin", "active": "on"},
        seen_on="/admin/users/zoe",
    ),
    Form("/admin/teams/{team_id}", NOT_ADMIN | {"foreign": 404}, {"name": "Ours"}, seen_on="/admin/teams/care"),
    Form("/admin/teams/{team_id}/delete", NOT_ADMIN | {"foreign": 404}, {}, seen_on="/admin/teams/care"),
    Form(
        "/admin/lines/{number}",
        NOT_ADMIN | {"foreign": 404},
        {"name": "Ours"},
        seen_on="/admin/lines/+12125550133",
    ),
    Form("/admin/lines/{number}/delete", NOT_ADMIN | {"foreign": 404}, {}, seen_on="/admin/lines/+12125550133"),
    Form("/admin/unrouted", NOT_ADMIN, {"line_number": "+12125550166", "inbox_id": "sales"}),
    Form(f"{INBOX}/settings", NOT_MINE, {"name": "Ours"}, seen_on=f"{INBOX}/settings"),
    Form(f"{INBOX}/members", NOT_MINE, {"agents.users": ["anna", "zoe"]}, seen_on=f"{INBOX}/members"),
    Form(f"{INBOX}/watchers", NOT_MINE, {"user_id": "zoe"}),
    Form(f"{INBOX}/watchers/remove", NOT_MINE, {"user_id": "wim"}),
    Form(f"{INBOX}/lines", NOT_MINE, {"do": "primary"}),
    Form(f"{INBOX}/ringing", NOT_MINE, {"hours": "always"}, seen_on=f"{INBOX}/ringing"),
    Form(
        f"{INBOX}/notifications",
        NOT_MINE,
        {"enabled": "on", "events": ["voicemail"], "digest_minutes": "5"},
        seen_on=f"{INBOX}/notifications",
    ),
    Form(
        f"{INBOX}/reports",
        NOT_MINE,
        {"enabled": "on", "reports": ["daily_activity"], "recipients": ["watching"], "send_at": "08:00"},
        seen_on=f"{INBOX}/reports",
    ),
    Form(
        f"{INBOX}/automations",
        NOT_MINE,
        {"manual_mark_as_read_only": "on", "auto_mark_as_read.after_hours": "30", "unit": "days"},
        seen_on=f"{INBOX}/automations",
    ),
    Form(f"{INBOX}/delete", NOT_MINE, {}, "/admin/inboxes/support/delete", "/admin/inboxes/support/settings", 409),
    Form(
        f"{REPORT}/send",
        NOT_MINE,
        {"date": "2026-01-01"},
        "/reports/sales/daily-activity/send",
    ),
)
OWN: Final = {"/me/presence", "/me/view", "/me/notifications"}
"""Forms that change one's own alone: `browser/test_me.py`."""

IDS: Final = {
    "inbox_id": "sales",
    "user_id": "zoe",
    "team_id": "care",
    "number": "+12125550133",
    "thread_id": "none",
    "kind": "daily-activity",
}


def filled(route: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: IDS[found[1]], route)


@pytest.fixture
def console_routes() -> set[tuple[str, str]]:
    settings = ConsoleSettings(development_sign_in=True, jwt_secret="only tests sign with this secret")  # type: ignore[arg-type]
    app, *_ = application(settings, utc_now)
    routes = iter_route_contexts(app.routes)
    return {(method, str(route.path)) for route in routes for method in (route.methods or {"ANY"}) - {"HEAD"}}


def test_the_tables_have_every_route_and_no_other(console_routes: set[tuple[str, str]]) -> None:
    tried = {("GET", page.route) for page in PAGES} | {("POST", form.route) for form in FORMS}
    others = MACHINERY | OF_NO_ROLE | OWN
    assert tried == {(method, path) for method, path in console_routes if path not in others}


class Visits:
    """The console, visited by each of them."""

    def __init__(self, account: Office, other: Office, client: httpx.AsyncClient) -> None:
        self.account = account
        self.client = client
        tokens = {user: account.token(user) for user in ("ada", "anna", "wim", "zoe", "nobody")}
        self.tokens = tokens | {"foreign": other.token("ada"), "signed out": ""}

    async def ask(self, who: str, method: str, path: str, **given: Any) -> httpx.Response:
        headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        if token := self.tokens[who]:
            headers["Cookie"] = f"session={token}"
        return await self.client.request(method, path, headers=headers, **given)

    async def tag_of(self, form: Form) -> dict[str, str]:
        """What a form carries of the version that it was made for."""
        if form.route == f"{INBOX}/lines":
            line = await self.account.get("routing", f"/v1/lines/{SALES_LINE}", as_="ada")
            return {"line": f"{SALES_LINE} {line['version']}"}
        if not form.seen_on:
            return {}
        page = await self.ask("ada", "GET", filled(form.seen_on))
        found = re.search(r'name="seen" value="([^"]*)"', page.text)
        assert found, form.seen_on
        return {"seen": unescape(found[1])}

    async def stored(self) -> list[Any]:
        """Everything that a form could change."""
        asked = (
            *(("routing", f"/v1/{what}") for what in ("account", "users", "teams", "lines", "inboxes", "unrouted")),
            ("routing", "/v1/inboxes/sales/members"),
            ("notification", "/v1/inboxes/sales/watcher-notifications"),
            ("reporting", "/v1/inboxes/sales/report-notifications"),
            ("reporting", "/v1/audit/reporting"),
            ("inbox_state", "/v1/inboxes/sales/automations"),
        )
        return [await self.account.get(service, path, as_="ada") for service, path in asked]


@pytest.mark.asyncio(loop_scope="session")
async def test_every_page_and_form_gives_every_visitor_the_answer_that_the_tables_say(account: Office) -> None:
    await account.put("routing", "/v1/teams/care", {"name": "Care", "members": ["ben"], "supervisors": []})
    await account.put("routing", "/v1/lines/+12125550133", {"inbox_id": "sales", "name": "Spring"})
    await account.a_text("Is anybody there?", contact="+12125550044", line="+12125550166")
    other = Office(account.running, None, account.publisher)
    await other.put("routing", "/v1/account", {"name": "Other", "time_zone": "UTC"})
    await other.put("routing", "/v1/users/ada", {"name": "Ada", "email": "ada@other.example", "role": "admin"})
    await other.put("routing", "/v1/users/zoe", {"name": "Zoe", "email": "zoe@other.example", "role": "agent"})

    async def all_known() -> bool:
        waits = (await account.get("routing", "/v1/unrouted", as_="ada"))["items"]
        theirs = [
            await other.request(service, "GET", f"/v1/{path}", as_="ada")
            for service, path in (
                ("inbox_state", "panel"),
                ("notification", "me/notification-preferences"),
                ("reporting", "reports/inboxes"),
            )
        ]
        return bool(waits) and all(answer.status_code == 200 for answer in theirs)

    await eventually(all_known)
    wrong: list[str] = []
    async with http_client(account.url, timeout=60) as client:
        visits = Visits(account, other, client)
        for page in PAGES:
            path = page.path or filled(page.route)
            for who in VISITORS:
                expected = page.answers[who]
                answer = await visits.ask(who, "GET", path)
                if answer.status_code != expected:
                    wrong.append(f"GET {path} by {who}: {answer.status_code}, not {expected}")
                if "no-store" not in answer.headers.get("cache-control", "") and answer.status_code == 200:
                    wrong.append(f"GET {path} by {who} may be kept")
                if who == "signed out" and not answer.headers.get("location", "").startswith(("/sign-in", "/inboxes")):
                    wrong.append(f"GET {path} signed out leads to {answer.headers.get('location')}")
                if who in ("foreign", "nobody", "signed out"):
                    wrong += [
                        f"GET {path} tells {who} of {name}" for name in ("Anna Agent", "Acme") if name in answer.text
                    ]
        before = await visits.stored()
        for form in FORMS:
            path = form.path or filled(form.route)
            sent = form.sent | await visits.tag_of(form)
            for who, expected in (form.refused | WITHOUT_ACCESS).items():
                answer = await visits.ask(who, "POST", path, data=sent)
                if answer.status_code != expected:
                    wrong.append(f"POST {path} by {who}: {answer.status_code}, not {expected}")
                if who == "signed out" and not answer.headers.get("location", "").startswith("/sign-in"):
                    wrong.append(f"POST {path} signed out leads to {answer.headers.get('location')}")
        assert await visits.stored() == before
        # The same forms are good ones: the administrator's are done.
        for form in sorted(FORMS, key=lambda form: form.route.endswith("/delete")):
            path = form.path or filled(form.route)
            answer = await visits.ask("ada", "POST", path, data=form.sent | await visits.tag_of(form))
            if answer.status_code != form.done:
                wrong.append(f"POST {path} by the administrator: {answer.status_code}, not {form.done}")
    assert not wrong, "\n".join(wrong)
