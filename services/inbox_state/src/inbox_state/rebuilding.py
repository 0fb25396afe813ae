"""`python -m inbox_state.rebuilding --yes`: empty what can be derived again, to be filled by republishing.

`inboxctl rebuild` starts it and then republishes. Read marks, automations and their history, names, preferences and
idempotency keys came over HTTP, exist nowhere else, and are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from pydantic import Field

from inbox_state.storage import rebuilding as storage
from inbox_state.storage.rebuilding import Emptied
from service_kit.database import Database, is_transient
from service_kit.settings import EnvironmentSettings, load


class RebuildingSettings(EnvironmentSettings):
    """What this command is told: it serves no HTTP and reads no topic."""

    database_url: str = Field(validation_alias="INBOX_STATE_DATABASE_URL")


async def empty(database: Database) -> Emptied:
    """Empty everything that is derived, in one transaction."""
    async with database.transaction() as connection:
        return await storage.empty(connection)


async def _empty(settings: RebuildingSettings) -> Emptied:
    database = Database(settings.database_url, "inbox_state", pool_size=2)
    await database.open()
    try:
        return await empty(database)
    finally:
        await database.close()


def main() -> None:
    """Empty, and say how much. Exit code 1: nothing was changed; 2: it was asked for wrongly."""
    parser = argparse.ArgumentParser(prog="inbox_state.rebuilding", description="Empty what can be derived again.")
    parser.add_argument("--yes", action="store_true", help="really: until it is filled again, people see no threads")
    if not parser.parse_args().yes:
        parser.error("say --yes: until it is filled again, people see no threads")
    settings = load(RebuildingSettings)
    try:
        emptied = asyncio.run(_empty(settings))
    except Exception as error:
        if not is_transient(error):
            raise
        print(f"nothing was changed: the database does not answer ({type(error).__name__})", file=sys.stderr)
        raise SystemExit(1) from None
    print(
        f"emptied {emptied.communications} communications and the figures of {emptied.threads} threads; "
        f"{emptied.readings} decisions about agents' activity are kept"
    )


if __name__ == "__main__":
    main()
