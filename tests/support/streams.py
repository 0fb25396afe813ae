"""A client of the live stream on a bare socket: light enough to have a thousand of them in one test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import orjson

from tests.support.waiting import eventually


class Heard(NamedTuple):
    """One event, as the server sent it."""

    event: str
    id: str
    data: dict[str, Any]


@dataclass
class Screen:
    """What a client would show: the rows that it was told of, by what tells them apart."""

    threads: dict[str, dict[str, Any]] = field(default_factory=dict)
    communications: dict[str, dict[str, Any]] = field(default_factory=dict)
    to_load: bool = False

    def show(self, heard: Heard) -> None:
        """Take an event in, as the contract says."""
        data = heard.data
        match heard.event:
            case "thread":
                self.threads[data["thread_id"]] = data
            case "communication":
                self.communications[data["communication_id"]] = data
            case "gone":
                thread_id = data.get("thread_id")
                for rows in (self.threads, self.communications):
                    for id, row in list(rows.items()):
                        if row["inbox_id"] == data["inbox_id"] and thread_id in (None, row["thread_id"]):
                            del rows[id]
            case "reset":
                self.to_load = True
            case other:
                raise AssertionError(f"no event of the contract: {other}")


class LiveStream(asyncio.Protocol):
    """An open stream. `heard` holds every event so far, `last_id` is where a new one would resume."""

    def __init__(self, told: Callable[[Heard], None] | None = None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.heard: list[Heard] = []
        self.body = b""
        self.last_id = ""
        self.ended = False
        self.whole = False
        self.transport: asyncio.Transport | None = None
        self.over = asyncio.Event()
        self._told = told or self.heard.append
        self._raw = bytearray()
        self._text = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        """The stream has ended; `whole` tells whether the server ended it, or it broke."""
        self.ended = True
        self.over.set()

    def data_received(self, data: bytes) -> None:
        """Take apart what came: HTTP's head, its chunks, the events in them."""
        self._raw += data
        if not self.status:
            head, found, rest = bytes(self._raw).partition(b"\r\n\r\n")
            if not found:
                return
            first, *lines = head.decode().split("\r\n")
            self.status = int(first.split()[1])
            self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            self._raw = bytearray(rest)
        if self.headers.get("transfer-encoding") != "chunked":
            self.body = bytes(self._raw)
            return
        self._take_chunks()
        *blocks, rest = bytes(self._text).split(b"\n\n")
        self._text = bytearray(rest)
        for block in blocks:
            self._take_block(block)

    def _take_chunks(self) -> None:
        raw, at = self._raw, 0
        while (line_end := raw.find(b"\r\n", at)) >= 0:
            size = int(raw[at:line_end], 16)
            begin = line_end + 2
            if size == 0:
                self.whole = True
                self.over.set()
                break
            if len(raw) < begin + size + 2:
                break
            self._text += raw[begin : begin + size]
            at = begin + size + 2
        del raw[:at]

    def _take_block(self, block: bytes) -> None:
        event, data = "", b""
        for line in block.split(b"\n"):
            name, _, value = line.partition(b": ")
            if name == b"id":
                self.last_id = value.decode()
            elif name == b"event":
                event = value.decode()
            elif name == b"data":
                data = value
        if data:
            self._told(Heard(event, self.last_id, orjson.loads(data)))

    async def hears(self, condition: Callable[[list[Heard]], Any], seconds: float = 20.0) -> Any:
        """Wait until what was heard so far fulfils a condition."""
        return await eventually(
            lambda: condition(self.heard), seconds, every=0.01, because=f"an event after {self.heard[-3:]}"
        )

    async def ends(self, seconds: float = 20.0) -> None:
        """Wait until the server, or something between, has ended it."""
        await asyncio.wait_for(self.over.wait(), seconds)

    def close(self) -> None:
        """Go away without a word."""
        if self.transport is not None:
            self.transport.abort()


async def open_stream(
    url: str,
    headers: Mapping[str, str] = {},
    query: Mapping[str, str] = {},
    *,
    told: Callable[[Heard], None] | None = None,
    receive_buffer: int | None = None,
) -> LiveStream:
    """Open a stream and wait for the answer's head; `receive_buffer` bounds what the system takes in unread."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    raw = socket.socket()
    raw.setblocking(False)
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (parts.hostname, parts.port))
    _, stream = await loop.create_connection(lambda: LiveStream(told), sock=raw)
    path = "/v1/stream" + (f"?{urlencode(query)}" if query else "")
    lines = [f"GET {path} HTTP/1.1", f"Host: {parts.netloc}", *(f"{name}: {value}" for name, value in headers.items())]
    assert stream.transport is not None
    stream.transport.write("\r\n".join([*lines, "", ""]).encode())
    await eventually(
        lambda: stream.ended or (stream.status and (stream.status != 200 or stream.last_id)), 20, every=0.01
    )
    if stream.ended and not stream.status:
        raise ConnectionResetError("the stream ended before it began")
    return stream
