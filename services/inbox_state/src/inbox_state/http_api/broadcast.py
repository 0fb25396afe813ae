"""What changes, read once and handed to every open stream of this process (I15, decision 9).

One connection listens to Postgres, and one task reads the journal since the moment of its last reading, loads each
changed row once, makes it into bytes once, and puts those bytes to whoever may see them. Another task lets newly
opened streams in, with what they missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import orjson
import structlog
from pydantic import BaseModel, ValidationError

from inbox_state import threads
from inbox_state.http_api.models import communication_row, thread_row
from inbox_state.http_api.streams import Client
from inbox_state.live import AccessChanged, ContactNamed, InboxChanged, InboxRenamed, Moment, Note
from inbox_state.metrics import STREAM_CLIENTS, STREAM_CLIENTS_CUT_OFF, STREAM_RESETS
from inbox_state.storage import live as storage
from inbox_state.storage.live import Journal, Sees
from inbox_state.storage.rules import InboxKey
from service_kit.access import person_of
from service_kit.database import Connection, Database, is_transient
from service_kit.http import Problem

log = structlog.get_logger()

_POLL_SECONDS: Final = 1.0
_GATHER_SECONDS: Final = 0.05
_READING_SECONDS: Final = 15.0
_RESET_SECONDS: Final = 1.0
_MOST_BYTES_WAITING: Final = 4 * 1024 * 1024
_MOST_BYTES_AT_ONCE: Final = 2 * 1024 * 1024
_MOST_ROWS_AT_ONCE: Final = 2_000
_MOST_ROWS_OF_ALL: Final = 20_000
_MOST_NOTES_MISSED: Final = 5_000
_RETRY: Final = b"retry: 2000\n"


class Frame(NamedTuple):
    """An event without its id: its name and its data as JSON."""

    event: bytes
    data: bytes


class Frames(NamedTuple):
    """What an inbox's clients are sent of one reading.

    Until the last frame a client has not seen the whole reading: all others carry the id of the reading before.
    `closing` is what ends a client's share, `going_on` what another inbox's frames follow.
    """

    going_on: bytes
    closing: bytes


class Broadcast:
    """Every open stream of this process."""

    name = "live-streams"

    def __init__(
        self,
        database: Database,
        *,
        most_bytes_waiting: int = _MOST_BYTES_WAITING,
        most_rows_at_once: int = _MOST_ROWS_AT_ONCE,
    ) -> None:
        self._database = database
        self._most_bytes_waiting = most_bytes_waiting
        self._most_rows = most_rows_at_once
        self._clients: dict[str, set[Client]] = {}
        self._viewers: dict[InboxKey, set[Client]] = {}
        self._owing: set[Client] = set()
        self._arriving: list[Client] = []
        self._arrived = asyncio.Event()
        self._woken = asyncio.Event()
        self._reading = asyncio.Event()
        self._moment: Moment | None = None
        self._read_at = float("-inf")
        self._closing = False
        STREAM_CLIENTS.labels(service="inbox_state").set(0)
        STREAM_CLIENTS_CUT_OFF.labels(service="inbox_state")

    def open(
        self, account_id: str, user_id: str, wanted: str | None, since: Moment | None, hang_up: Callable[[], None]
    ) -> Client:
        """A new stream; raises a 503 `Problem` once the service is stopping."""
        if self._closing:
            raise Problem(
                503, "Service Unavailable", "the service is stopping; try again", headers={"Retry-After": "1"}
            )
        client = Client(account_id, user_id, wanted, since, self._most_bytes_waiting, hang_up)
        self._clients.setdefault(account_id, set()).add(client)
        self._arriving.append(client)
        self._arrived.set()
        STREAM_CLIENTS.labels(service="inbox_state").inc()
        return client

    def closed(self, client: Client) -> None:
        """Forget a stream that has ended."""
        client.end()
        self._see(client, frozenset())
        self._owing.discard(client)
        mine = self._clients[client.account_id]
        mine.discard(client)
        if not mine:
            del self._clients[client.account_id]
        STREAM_CLIENTS.labels(service="inbox_state").dec()
        if client.cut_off:
            STREAM_CLIENTS_CUT_OFF.labels(service="inbox_state").inc()

    def heartbeat(self, client: Client) -> bytes:
        """What keeps a quiet connection open, and tells its client up to where it has seen everything."""
        return _standing_at(self._moment) if client.idle and self._moment else b":\n\n"

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._read_on())
            both.create_task(self._let_in())

    def let_go(self) -> None:
        """End every stream: clients come back, to another replica or to this one's successor."""
        self._closing = True
        for clients in self._clients.values():
            for client in clients:
                client.end()

    async def _read_on(self) -> None:
        pause = 0.1
        while True:
            listener = None
            try:
                listener = await self._database.listening()
                await listener.add_listener(storage.CHANNEL, self._wake)
                while not listener.is_closed():
                    async with asyncio.timeout(_READING_SECONDS):
                        await self._read(listener)
                    pause = 0.1
                    await self._rest()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("live_streams_wait", error=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
            finally:
                if listener is not None and not listener.is_closed():
                    listener.terminate()

    def _wake(self, *_notification: object) -> None:
        self._woken.set()

    async def _rest(self) -> None:
        # What follows at once is gathered; the first after a quiet time goes out at once.
        await asyncio.sleep(_GATHER_SECONDS)
        try:
            # A notification may be lost with its connection, and a reset may be owed.
            async with asyncio.timeout(_POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def _read(self, connection: Connection) -> None:
        before = self._moment
        journal = await storage.noted_after(connection, before, self._clients)
        frames: dict[InboxKey, Frames | None] = {}
        if before is None or self._missed_some(before, journal):
            frames = dict.fromkeys(self._viewers)
        elif journal.notes:
            await self._look_again(connection, journal.notes)
            changed, renamed = self._changes(journal.notes, self._viewers.keys())
            frames = await self._frames_of(connection, changed, before, journal.moment)
            frames |= dict.fromkeys(renamed)
        # From here on nothing is awaited: a stream that begins does so before this reading or after it.
        self._moment, self._read_at = journal.moment, _now()
        self._hand_out(frames)
        self._pay_resets()
        self._reading.set()

    def _missed_some(self, before: Moment, journal: Journal) -> bool:
        if before.xmax < journal.whole_from or before.xmax > journal.moment.xmax:
            return True
        # A transaction may run for longer than notes are kept: that matters only to who was away meanwhile.
        return before.xmin < journal.whole_from and _now() - self._read_at > _READING_SECONDS

    def _hand_out(self, frames: Mapping[InboxKey, Frames | None]) -> None:
        mail: dict[Client, list[Frames | None]] = {}
        for key, one in frames.items():
            for client in self._viewers.get(key, ()):
                mail.setdefault(client, []).append(one)
        for client, parts in mail.items():
            whole = [part for part in parts if part is not None]
            if client.owes_reset:
                continue
            if len(whole) < len(parts):
                self._reset(client)
                continue
            for part in whole[:-1]:
                client.put(part.going_on)
            client.put(whole[-1].closing)

    def _reset(self, client: Client) -> None:
        """Tell a client to load again: once a second at most, since loading is work; until then it is told nothing."""
        assert self._moment is not None
        if _now() - client.reset_at < _RESET_SECONDS:
            client.owes_reset = True
            self._owing.add(client)
            return
        client.owes_reset = False
        client.reset_at = _now()
        client.put(_framed([_RESET], str(self._moment), str(self._moment)).closing)
        STREAM_RESETS.labels(service="inbox_state").inc()

    def _pay_resets(self) -> None:
        for client in [one for one in self._owing if _now() - one.reset_at >= _RESET_SECONDS]:
            self._owing.discard(client)
            self._reset(client)

    async def _look_again(self, connection: Connection, notes: Iterable[Note]) -> None:
        """See whose access has changed, and tell them, before anything else of this reading is handed out (I2)."""
        concerned: set[Client] = set()
        for account_id, _, noted in notes:
            if isinstance(noted, AccessChanged):
                everybody = noted.users is None
                concerned |= {
                    client
                    for client in self._clients.get(account_id, ())
                    if everybody or client.user_id in (noted.users or ())
                }
        for client in concerned:
            client.doubtful = True
        admitted = [client for client in concerned if client.admitted]
        if not admitted:
            return
        seen = await storage.what_they_see(connection, {(one.account_id, one.user_id) for one in admitted})
        for client in admitted:
            inboxes = in_sight(client, seen[client.account_id, client.user_id])
            if inboxes is None:
                client.end()
                continue
            lost, gained = client.inboxes - inboxes, inboxes - client.inboxes
            self._see(client, inboxes)
            if lost:
                here = str(self._moment)
                client.put(_framed([_gone(inbox_id) for inbox_id in sorted(lost)], here, here).closing)
            if gained:
                self._reset(client)

    def _see(self, client: Client, inboxes: frozenset[str]) -> None:
        for inbox_id in client.inboxes - inboxes:
            viewers = self._viewers[client.account_id, inbox_id]
            viewers.discard(client)
            if not viewers:
                del self._viewers[client.account_id, inbox_id]
        for inbox_id in inboxes - client.inboxes:
            self._viewers.setdefault((client.account_id, inbox_id), set()).add(client)
        client.inboxes = inboxes

    @staticmethod
    def _changes(
        notes: Iterable[Note], viewed: Collection[InboxKey]
    ) -> tuple[dict[InboxKey, InboxChanged], set[InboxKey]]:
        """What notes say of the inboxes that somebody views, and which of those have another name."""
        changed: dict[InboxKey, InboxChanged] = {}
        renamed: set[InboxKey] = set()
        for account_id, inbox_id, noted in notes:
            match noted:
                case InboxChanged() if inbox_id is not None and (account_id, inbox_id) in viewed:
                    changed.setdefault((account_id, inbox_id), InboxChanged()).add(noted)
                case InboxRenamed() if inbox_id is not None and (account_id, inbox_id) in viewed:
                    renamed.add((account_id, inbox_id))
                case ContactNamed(number):
                    # Which threads are a contact's follows from their ids: one that is just being made is not missed.
                    for key in viewed:
                        if key[0] == account_id:
                            thread_id = threads.thread_of(account_id, key[1], number, "")
                            changed.setdefault(key, InboxChanged()).add(
                                InboxChanged(threads={thread_id: None}, whole={thread_id})
                            )
                case _:
                    pass
        return changed, renamed

    async def _frames_of(
        self, connection: Connection, changed: Mapping[InboxKey, InboxChanged], before: Moment, now: Moment
    ) -> dict[InboxKey, Frames | None]:
        """The rows that changed, as they are now: loaded and encoded once for all who may see them."""
        wanted: dict[InboxKey, InboxChanged] = {}
        left_over = _MOST_ROWS_OF_ALL
        for key, one in sorted(changed.items(), key=lambda item: item[1].rows):
            left_over -= one.rows
            if one.rows <= self._most_rows and left_over >= 0:
                wanted[key] = one
        frames = await self._rows_of(connection, wanted)
        return {
            key: _framed(frames[key], str(before), str(now))
            if key in frames
            and len(frames[key]) <= self._most_rows
            and sum(len(frame.data) for frame in frames[key]) <= _MOST_BYTES_AT_ONCE
            else None
            for key in changed
        }

    async def _rows_of(
        self, connection: Connection, wanted: Mapping[InboxKey, InboxChanged]
    ) -> dict[InboxKey, list[Frame]]:
        frames: dict[InboxKey, list[Frame]] = {key: [] for key in wanted}
        held: dict[InboxKey, list[Frame]] = {key: [] for key in wanted}
        there: set[str] = set()
        for thread in await storage.shown_threads(
            connection, [(*key, thread_id) for key, one in wanted.items() for thread_id in one.threads]
        ):
            row = thread.shown.thread
            there.add(row.thread_id)
            held[row.account_id, row.inbox_id] += _row(b"thread", partial(thread_row, thread.shown, thread.inbox_name))
        for key, one in wanted.items():
            # A thread that lost a communication is forgotten first, and what is left of it shown again.
            forgotten = [id for id in one.threads if id in one.left or (id not in there and id not in one.whole)]
            frames[key] += [_gone(key[1], thread_id) for thread_id in forgotten]
            frames[key] += held[key]
        listed = await storage.shown_communications(
            connection, [(*key, id) for key, one in wanted.items() for id in one.communications]
        )
        known = {(one.shown.row.account_id, one.shown.row.communication_id) for one in listed}
        in_threads = await storage.shown_in_threads(
            connection,
            [
                (*key, thread_id, None if thread_id in one.left or thread_id in one.whole else beyond)
                for key, one in wanted.items()
                for thread_id, beyond in one.threads.items()
                if beyond is not None or thread_id in one.left or thread_id in one.whole
            ],
            self._most_rows + 1,
        )
        listed += [one for one in in_threads if (one.shown.row.account_id, one.shown.row.communication_id) not in known]
        for communication in listed:
            row_ = communication.shown.row
            frames[row_.account_id, row_.inbox_id] += _row(
                b"communication", partial(communication_row, communication.shown, communication.inbox_name)
            )
        return frames

    async def _let_in(self) -> None:
        while True:
            await self._arrived.wait()
            await self._reading.wait()
            self._arrived.clear()
            arriving, self._arriving = [one for one in self._arriving if not one.ended], []
            try:
                async with asyncio.timeout(_READING_SECONDS), self._database.connection() as connection:
                    await self._admit(connection, arriving)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("live_streams_not_opened", error=type(error).__name__)
                for client in arriving:
                    client.end()

    async def _admit(self, connection: Connection, arriving: Sequence[Client]) -> None:
        """Let streams in: first what they may see, from now on; then what they missed, each kind of row once."""
        await self._give_sight(connection, arriving)
        together: dict[tuple[str, Moment], list[Client]] = {}
        for client in arriving:
            if client.began is not None and not client.ended:
                together.setdefault((client.account_id, client.since or client.began), []).append(client)
        for (account_id, since), clients in together.items():
            await self._catch_up(connection, account_id, since, clients)

    async def _give_sight(self, connection: Connection, arriving: Sequence[Client]) -> None:
        unsure = list(arriving)
        while unsure:
            for client in unsure:
                client.doubtful = False
            seen = await storage.what_they_see(connection, {(one.account_id, one.user_id) for one in unsure})
            for client in unsure:
                # Doubtful is what changed while we looked.
                if client.doubtful or client.ended:
                    continue
                inboxes = in_sight(client, seen[client.account_id, client.user_id])
                if inboxes is None:
                    client.end()
                    continue
                client.admitted = True
                client.began = self._moment
                self._see(client, inboxes)
            unsure = [client for client in unsure if client.doubtful and not client.ended]

    async def _catch_up(
        self, connection: Connection, account_id: str, since: Moment, clients: Sequence[Client]
    ) -> None:
        """Send clients what was committed after the moment where they resume, and let them go on from there."""
        inboxes = {inbox_id for client in clients for inbox_id in client.inboxes}
        journal = await storage.noted_after(connection, since, [account_id], inboxes, _MOST_NOTES_MISSED + 1)
        away_too_long = (
            since.xmin < journal.whole_from
            or since.xmax > journal.moment.xmax
            or len(journal.notes) > _MOST_NOTES_MISSED
        )
        frames: dict[InboxKey, Frames | None] = {}
        if not away_too_long:
            changed, renamed = self._changes(journal.notes, {(account_id, inbox_id) for inbox_id in inboxes})
            frames = await self._frames_of(connection, changed, since, since)
            frames |= dict.fromkeys(renamed)
        access = [note.noted.users for note in journal.notes if isinstance(note.noted, AccessChanged)]
        for client in clients:
            if client.ended:
                continue
            assert client.began is not None
            began = str(client.began)
            parts = [frames[account_id, id] for id in client.inboxes if (account_id, id) in frames]
            whole = [part.going_on for part in parts if part is not None]
            gained = client.since is not None and any(users is None or client.user_id in users for users in access)
            if away_too_long or gained or len(whole) < len(parts):
                client.reset_at = _now()
                STREAM_RESETS.labels(service="inbox_state").inc()
                whole = [_framed([_RESET], began, began).closing]
            elif client.wanted is not None and client.wanted not in client.inboxes:
                whole = [_framed([_gone(client.wanted)], began, began).closing]
            client.begin(b"".join([_RETRY, _standing_at(client.began), *whole, _standing_at(client.began)]))


def in_sight(client: Client, sees: Sees) -> frozenset[str] | None:
    """The inboxes that a client may see now, at most the one that it wants; None when he may see nothing (I2)."""
    try:
        who = person_of(client.account_id, sees.user, sees.account)
    except Problem:
        return None
    inboxes = sees.inboxes if who.is_admin and who.admins_see_all else sees.inboxes & sees.ties
    return inboxes if client.wanted is None else inboxes & {client.wanted}


_RESET: Final = Frame(b"reset", b"{}")


def _gone(inbox_id: str, thread_id: str | None = None) -> Frame:
    data = {"inbox_id": inbox_id} if thread_id is None else {"inbox_id": inbox_id, "thread_id": thread_id}
    return Frame(b"gone", orjson.dumps(data))


def _row(event: bytes, make: Callable[[], BaseModel]) -> list[Frame]:
    try:
        return [Frame(event, make().model_dump_json().encode())]
    except ValidationError:
        # A list would fail on it as well; the other rows are not to suffer.
        log.exception("row_not_shown", event_name=event.decode())
        return []


def _framed(frames: Sequence[Frame], before: str, now: str) -> Frames:
    going_on = [_block(frame, before) for frame in frames]
    return Frames(b"".join(going_on), b"".join([*going_on[:-1], _block(frames[-1], now)]) if frames else b"")


def _block(frame: Frame, id: str) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (frame.event, id.encode(), frame.data)


def _standing_at(moment: Moment) -> bytes:
    # Without data it is no event, but the client remembers the id (WHATWG HTML, 9.2.6).
    return b"id: %b\n\n" % str(moment).encode()


def _now() -> float:
    return asyncio.get_running_loop().time()
