"""docker-compose.yml brought up where a Docker engine runs: images built, all healthy, the demo through the gateway.

It runs where an engine has the images that ours are made from, and takes minutes. `COMPOSE_STACK=0` leaves it out;
`COMPOSE_STACK=1`, as `make containers` has it, makes it a failure that there is no engine.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from contracts.topics import SERVICES
from devstack.ports import free_port
from tests.support.servers import KAFKA_IMAGE, POSTGRES_IMAGE

REPOSITORY = Path(__file__).parents[2]
ASKED_FOR = os.environ.get("COMPOSE_STACK", "")
IMAGES = ("python:3.13-slim", "caddy:2", KAFKA_IMAGE, POSTGRES_IMAGE)


def compose_command() -> list[str] | None:
    """Compose 2, else 1.29."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def why_not() -> str:
    """What is missing for it here; empty when nothing is."""
    if ASKED_FOR == "0":
        return "the container stack is not brought up: COMPOSE_STACK=0 says so"
    if shutil.which("docker") is None:
        return "NO DOCKER HERE: docker-compose.yml was read, but not brought up"
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return "NO DOCKER ENGINE ANSWERS: docker-compose.yml was read, but not brought up"
    if compose_command() is None:
        return "NO COMPOSE HERE: docker-compose.yml was read, but not brought up"
    held = subprocess.run(["docker", "image", "inspect", *IMAGES], capture_output=True, check=False)
    if not ASKED_FOR and held.returncode:
        return "THE DOCKER ENGINE HAS NOT THE IMAGES: docker-compose.yml was read, but not brought up (make containers)"
    return ""


class Stack:
    """One project of Compose on ports of its own."""

    def __init__(self, folder: Path) -> None:
        ports = ("GATEWAY", "MAIL", "KAFKA", "PROMETHEUS", "ALERTMANAGER", "GRAFANA")
        self.ports = {f"{name}_PORT": str(free_port()) for name in ports}
        environment = folder / "ports.env"
        environment.write_text("".join(f"{name}={port}\n" for name, port in self.ports.items()))
        self.project = f"inbox{secrets.token_hex(3)}"
        command = compose_command()
        assert command is not None
        self._command = [*command, "-p", self.project, "--env-file", str(environment)]

    def run(self, *arguments: str) -> str:
        """A command of Compose; what it prints. Fails with all that it said."""
        done = subprocess.run([*self._command, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def states(self) -> dict[str, tuple[str, str, int]]:
        """Each container's state, health and exit code, by service."""
        ids = self.run("ps", "-a", "-q").split() if self._command[1] == "compose" else self.run("ps", "-q").split()
        told = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True).stdout
        return {
            one["Config"]["Labels"]["com.docker.compose.service"]: (
                one["State"]["Status"],
                one["State"].get("Health", {}).get("Status", ""),
                one["State"]["ExitCode"],
            )
            for one in json.loads(told)
        }

    def inside(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in a running container, whatever becomes of it."""
        return subprocess.run(
            [*self._command, "exec", "-T", service, *command],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything built and up, removed at the end with its volumes."""
    if missing := why_not():
        assert ASKED_FOR != "1", missing
        pytest.skip(missing)
    stack = Stack(tmp_path_factory.mktemp("compose"))
    try:
        stack.run("build")
        stack.run("up", "-d")
        yield stack
    finally:
        stack.run("down", "--volumes", "--timeout", "30")


@pytest.mark.timeout(1_800)
def test_every_health_check_turns_green_and_every_job_ends_well(stack: Stack) -> None:
    deadline = time.monotonic() + 120
    while waiting := [name for name, (_, health, _) in stack.states().items() if health == "starting"]:
        assert time.monotonic() < deadline, waiting
        time.sleep(1)
    states = stack.states()
    for name in ("secrets", "roles", "migrate", "topics"):
        assert states[name] == ("exited", "", 0), (name, states[name])
    for name in (*SERVICES, "console", "kafka", "postgres", "mail", "gateway", "prometheus", "alertmanager"):
        assert states[name][:2] == ("running", "healthy"), (name, states[name])


@pytest.mark.timeout(300)
def test_services_run_unprivileged_on_a_file_system_that_is_read_only(stack: Stack) -> None:
    for service in (*SERVICES, "console", "gateway"):
        assert stack.inside(service, "id", "-u").stdout.strip() == "10001", service
        assert "Read-only" in stack.inside(service, "sh", "-c", "touch /x").stderr, service
    for service in SERVICES:
        assert stack.inside(service, "python", "-m", "pip", "--version").returncode != 0, service


@pytest.mark.timeout(300)
def test_the_demo_shows_everything_through_the_gateway(stack: Stack) -> None:
    shown = stack.run("run", "--rm", "demo")
    assert "19 of 19 checks hold" in shown
    assert "not so:" not in shown
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.ports['GATEWAY_PORT']}", timeout=60) as browser:
        assert "swagger-ui-bundle.js" in browser.get("/docs/").text
        # As a browser comes to the console: sent to sign in, it chooses one of the demo's people.
        front = browser.get("/", follow_redirects=True)
        assert (front.status_code, front.url.path) == (200, "/sign-in")
        assert 'value="anna"' in front.text
        browser.headers["Sec-Fetch-Site"] = "same-origin"
        chosen = browser.post("/sign-in/development", data={"account": "brightside", "user_id": "anna", "to": "/"})
        assert chosen.status_code == 303, chosen.text
        assert browser.get("/v1/me").json()["user_id"] == "anna"
        assert any(inbox["unread"] for inbox in browser.get("/v1/panel").json()["items"])
        assert "text/html" in browser.get("/inboxes/all").headers["content-type"]


@pytest.mark.timeout(120)
def test_the_operators_commands_run_in_it(stack: Stack) -> None:
    examined = stack.run("run", "--rm", "inboxctl", "doctor")
    assert "wrong" not in examined
    assert "roles: routing's role reaches its own schema and no other" in examined


@pytest.mark.timeout(120)
def test_a_service_that_is_told_to_stop_ends_by_itself(stack: Stack) -> None:
    stack.run("stop", "reporting")
    # 143: it ended by the signal; 137 would be the engine's patience at its end.
    assert stack.states()["reporting"][2] in (0, 143)
    stack.run("up", "-d", "reporting")
