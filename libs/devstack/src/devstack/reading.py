"""An account as the services have it now, in the shape of a set-up file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from devstack.api import Api, Refused
from devstack.patience import Patient, side_by_side
from devstack.setup_file import (
    AccountPart,
    AutomationsPart,
    InboxPart,
    LinePart,
    Part,
    ReportNotificationsPart,
    SetupFile,
    TeamPart,
    UserPart,
    WatcherNotificationsPart,
)

P = TypeVar("P", bound=Part)

SETTINGS: Final[Mapping[str, tuple[str, str, type[Part]]]] = {
    "watcher_notifications": ("notification", "watcher-notifications", WatcherNotificationsPart),
    "automations": ("inbox_state", "automations", AutomationsPart),
    "report_notifications": ("reporting", "report-notifications", ReportNotificationsPart),
}
"""What other services keep of an inbox: by its name in the file, the service, the path's last part, and its shape."""


class OtherAccount(Exception):
    """The token is for another account than the one that is meant."""


def read_setup(api: Api, account_id: str) -> SetupFile:
    """The account's directory as routing has it now, without watchers and what other services keep.

    Raises `Refused` for an account that is not there.
    """
    found = read_whole_setup(Patient(api, 0), account_id, directory_only=True)
    if found is None:
        raise Refused(404, f"there is no account {account_id}")
    return found


def read_whole_setup(
    patient: Patient, account_id: str, *, directory_only: bool = False, to_the_last: bool = False
) -> SetupFile | None:
    """The whole set-up over all services, ordered by ids; None for an account that is not there.

    What a service does not know yet of a new inbox is None, or waited for if `to_the_last`. It is not checked as a
    file is: what stands, stands. Raises `OtherAccount` when the token's account is another one.
    """
    account = patient.find("routing", "account")
    if account is None:
        return None
    if account["account_id"] != account_id:
        raise OtherAccount(f"the token is for the account {account['account_id']}, not for {account_id}")
    listed = dict(
        zip(
            ("users", "teams", "inboxes", "lines"),
            side_by_side(lambda kind: patient.all_items("routing", kind), ("users", "teams", "inboxes", "lines")),
            strict=True,
        )
    )
    inboxes = {inbox["inbox_id"]: inbox for inbox in sorted(listed["inboxes"], key=lambda inbox: inbox["inbox_id"])}
    if not directory_only:
        _add_what_is_asked_for_one_by_one(patient, inboxes, patient.until_known if to_the_last else patient.find)
    return SetupFile.model_construct(
        account=_part(AccountPart, account),
        users=_parts(UserPart, listed["users"], "user_id"),
        teams=_parts(TeamPart, listed["teams"], "team_id"),
        inboxes={inbox_id: _part(InboxPart, inbox) for inbox_id, inbox in inboxes.items()},
        lines=_parts(LinePart, listed["lines"], "line_number"),
    )


def _add_what_is_asked_for_one_by_one(
    patient: Patient, inboxes: dict[str, dict[str, Any]], settings_of: Callable[..., Any]
) -> None:
    wanted = [(inbox_id, name) for inbox_id in inboxes for name in ("watchers", *SETTINGS)]

    def ask(one: tuple[str, str]) -> Any:
        inbox_id, name = one
        if name == "watchers":
            members = patient.find("routing", "inboxes", inbox_id, "members") or {"watching": ()}
            return sorted(watcher["user_id"] for watcher in members["watching"])
        service, setting, shape = SETTINGS[name]
        found = settings_of(service, "inboxes", inbox_id, setting)
        return None if found is None else _part(shape, found)

    for (inbox_id, name), answer in zip(wanted, side_by_side(ask, wanted), strict=True):
        inboxes[inbox_id][name] = answer


def _parts(part: type[P], documents: list[dict[str, Any]], id: str) -> dict[str, P]:
    return {document[id]: _part(part, document) for document in sorted(documents, key=lambda document: document[id])}


def _part(part: type[P], document: dict[str, Any]) -> P:
    # A newer service may say more of something than this version knows.
    return part.model_validate(document, extra="ignore")
