"""`python -m routing.republishing`: current snapshots sent again, so that a consumer can be rebuilt from nothing.

`inboxctl republish` starts it. It runs beside the service or without it, any number of times.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, NamedTuple, TextIO

import orjson
from aiokafka.errors import KafkaError

from routing.communications import Communication, due_at, stand, talking
from routing.directory import Directory
from routing.facts import instant
from routing.metrics import SERVICE
from routing.publication import Content, Ready, directory_record, next_version
from routing.settings import RepublishingSettings
from routing.storage import communications as communications_storage
from routing.storage import directory as directory_storage
from routing.storage.communications import Saving
from routing.storage.directory import Directories
from service_kit import outbox
from service_kit.clock import Clock, utc_now
from service_kit.database import Database, is_transient
from service_kit.outbox import Relay
from service_kit.publishing import Outgoing, Publisher
from service_kit.settings import load

What = Literal["communications", "directory"]

_PAGE: Final = 500
_PARTS: Final[dict[str, int]] = {"communications": 2, "directory": 3}
_RELAY_PAUSE_SECONDS: Final = 0.05
_FAILED: Final = 1
_MISUSED: Final = 2


class Place(NamedTuple):
    """How far a run came: all that stands at `key` or before it is acknowledged."""

    what: What
    key: tuple[str, ...]

    def __str__(self) -> str:
        # Opaque, because ids of lines are phone numbers, and what a terminal shows ends in a log.
        return base64.urlsafe_b64encode(orjson.dumps([self.what, *self.key])).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, what: What) -> Place:
        """The place in a text. Raises `ValueError` for one that no run of this kind printed."""
        try:
            parts = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (ValueError, binascii.Error):
            parts = None
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise ValueError("is no place that a run printed")
        if parts[:1] != [what] or len(parts) != 1 + _PARTS[what]:
            raise ValueError(f"is no place of `republish {what}`")
        return cls(what, tuple(parts[1:]))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be sent again: all, or only what changed at `since` or later, of `account_id`, beyond `after`."""

    what: What
    since: datetime | None = None
    account_id: str | None = None
    after: Place | None = None


@dataclass(slots=True)
class Done:
    """What was sent and acknowledged so far, and the place that another run can go on from."""

    sent: int = 0
    renewed: int = 0
    unrouted: int = 0
    place: Place | None = None


class NoSuchAccount(Exception):
    """Nothing is, or was, of the account that was asked for."""


