"""`make bench`: what the services do, as ratios to a limit and to the obvious way, in one run on one machine.

Absolute figures of a shared machine mean little; ratios of what ran within minutes of each other mean more.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from rich.console import Console

from contracts.topics import SERVICES
from tests.bench import accounts, applying, browsers, history, inboxes, latency, mailing, reports, ringing, throughput
from tests.bench.servers import Bench

PARTS = ("history", "throughput", "inboxes", "reports", "latency", "ringing", "mailing", "applying", "console")


async def run(bench: Bench, parts: set[str], given: argparse.Namespace, console: Console) -> None:
    """Measure these parts, one after another on the same servers."""
    if "console" in parts:
        # On a stack of its own, with nothing beside it.
        await browsers.measure(bench.folder, given.seconds, console)
    if parts == {"console"}:
        return
    console.print("starting Kafka and Postgres")
    await bench.start()
    routing = bench.service("routing")
    await bench.ready("routing")
    await accounts.set_up(bench)
    routing.stop()
    if "history" in parts:
        await history.measure(bench, console)
    rates = await throughput.measure(bench, given.events, console) if "throughput" in parts else {"routing": 5_000.0}
    if "inboxes" in parts:
        await inboxes.measure(bench, console, many=given.threads, consumed=given.communications)
    if "reports" in parts:
        await reports.measure(bench, given.reported, console)
    if not parts & {"latency", "ringing", "mailing", "applying"}:
        return
    on_the_way_to_the_view = ("routing", "inbox_state")
    for service in on_the_way_to_the_view:
        bench.service(service)
        await bench.ready(service)
    if "latency" in parts:
        slowest = min(rates[service] for service in on_the_way_to_the_view if service in rates)
        await latency.measure(bench, slowest / 2, given.seconds, console)
    if "ringing" in parts:
        await ringing.measure(bench, given.seconds, console)
    if "mailing" in parts:
        await mailing.measure(bench, given.emails, given.seconds, console)
    if "applying" in parts:
        for service in SERVICES:
            if service not in on_the_way_to_the_view:
                bench.service(service)
                await bench.ready(service)
        await applying.measure(bench, console)


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--events", type=int, default=200_000, help="events of the simulated day")
    parser.add_argument("--emails", type=int, default=3_000, help="e-mails of each round of sending")
    parser.add_argument("--seconds", type=float, default=20, help="how long each latency is measured")
    parser.add_argument("--threads", type=int, default=inboxes.MANY, help="threads of the long list")
    parser.add_argument(
        "--communications", type=int, default=inboxes.MANY, help="communications after which memory is compared"
    )
    parser.add_argument(
        "--reported", type=int, default=10_000_000, help="communications of the account whose reports are measured"
    )
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="connected-inbox-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        bench = Bench(Path(folder))
        try:
            asyncio.run(run(bench, set(given.parts or PARTS), given, Console()))
        finally:
            bench.stop()


if __name__ == "__main__":
    main()
