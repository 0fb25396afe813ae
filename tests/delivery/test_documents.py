"""The documents' commands and examples are run, as far as they can be here; the rest is held to what there is."""

from __future__ import annotations

import asyncio
import io
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer.main
from aiokafka.structs import ConsumerRecord
from pydantic import ValidationError

from contracts.envelope import Event, decode
from contracts.fields import Data
from contracts.telephony import EVENTS, MessageReceived
from contracts.topics import TELEPHONY_EVENTS
from devstack import recordings
from devstack.inboxctl import app
from devstack.stack import service_environment
from tests.delivery.pages import PAGES, REPOSITORY, blocks, commands, text_of
from tests.support.topics import FreshTopics

MAKE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
LATER = {"alerts.md"}
"""Pages that another change brings."""


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that these words name, and what is left of them."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words:
        name, words = words[0], words[1:]
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    return command, words


@pytest.mark.parametrize(("page", "command"), commands("inboxctl"))
def test_every_inboxctl_command_is_there_with_its_options(page: str, command: str) -> None:
    words = [word for word in shlex.split(command.replace("…", ""))[1:] if "|" not in word]
    if words and words[0] == "--env-file":
        words = words[2:]
    found, rest = command_of(words)
    options = {option for parameter in found.params for option in parameter.opts} | {"--help"}
    assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= options, f"{page}: {command}"


@pytest.mark.parametrize(("page", "command"), commands("make"))
def test_every_make_target_is_there(page: str, command: str) -> None:
    for target in command.split()[1:]:
        if re.fullmatch(r"[a-z-]+", target):
            assert re.search(rf"^{target}:", MAKE, re.MULTILINE), f"{page}: {command}"


@pytest.mark.parametrize("page", PAGES)
def test_every_page_and_file_that_is_linked_to_is_there(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith("http"):
            continue
        file, _, place = target.partition("#")
        linked = (REPOSITORY / page).parent / file if file else REPOSITORY / page
        if Path(file).name in LATER and not linked.exists():
            continue
        assert linked.exists(), target
        if place and linked.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}
            assert place in anchors, target


def test_every_shell_block_is_shell() -> None:
    found = 0
    for page in PAGES:
        for block in blocks(page, "sh"):
            done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
            assert done.returncode == 0, (page, block, done.stderr)
            found += 1
    assert found >= 8


def test_every_event_in_the_documents_is_one_that_we_take() -> None:
    documents = blocks("docs/integrating.md", "json")
    for block in blocks("docs/integrating.md", "sh"):
        documents += [line for line in block.splitlines() if line.startswith("{")]
    assert len(documents) >= 2
    for document in documents:
        (line,) = recordings.read(io.BytesIO(orjson.dumps(orjson.loads(document))))
        assert line.event is not None


def test_every_event_type_and_field_in_the_mapping_tables_is_in_the_contract() -> None:
    tables = text_of("docs/integrating.md").partition("## Mapping")[2].partition("\n## ")[0]
    types = set(re.findall(r"`(telephony\.[a-z_.]+\.v1)`", tables))
    assert types <= set(EVENTS), types - set(EVENTS)
    assert {"telephony.call.answered.v1", "telephony.call.leg.v1", "telephony.voicemail.recorded.v1"} <= types
    states = set(re.findall(r"`state: ([a-z_]+)`", tables))
    outcomes = set(re.findall(r"`outcome: ([a-z_]+)`", tables))
    leg, ended = EVENTS["telephony.call.leg.v1"], EVENTS["telephony.call.ended.v1"]
    for state in states:
        leg.model_validate({"call_id": "c", "leg_id": "l", "number": "+12125550123", "state": state})
    with pytest.raises(ValidationError):
        leg.model_validate({"call_id": "c", "leg_id": "l", "state": "no such state"})
    for outcome in outcomes:
        ended.model_validate({"call_id": "c", "outcome": outcome})
    assert outcomes <= {"completed", "missed", "abandoned", "voicemail", "busy", "no_answer", "failed"}


async def test_the_python_example_publishes_an_event_that_we_take(kafka: FreshTopics, tmp_path: Path) -> None:
    (example,) = blocks("docs/integrating.md", "python")
    (tmp_path / "publish.py").write_text(example, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        tmp_path / "publish.py",
        env=service_environment(kafka.environment),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    record: ConsumerRecord
    (record,) = await kafka.records(TELEPHONY_EVENTS, at_least=1)
    event = decode(record.value, record.headers, EVENTS)
    assert isinstance(event, Event)
    data: Data = event.data
    assert isinstance(data, MessageReceived)
    assert (event.account_id, data.message_id, data.body) == ("acme", "sms-1001", "Is my order on its way?")
    assert record.key == b"sms-1001"


async def test_the_kcat_example_publishes_an_event_that_we_take(kafka: FreshTopics) -> None:
    if shutil.which("kcat") is None:
        pytest.skip("no kcat here: its example is only checked as an event")
    (block,) = [block for block in blocks("docs/integrating.md", "sh") if block.startswith("kcat")]
    block = block.replace("localhost:9094", kafka.bootstrap).replace(
        "-t telephony-events", f"-t {TELEPHONY_EVENTS.named(kafka.prefix)}"
    )
    done = await asyncio.to_thread(subprocess.run, ["bash", "-c", block], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (record,) = await kafka.records(TELEPHONY_EVENTS, at_least=1)
    assert isinstance(decode(record.value, record.headers, EVENTS), Event)
