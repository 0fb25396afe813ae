"""The documents' commands do what is said of them, on a running company."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path

import asyncpg
import orjson
import pytest

import devstack
from contracts.catalogue import examples
from contracts.telephony import EVENTS
from contracts.topics import SERVICES
from devstack.mail import MailCatcher
from devstack.postgres import BINARIES
from devstack.stack import service_environment
from service_kit.clock import utc_now
from tests.delivery.pages import commands
from tests.end_to_end.company import Company
from tests.end_to_end.streams import a_stream, deliver
from tests.support import JWT_SECRET
from tests.support.databases import Template, fresh_database

DEMO_ACCOUNT = Path(devstack.__file__).with_name("demo_account.yaml")
INBOXCTL = Path(sys.executable).with_name("inboxctl")

NOT_RUN = {
    "inboxctl telephony": "it goes on until it is stopped (tests/devstack/test_stand_in.py)",
    "inboxctl dlq replay": "it wants to be told which, as the sentence says (tests/devstack/test_inboxctl.py)",
    "inboxctl export": "a command's name, without whose account",
    "inboxctl rebuild": "a command's name, without what is rebuilt",
    "inboxctl republish": "a command's name, without what is sent again",
}


async def run(*command: str, env: dict[str, str], cwd: Path) -> str:
    """What a command prints, which has to end well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=service_environment(env),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, f"{command}: {printed.decode()}"
    return printed.decode()


@pytest.mark.timeout(600)
async def test_every_command_of_the_operator_runs_as_it_stands_in_the_documents(
    company: Company, mail: MailCatcher, tmp_path: Path
) -> None:
    events = [example.document for example in examples() if example.type in EVENTS and not example.case]
    (tmp_path / "events").write_bytes(b"\n".join(orjson.dumps(event) for event in events))
    told = {
        **company.kafka.environment,
        "JWT_SECRET": JWT_SECRET,
        "SMTP_URL": mail.url,
        **{f"{name.upper()}_DATABASE_URL": company.database.dsn(name) for name in SERVICES},
        **{f"{name.upper()}_URL": service.url for name, service in company.services.items()},
    }
    done = 0
    for command in dict.fromkeys(command for _, command in commands("inboxctl")):
        if command in NOT_RUN:
            continue
        file = tmp_path / "events" if "publish" in command else DEMO_ACCOUNT
        filled = command.replace("--partitions N --replication N", "--partitions 3 --replication 1")
        filled = filled.replace("FILE", str(file)).replace("--account ID", "--account acme")
        await run(str(INBOXCTL), *shlex.split(filled)[1:], env=told, cwd=tmp_path)
        done += 1
    assert done >= 15


async def test_what_was_backed_up_comes_back_into_an_empty_server(
    company: Company, database_template: Template, tmp_path: Path
) -> None:
    (dump,), (restore,) = [[command for _, command in commands(name)] for name in ("pg_dump", "pg_restore")]
    await deliver(company, a_stream(60, utc_now(), seed=7))
    for service in company.services.values():
        assert await service.stop()
    path = f"{BINARIES}{os.pathsep}{os.environ['PATH']}"

    async def by_shell(command: str, admin_dsn: str) -> None:
        await run("bash", "-c", command, env={"ADMIN_DATABASE_URL": admin_dsn, "PATH": path}, cwd=tmp_path)

    before = await everything_in(company.database.admin_dsn)
    assert sum(len(rows) for rows in before.values()) > 100
    await by_shell(dump, company.database.admin_dsn)
    with fresh_database(database_template) as other:
        assert await everything_in(other.admin_dsn) != before
        await by_shell(restore, other.admin_dsn)
        assert await everything_in(other.admin_dsn) == before


async def everything_in(admin_dsn: str) -> dict[str, list[str]]:
    """Every row of every table of the services."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname = ANY($1::text[]) ORDER BY 1",
            list(SERVICES),
        )
        return {
            table: [row[0] for row in await connection.fetch(f"SELECT t::text FROM {table} t ORDER BY 1")]
            for (table,) in tables
        }
    finally:
        await connection.close()
