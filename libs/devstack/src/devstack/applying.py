"""Bringing an account to what its set-up file says: idempotent PUTs, each after what it needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeVar

from devstack.api import Api, Refused, Unreachable
from devstack.setup_file import AccountPart, InboxPart, LinePart, Part, SetupFile, TeamPart, UserPart

PATIENCE_SECONDS: Final = 60.0
"""How long a service may take to come up, or its copy of the directory to catch up."""

_PAUSE_SECONDS: Final = 0.2
_OWN_STAMPS: Final = frozenset({"version", "updated_at", "changed_at"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change:
    """What applying one part did. `fields` are those that are different now."""

    what: str
    how: Literal["created", "changed", "unchanged", "removed"]
    fields: tuple[str, ...] = ()


def apply(setup: SetupFile, api: Api, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[Change]:
    """Put every part, and say of each what it did as soon as it is done; doing it again changes nothing.

    What the file does not name is left alone, except watchers: an inbox's list of them is the whole list.
    Raises `Refused` when a service does not accept a part, and `Unreachable` when one does not answer within
    `patience_seconds`.
    """
    patient = _Patient(api, patience_seconds)
    yield from _account_without_what_is_not_there_yet(setup, patient)
    for user_id, user in setup.users.items():
        yield patient.put(f"user {user_id}", "routing", "users", user_id, body=user.body())
    for team_id, team in setup.teams.items():
        yield patient.put(f"team {team_id}", "routing", "teams", team_id, body=team.body())
    for inbox_id, inbox in setup.inboxes.items():
        body = inbox.body("watchers", "watcher_notifications", "automations", "report_notifications")
        yield patient.put(f"inbox {inbox_id}", "routing", "inboxes", inbox_id, body=body)
        if inbox.watchers is not None:
            yield from _watchers(inbox_id, inbox.watchers, patient)
    for number, line in setup.lines.items():
        yield patient.put(f"line {number}", "routing", "lines", number, body=line.body())
    if setup.account.fallback_inbox_id:
        yield patient.put("account", "routing", "account", body=setup.account.body("account_id"))
    for inbox_id, inbox in setup.inboxes.items():
        for service, setting, part in (
            ("notification", "watcher-notifications", inbox.watcher_notifications),
            ("inbox_state", "automations", inbox.automations),
            ("reporting", "report-notifications", inbox.report_notifications),
        ):
            if part is not None:
                # 404 until the service's copy of the directory has the inbox, which it will.
                patient.until_known(service, "inboxes", inbox_id, setting)
                yield patient.put(
                    f"inbox {inbox_id}: {setting}", service, "inboxes", inbox_id, setting, body=part.whole()
                )


def _account_without_what_is_not_there_yet(setup: SetupFile, patient: _Patient) -> Iterator[Change]:
    fallback = setup.account.fallback_inbox_id
    if fallback and patient.find("routing", "account") is not None:
        # It stands as it is until the inboxes are done, then comes as a whole.
        return
    body = setup.account.body("account_id", "fallback_inbox_id")
    change = patient.put("account", "routing", "account", body=body)
    if not fallback or change.how == "created":
        yield change


def _watchers(inbox_id: str, wanted: tuple[str, ...], patient: _Patient) -> Iterator[Change]:
    members = patient.find("routing", "inboxes", inbox_id, "members") or {}
    present = {watcher["user_id"] for watcher in members.get("watching", ())}
    for user_id in wanted:
        path = ("inboxes", inbox_id, "watchers", user_id)
        if user_id not in present:
            patient.ask(partial(patient.api.put, "routing", *path))
        yield Change(f"inbox {inbox_id}: watcher {user_id}", "unchanged" if user_id in present else "created")
    for user_id in sorted(present - set(wanted)):
        patient.api.delete("routing", "inboxes", inbox_id, "watchers", user_id)
        yield Change(f"inbox {inbox_id}: watcher {user_id}", "removed")


@dataclass(frozen=True, slots=True)
class _Patient:
    api: Api
    seconds: float

    def ask(self, question: Callable[[], T], *, retry: Callable[[Refused], bool] = lambda _: False) -> T:
        until = time.monotonic() + self.seconds
        while True:
            try:
                return question()
            except Unreachable:
                if time.monotonic() > until:
                    raise
            except Refused as refused:
                if not retry(refused) or time.monotonic() > until:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def find(self, service: str, *path: str) -> Any | None:
        return self.ask(lambda: self.api.find(service, *path))

    def until_known(self, service: str, *path: str) -> None:
        self.ask(lambda: self.api.get(service, *path), retry=lambda refused: refused.status == 404)

    def put(self, what: str, service: str, *path: str, body: dict[str, Any]) -> Change:
        before = self.find(service, *path)
        answered = self.ask(lambda: self.api.put(service, *path, body=body))
        after = answered if isinstance(answered, dict) else self.find(service, *path)
        if before is None:
            return Change(what, "created")
        fields = tuple(
            sorted(
                name for name in {*before, *(after or {})} - _OWN_STAMPS if before.get(name) != (after or {}).get(name)
            )
        )
        return Change(what, "changed" if fields else "unchanged", fields)


def read_setup(api: Api, account_id: str) -> SetupFile:
    """The account's directory as the routing service has it now, in the shape of a set-up file.

    Without the settings that other services keep. Raises `Refused` for an account that is not there.
    """
    account = api.get("routing", "account")
    users = api.all_items("routing", "users")
    teams = api.all_items("routing", "teams")
    inboxes = api.all_items("routing", "inboxes")
    lines = api.all_items("routing", "lines")
    return SetupFile.model_validate(
        {
            "account": {"account_id": account_id} | _known(AccountPart, account),
            "users": {user["user_id"]: _known(UserPart, user) for user in users},
            "teams": {team["team_id"]: _known(TeamPart, team) for team in teams},
            "inboxes": {inbox["inbox_id"]: _known(InboxPart, inbox) for inbox in inboxes},
            "lines": {line["line_number"]: _known(LinePart, line) for line in lines},
        }
    )


def _known(part: type[Part], document: dict[str, Any]) -> dict[str, Any]:
    names = part.model_fields.keys() - {"watchers", "account_id"}
    return {name: document[name] for name in names if document.get(name) is not None}
