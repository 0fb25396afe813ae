"""The real Kafka and Postgres that a run of the tests uses: given, in containers, or embedded."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from devstack.kafka import EmbeddedKafka, knows_a_broker, run_in_thread
from devstack.ports import HOST, free_port
from devstack.postgres import EmbeddedPostgres, takes_connections

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

Kind = Literal["given", "containers", "embedded"]

KAFKA_IMAGE = "apache/kafka:4.4.0"
POSTGRES_IMAGE = "postgres:18"


@dataclass(frozen=True, slots=True)
class Servers:
    """`kafka` is `host:port`; `postgres` the URL of a superuser, on a server whose roles tests may change."""

    kind: Kind
    kafka: str
    postgres: str


def chosen_kind() -> Kind:
    """Given servers win; then `TEST_SERVERS=embedded|containers`; then containers where an engine has the images."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") and os.environ.get("DATABASE_URL"):
        return "given"
    match os.environ.get("TEST_SERVERS", ""):
        case "embedded":
            return "embedded"
        case "containers":
            return "containers"
        case "":
            return "containers" if _docker_has_the_images() else "embedded"
        case other:
            raise ValueError(f"TEST_SERVERS must be embedded or containers, not {other}")


def _docker_has_the_images() -> bool:
    if shutil.which("docker") is None and "DOCKER_HOST" not in os.environ:
        return False
    import docker
    from docker.errors import DockerException, ImageNotFound

    try:
        client = docker.from_env(timeout=120)
        try:
            for image in (KAFKA_IMAGE, POSTGRES_IMAGE):
                try:
                    client.images.get(image)
                except ImageNotFound:
                    client.images.pull(image)
        finally:
            client.close()
    except (DockerException, OSError) as trouble:
        # An engine without a registry is no reason to fail: the embedded servers are as real.
        print(f"no containers for the tests: {type(trouble).__name__}")
        return False
    return True


@contextmanager
def running_servers(folder: Path) -> Iterator[Servers]:
    """One Kafka and one Postgres for the whole run, ended with it. `folder` holds what embedded ones write."""
    kind = chosen_kind()
    with ExitStack() as ending:
        match kind:
            case "given":
                kafka, postgres = os.environ["KAFKA_BOOTSTRAP_SERVERS"], os.environ["DATABASE_URL"]
            case "containers":
                kafka, postgres = ending.enter_context(_containers())
            case "embedded":
                kafka, postgres = ending.enter_context(_embedded(folder))
        yield Servers(kind=kind, kafka=kafka, postgres=postgres)


@contextmanager
def _embedded(folder: Path) -> Iterator[tuple[str, str]]:
    kafka = EmbeddedKafka.on_free_ports(folder / "kafka")
    postgres = EmbeddedPostgres.on_a_free_port(folder / "postgres", durable=False)
    try:
        postgres.start()
        kafka.start()
        yield kafka.bootstrap, postgres.admin_dsn
    finally:
        kafka.kill()
        postgres.stop_immediately()


@contextmanager
def _containers() -> Iterator[tuple[str, str]]:
    from testcontainers.core.container import DockerContainer

    # The broker tells clients where to come back to, so its port outside is chosen before it starts.
    port = free_port()
    settings = {
        "NODE_ID": "1",
        "PROCESS_ROLES": "broker,controller",
        "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "ADVERTISED_LISTENERS": f"PLAINTEXT://{HOST}:{port}",
        "LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        "AUTO_CREATE_TOPICS_ENABLE": "false",
    }
    kafka = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    for name, value in settings.items():
        kafka.with_env(f"KAFKA_{name}", value)
    postgres = (
        DockerContainer(POSTGRES_IMAGE)
        .with_exposed_ports(5432)
        .with_env("POSTGRES_PASSWORD", "postgres")
        .with_command(["postgres", "-c", "fsync=off", "-c", "max_connections=200"])
    )
    with kafka, postgres:
        bootstrap, outside = f"{HOST}:{port}", postgres.get_exposed_port(5432)
        server = f"postgresql://postgres:postgres@{HOST}:{outside}/postgres"
        _poll(lambda: takes_connections(server), "the Postgres container", postgres)
        _poll(lambda: run_in_thread(knows_a_broker(bootstrap)), "the Kafka container", kafka)
        yield bootstrap, server


def _poll(reached: Callable[[], bool], what: str, container: DockerContainer) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        if time.monotonic() > deadline:
            output, errors = container.get_logs()
            raise TimeoutError(f"{what} did not answer in 120 s:\n{output.decode()[-2000:]}{errors.decode()[-2000:]}")
        time.sleep(0.2)
