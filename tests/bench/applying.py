"""How long a file with 20 teams, 200 users, 40 inboxes and 100 lines takes to be applied, over all four services."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from itertools import repeat

from rich.console import Console
from rich.table import Table

from contracts.topics import SERVICES
from devstack.api import Api
from devstack.applying import apply
from devstack.patience import Patient, side_by_side
from devstack.ports import free_port
from devstack.setup_file import SetupFile, parse
from service_kit.auth import sign
from service_kit.clock import utc_now
from tests.bench.servers import SECRET, Bench
from tests.support.whole_account import whole_account

ACCOUNT = "applied"
LIMIT_SECONDS = 10.0


async def measure(bench: Bench, console: Console) -> None:
    """Print the table; all four services must run and be idle."""
    console.print("a whole account applied, then applied again, beside a bare loop of as many PUTs")
    setup = parse(whole_account(ACCOUNT))
    table = Table("apply", "seconds", "PUTs", "bare loop", "ratio", title="A whole account")
    port = free_port()
    bare = bench.contender("accept", "", "puts", BENCH_PORT=str(port))
    try:
        for name, limit in (("first", f" (limit: {LIMIT_SECONDS:.0f})"), ("again", "")):
            puts, taken = await asyncio.to_thread(_applied, setup, bench)
            if not puts:
                table.add_row(name, f"{taken:.2f}{limit}", "0", "", "")
                continue
            alone = await asyncio.to_thread(_bare_puts, puts, port)
            table.add_row(name, f"{taken:.2f}{limit}", f"{puts:,}", f"{alone:.2f}", f"{taken / alone:.1f}")
    finally:
        bare.stop()
    console.print(table)


def _applied(setup: SetupFile, bench: Bench) -> tuple[int, float]:
    began = time.perf_counter()
    with Api({service: bench.url(service) for service in SERVICES}, _token()) as api:
        changed = sum(change.how != "unchanged" for change in apply(setup, api))
    return changed, time.perf_counter() - began


def _bare_puts(count: int, port: int) -> float:
    """Seconds of as many PUTs, as many at once, to something that answers each with what it was given."""
    body = {"name": "User 1", "email": "user-1@acme.example", "role": "agent", "endpoints": ["sip:1001@pbx"]}
    with Api({"accept": f"http://127.0.0.1:{port}"}, _token()) as api:
        Patient(api).ask(lambda: api.put("accept", "users", "user-1", body=body))
        began = time.perf_counter()
        for _ in side_by_side(lambda body: api.put("accept", "users", "user-1", body=body), repeat(body, count)):
            pass
        return time.perf_counter() - began


def _token() -> str:
    hour = timedelta(hours=1)
    return sign(SECRET, user_id="bench", account_id=ACCOUNT, now=utc_now(), lasts=hour, scope="directory")
