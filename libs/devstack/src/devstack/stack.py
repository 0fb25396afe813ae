"""The whole stack in the background, `make up` and `make down`: Kafka, Postgres, mail, four services, console."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import secrets
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from contracts.topics import SERVICES
from devstack.kafka import EmbeddedKafka, KafkaUnavailable, run_in_thread
from devstack.ports import HOST, PortInUse, answers, require_free, stack_ports
from devstack.postgres import (
    DATABASE,
    EmbeddedPostgres,
    PostgresUnavailable,
    create_service_roles,
    new_passwords,
)
from devstack.processes import Process, ProcessDied
from devstack.progress import Progress
from devstack.settings import StackSettings
from service_kit.database import migrate
from service_kit.settings import KafkaSettings
from service_kit.topics import create_topics

READY_SECONDS: Final = 120.0

_NOT_INHERITED: Final = (
    *("DATABASE_URL", "TOPIC_PREFIX", "PUBLIC_URL", "CONSOLE_URL", "UNSUBSCRIBE_SECRETS", "PORT", "HOST"),
    *(f"{service.upper()}_DATABASE_URL" for service in SERVICES),
)
_NOT_INHERITED_PREFIXES: Final = ("KAFKA_", "JWT_", "SMTP_", "OIDC_", "DEVELOPMENT_")

CONSOLE: Final = "console"
"""What people open: over the four services, with no database and no topic of its own."""


class StackFailed(RuntimeError):
    """The stack did not come up; the message says which part and why."""


def service_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a service: ours, less what could point it at other servers, and what is given."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in _NOT_INHERITED and not name.startswith(_NOT_INHERITED_PREFIXES)
    }
    return inherited | {"PYTHONUNBUFFERED": "1"} | dict(given)


def is_ready(url: str) -> bool:
    """Whether the service at `url` answers 200 on /health/ready."""
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=3) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def wait_until(reached: Callable[[], bool], process: Process, seconds: float, what: str) -> None:
    """Poll until `reached()`; raises StackFailed with the end of the log when the process dies or time is up."""
    deadline = time.monotonic() + seconds
    while not reached():
        if not process.alive:
            raise StackFailed(str(process.died()))
        if time.monotonic() > deadline:
            raise StackFailed(f"{what} did not become ready in {seconds:.0f} s. {process.last_words}")
        time.sleep(0.1)


class Stack:
    """One stack, known by its folder. Whoever has the folder can stop what another process started.

    Data and secrets stay in the folder between `stop()` and `start()`; `forget()` removes them.
    """

    def __init__(self, settings: StackSettings | None = None, development_account: str = "") -> None:
        settings = settings or StackSettings()
        self.folder = settings.devstack_dir.expanduser().resolve()
        self.ports = stack_ports(settings.port_base)
        self._partitions = settings.topic_partitions
        self._abandoned = False
        self._development_account = development_account

    @property
    def env_file(self) -> Path:
        """`KEY=value` lines for whoever uses the stack; there while it runs."""
        return self.folder / "env"

    @property
    def env(self) -> dict[str, str]:
        """What the env file says. Raises FileNotFoundError when the stack is not up."""
        lines = self.env_file.read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines if line)

    @property
    def urls(self) -> dict[str, str]:
        """The HTTP address of each service."""
        return {service: self._url(service) for service in SERVICES}

    @property
    def console_url(self) -> str:
        """What people open in a browser."""
        return self._url(CONSOLE)

    @property
    def mail_folder(self) -> Path:
        """The Maildir with every e-mail that was sent."""
        return self.folder / "mail"

    @property
    def logs(self) -> Path:
        """The folder with one log per process."""
        return self.folder / "logs"

    def _url(self, service: str) -> str:
        # While it runs, its own file tells the truth, whatever PORT_BASE says now.
        if self.env_file.exists():
            return self.env[f"{service.upper()}_URL"]
        return f"http://{HOST}:{self.ports[service]}"

    def processes(self) -> list[Process]:
        """What was started, in order, alive or not."""
        if not self._state_file.exists():
            return []
        recorded = json.loads(self._state_file.read_text(encoding="utf-8"))
        return [Process(one["name"], one["pid"], one["began"], Path(one["log"])) for one in recorded]

    @property
    def running(self) -> bool:
        """Whether every part of it runs."""
        processes = self.processes()
        return self.env_file.exists() and bool(processes) and all(process.alive for process in processes)

    def start(self, progress: Progress | None = None) -> bool:
        """Start everything and return when all services and the console are ready; False if it was running already.

        Raises PortInUse, KafkaUnavailable, PostgresUnavailable or StackFailed, and then leaves nothing running.
        """
        progress = progress or Progress()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            if self.running:
                return False
            if self.processes():
                gone = ", ".join(process.name for process in self.processes() if not process.alive)
                progress.now(f"of an earlier start {gone or 'a part'} is gone: stopping the rest")
                self._end_all()
            require_free(self.ports)
            self._abandoned = False
            try:
                self._start_all(progress)
            except BaseException:
                self._give_up()
                raise
        return True

    def _start_all(self, progress: Progress) -> None:
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir()
        known = self._secrets()
        kafka = EmbeddedKafka(
            self.folder / "kafka",
            self.ports["kafka"],
            self.ports["kafka_controller"],
            log_file=self.logs / "kafka.log",
            say=progress.now,
            launched=self._record,
        )
        postgres = EmbeddedPostgres(
            self.folder / "postgres",
            self.ports["postgres"],
            log_file=self.logs / "postgres.log",
            launched=self._record,
        )

        def start_kafka() -> None:
            kafka.start()
            settings = KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap)
            created = run_in_thread(create_topics(settings, partitions=self._partitions, replication=1))
            progress.done(f"Kafka on {kafka.bootstrap}, {len(created)} topics")

        def start_postgres() -> dict[str, str]:
            postgres.start()
            dsns = create_service_roles(postgres.admin_dsn, DATABASE, known["passwords"])
            for service, dsn in dsns.items():
                migrate(dsn, service)
            progress.done(f"Postgres on {HOST}:{postgres.port}, a schema and a role per service")
            return dsns

        def start_mail() -> None:
            port = self.ports["smtp"]
            options = ("--port", str(port), "--folder", str(self.mail_folder))
            command = [sys.executable, "-m", "devstack.mail", *options]
            process = Process.launch("mail", command, self.logs / "mail.log")
            self._record(process)
            wait_until(lambda: answers(port), process, READY_SECONDS, "the mail catcher")
            progress.done(f"SMTP catcher on {HOST}:{port}, mail in {self.mail_folder}")

        progress.now("starting Kafka, Postgres and the SMTP catcher")
        pool = ThreadPoolExecutor(3)
        try:
            begun = [pool.submit(start_kafka), pool.submit(start_mail)]
            dsns = pool.submit(start_postgres).result()
            for one in begun:
                one.result()
        except BaseException:
            # Now, so that the threads see their processes die instead of waiting for them.
            self._give_up()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

        shared = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
            "SMTP_URL": f"smtp://{HOST}:{self.ports['smtp']}",
            "JWT_SECRET": known["jwt_secret"],
        }
        progress.now("starting the four services")
        started = {service: self._launch_service(service, shared, dsns[service]) for service in SERVICES}
        for service, process in started.items():
            url = f"http://{HOST}:{self.ports[service]}"
            wait_until(partial(is_ready, url), process, READY_SECONDS, service)
            progress.done(f"{service} on {url}")
        console = self._launch_console(shared)
        wait_until(partial(is_ready, self._url(CONSOLE)), console, READY_SECONDS, CONSOLE)
        progress.done(f"{CONSOLE} on {self._url(CONSOLE)}")
        self._write_private(self.env_file, self._env_text(shared, dsns))

    def _give_up(self) -> None:
        self._abandoned = True
        self._end_all(grace_seconds=5)

    def _launch_service(self, service: str, shared: Mapping[str, str], dsn: str) -> Process:
        url = f"http://{HOST}:{self.ports[service]}"
        environment = service_environment(
            {
                **shared,
                f"{service.upper()}_DATABASE_URL": dsn,
                "HOST": HOST,
                "PORT": str(self.ports[service]),
                "PUBLIC_URL": url,
                "LOG_FORMAT": "json",
            }
        )
        return self._launch(service, environment)

    def _launch_console(self, shared: Mapping[str, str]) -> Process:
        environment = service_environment(
            {
                **{f"{service.upper()}_URL": f"http://{HOST}:{self.ports[service]}" for service in SERVICES},
                "JWT_SECRET": shared["JWT_SECRET"],
                "DEVELOPMENT_SIGN_IN": "true",
                "DEVELOPMENT_ACCOUNT": self._development_account,
                "HOST": HOST,
                "PORT": str(self.ports[CONSOLE]),
                "PUBLIC_URL": f"http://{HOST}:{self.ports[CONSOLE]}",
                "LOG_FORMAT": "json",
            }
        )
        return self._launch(CONSOLE, environment)

    def _launch(self, name: str, environment: Mapping[str, str]) -> Process:
        log = self.logs / f"{name}.log"
        process = Process.launch(name, [sys.executable, "-m", name], log, environment=environment)
        self._record(process)
        return process

    def _env_text(self, shared: Mapping[str, str], dsns: Mapping[str, str]) -> str:
        facts = {
            **shared,
            **{f"{service.upper()}_URL": f"http://{HOST}:{self.ports[service]}" for service in (*SERVICES, CONSOLE)},
            **{f"{service.upper()}_DATABASE_URL": dsn for service, dsn in dsns.items()},
            "MAIL_DIR": str(self.mail_folder),
        }
        return "".join(f"{name}={value}\n" for name, value in facts.items())

    def stop(self) -> list[str]:
        """End everything that the folder's record names, services first, and name what was running."""
        if not self.folder.exists():
            return []
        with self._alone():
            return self._end_all()

    def _end_all(self, grace_seconds: float = 30.0) -> list[str]:
        alive = [process for process in self.processes() if process.alive]
        console = [process for process in alive if process.name == CONSOLE]
        services = [process for process in alive if process.name in SERVICES]
        servers = [process for process in alive if process.name not in (CONSOLE, *SERVICES)]
        # Each before what it rests on: the services drain into servers that still answer.
        for group in (console, services, servers):
            if group:
                with ThreadPoolExecutor(len(group)) as pool:
                    list(pool.map(lambda process: process.stop(grace_seconds, _stop_signal(process)), group))
        self.env_file.unlink(missing_ok=True)
        self._state_file.unlink(missing_ok=True)
        return [process.name for process in alive]

    def forget(self) -> None:
        """Remove the folder with all data. The stack must be stopped."""
        if any(process.alive for process in self.processes()):
            raise StackFailed("the stack is running: stop it first")
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _state_file(self) -> Path:
        return self.folder / "processes.json"

    def _record(self, process: Process) -> None:
        if self._abandoned:
            # The start was given up while a thread was still at work: nothing half-started stays.
            process.kill()
            return
        with self._alone("processes.lock"):
            recorded = [asdict(one) | {"log": str(one.log)} for one in [*self.processes(), process]]
            self._write_private(self._state_file, json.dumps(recorded, indent=1))

    def _secrets(self) -> dict[str, Any]:
        file = self.folder / "secrets.json"
        if not file.exists():
            drawn = {"jwt_secret": secrets.token_urlsafe(32), "passwords": new_passwords()}
            self._write_private(file, json.dumps(drawn))
        known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return known

    def _write_private(self, file: Path, text: str) -> None:
        unfinished = file.with_name(file.name + ".new")
        unfinished.touch(mode=0o600)
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(file)

    @contextmanager
    def _alone(self, name: str = "lock") -> Iterator[None]:
        with (self.folder / name).open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield


