"""`inboxctl` as a person runs it: what it prints, and the code it ends with."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from joserfc import jwt
from joserfc.jwk import OctKey

from contracts.catalogue import examples
from contracts.envelope import Event, decode
from contracts.telephony import EVENTS
from contracts.topics import TELEPHONY_EVENTS, TOPICS, dead_letter_topic
from tests.devstack.conftest import Inboxctl
from tests.support.servers import Servers
from tests.support.topics import FreshTopics, Raw

SECRET = "a-secret-that-is-only-for-tests-and-long-enough"
GOLDEN = [orjson.dumps(example.document) for example in examples() if example.type in EVENTS]
NOTHING_THERE = {f"{service}_URL": "http://127.0.0.1:9" for service in ("ROUTING", "INBOX_STATE")}

SETUP = """
account: {account_id: acme, name: Acme, time_zone: America/New_York}
users:
  anna: {name: Anna, email: anna@acme.example}
inboxes:
  support: {name: Support, agents: {users: [anna]}}
lines:
  +12125550100: {inbox_id: support}
"""


async def test_it_is_a_command_of_the_environment(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "devstack.inboxctl", "token", cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"Missing option" in err


async def test_help_names_every_command(inboxctl: Inboxctl, tmp_path: Path) -> None:
    ran = await inboxctl("--help")
    assert ran.code == 0
    for command in ("topics", "migrate", "token", "apply", "diff", "export", "republish", "simulate", "publish", "dlq"):
        assert command in ran.out


async def test_a_token_says_who_and_for_how_long(inboxctl: Inboxctl, tmp_path: Path) -> None:
    ran = await inboxctl(
        "token", "--user", "anna", "--account", "acme", "--ttl", "30m", env={"JWT_SECRET": SECRET}, cwd=tmp_path
    )
    assert ran.code == 0, ran.err
    claims = jwt.decode(ran.out.strip(), OctKey.import_key(SECRET), algorithms=["HS256"]).claims
    assert (claims["sub"], claims["account_id"], claims["aud"]) == ("anna", "acme", "connected-inbox")
    assert claims["exp"] - claims["iat"] == 30 * 60
    assert "scope" not in claims


async def test_a_machine_gets_the_directory_scope(inboxctl: Inboxctl, tmp_path: Path) -> None:
    arguments = ("token", "--user", "sync", "--account", "acme", "--scope", "directory")
    ran = await inboxctl(*arguments, env={"JWT_SECRET": SECRET})
    claims = jwt.decode(ran.out.strip(), OctKey.import_key(SECRET), algorithms=["HS256"]).claims
    assert claims["scope"] == "directory"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("token", "--user", "anna", "--account", "acme", "--ttl", "soon"), "12h"),
        (("token", "--user", "anna", "--account", "acme", "--scope", "root"), "directory"),
        (("apply", "nowhere.yaml"), "nowhere.yaml"),
        (("publish", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--env-file", "nowhere.env", "token", "--user", "anna", "--account", "acme"), "nowhere.env"),
        (("migrate", "--service", "billing"), "billing"),
        (("migrate", "--service", "routing"), "ROUTING_DATABASE_URL"),
        (("dlq", "replay"), "--reason"),
        (("republish", "everything"), "WHAT is communications or directory, not everything"),
        (("republish", "directory"), "ROUTING_DATABASE_URL is not set"),
        (("republish", "directory", "--fast"), "--fast"),
    ],
)
async def test_asking_wrongly_is_answered_with_a_sentence_and_two(
    inboxctl: Inboxctl, arguments: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    ran = await inboxctl(*arguments, env={"JWT_SECRET": SECRET})
    assert ran.code == 2
    assert complaint in ran.err
    assert "Traceback" not in ran.err


async def test_without_a_secret_there_is_no_token(inboxctl: Inboxctl, tmp_path: Path) -> None:
    ran = await inboxctl("token", "--user", "anna", "--account", "acme")
    assert (ran.code, ran.out) == (2, "")
    assert "JWT_SECRET" in ran.err


def user_of(token: str, secret: str) -> object:
    return jwt.decode(token.strip(), OctKey.import_key(secret), algorithms=["HS256"]).claims["sub"]


async def test_the_stacks_env_file_is_found_and_the_environment_wins(inboxctl: Inboxctl, tmp_path: Path) -> None:
    (tmp_path / ".devstack").mkdir()
    (tmp_path / ".devstack" / "env").write_text(f"# made by make up\nJWT_SECRET={SECRET}\n")
    arguments = ("token", "--user", "anna", "--account", "acme")
    found = await inboxctl(*arguments)
    assert found.code == 0
    assert user_of(found.out, SECRET) == "anna"
    other = SECRET[::-1]
    told = await inboxctl(*arguments, env={"JWT_SECRET": other})
    assert user_of(told.out, other) == "anna"
    moved = await inboxctl(*arguments, env={"DEVSTACK_DIR": str(tmp_path / ".devstack")}, cwd=tmp_path.parent)
    assert moved.code == 0


async def test_apply_names_what_is_wrong_with_the_file(inboxctl: Inboxctl, tmp_path: Path) -> None:
    ran = await inboxctl("apply", "-", env={"JWT_SECRET": SECRET}, text=SETUP.replace("[anna]", "[bert]"))
    assert ran.code == 1
    assert "inboxes.support.agents.users names user 'bert'" in ran.err


async def test_apply_says_which_service_does_not_answer(inboxctl: Inboxctl, tmp_path: Path) -> None:
    env = {"JWT_SECRET": SECRET} | NOTHING_THERE
    ran = await inboxctl("apply", "--patience", "0", "-", env=env, text=SETUP)
    assert ran.code == 1
    assert "routing at http://127.0.0.1:9 does not answer" in ran.err


async def test_kafka_that_is_away_is_one_sentence(inboxctl: Inboxctl, tmp_path: Path) -> None:
    env = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    ran = await inboxctl("dlq", "list", env=env)
    assert ran.code == 1
    assert ran.err.startswith("Kafka at 127.0.0.1:9: ")
    assert "Traceback" not in ran.err


async def test_topics_are_created_once(inboxctl: Inboxctl, servers: Servers, tmp_path: Path) -> None:
    prefix = f"{tmp_path.name.replace('_', '-')}."
    env = {"KAFKA_BOOTSTRAP_SERVERS": servers.kafka, "TOPIC_PREFIX": prefix}
    first = await inboxctl("topics", "create", "--partitions", "2", env=env)
    second = await inboxctl("topics", "create", env=env)
    assert (first.code, second.code) == (0, 0), first.err
    names = [topic.named(prefix) for topic in TOPICS]
    assert first.out.splitlines() == [f"created  {name}" for name in names]
    assert second.out.splitlines() == [f"exists   {name}" for name in names]
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([TELEPHONY_EVENTS.named(prefix)])
        assert len(described["partitions"]) == 2
        await admin.delete_topics(names)
    finally:
        await admin.close()


async def test_publish_puts_a_recording_on_the_topic_as_it_is(
    inboxctl: Inboxctl, kafka: FreshTopics, tmp_path: Path
) -> None:
    (tmp_path / "day.jsonl").write_bytes(b"\n".join([*GOLDEN, b""]))
    ran = await inboxctl("publish", "day.jsonl", env=kafka.environment)
    assert ran.code == 0, ran.err
    assert f"published {len(GOLDEN)} events" in ran.out
    records = await kafka.records(TELEPHONY_EVENTS, at_least=len(GOLDEN))
    assert sorted(record.value for record in records) == sorted(GOLDEN)
    for record in records:
        event = decode(record.value, record.headers, EVENTS)
        assert isinstance(event, Event)
        call_or_message = getattr(event.data, "call_id", None) or getattr(event.data, "message_id", None)
        assert call_or_message is None or record.key == call_or_message.encode()


async def test_one_bad_line_and_nothing_is_published(inboxctl: Inboxctl, kafka: FreshTopics, tmp_path: Path) -> None:
    lines = b"\n".join([GOLDEN[0], b'{"specversion": "1.0"}', GOLDEN[1]])
    (tmp_path / "day.jsonl").write_bytes(lines)
    ran = await inboxctl("publish", "day.jsonl", env=kafka.environment)
    assert ran.code == 1
    assert "day.jsonl: line 2: attribute id is missing" in ran.err
    assert await kafka.records(TELEPHONY_EVENTS) == []


async def test_a_dry_run_publishes_nothing(inboxctl: Inboxctl, kafka: FreshTopics, tmp_path: Path) -> None:
    text = b"\n".join(GOLDEN).decode()
    ran = await inboxctl("publish", "--dry-run", "-", env=kafka.environment, text=text)
    assert ran.code == 0
    assert f"{len(GOLDEN)} events are in order" in ran.out
    assert await kafka.records(TELEPHONY_EVENTS) == []


async def test_simulate_plays_a_day_that_publish_could_have_read(
    inboxctl: Inboxctl, kafka: FreshTopics, tmp_path: Path
) -> None:
    (tmp_path / "acme.yaml").write_text(SETUP)
    arguments = ("simulate", "--account", "acme", "--file", "acme.yaml", "--date", "2026-03-03", "--events", "200")
    written = await inboxctl(*arguments, "--to", "day.jsonl")
    assert written.code == 0, written.err
    lines = (tmp_path / "day.jsonl").read_bytes().splitlines()
    played = await inboxctl(*arguments, env=kafka.environment)
    assert played.code == 0, played.err
    assert f"2026-03-03: {len(lines)} events" in played.out
    records = await kafka.records(TELEPHONY_EVENTS, at_least=len(lines))
    assert sorted(record.value for record in records) == sorted(lines)


async def test_simulate_needs_a_setup_of_the_account(inboxctl: Inboxctl, tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(SETUP)
    ran = await inboxctl("simulate", "--account", "other", "--file", "acme.yaml")
    assert ran.code == 2
    assert "set-up of acme, not of other" in ran.err


async def test_dead_letters_are_listed_shown_and_replayed(
    inboxctl: Inboxctl, kafka: FreshTopics, tmp_path: Path
) -> None:
    source = TELEPHONY_EVENTS.named(kafka.prefix)
    dead = dead_letter_topic("routing", TELEPHONY_EVENTS)

    def about(reason: str, offset: int) -> list[tuple[str, bytes]]:
        return [
            ("ce_id", b"7"),
            ("x-reason", reason.encode()),
            ("x-detail", b"data.call_id: Field required"),
            ("x-source-topic", source.encode()),
            ("x-source-partition", b"1"),
            ("x-source-offset", str(offset).encode()),
            ("x-consumer", b"routing"),
            ("x-failed-at", datetime(2026, 3, 2, 14, offset, tzinfo=UTC).isoformat().encode()),
        ]

    await kafka.send(
        dead,
        [
            Raw(b'{"no": "call"}', b"c1", about("bad_data", 5), partition=0),
            Raw(b"", None, [*about("null_value", 6), ("x-null-value", b"true")], partition=1),
        ],
    )
    place = f"{dead.named(kafka.prefix)}/0/0"

    listed = await inboxctl("dlq", "list", env=kafka.environment)
    assert listed.code == 0, listed.err
    assert "2 dead letters" in listed.out
    (line,) = [line for line in listed.out.splitlines() if "bad_data" in line]
    assert place in line
    assert f"{source}/1/5" in line

    only = await inboxctl("dlq", "list", "--reason", "null_value", env=kafka.environment)
    assert "1 dead letters" in only.out

    shown = await inboxctl("dlq", "show", place, env=kafka.environment)
    assert "x-detail: data.call_id: Field required" in shown.out
    assert '{"no": "call"}' in shown.out

    missing = await inboxctl("dlq", "show", place + "9", env=kafka.environment)
    assert missing.code == 1

    dry = await inboxctl("dlq", "replay", place, "--dry-run", env=kafka.environment)
    assert "1 dead letters would be replayed" in dry.out
    replayed = await inboxctl("dlq", "replay", "--service", "routing", env=kafka.environment)
    assert replayed.code == 0, replayed.err
    assert "replayed 2 of 2" in replayed.out
    records = await kafka.records(TELEPHONY_EVENTS, at_least=2)
    assert {(record.key, record.value, tuple(record.headers)) for record in records} == {
        (b"c1", b'{"no": "call"}', (("ce_id", b"7"),)),
        (b"", None, (("ce_id", b"7"),)),
    }
