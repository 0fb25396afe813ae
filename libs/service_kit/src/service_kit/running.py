"""Running a service: everything started in order, one loop, a clean end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI

from service_kit import logs
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
        routers: Sequence[APIRouter] = (),
    ) -> None:
        logs.configure(name, settings.log_level, settings.log_format)
        self._settings = settings
        self._name = name
        self._database = database
        self._publisher = publisher
        self._consumer = consumer
        self._relay = relay
        self._timers = timers
        self._background: list[asyncio.Task[None]] = []
        self._started = False
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
        self.app.add_middleware(Gate, tokens=tokens)
        for router in routers:
            self.app.include_router(router)

    def run(self) -> None:
        """Serve until SIGTERM; exits non-zero when the start fails or a part dies."""
        server = uvicorn.Server(
            uvicorn.Config(
                self.app,
                host=self._settings.host,
                port=self._settings.port,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=10,
                timeout_keep_alive=75,
                lifespan="on",
            )
        )
        self._server = server
        with asyncio.Runner(loop_factory=_event_loop) as runner:
            runner.run(server.serve())
        if not server.started or self._died:
            raise SystemExit(1)

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        await self._database.open()
        await self._publisher.open()
        if self._relay is not None:
            self._spawn("outbox-relay", self._relay.run())
        for timer in self._timers:
            self._spawn(f"timer-{timer.name}", timer.run(self._name))
        if self._consumer is not None:
            await self._consumer.start()
        self._spawn("watch", self._watch())
        _spare_the_collector()
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
        parts = {"started": self._started, "database": await self._database.answers()}
        if self._consumer is not None:
            parts["consumer"] = self._consumer.ready
        return parts


def _spare_the_collector() -> None:
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