class Republishing:
    """Sends snapshots again in the order of their keys, a page at a time; `told` hears of each page."""

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        clock: Clock,
        max_call_hours: float,
        told: Callable[[Done], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._clock = clock
        self._max_call_hours = max_call_hours
        self._told = told
        # Accounts come one after another: more than one directory would only be kept.
        self._directories = Directories(at_most=1)
        self._relay = Relay(database, publisher, service=SERVICE, clock=clock)

    async def run(self, asked: Asked, done: Done) -> None:
        """Send all that was asked for, keeping `done` true page by page. Raises `NoSuchAccount`."""
        if asked.account_id is not None and not await self._is_known(asked.account_id):
            raise NoSuchAccount(f"there is no account {asked.account_id}")
        done.place = asked.after
        of_account = self._communications if asked.what == "communications" else self._directory
        account_id = asked.account_id
        if account_id is None:
            account_id = await self._next_account(asked.what, "") if asked.after is None else asked.after.key[0]
        while account_id is not None:
            await of_account(account_id, asked, done)
            account_id = None if asked.account_id is not None else await self._next_account(asked.what, account_id)

    async def _communications(self, account_id: str, asked: Asked, done: Done) -> None:
        since = 0 if asked.since is None else instant(asked.since)
        after: str | None = _key_within(account_id, asked.after, ("",))[0]
        while after is not None:
            async with self._database.connection() as connection:
                stretch = await communications_storage.stretch_of(connection, account_id, after, since, _PAGE)
                known = (await self._directories.current(connection, [account_id]))[account_id]
            records: list[Ready] = []
            outdated: list[str] = []
            for communication in stretch.routed:
                ready = as_published(communication, known)
                if ready is None:
                    outdated.append(communication.communication_id)
                else:
                    records.extend(ready)
                    done.sent += 1
            if outdated:
                renewed = await self._renewed(account_id, outdated)
                done.sent += len(renewed)
                done.renewed += len(renewed)
                records.extend(record for ready in renewed for record in ready)
            await self._publisher.publish([Outgoing(*record) for record in records])
            done.unrouted += stretch.unrouted
            if stretch.last is not None:
                done.place = Place("communications", (account_id, stretch.last))
            self._told(done)
            after = stretch.last if stretch.goes_on else None

    async def _renewed(self, account_id: str, ids: Sequence[str]) -> list[list[Ready]]:
        """Give communications whose content is another by now, because the directory or we changed, a new version.

        As the next event would: under one version there is one content. What would be unrouted now is left out.
        """
        now = self._clock()
        savings: list[Saving] = []
        records: list[list[Ready]] = []
        async with self._database.transaction() as connection:
            known = (await self._directories.current(connection, [account_id]))[account_id]
            locked = await communications_storage.lock_communications(connection, [(account_id, id) for id in ids])
            for communication in locked.values():
                standing = stand(communication, known)
                if standing.inbox_id is None:
                    continue
                content = Content(communication, standing)
                if content.digest != communication.digest:
                    communication.digest = content.digest
                    communication.version = next_version(communication.version, instant(now))
                    communication.origin_at = None
                    due = due_at(communication, standing, self._max_call_hours)
                    savings.append(Saving(communication, standing, due, talking(communication, standing)))
                records.append(content.records(communication))
            await communications_storage.save_communications(connection, savings, now)
        return records

    async def _directory(self, account_id: str, asked: Asked, done: Done) -> None:
        entity, id = _key_within(account_id, asked.after, ("", ""))
        while True:
            # By way of the outbox, behind whatever change was made before: the topic is compacted, and would keep
            # an older version that comes last.
            async with self._database.transaction() as connection:
                await directory_storage.hold_still(connection, account_id)
                page = await directory_storage.recorded(connection, account_id, (entity, id), asked.since, _PAGE)
                records = [
                    directory_record(account_id, one.entity, one.id, one.snapshot, one.changed_at) for one in page
                ]
                await outbox.add(connection, [Outgoing(*record) for record in records])
                newest = await outbox.newest(connection)
            if page:
                await self._until_relayed(newest)
                entity, id = page[-1].entity, page[-1].id
                done.sent += len(page)
                done.place = Place("directory", (account_id, entity, id))
                self._told(done)
            if len(page) < _PAGE:
                return

    async def _until_relayed(self, newest: int) -> None:
        while True:
            async with self._database.connection() as connection:
                if await outbox.is_relayed_through(connection, newest):
                    return
            # The service's own relay may be at it already, or there may be no service.
            if await self._relay.relay_batch() == 0:
                await asyncio.sleep(_RELAY_PAUSE_SECONDS)

    async def _next_account(self, what: What, after: str) -> str | None:
        async with self._database.connection() as connection:
            if what == "communications":
                return await communications_storage.next_account(connection, after)
            return await directory_storage.next_account(connection, after)

    async def _is_known(self, account_id: str) -> bool:
        async with self._database.connection() as connection:
            if await directory_storage.recorded(connection, account_id, ("", ""), None, 1):
                return True
            stretch = await communications_storage.stretch_of(connection, account_id, "", 0, 1)
            return bool(stretch.routed or stretch.unrouted)


def as_published(communication: Communication, directory: Directory) -> list[Ready] | None:
    """The records that were published last, byte for byte; None where they would be others now."""
    standing = stand(communication, directory)
    if standing.inbox_id is None:
        return None
    content = Content(communication, standing)
    return content.records(communication) if content.digest == communication.digest else None


def _key_within(account_id: str, after: Place | None, beginning: tuple[str, ...]) -> tuple[str, ...]:
    return after.key[1:] if after is not None and after.key[0] == account_id else beginning


class Teller:
    """Tells a person how far it is: on a terminal in one line that renews itself, elsewhere in a line now and then."""

    def __init__(self, what: What, stream: TextIO) -> None:
        self._what = what
        self._stream = stream
        self._every = 0.2 if stream.isatty() else 10.0
        self._end = "\r" if stream.isatty() else "\n"
        self._began = self._last = time.monotonic()

    def __call__(self, done: Done) -> None:
        """Say it, unless it was just said."""
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            rate = done.sent / max(now - self._began, 0.001)
            print(f"{self._what}: {done.sent:,} sent, {rate:,.0f}/s  ", end=self._end, file=self._stream, flush=True)


def _time(text: str) -> datetime:
    """A moment out of an argument. Raises argparse's error for anything else."""
    try:
        if len(text) == len("2026-03-02"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        wanted = "2026-03-02 (midnight UTC) or 2026-03-02T09:30:00+01:00"
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as {wanted}")
    return moment


def asked_by(arguments: Sequence[str]) -> Asked:
    """What a command line asks for. Ends the process with 2 and a sentence for one that is not understood."""
    parser = argparse.ArgumentParser(
        prog="republish",
        description="Publish current snapshots again, so that a consumer can be rebuilt from nothing.",
        epilog="It does no harm to run it at any time, or twice: consumers keep the highest version of everything.",
        allow_abbrev=False,
    )
    parser.add_argument("what", metavar="WHAT", choices=tuple(_PARTS), help=" or ".join(_PARTS))
    parser.add_argument("--since", metavar="TIME", type=_time, help="only what last changed then or later")
    parser.add_argument("--account", metavar="ID", help="only this account")
    parser.add_argument("--after", metavar="PLACE", help="go on beyond the place that an earlier run printed")
    given = parser.parse_args(arguments)
    after = None
    if given.after is not None:
        try:
            after = Place.read(given.after, given.what)
        except ValueError as error:
            parser.error(f"argument --after: {error}")
        if given.account is not None and after.key[0] != given.account:
            parser.error("argument --after: is a place of another account")
    return Asked(given.what, given.since, given.account, after)


async def _republish(settings: RepublishingSettings, asked: Asked, done: Done) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(one, task.cancel)
    database = Database(settings.database_url, SERVICE, pool_size=2)
    publisher = Publisher(settings, client_id=f"{SERVICE}-republishing")
    try:
        await database.open()
        await publisher.open()
        told = Teller(asked.what, sys.stderr)
        await Republishing(database, publisher, utc_now, settings.max_call_hours, told).run(asked, done)
    finally:
        await publisher.close()
        await database.close()


def _how_to_go_on(asked: Asked, done: Done) -> str:
    options: dict[str, Any] = {
        "--since": None if asked.since is None else asked.since.isoformat(),
        "--account": asked.account_id,
        "--after": done.place,
    }
    given = "".join(f" {name} {value}" for name, value in options.items() if value is not None)
    return f"{done.sent:,} were sent; go on with:\ninboxctl republish {asked.what}{given}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Republish, and return the exit code: 1 where it failed, 2 where it was asked wrongly, 130 interrupted.

    Whatever ends it early, it prints how another run goes on.
    """
    asked = asked_by(sys.argv[1:] if arguments is None else arguments)
    settings = load(RepublishingSettings)
    # What its loggers say while Kafka is away, our own sentence says once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    done = Done(place=asked.after)
    try:
        asyncio.run(_republish(settings, asked, done))
    except (asyncio.CancelledError, KeyboardInterrupt):
        print(f"interrupted: {_how_to_go_on(asked, done)}", file=sys.stderr)
        return 130
    except NoSuchAccount as nobody:
        print(nobody, file=sys.stderr)
        return _MISUSED
    except Exception as error:
        print(f"{type(error).__name__}: {_how_to_go_on(asked, done)}", file=sys.stderr)
        if isinstance(error, KafkaError) or is_transient(error):
            return _FAILED
        raise
    told = [f"{done.sent:,} sent again"]
    if done.renewed:
        told.append(f"{done.renewed:,} of them under a new version, because their content is another by now")
    if done.unrouted:
        told.append(f"{done.unrouted:,} unrouted passed over")
    print(f"{asked.what}: {'; '.join(told)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
