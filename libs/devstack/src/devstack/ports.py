"""Which TCP port of 127.0.0.1 is whose, and what to say when somebody else has it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final

import psutil

HOST: Final = "127.0.0.1"

DEFAULT_BASE: Final = 8000

OFFSETS: Final[Mapping[str, int]] = {
    "routing": 1,
    "inbox_state": 2,
    "notification": 3,
    "reporting": 4,
    "console": 5,
    "smtp": 25,
    "postgres": 32,
    "kafka": 92,
    "kafka_controller": 93,
}
"""Port = `PORT_BASE` + offset. 0 is kept for a gateway (contract §3)."""

HIGHEST_BASE: Final = 65_535 - max(OFFSETS.values())


class PortInUse(RuntimeError):
    """A port that the stack needs belongs to somebody else."""


def stack_ports(base: int = DEFAULT_BASE) -> dict[str, int]:
    """Every port of the stack by what wants it."""
    return {name: base + offset for name, offset in OFFSETS.items()}


def free_port() -> int:
    """A port that was free a moment ago."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ports that were free a moment ago."""
    held = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for one in held:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier run in TIME_WAIT don't count as somebody listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether something accepts connections on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def require_free(wanted: Mapping[str, int]) -> None:
    """Raise PortInUse, naming every port that is taken, what wanted it, and the way out."""
    taken = [f"port {port}, wanted by {name}, is {_holder(port)}" for name, port in wanted.items() if not is_free(port)]
    if taken:
        raise PortInUse(
            "\n".join(taken) + "\nSet PORT_BASE to move every port at once, for example: PORT_BASE=18000 make up"
        )


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"in use by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return "in use"
    return "in use"
