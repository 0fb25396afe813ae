"""Running a service: everything started in order, one loop, a clean end."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol, cast

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_kit import logs, metrics, tracing
from service_kit.auth import Gate, Tokens
from service_kit.clock import Clock
from service_kit.consuming import Consumer
from service_kit.database import Database
from service_kit.http import create_app
from service_kit.outbox import Relay
from service_kit.publishing import Publisher
from service_kit.settings import ServiceSettings
from service_kit.timers import Timer

log = structlog.get_logger()


class Worker(Protocol):
    """Something of a service's own that runs beside its consumer, relay and timers."""

    name: str

    async def run(self) -> None:
        """Work until cancelled. Should it end or fail, the process ends."""

    def let_go(self) -> None:
        """End what open requests wait for: the service was told to stop, and waits for them."""


class Service:
    """The parts of one service, started and stopped together.

    When a part that only a restart can mend dies, the process ends with a failure, so that whatever runs it
    starts it again.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        name: str,
        title: str,
        clock: Clock,
        database: Database,
        publisher: Publisher,
        consumer: Consumer | None = None,
        relay: Relay | None = None,
        timers: Sequence[Timer] = (),
        workers: Sequence[Worker] = (),
        routers: Sequence[APIRouter] = (),
    ) -> None:
        logs.configure(name, settings.log_level, settings.log_format)
        tracing.configure(name)
        metrics.start_at_zero(name)
        self._settings = settings
        self._name = name
        self._database = database
        self._publisher = publisher
        self._consumer = consumer
        self._relay = relay
        self._timers = timers
        self._workers = workers
        self._background: list[asyncio.Task[None]] = []
        self._started = False
        self._leaving = Leaving(settings.shutdown_delay)
        self._died = False
        self._server: uvicorn.Server | None = None
        self.app = create_app(
            name,
            title=title,
            ready=self._ready,
            live=self._live,
            lifespan=self._lifespan,
        )
        tokens = Tokens(settings, clock)
        self.app.state.tokens = tokens
        self.app.state.hang_up = self._hang_up
        self.app.add_middleware(Gate, tokens=tokens)
        self.app.add_middleware(Parting, leaving=self._leaving)
        for router in routers:
            self.app.include_router(router)

    def run(self) -> None:
        """Serve until SIGTERM; exits non-zero when the start fails or a part dies."""
        server = self.server()
        run_server(server)
        if self._died:
            raise SystemExit(1)

    def server(self) -> uvicorn.Server:
        """The HTTP server over all the parts; it starts and stops them with itself."""
        let_go = [worker.let_go for worker in self._workers]
        self._server = http_server(self.app, self._settings.host, self._settings.port, let_go, self._leave)
        return self._server

    async def _leave(self, told_twice: Callable[[], bool]) -> None:
        """Take leave, unless there is nothing left to serve with."""
        if not self._died:
            await self._leaving.take(told_twice)

    def _hang_up(self, scope: Scope) -> None:
        """Break a request's connection at once, with whatever still waits to be sent on it."""
        if self._server is not None:
            for connection in self._server.server_state.connections:
                # Only uvicorn's protocol knows the transport: ASGI has no word for a client that does not read.
                if getattr(connection, "scope", None) is scope:
                    cast("Any", connection).transport.abort()

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        await self._database.open()
        await self._publisher.open()
        if self._relay is not None:
            self._spawn("outbox-relay", self._relay.run())
        for timer in self._timers:
            self._spawn(f"timer-{timer.name}", timer.run(self._name))
        for worker in self._workers:
            self._spawn(worker.name, worker.run())
        if self._consumer is not None:
            await self._consumer.start()
        self._spawn("watch", self._watch())
        spare_the_collector()
        self._started = True
        log.info("service_started", port=self._settings.port)
        try:
            yield
        finally:
            self._started = False
            if self._consumer is not None:
                await self._consumer.stop()
            for task in self._background:
                task.cancel()
            await asyncio.gather(*self._background, return_exceptions=True)
            await self._publisher.close()
            await self._database.close()
            await tracing.shut_down()
            log.info("service_stopped")

    def _spawn(self, name: str, work: Any) -> None:
        self._background.append(asyncio.create_task(work, name=name))

    async def _watch(self) -> None:
        """End the process when a part has died: a restart is the only cure."""
        while not self._died:
            await asyncio.sleep(1)
            dead = [task.get_name() for task in self._background if task.done()]
            if self._consumer is not None and not self._consumer.alive:
                dead.append("consumer")
            if dead:
                for task in self._background:
                    if task.done() and not task.cancelled() and task.exception() is not None:
                        log.error("part_died", part=task.get_name(), exc_info=task.exception())
                log.error("service_ends_because_a_part_died", parts=dead)
                self._died = True
                if self._server is not None:
                    self._server.should_exit = True

    def _live(self) -> Mapping[str, bool]:
        return {"running": not self._died}

    async def _ready(self) -> Mapping[str, bool]:
        parts = {"started": self._started and not self._leaving.begun, "database": await self._database.answers()}
        if self._consumer is not None:
            parts["consumer"] = self._consumer.ready
        return parts


