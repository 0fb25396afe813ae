"""Bringing an account to what its set-up file says: idempotent PUTs of what differs, each after what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from devstack.api import Api
from devstack.differences import Comparison, Difference, Kind, Piece, compare
from devstack.patience import PATIENCE_SECONDS, Patient, side_by_side
from devstack.reading import SETTINGS, read_whole_setup
from devstack.setup_file import AccountPart, InboxPart, LinePart, Part, SetupFile, TeamPart, UserPart

_SHAPES: Final[dict[Kind, type[Part]]] = {
    "account": AccountPart,
    "user": UserPart,
    "team": TeamPart,
    "inbox": InboxPart,
    "line": LinePart,
}
_EACH_AFTER_WHAT_IT_NAMES: Final[tuple[Kind, ...]] = ("user", "team", "inbox", "watcher")
_EACH_BEFORE_WHAT_IT_NAMES: Final[tuple[Kind, ...]] = ("line", "inbox", "team")


@dataclass(frozen=True, slots=True)
class Change:
    """What applying one part did. `fields` are those that are different now."""

    what: str
    how: Literal["created", "changed", "unchanged", "removed"]
    fields: tuple[str, ...] = ()


def apply(
    setup: SetupFile, api: Api, patience_seconds: float = PATIENCE_SECONDS, *, prune: bool = False
) -> Iterator[Change]:
    """Put every part that differs, and say of each what it did as soon as it is done; doing it again changes nothing.

    What the file does not name is left alone, except watchers: an inbox's list of them is the whole list. With
    `prune` it is deleted, and users are deactivated. Raises `Refused` when a service does not accept a part,
    `Unreachable` when one does not answer within `patience_seconds`, and `OtherAccount` as `Applying.prepared` does.
    """
    yield from Applying.prepared(setup, Patient(api, patience_seconds), prune=prune).carried_out()


@dataclass(frozen=True, slots=True)
class Applying:
    """A file that was compared with its account, ready to be carried out."""

    comparison: Comparison
    patient: Patient

    @classmethod
    def prepared(cls, setup: SetupFile, patient: Patient, *, prune: bool = False) -> Applying:
        """Read the account and compare it with the file. Raises `OtherAccount` when the token is for another one."""
        return cls(compare(read_whole_setup(patient, setup.account.account_id), setup, prune=prune), patient)

    @property
    def steps(self) -> int:
        """About how many requests it takes."""
        return len(self.comparison.differences) + len(self.comparison.uncertain)

    def carried_out(self) -> Iterator[Change]:
        """Make the changes, as `apply` does.

        What is needed comes first: the account, people, teams, inboxes, their watchers, lines, the fallback, what other
        services keep; what goes, goes the other way round. What does not need each other goes side by side.
        """
        looked_at_again = self._uncertain() + [one.piece for one in self._inboxes_that_a_team_may_cut()]
        for piece in self.comparison.same:
            if piece not in looked_at_again:
                yield Change(piece.what, "unchanged")
        account = next((one for one in self.comparison.coming if one.piece.kind == "account"), None)
        if account is not None and account.before is None:
            yield self._create_without_fallback(account.piece)
        for kind in _EACH_AFTER_WHAT_IT_NAMES:
            yield from side_by_side(self._put, self._coming(kind))
            if kind == "inbox":
                yield from side_by_side(self._put, self._inboxes_that_a_team_may_cut())
        yield from side_by_side(self._remove, self._leaving("watcher"))
        yield from side_by_side(self._put, self._coming("line"))
        if account is not None and account.before is not None:
            yield self._put(account)
        elif account is not None and account.piece.body["fallback_inbox_id"]:
            yield self._put(Difference(_without_fallback(account.piece), account.piece))
        yield from side_by_side(self._put, self._coming("setting"))
        yield from side_by_side(self._put_if_different, self._uncertain())
        for kind in _EACH_BEFORE_WHAT_IT_NAMES:
            yield from side_by_side(self._remove, self._leaving(kind))
        yield from side_by_side(self._put, self._leaving("user"))

    def _coming(self, kind: Kind) -> list[Difference]:
        uncertain = self.comparison.uncertain
        return [one for one in self.comparison.coming if one.piece.kind == kind and one.piece.what not in uncertain]

    def _inboxes_that_a_team_may_cut(self) -> list[Difference]:
        # Who leaves one team and joins another is for a moment no agent, and leaves the layers that name him.
        if all(one.before is None for one in self._coming("team")):
            return []
        inboxes = (piece for piece in self.comparison.same if piece.kind == "inbox")
        return [Difference(one, one) for one in inboxes if any(layer["users"] for layer in one.body["ring_layers"])]

    def _leaving(self, kind: Kind) -> list[Difference]:
        return [one for one in self.comparison.leaving if one.piece.kind == kind]

    def _uncertain(self) -> list[Piece]:
        pieces = [*self.comparison.same, *(one.piece for one in self.comparison.coming)]
        return [piece for piece in pieces if piece.what in self.comparison.uncertain]

    def _create_without_fallback(self, piece: Piece) -> Change:
        # The fallback is an inbox, and no inbox is there before its account.
        return self._put(Difference(None, _without_fallback(piece)))

    def _put(self, difference: Difference) -> Change:
        piece, before = difference.piece, difference.before
        answered = self._ask(self.patient.api.put, piece, body=dict(piece.body) or None)
        if before is None:
            return Change(piece.what, "created")
        after = _shape(piece).model_validate(answered, extra="ignore").whole()
        fields = tuple(sorted(name for name, value in before.body.items() if after[name] != value))
        return Change(piece.what, "changed" if fields else "unchanged", fields)

    def _put_if_different(self, piece: Piece) -> Change:
        # 404 until the service's copy of the directory has the inbox, which it will.
        found = self.patient.until_known(piece.service, *piece.path)
        held = _shape(piece).model_validate(found, extra="ignore").whole()
        if held == piece.body:
            return Change(piece.what, "unchanged")
        return self._put(Difference(Piece(piece.kind, piece.what, piece.service, piece.path, held, held), piece))

    def _remove(self, difference: Difference) -> Change:
        self._ask(self.patient.api.delete, difference.piece)
        return Change(difference.piece.what, "removed")

    def _ask(self, request: Callable[..., Any], piece: Piece, **arguments: Any) -> Any:
        return self.patient.ask(partial(request, piece.service, *piece.path, **arguments))


def _without_fallback(piece: Piece) -> Piece:
    body = {**piece.body, "fallback_inbox_id": None}
    return Piece(piece.kind, piece.what, piece.service, piece.path, body, body)


def _shape(piece: Piece) -> type[Part]:
    """What a service's answer about a piece is read as."""
    if piece.kind == "setting":
        return next(shape for _, setting, shape in SETTINGS.values() if setting == piece.path[-1])
    return _SHAPES[piece.kind]
