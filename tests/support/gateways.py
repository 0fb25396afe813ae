"""The gateway as it is shipped, in a real Caddy."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from devstack.ports import HOST, free_port
from devstack.processes import Process
from devstack.stack import service_environment
from tests.support.waiting import eventually

REPOSITORY: Final = Path(__file__).parents[2]
CADDYFILE: Final = REPOSITORY / "deploy" / "gateway" / "Caddyfile"
CADDY: Final = Path(sys.executable).with_name("caddy")


@asynccontextmanager
async def gateway(folder: Path, **environment: str) -> AsyncIterator[str]:
    """A Caddy with the shipped file, and its address."""
    port = free_port()
    given = {
        "GATEWAY_ADDRESS": f"http://{HOST}:{port}",
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "DOCS_FOLDER": str(REPOSITORY / "deploy" / "gateway" / "docs"),
        **environment,
    }
    command: list[str | Path] = [CADDY, "run", "--config", CADDYFILE, "--adapter", "caddyfile"]
    process = Process.launch("caddy", command, folder / "caddy.log", environment=service_environment(given))
    url = f"http://{HOST}:{port}"

    async def answers() -> bool:
        assert process.alive, process.last_words
        with socket.socket() as probe:
            return probe.connect_ex((HOST, port)) == 0

    try:
        await eventually(answers)
        yield url
    finally:
        await asyncio.to_thread(process.stop)
