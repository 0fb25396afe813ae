"""What goes in and out of routing's HTTP API (contract §3)."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from contracts.business_hours import WEEKDAYS, BusinessHours, Span
from contracts.commands import RingMode
from contracts.directory import Account, Agents, Line, RingLayer, Role, Team, User
from contracts.fields import ClientId, Reference
from routing.directory import InboxSettings

_EMAIL: Final = re.compile(r"[^@\s<>()\[\],;:\"\\]{1,64}@[^@\s<>()\[\],;:\"\\]{1,190}")


def _printable(text: str) -> str:
    # A line break in a name could forge a header of an e-mail.
    if not text.isprintable() or not text.strip():
        raise ValueError("must be printable and not blank")
    return text


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text) or not text.isprintable():
        raise ValueError("is no e-mail address")
    return text


def _once_each(ids: list[str]) -> list[str]:
    return list(dict.fromkeys(ids))


Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Email = Annotated[str, AfterValidator(_email)]
Zone = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Ids = Annotated[list[ClientId], Field(max_length=1_000), AfterValidator(_once_each)]
ClockTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class Body(BaseModel):
    """Keys that are not known are ignored: what was read with GET can be put back as it is."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class AccountBody(Body):
    """The account's settings."""

    name: Name
    time_zone: Zone
    fallback_inbox_id: ClientId | None = None
    admins_see_all: bool = False

    def snapshot(self) -> Account:
        """The same as a part of the directory."""
        return Account(version=0, **self.model_dump())


class AccountView(AccountBody):
    """The account as it is."""

    account_id: str
    version: int


class UserBody(Body):
    """A person's settings."""

    name: Name
    email: Email
    role: Role = "agent"
    time_zone: Zone | None = None
    rings: bool = True
    active: bool = True
    endpoints: Annotated[list[Reference], Field(max_length=50), AfterValidator(_once_each)] = []

    def snapshot(self, user_id: str) -> User:
        """The same as a part of the directory."""
        return User(version=0, user_id=user_id, **self.model_dump())


class UserView(BaseModel):
    """A person as everybody in the account sees him."""

    user_id: str
    name: str
    role: Role
    time_zone: str | None
    rings: bool
    active: bool
    endpoints: list[str]
    version: int


class UserForAdmins(UserView):
    """A person as administrators see him."""

    email: str


class TiedInbox(BaseModel):
    """An inbox that the caller is tied to, and how."""

    inbox_id: str
    name: str
    access: Literal["personal", "connected", "watching"]


class Me(UserView):
    """The caller himself."""

    presence: str
    inboxes: list[TiedInbox]


class PresenceBody(Body):
    """Whether the caller can be rung now."""

    status: Literal["available", "busy", "away", "offline"]


class TeamBody(Body):
    """A team's settings."""

    name: Name
    members: Ids = []
    supervisors: Ids = []

    def snapshot(self, team_id: str) -> Team:
        """The same as a part of the directory."""
        return Team(version=0, team_id=team_id, **self.model_dump())


class TeamView(TeamBody):
    """A team as it is."""

    team_id: str
    version: int


class LineBody(Body):
    """A line's settings."""

    inbox_id: ClientId | None = None
    name: Name | None = None
    primary: bool = False
    telephony_system: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "default"
    rings_itself: bool = False

    def snapshot(self, line_number: str) -> Line:
        """The same as a part of the directory."""
        return Line(version=0, line_number=line_number, **self.model_dump())


class LineView(LineBody):
    """A line as it is."""

    line_number: str
    version: int


class AgentsBody(Body):
    """Who works an inbox."""

    users: Ids = []
    teams: Ids = []


class RingLayerBody(Body):
    """Who is rung together, in what order, for how long each."""

    mode: RingMode = "simultaneous"
    users: Ids = []
    teams: Ids = []
    ring_seconds: Annotated[int, Field(ge=1, le=600)] = 30


class SpanBody(Body):
    """Open from one time of day to another; `to` not later than `from` is on the next day."""

    opens: ClockTime = Field(alias="from")
    closes: ClockTime = Field(alias="to")


Spans = Annotated[list[SpanBody], Field(max_length=24)]


class BusinessHoursBody(Body):
    """When an inbox is open; a day that is not named is closed."""

    mon: Spans = []
    tue: Spans = []
    wed: Spans = []
    thu: Spans = []
    fri: Spans = []
    sat: Spans = []
    sun: Spans = []
    closures: Annotated[list[date], Field(max_length=1_000)] = []

    def hours(self) -> BusinessHours:
        """The same as it is decided by."""
        return BusinessHours.model_validate(self.model_dump())

    @classmethod
    def of(cls, hours: BusinessHours) -> BusinessHoursBody:
        """The same as it is shown."""
        days: dict[str, Any] = {day: [_span(span) for span in getattr(hours, day)] for day in WEEKDAYS}
        return cls(**days, closures=list(hours.closures))


def _span(span: Span) -> SpanBody:
    return SpanBody.model_validate({"from": f"{span.opens:%H:%M}", "to": f"{span.closes:%H:%M}"})


class InboxBody(Body):
    """An inbox's settings."""

    name: Name
    kind: Literal["connected", "personal"] = "connected"
    owner_id: ClientId | None = None
    agents: AgentsBody = AgentsBody()
    ring_layers: Annotated[list[RingLayerBody], Field(max_length=20)] = []
    business_hours: BusinessHoursBody | None = None
    time_zone: Zone | None = None

    def snapshot(self, inbox_id: str) -> InboxSettings:
        """The same as a part of the directory, with membership still to be worked out."""
        return InboxSettings(
            version=0,
            inbox_id=inbox_id,
            name=self.name,
            kind=self.kind,
            owner_id=self.owner_id,
            agents=Agents.model_validate(self.agents.model_dump()),
            ring_layers=tuple(RingLayer.model_validate(layer.model_dump()) for layer in self.ring_layers),
            business_hours=None if self.business_hours is None else self.business_hours.hours(),
            time_zone=self.time_zone,
        )


class InboxView(InboxBody):
    """An inbox as it is."""

    inbox_id: str
    version: int


class Member(BaseModel):
    """A connected user."""

    user_id: str
    name: str


class WatchingMember(Member):
    """A watching user, and since when he has been."""

    added_at: datetime


class Members(BaseModel):
    """Who is tied to an inbox. Somebody who works and watches it stands in both lists."""

    connected: list[Member]
    watching: list[WatchingMember]


class RingPlanLayer(BaseModel):
    """Users in ringing order."""

    mode: RingMode
    user_ids: list[str]
    ring_seconds: int


class LeftOut(BaseModel):
    """Somebody who would not ring, and why."""

    user_id: str
    because: str


class RingPlanView(BaseModel):
    """Who would ring."""

    layers: list[RingPlanLayer]
    otherwise: Literal["voicemail"] = "voicemail"
    left_out: list[LeftOut]
    after_hours: bool


class UnroutedLine(BaseModel):
    """What waits for one line to be mapped."""

    line_number: str
    waiting: int
    oldest_at: datetime | None
    newest_at: datetime | None


class WhyLine(BaseModel):
    """One fact or decision, in plain words; a decision names the behaviour that it follows, such as `R2`."""

    at: datetime | None
    what: str
    rule: str | None = None


class Why(BaseModel):
    """What made a communication what it is, in order."""

    communication_id: str
    status: str | None
    inbox_id: str | None
    because: list[WhyLine]