class Leaving:
    """Taking leave: from when a process is told to stop, until whoever sends requests here has noticed.

    `begun` belongs into what /health/ready says, `take` into `http_server`, and `Parting` before the application.
    """

    def __init__(self, delay: timedelta) -> None:
        self._delay = delay.total_seconds()
        self.begun = False

    async def take(self, told_twice: Callable[[], bool]) -> None:
        """Say so on /health/ready, and serve on for the delay, or until it is told a second time."""
        self.begun = True
        if not self._delay:
            return
        log.info("service_leaves", seconds=self._delay)
        until = time.monotonic() + self._delay
        while time.monotonic() < until and not told_twice():  # noqa: ASYNC110 - uvicorn tells of it by a flag
            await asyncio.sleep(0.05)


class Parting:
    """Has every answer of a service that leaves end its connection, so that the next request takes another way."""

    def __init__(self, app: ASGIApp, *, leaving: Leaving) -> None:
        self._app = app
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and when it is time ask to be left."""

        async def parting(message: Message) -> None:
            if message["type"] == "http.response.start" and self._leaving.begun:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, parting if scope["type"] == "http" else send)


async def _at_once(_told_twice: Callable[[], bool]) -> None:
    """Close the doors without taking leave."""


def http_server(
    app: FastAPI,
    host: str,
    port: int,
    let_go: Sequence[Callable[[], None]] = (),
    leave: Callable[[Callable[[], bool]], Awaitable[None]] = _at_once,
) -> uvicorn.Server:
    """An HTTP server that, told to stop, first awaits `leave`, then calls `let_go`, then waits for open requests.

    `leave` is given what says whether it was told to stop a second time; `let_go` ends what open requests wait for.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=75,
        lifespan="on",
    )
    return _Server(config, let_go, leave)


def run_server(server: uvicorn.Server) -> None:
    """Serve until SIGTERM; exits non-zero when the start fails."""
    with asyncio.Runner(loop_factory=_event_loop) as runner:
        runner.run(server.serve())
    if not server.started:
        raise SystemExit(1)


class _Server(uvicorn.Server):
    """Takes leave before it closes its doors, then ends what open requests wait for, then waits for those."""

    def __init__(
        self,
        config: uvicorn.Config,
        let_go: Sequence[Callable[[], None]],
        leave: Callable[[Callable[[], bool]], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._let_go = let_go
        self._leave = leave

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._leave(lambda: self.force_exit)
        for end in self._let_go:
            end()
        await super().shutdown(sockets)


def spare_the_collector() -> None:
    """Keep Python's cycle collector from walking what lives for ever, and from running many times a batch.

    A batch makes tens of thousands of small objects that die by themselves: at the default threshold a third
    of the time went into looking at them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000_000, 20, 20)


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
