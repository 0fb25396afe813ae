"""What tells an account as it stands from its set-up file: piece by piece, and field by field in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from devstack.reading import SETTINGS
from devstack.setup_file import InboxPart, SetupFile
from devstack.setup_text import flow

Kind = Literal["account", "user", "team", "inbox", "watcher", "line", "setting"]
Sign = Literal["+", "-", "~"]

_NOT_OF_ROUTING: Final = ("watchers", *SETTINGS)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one PUT carries (`body`), and where it goes. `brief` is the body without its defaults."""

    kind: Kind
    what: str
    service: str
    path: tuple[str, ...]
    body: Mapping[str, Any]
    brief: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One piece as it stands (None: it does not) and as it is to be (None: gone)."""

    before: Piece | None
    after: Piece | None

    @property
    def piece(self) -> Piece:
        """The piece as it is to be, or as it last was."""
        found = self.after or self.before
        if found is None:
            raise ValueError("a difference has a before or an after")
        return found

    def lines(self) -> Iterator[tuple[Sign, str]]:
        """The difference in words: a line for each field, `~` changed, `+` new, `-` gone."""
        piece = self.piece
        if self.after is None:
            yield "-", piece.what
        elif self.before is None:
            yield "+", f"{piece.what} {flow(dict(piece.brief))}" if piece.brief else piece.what
        else:
            for sign, text in _fields("", self.before.body, self.after.body):
                yield sign, f"{piece.what}: {text}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What applying a file would do, and what it would not.

    `coming` are pieces that are new or change, `leaving` those that only the account has and that are to go, `same`
    those that need nothing. `uncertain` are settings of inboxes that their services have not heard of: as far as one
    can know they begin with their defaults. `left_alone` names what only the account has and keeps.
    """

    coming: list[Difference] = field(default_factory=list)
    leaving: list[Difference] = field(default_factory=list)
    same: list[Piece] = field(default_factory=list)
    uncertain: set[str] = field(default_factory=set)
    left_alone: list[str] = field(default_factory=list)

    @property
    def differences(self) -> list[Difference]:
        """All that would change."""
        return [*self.coming, *self.leaving]


def compare(standing: SetupFile | None, wanted: SetupFile, *, prune: bool = False) -> Comparison:
    """Compare an account (None: not there) with its file.

    What only the account has is left alone, but for watchers where the file lists an inbox's. With `prune` it goes:
    users are deactivated, all else is deleted.
    """
    comparison = Comparison()
    held = {} if standing is None else {piece.what: piece for piece in _pieces(standing)}
    for piece in _pieces(wanted):
        before = held.pop(piece.what, None)
        if before is None and piece.kind == "setting":
            comparison.uncertain.add(piece.what)
            before = _as_it_begins(piece)
        if before is not None and before.body == piece.body:
            comparison.same.append(piece)
        else:
            comparison.coming.append(Difference(before, piece))
    for piece in held.values():
        _only_in_the_account(piece, wanted, prune, comparison)
    return comparison


def _only_in_the_account(piece: Piece, wanted: SetupFile, prune: bool, comparison: Comparison) -> None:
    match piece.kind:
        case "user" if prune and piece.body["active"]:
            inactive = {**piece.body, "active": False}
            gone = Piece(piece.kind, piece.what, piece.service, piece.path, inactive, inactive)
            comparison.leaving.append(Difference(piece, gone))
        case "user" if prune or not piece.body["active"]:
            pass
        case "watcher":
            inbox = wanted.inboxes.get(piece.path[1])
            # Those of an inbox that goes go with it.
            if inbox is not None and (prune or inbox.watchers is not None):
                comparison.leaving.append(Difference(piece, None))
        case "user" | "team" | "inbox" | "line":
            if prune:
                comparison.leaving.append(Difference(piece, None))
            else:
                comparison.left_alone.append(piece.what)


def _pieces(setup: SetupFile) -> Iterator[Piece]:
    account = setup.account
    yield Piece("account", "account", "routing", ("account",), account.whole("account_id"), account.brief("account_id"))
    for user_id, user in setup.users.items():
        yield Piece("user", f"user {user_id}", "routing", ("users", user_id), user.whole(), user.brief())
    for team_id, team in setup.teams.items():
        yield Piece("team", f"team {team_id}", "routing", ("teams", team_id), team.whole(), team.brief())
    for inbox_id, inbox in setup.inboxes.items():
        yield from _pieces_of_inbox(inbox_id, inbox)
    for number, line in setup.lines.items():
        yield Piece("line", f"line {number}", "routing", ("lines", number), line.whole(), line.brief())


def _pieces_of_inbox(inbox_id: str, inbox: InboxPart) -> Iterator[Piece]:
    what, path = f"inbox {inbox_id}", ("inboxes", inbox_id)
    yield Piece("inbox", what, "routing", path, inbox.whole(*_NOT_OF_ROUTING), inbox.brief(*_NOT_OF_ROUTING))
    for user_id in inbox.watchers or ():
        yield Piece("watcher", f"{what}: watcher {user_id}", "routing", (*path, "watchers", user_id), {}, {})
    for name, (service, setting, _) in SETTINGS.items():
        part = getattr(inbox, name)
        if part is not None:
            yield Piece("setting", f"{what}: {setting}", service, (*path, setting), part.whole(), part.brief())


def _as_it_begins(piece: Piece) -> Piece:
    """The setting of an inbox that nobody has set yet."""
    shape = next(shape for service, setting, shape in SETTINGS.values() if piece.path[-1] == setting)
    part = shape.model_validate({"enabled": False} if "enabled" in shape.model_fields else {})
    return Piece(piece.kind, piece.what, piece.service, piece.path, part.whole(), part.brief())


def _fields(name: str, before: Any, after: Any) -> Iterator[tuple[Sign, str]]:
    if before == after:
        return
    if before in (None, {}, []) and after not in (None, {}, []):
        yield "+", f"{name} {shown(after)}"
    elif after in (None, {}, []) and before not in (None, {}, []):
        yield "-", f"{name} {shown(before)}"
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            yield from _fields(f"{name}.{key}" if name else key, before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _elements(name, before, after)
    else:
        yield "~", f"{name} {shown(before)} → {shown(after)}"


def _elements(name: str, before: list[Any], after: list[Any]) -> Iterator[tuple[Sign, str]]:
    if any(isinstance(element, Mapping) for element in (*before, *after)):
        for place in range(max(len(before), len(after))):
            was = before[place] if place < len(before) else None
            becomes = after[place] if place < len(after) else None
            yield from _fields(f"{name}[{place}]", was, becomes)
        return
    if [one for one in before if one in after] != [one for one in after if one in before]:
        yield "~", f"{name} {shown(before)} → {shown(after)}"
        return
    for one in before:
        if one not in after:
            yield "-", f"{name} {shown(one)}"
    for one in after:
        if one not in before:
            yield "+", f"{name} {shown(one)}"


def shown(value: Any) -> str:
    """A value in a line of text: bare where that can't be misread, never with what would steer a terminal."""
    if isinstance(value, str):
        if value and value.isprintable() and " " not in value:
            return value
        return json.dumps(value, ensure_ascii=not value.isprintable())
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return flow(_without_nothing(value))


def _without_nothing(value: Any) -> Any:
    # The days on which nobody works say nothing in a line about business hours.
    if isinstance(value, Mapping):
        return {key: _without_nothing(one) for key, one in value.items() if one not in (None, [], {})}
    return [_without_nothing(one) for one in value] if isinstance(value, list) else value