def _stop_signal(process: Process) -> signal.Signals:
    # Postgres reads SIGTERM as "wait until every session has left".
    return signal.SIGINT if process.name == "Postgres" else signal.SIGTERM


def _interrupted(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(143)


def up(stack: Stack) -> int:
    """Start it and say where everything is."""
    began = time.monotonic()
    with Progress() as progress:
        try:
            fresh = stack.start(progress)
        except (PortInUse, KafkaUnavailable, PostgresUnavailable, ProcessDied, StackFailed) as error:
            progress.console.print(str(error), markup=False)
            return 1
        if fresh:
            progress.done(f"ready after {time.monotonic() - began:.1f} s; every address is in {stack.env_file}")
        else:
            progress.done(f"it runs already; every address is in {stack.env_file}")
    return 0


def down(stack: Stack) -> int:
    """Stop it; stopping what does not run is fine."""
    stopped = stack.stop()
    print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    return 0


def status(stack: Stack) -> int:
    """Say what runs; 0 only when everything does."""
    for process in stack.processes():
        print(f"{process.name:<14} {'running' if process.alive else 'ended':<8} pid {process.pid:<8} {process.log}")
    print("the stack is up" if stack.running else "the stack is not up")
    return 0 if stack.running else 1


def forget(stack: Stack) -> int:
    """Stop it and remove its data."""
    stack.stop()
    stack.forget()
    return 0


def main() -> None:
    """`python -m devstack.stack up|down|status|forget`."""
    commands = {"up": up, "down": down, "status": status, "forget": forget}
    parser = argparse.ArgumentParser(prog="devstack.stack", description="The stack in the background.")
    parser.add_argument("command", choices=commands)
    signal.signal(signal.SIGTERM, _interrupted)
    raise SystemExit(commands[parser.parse_args().command](Stack()))


if __name__ == "__main__":
    main()
