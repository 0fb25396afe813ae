"""Every administrative change, in one transaction: decided, versioned, recorded, and put in the outbox (A4, A6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from contracts.directory import Account, Line, Snapshot
from routing.administration import Change, InUse, Refused, changes
from routing.directory import Directory, directory_of
from routing.http_api.callers import Viewer
from routing.publication import directory_record
from routing.storage import communications as communications_storage
from routing.storage import directory as storage
from service_kit import outbox
from service_kit.clock import Clock, Identify
from service_kit.database import Database
from service_kit.http import conflict, invalid
from service_kit.publishing import Outgoing

_NOT_SETTINGS = {"version", "deleted", "connected"}


class Administration:
    """Changes an account's directory. What would change nothing changes nothing: no version, no event."""

    def __init__(self, database: Database, clock: Clock, identify: Identify) -> None:
        self._database = database
        self._clock = clock
        self._identify = identify

    async def apply(self, viewer: Viewer, decide: Callable[[Directory], Directory]) -> Directory:
        """Make the directory what `decide` says, and return it with its new versions.

        422 that names the field, or 409, when the decision refuses.
        """
        now = self._clock()
        account_id = viewer.account_id
        async with self._database.transaction() as connection:
            before = await storage.lock_directory(connection, account_id)
            try:
                after = decide(before)
            except Refused as refused:
                raise invalid(refused.field, refused.message) from None
            except InUse as used:
                raise conflict(str(used)) from None
            found = changes(before, after)
            if not found:
                return after
            saved = await storage.save_changes(connection, account_id, found, now)
            entries = [
                (self._identify(), change, was, becomes)
                for change in found
                if (was := _settings(change.before)) != (becomes := _settings(change.after))
            ]
            await storage.add_audit(connection, account_id, viewer.caller.user_id, entries, now)
            await communications_storage.ask_for_reroute(connection, account_id, newly_mapped(found))
            records = [
                Outgoing(*directory_record(account_id, change.entity, change.id, snapshot, now))
                for change, snapshot in saved
            ]
            await outbox.add(connection, records)
            renewed = (snapshot for _, snapshot in saved if not snapshot.deleted)
            return directory_of(account_id, chain(after.everything(), renewed))


def newly_mapped(found: Sequence[Change]) -> set[str]:
    """The lines whose unrouted communications may have found an inbox; '' where it may be any line's (R3)."""
    lines: set[str] = set()
    for change in found:
        match change.after:
            case Line(inbox_id=str()):
                lines.add(change.id)
            case Account(fallback_inbox_id=str()):
                lines.add("")
            case _ if change.entity == "inbox" and change.before is None:
                lines.add("")
    return lines


def _settings(snapshot: Snapshot | None) -> dict[str, Any] | None:
    return None if snapshot is None else snapshot.model_dump(mode="json", exclude=_NOT_SETTINGS)
