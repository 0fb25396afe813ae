"""The set-up of an account as one YAML file: what `inboxctl apply` reads, and checks before it asks anybody.

Its parts are the bodies of the `PUT`s of contract §3, under the ids that they are put at.
"""

from __future__ import annotations

import re
from datetime import date, time
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from contracts.commands import RingMode
from contracts.directory import Role
from contracts.emails import ReportKind
from contracts.fields import ClientId
from contracts.numbers import is_line, normalise
from devstack.simulator import Setup, Spans, StaffedLine

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
OFFICE_WITHOUT_HOURS: Final[Spans] = ((time(8), time(20)),)
"""When the simulator has people at work where an inbox names no business hours."""

_CLOCK_TIME: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"

EmailKind = Literal["missed_call", "voicemail", "abandoned_call", "inbound_message"]
RecipientClass = Literal["connected", "watching", "team_supervisors", "team_members"]

T = TypeVar("T")


class NotASetup(ValueError):
    """A file that is no set-up, with a line for each thing that is wrong."""


def _line_number(text: str) -> str:
    number = normalise(text)
    if not is_line(number):
        raise ValueError("must be a full number, such as +12125550100, or a short code")
    return number


def _as_lines_are_written(numbers: tuple[str, ...]) -> tuple[str, ...]:
    # What is no number is the service's to judge: it may be there already, and has to be read.
    return _once_each(tuple(number if is_line(number := normalise(text)) else text for text in numbers))


def _once_each(named: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(named))


def _in_the_services_order(kinds: tuple[EmailKind, ...]) -> tuple[EmailKind, ...]:
    return tuple(kind for kind in get_args(EmailKind) if kind in kinds)


LineNumber = Annotated[str, AfterValidator(_line_number)]
Ids = Annotated[tuple[ClientId, ...], AfterValidator(_once_each)]
"""Ids in the order that the file gives them: it is a ringing order."""


class Part(BaseModel):
    """A part of the file: a key that is not known is a mistake, not something to ignore."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def whole(self, *left_out: str) -> dict[str, Any]:
        """What is put over HTTP, with every default spelt out: equal parts are equal documents."""
        return self.model_dump(mode="json", by_alias=True, exclude=set(left_out))

    def brief(self, *left_out: str) -> dict[str, Any]:
        """The same without its defaults, as a person would write it."""
        return self.model_dump(mode="json", by_alias=True, exclude=set(left_out), exclude_defaults=True)


class AccountPart(Part):
    """The account itself."""

    account_id: ClientId
    name: str
    time_zone: str
    fallback_inbox_id: ClientId | None = None
    admins_see_all: bool = False


class UserPart(Part):
    """A person."""

    name: str
    email: str
    role: Role = "agent"
    time_zone: str | None = None
    rings: bool = True
    active: bool = True
    endpoints: Annotated[tuple[str, ...], AfterValidator(_once_each)] = ()


class TeamPart(Part):
    """A group of users."""

    name: str
    members: Ids = ()
    supervisors: Ids = ()


class AgentsPart(Part):
    """Who works an inbox: users, and teams with all their members."""

    users: Ids = ()
    teams: Ids = ()


class RingLayerPart(Part):
    """Who is rung together."""

    mode: RingMode = "simultaneous"
    users: Ids = ()
    teams: Ids = ()
    ring_seconds: int = Field(default=30, ge=1, le=600)


class SpanPart(Part):
    """From when until when, local time; `to` at or before `from` is on the next day."""

    opens: str = Field(alias="from", pattern=_CLOCK_TIME)
    closes: str = Field(alias="to", pattern=_CLOCK_TIME)

    def times(self) -> tuple[time, time]:
        """The two as times of day."""
        return time.fromisoformat(self.opens), time.fromisoformat(self.closes)


class BusinessHoursPart(Part):
    """When an inbox is staffed (R6); a day that is not named is closed."""

    mon: tuple[SpanPart, ...] = ()
    tue: tuple[SpanPart, ...] = ()
    wed: tuple[SpanPart, ...] = ()
    thu: tuple[SpanPart, ...] = ()
    fri: tuple[SpanPart, ...] = ()
    sat: tuple[SpanPart, ...] = ()
    sun: tuple[SpanPart, ...] = ()
    closures: tuple[date, ...] = ()

    def week(self) -> tuple[Spans, ...]:
        """The spans from Monday on."""
        return tuple(tuple(span.times() for span in getattr(self, name)) for name in WEEKDAYS)


class WatcherNotificationsPart(Part):
    """What watchers are e-mailed about (N1, N5)."""

    enabled: bool
    events: Annotated[tuple[EmailKind, ...], AfterValidator(_in_the_services_order)] = get_args(EmailKind)
    digest_minutes: int = Field(default=5, ge=0)


class AutoMarkAsReadPart(Part):
    """After how long what is unread becomes read (I9)."""

    enabled: bool
    after_hours: int = Field(default=720, ge=1, le=8760)


class AutomationsPart(Part):
    """An inbox's automations (I8, I9)."""

    auto_mark_as_read: AutoMarkAsReadPart = AutoMarkAsReadPart(enabled=False)
    manual_mark_as_read_only: bool = False


