"""What sending is measured against: one ready e-mail, again and again, over some connections of aiosmtplib.

`python -m tests.bench.bare_mail PORT CONNECTIONS COUNT FILE`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiosmtplib


async def send(port: int, connections: int, count: int, letter: bytes) -> None:
    """Send it `count` times, each connection its share."""

    async def share(times: int) -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as connection:
            for _ in range(times):
                await connection.mail("inbox@example.com", options=[f"size={len(letter)}"])
                await connection.rcpt("wendy@example.com")
                await connection.data(letter)

    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(share(count // connections + (number < count % connections)))


if __name__ == "__main__":
    asyncio.run(send(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]).read_bytes()))
