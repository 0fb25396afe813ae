"""What the forms of administration share: what is typed, what was refused, and what somebody else changed meanwhile."""

import asyncio
import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import orjson
from starlette.datastructures import FormData

from console.services import Services
from console.visitors import Visitor
from service_kit.http import FieldProblem, Problem

REFUSALS: Final = frozenset({409, 412, 422})
"""What a form is shown again for; any other error is a page of its own."""
_NO_PLACES: Final = ("Etc/", "SystemV/", "posix/", "right/")
ZONES: Final = (
    ("UTC", "UTC"),
    *((zone, zone) for zone in sorted(available_timezones()) if "/" in zone and not zone.startswith(_NO_PLACES)),
)
"""Time zones to choose from."""
_TRIES: Final = 30
_BETWEEN_TRIES: Final = 0.1


@dataclass(frozen=True, slots=True)
class Edit:
    """A form: its values as typed or stored, what was wrong with which, and the state that it was made for.

    `seen` is the entity tag of what its reader saw. `stored` holds, after somebody else's change, what is stored
    now in the fields that differ from what he typed.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    seen: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    message: str | None = None
    stored: Mapping[str, Any] = field(default_factory=dict)
    changed_meanwhile: bool = False

    def refused(self, problem: Problem) -> "Edit":
        """The same form with what a service said of it."""
        errors = {one.field: one.message for one in problem.body.errors or ()}
        return replace(self, errors=errors, message=None if errors else problem.body.detail or problem.body.title)

    def overtaken(self, by: "Edit") -> "Edit":
        """The same form after somebody else's change, beside which his values are shown: saved again, it counts."""
        stored = {name: value for name, value in by.values.items() if value != self.values.get(name)}
        return replace(self, seen=by.seen, stored=stored, changed_meanwhile=True)

    def error(self, name: str) -> str | None:
        """What is wrong with a field or a part of it (`agents` for `agents.users.0`)."""
        found = [message for where, message in self.errors.items() if where == name or where.startswith(f"{name}.")]
        return "; ".join(dict.fromkeys(found)) or None


@dataclass(frozen=True, slots=True)
class Typed:
    """What a browser sent, read by kind of field."""

    data: FormData

    def text(self, name: str, default: str = "") -> str:
        """One line."""
        value = self.data.get(name, default)
        return value.strip() if isinstance(value, str) else default

    def given(self, name: str) -> str | None:
        """One line, None for an empty one."""
        return self.text(name) or None

    def many(self, name: str) -> list[str]:
        """Every box that was ticked."""
        return [value for value in self.data.getlist(name) if isinstance(value, str) and value]

    def on(self, name: str) -> bool:
        """Whether a box was ticked."""
        return name in self.data

    def number(self, name: str) -> int | str:
        """A whole number; what is none as it was typed, for the service to say so."""
        text = self.text(name)
        return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else text

    def lines(self, name: str) -> list[str]:
        """What stands on separate lines, or between commas."""
        return [part.strip() for part in re.split(r"[\n,]", self.text(name)) if part.strip()]


def is_refusal(problem: Problem) -> bool:
    """Whether an error is about what was typed."""
    return problem.body.status in REFUSALS


def print_of(document: Any) -> str:
    """A tag for a document that has none of its service: the same for the same content."""
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]


def id_from(name: str) -> str:
    """An id made from a name: `Größe & Co.` is `grosse-co`; "" where nothing of it can stand in one."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].strip("-")


def only_if(seen: str) -> dict[str, str]:
    """The header under which a change is made only to what was seen; without a tag, only to what is not there yet."""
    return {"if-match": seen} if seen else {"if-none-match": "*"}


async def known_by_now(services: Services, token: str, service: str, *path: str) -> Any:
    """`GET` of a setting of an inbox that was created a moment ago: the other services learn of it over Kafka."""
    for left in reversed(range(_TRIES)):
        try:
            return await services.call(token, service, "GET", *path)
        except Problem as problem:
            if problem.body.status != 404 or not left:
                raise
            await asyncio.sleep(_BETWEEN_TRIES)
    raise AssertionError("unreachable")


def taken(field_name: str, message: str) -> Problem:
    """What is to be created is there already."""
    return Problem(409, "Conflict", errors=[FieldProblem(field=field_name, message=message)])


@dataclass(frozen=True, slots=True)
class Times:
    """Writes times in a reader's zone."""

    zone: ZoneInfo

    @classmethod
    async def of(cls, services: Services, who: Visitor) -> "Times":
        """The reader's own zone, else the account's."""
        name = who.me.get("time_zone") or await zone_of_account(services, who.token)
        return cls(zone_named(name))

    def short(self, at: str | datetime) -> str:
        """To the minute."""
        return f"{self.day(at)}, {self.local(at):%H:%M}"

    def day(self, at: str | datetime) -> str:
        """The date."""
        local = self.local(at)
        return f"{local.day} {local:%b %Y}"

    def full(self, at: str | datetime) -> str:
        """To the second, with its zone."""
        return f"{self.local(at):%A, %d %B %Y, %H:%M:%S} ({self.zone.key})"

    def local(self, at: str | datetime) -> datetime:
        """A time of the API in the zone."""
        when = datetime.fromisoformat(at) if isinstance(at, str) else at
        return when.astimezone(self.zone)


async def zone_of_account(services: Services, token: str) -> str:
    """The account's time zone; UTC while there is no account."""
    try:
        account = await services.call(token, "routing", "GET", "account")
    except Problem as problem:
        if problem.body.status != 404:
            raise
        return "UTC"
    return str(account["time_zone"])


def zone_named(name: str) -> ZoneInfo:
    """A zone by name; UTC for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def utc(at: datetime) -> str:
    """A time as the API takes it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def people_to_choose(users: Sequence[Mapping[str, Any]], chosen: Sequence[str]) -> list[tuple[str, str]]:
    """Users to tick, by name: who is active, and who is chosen already."""
    shown = [user for user in users if user["active"] or user["user_id"] in chosen]
    return [(user["user_id"], user["name"]) for user in sorted(shown, key=lambda user: str(user["name"]).casefold())]


def teams_to_choose(teams: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Teams to tick, by name."""
    return [(team["team_id"], team["name"]) for team in sorted(teams, key=lambda team: str(team["name"]).casefold())]