class ReportNotificationsPart(Part):
    """Which reports go to whom (P1 to P3). What is left out is what the service itself begins with.

    Filters may name what the file does not have: a report of the past may be about a line that is gone.
    """

    enabled: bool
    reports: Annotated[tuple[ReportKind, ...], AfterValidator(_once_each)] = get_args(ReportKind)
    recipients: Annotated[tuple[RecipientClass, ...], AfterValidator(_once_each)] = get_args(RecipientClass)
    lines: Literal["all"] | Annotated[tuple[str, ...], AfterValidator(_as_lines_are_written)] = "all"
    users: Literal["all"] | Annotated[tuple[str, ...], AfterValidator(_once_each)] = "all"
    teams: Literal["all"] | Annotated[tuple[str, ...], AfterValidator(_once_each)] = "all"
    send_at: str = Field(default="07:00", pattern=_CLOCK_TIME)


class InboxPart(Part):
    """An inbox, its watchers and its settings in the other services. A list of watchers is the whole list."""

    name: str
    kind: Literal["connected", "personal"] = "connected"
    owner_id: ClientId | None = None
    agents: AgentsPart = AgentsPart()
    ring_layers: tuple[RingLayerPart, ...] = ()
    business_hours: BusinessHoursPart | None = None
    time_zone: str | None = None
    watchers: Ids | None = None
    watcher_notifications: WatcherNotificationsPart | None = None
    automations: AutomationsPart | None = None
    report_notifications: ReportNotificationsPart | None = None


class LinePart(Part):
    """One of the account's numbers."""

    inbox_id: ClientId | None = None
    name: str | None = None
    primary: bool = False
    telephony_system: str = "default"
    rings_itself: bool = False


