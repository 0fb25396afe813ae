"""`make up` and `make down`: everything or nothing, found again by whoever has the folder."""

from __future__ import annotations

import io
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from rich.console import Console

from contracts.topics import SERVICES
from devstack.ports import HOST, OFFSETS, PortInUse, free_ports, is_free
from devstack.processes import Process
from devstack.progress import Progress
from devstack.settings import StackSettings
from devstack.stack import Stack, StackFailed

STAND_IN = """
import http.server, os, sys

if os.environ.get("BREAKS") == "{service}":
    sys.exit("this service can't start: its settings are wrong")

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Answer).serve_forever()
"""


def free_base() -> int:
    """A PORT_BASE whose every port is free."""
    while True:
        base = free_ports(1)[0] % 40_000 + 10_000
        if all(is_free(base + offset) for offset in OFFSETS.values()):
            return base


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny programs under the services' names: these tests are about the processes, not about what they do."""
    for service in SERVICES:
        package = tmp_path / "stand-ins" / service
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(STAND_IN.format(service=service), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stand-ins"))


@pytest.fixture
def stack(tmp_path: Path, stand_ins: None) -> Iterator[Stack]:
    stack = Stack(StackSettings(devstack_dir=tmp_path / "devstack", port_base=free_base()))
    yield stack
    stack.stop()


def quietly() -> Progress:
    return Progress(Console(file=io.StringIO()))


def test_it_starts_once_is_found_again_and_stops(stack: Stack, tmp_path: Path) -> None:
    assert stack.start(quietly())

    env = stack.env
    assert {f"{service.upper()}_URL" for service in (*SERVICES, "console")} <= set(env)
    assert httpx.get(f"{env['CONSOLE_URL']}/sign-in").status_code == 200
    for service in SERVICES:
        assert httpx.get(f"{env[f'{service.upper()}_URL']}/health/ready").status_code == 200
        with psycopg.connect(env[f"{service.upper()}_DATABASE_URL"]) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (service,)
    assert {"KAFKA_BOOTSTRAP_SERVERS", "SMTP_URL", "MAIL_DIR", "JWT_SECRET"} <= set(env)
    assert stat.S_IMODE(stack.env_file.stat().st_mode) == 0o600
    assert {log.name for log in stack.logs.iterdir()} >= {"kafka.log", "postgres.log", "mail.log", "routing.log"}

    same = Stack(StackSettings(devstack_dir=tmp_path / "devstack"))
    assert same.running
    assert not same.start(quietly()), "it was running already"
    assert same.urls == stack.urls, "its own file tells where it is, not PORT_BASE"

    assert set(same.stop()) == {"Kafka", "Postgres", "mail", "console", *SERVICES}
    assert not stack.running
    assert not stack.env_file.exists()
    assert all(is_free(port) for port in stack.ports.values())

    with_data = env["JWT_SECRET"]
    assert stack.start(quietly())
    assert stack.env["JWT_SECRET"] == with_data, "data and secrets stay between stop and start"
    stack.processes()[-1].kill()
    assert not stack.running
    assert stack.start(quietly()), "what was left of a broken stack is stopped, and all of it started again"


def test_a_port_in_use_is_named_with_the_way_out(stack: Stack) -> None:
    with socket.socket() as stranger:
        stranger.bind((HOST, stack.ports["notification"]))
        stranger.listen()
        with pytest.raises(PortInUse) as refusal:
            stack.start(quietly())
    said = str(refusal.value)
    assert str(stack.ports["notification"]) in said
    assert "notification" in said
    assert f"pid {os.getpid()}" in said
    assert "PORT_BASE=" in said
    assert stack.processes() == []


def test_a_service_that_dies_is_shown_with_its_last_words_and_nothing_stays(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAKS", "reporting")
    with pytest.raises(StackFailed, match="its settings are wrong"):
        stack.start(quietly())
    assert not stack.env_file.exists()
    assert stack.processes() == []
    assert all(is_free(port) for port in stack.ports.values())


def test_a_strangers_process_is_never_stopped(stack: Stack) -> None:
    us = Process("routing", os.getpid(), began=0.0, log=stack.folder / "routing.log")
    assert not us.alive, "same pid, another beginning"
    assert us.stop(1)


def test_services_do_not_inherit_other_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    from devstack.stack import service_environment

    monkeypatch.setenv("KAFKA_SASL_USERNAME", "somebody")
    monkeypatch.setenv("ROUTING_DATABASE_URL", "postgresql://production/")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    environment = service_environment({"PORT": "1"})
    assert "KAFKA_SASL_USERNAME" not in environment
    assert "ROUTING_DATABASE_URL" not in environment
    assert environment["LOG_LEVEL"] == "debug"
