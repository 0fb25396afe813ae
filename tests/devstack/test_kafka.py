"""The embedded broker keeps its word: what it acknowledged is there after a SIGKILL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from contracts.topics import TELEPHONY_EVENTS
from devstack import kafka as embedded
from devstack.kafka import EmbeddedKafka, KafkaUnavailable
from devstack.ports import HOST, free_port
from tests.support.topics import Raw, fresh_topics


async def test_acknowledged_records_survive_a_sigkill(private_kafka: EmbeddedKafka) -> None:
    async with fresh_topics(private_kafka.bootstrap) as topics:
        await topics.send(TELEPHONY_EVENTS, [Raw(f"{number}".encode()) for number in range(100)])
        await asyncio.to_thread(private_kafka.kill)
        await asyncio.to_thread(private_kafka.start)
        found = await topics.records(TELEPHONY_EVENTS, at_least=100)
        assert sorted(int(record.value) for record in found) == list(range(100))


async def test_topics_have_the_settings_of_the_registry(private_kafka: EmbeddedKafka) -> None:
    async with fresh_topics(private_kafka.bootstrap) as topics:
        await topics.send(TELEPHONY_EVENTS, [Raw(b"x" * 2_000_000)])
        (record,) = await topics.records(TELEPHONY_EVENTS, at_least=1)
        assert record.timestamp_type == 1, "the broker's append time, not the sender's clock"


def test_a_broker_that_dies_at_start_says_why(tmp_path: Path) -> None:
    port = free_port()
    broker = EmbeddedKafka(tmp_path / "kafka", port, controller_port=port)
    with pytest.raises(KafkaUnavailable, match=rf"(?s){port}"):
        broker.start()
    assert broker.process is not None
    assert not broker.process.alive


def test_a_jar_that_is_not_the_locked_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(embedded, "DOWNLOAD_ATTEMPTS", 1)
    forged = tmp_path / "connected-inbox" / "maven" / "org" / "slf4j" / "slf4j-api" / "1.7.36"
    forged.mkdir(parents=True)
    (forged / "slf4j-api-1.7.36.jar").write_bytes(b"half a download")
    jar = next(one for one in embedded.locked_jars() if one.coordinate == "org.slf4j:slf4j-api:1.7.36")
    with pytest.raises(KafkaUnavailable, match="not the locked"):
        embedded.fetch_jar(embedded.maven(), jar)
    assert not (forged / "slf4j-api-1.7.36.jar").exists(), "so that the next attempt fetches it again"


def test_the_lock_names_the_broker_and_its_voice() -> None:
    locked = {jar.coordinate for jar in embedded.locked_jars()}
    assert set(embedded.ROOTS) <= locked
    assert all(len(jar.sha256) == 64 for jar in embedded.locked_jars())


def test_it_listens_on_this_machine_only(private_kafka: EmbeddedKafka) -> None:
    assert private_kafka.bootstrap == f"{HOST}:{private_kafka.port}"
    assert "0.0.0.0" not in (private_kafka.folder / "server.properties").read_text(encoding="utf-8")