class SetupFile(Part):
    """An account with everything that it has."""

    account: AccountPart
    users: dict[ClientId, UserPart] = Field(default_factory=dict)
    teams: dict[ClientId, TeamPart] = Field(default_factory=dict)
    inboxes: dict[ClientId, InboxPart] = Field(default_factory=dict)
    lines: dict[LineNumber, LinePart] = Field(default_factory=dict)

    def for_account(self, account_id: str) -> SetupFile:
        """The same set-up for another account. Raises `NotASetup` for an id that no account can have."""
        document = self.whole()
        return checked(document | {"account": document["account"] | {"account_id": account_id}})

    @model_validator(mode="after")
    def _has_one_primary_line_for_each_inbox(self) -> SetupFile:
        primary: dict[str | None, str] = {}
        for number, line in self.lines.items():
            if line.primary and line.inbox_id is None:
                raise ValueError(f"lines.{number} is mapped to no inbox, and can't be its primary line")
            if line.primary and primary.setdefault(line.inbox_id, number) != number:
                raise ValueError(f"inbox {line.inbox_id} has two primary lines: {primary[line.inbox_id]} and {number}")
        return self

    @model_validator(mode="after")
    def _names_only_what_it_has(self) -> SetupFile:
        missing = [
            f"{where} names {kind} {name!r}, which the file does not have"
            for where, kind, name in self._references()
            if name not in getattr(self, f"{kind}s" if kind != "inbox" else "inboxes")
        ]
        if missing:
            raise ValueError("; ".join(missing))
        return self

    def _references(self) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = []
        if self.account.fallback_inbox_id:
            found.append(("account.fallback_inbox_id", "inbox", self.account.fallback_inbox_id))
        for team_id, team in self.teams.items():
            found += [(f"teams.{team_id}.members", "user", name) for name in team.members]
            found += [(f"teams.{team_id}.supervisors", "user", name) for name in team.supervisors]
        for inbox_id, inbox in self.inboxes.items():
            where = f"inboxes.{inbox_id}"
            if inbox.owner_id:
                found.append((f"{where}.owner_id", "user", inbox.owner_id))
            found += [(f"{where}.agents.users", "user", name) for name in inbox.agents.users]
            found += [(f"{where}.agents.teams", "team", name) for name in inbox.agents.teams]
            found += [(f"{where}.watchers", "user", name) for name in inbox.watchers or ()]
            for layer in inbox.ring_layers:
                found += [(f"{where}.ring_layers", "user", name) for name in layer.users]
                found += [(f"{where}.ring_layers", "team", name) for name in layer.teams]
        found += [
            (f"lines.{number}.inbox_id", "inbox", line.inbox_id) for number, line in self.lines.items() if line.inbox_id
        ]
        return found

    def connected(self, inbox_id: str) -> tuple[str, ...]:
        """The active users of an inbox's agent list, of its teams, and the owner of a personal one."""
        inbox = self.inboxes[inbox_id]
        named = [*inbox.agents.users, *(inbox.owner_id,) * bool(inbox.owner_id)]
        for team_id in inbox.agents.teams:
            named += self.teams[team_id].members
        return tuple(dict.fromkeys(name for name in named if name and self.users[name].active))

    def for_simulation(self) -> Setup:
        """What of it the simulator needs: the mapped lines and who picks up when."""
        return Setup(
            account_id=self.account.account_id,
            lines=tuple(
                StaffedLine(
                    number=number,
                    inbox_id=line.inbox_id,
                    user_ids=tuple(user_id for user_id in self.connected(line.inbox_id) if self.users[user_id].rings),
                    week=hours.week() if hours else (OFFICE_WITHOUT_HOURS,) * 7,
                )
                for number, line in self.lines.items()
                if line.inbox_id
                for hours in (self.inboxes[line.inbox_id].business_hours,)
            ),
        )


def parse(text: str) -> SetupFile:
    """The set-up in a YAML text. Raises `NotASetup` with a line for each thing that is wrong."""
    try:
        document = yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader that guesses less
    except yaml.YAMLError as error:
        raise NotASetup(f"not YAML: {error}") from None
    if not isinstance(document, dict):
        raise NotASetup("not a set-up: it should begin with account:")
    return checked(document)


def checked(document: dict[str, Any]) -> SetupFile:
    """The set-up in a document. Raises `NotASetup` with a line for each thing that is wrong."""
    try:
        return SetupFile.model_validate(document)
    except ValidationError as error:
        wrong = (
            f"{'.'.join(str(part) for part in problem['loc']) or 'the file'}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise NotASetup("\n".join(wrong)) from None


class _PlainLoader(yaml.SafeLoader):
    """YAML in which everything but null, true and false is text: the models know where a number belongs.

    YAML 1.1, which PyYAML reads, takes 17:00 for 1,020, +1212… for a number without its plus, and no for false.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} stands there twice", key.start_mark)
            seen.add(name)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


_PlainLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
):
    _PlainLoader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))
