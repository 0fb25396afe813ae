"""One open live stream: what waits to be sent to its client, and the sending (I15)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inbox_state.live import Moment

_HEARTBEAT_SECONDS: Final = 15.0
_MOST_SECONDS_TO_SEND: Final = 15.0
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # nginx would hold back what comes in small pieces.
    (b"x-accel-buffering", b"no"),
]


class Client:
    """An open stream. `wanted` is the one inbox that it is for, None for all; `since` is where it resumes.

    What is put here waits until the stream's own task sends it, so that nobody waits for a slow client: who does
    not read what waits, up to `most_waiting` bytes, is cut off by `hang_up` and may resume.
    """

    def __init__(
        self,
        account_id: str,
        user_id: str,
        wanted: str | None,
        since: Moment | None,
        most_waiting: int,
        hang_up: Callable[[], None],
    ) -> None:
        self.account_id = account_id
        self.user_id = user_id
        self.wanted = wanted
        self.since = since
        self.began: Moment | None = None
        self.inboxes: frozenset[str] = frozenset()
        self.admitted = False
        self.doubtful = False
        self.owes_reset = False
        self.reset_at = float("-inf")
        self.ended = False
        self.cut_off = False
        self._most_waiting = most_waiting
        self._hang_up = hang_up
        self._waiting: list[bytes] = []
        self._size = 0
        self._held = True
        self._stir = asyncio.Event()

    def put(self, frames: bytes) -> None:
        """Let frames be sent as soon as the client reads."""
        if self.ended:
            return
        self._size += len(frames)
        if self._size > self._most_waiting:
            self.cut()
            return
        self._waiting.append(frames)
        self._stir.set()

    def begin(self, frames: bytes) -> None:
        """Send what the client missed, then what was put meanwhile. Nothing is sent before."""
        self._waiting.insert(0, frames)
        self._size += len(frames)
        self._held = False
        self._stir.set()

    def take(self) -> bytes:
        """All that waits."""
        if self._held or not self._waiting:
            return b""
        frames = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        return frames

    @property
    def idle(self) -> bool:
        """Whether everything was sent, so that the client stands where its stream stands."""
        return not (self._held or self._waiting or self.owes_reset or self.ended)

    def end(self) -> None:
        """End the stream after what is being sent; what waits is dropped."""
        self.ended = True
        self._waiting.clear()
        self._stir.set()

    def cut(self) -> None:
        """End the stream at once, whatever its client has not read yet."""
        if not self.cut_off:
            self.cut_off = True
            self.end()
            self._hang_up()

    async def stirred(self, seconds: float) -> None:
        """Wait until there is something to do, or nothing was for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._stir.wait()
        except TimeoutError:
            return
        self._stir.clear()


class EventStream(Response):
    """Server-sent events, ready-made as bytes; `seconds` from now the caller's token expires."""

    media_type = "text/event-stream"

    def __init__(
        self, client: Client, seconds: float, heartbeat: Callable[[Client], bytes], closed: Callable[[Client], None]
    ) -> None:
        super().__init__()
        self._client = client
        self._seconds = seconds
        self._heartbeat = heartbeat
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client goes away, is cut off, or may see no more."""
        client = self._client
        expiry = asyncio.get_running_loop().call_later(max(self._seconds, 0.0), client.end)
        leaving = asyncio.create_task(_end_with_connection(receive, client))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            while not client.ended:
                frames = client.take()
                if not frames:
                    await client.stirred(_HEARTBEAT_SECONDS)
                    frames = client.take() or self._heartbeat(client)
                if frames:
                    async with asyncio.timeout(_MOST_SECONDS_TO_SEND):
                        await send({"type": "http.response.body", "body": frames, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            client.cut()
        finally:
            expiry.cancel()
            leaving.cancel()
            self._closed(client)


async def _end_with_connection(receive: Receive, client: Client) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    client.end()
