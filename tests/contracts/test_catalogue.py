"""Every event of the contract has a golden example that decodes, and documents that agree with the models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from contracts import generate
from contracts.catalogue import CATALOGUE, MODELS, Example, examples, topic_of
from contracts.documents import ENVELOPE, asyncapi, schemas
from contracts.envelope import Event, binary_headers, decode, encode, structured
from contracts.topics import (
    DIRECTORY_EVENTS,
    EVENT_TOPICS,
    MIB,
    SERVICES,
    TELEPHONY_COMMANDS,
    TELEPHONY_EVENTS,
    TOPICS,
    dead_letter_topic,
)

COMMITTED = Path(__file__).parents[2] / "docs" / "contracts"

every_example = pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)


def read(example: Example) -> Event[Any]:
    event = decode(orjson.dumps(example.document), [], MODELS)
    assert isinstance(event, Event)
    return event


@every_example
def test_an_example_decodes_in_structured_mode(example: Example) -> None:
    event = read(example)
    assert event.type == example.type
    assert isinstance(event.data, MODELS[example.type])
    assert event.id == example.document["id"]
    assert event.time.utcoffset() is not None


@every_example
def test_an_example_means_the_same_in_binary_mode(example: Example) -> None:
    event = read(example)
    assert decode(orjson.dumps(example.document["data"]), binary_headers(event), MODELS) == event


@pytest.mark.parametrize("example", [found for found in examples() if not found.case], ids=lambda example: example.type)
def test_what_our_own_writers_make_of_an_example_means_the_same(example: Example) -> None:
    event = read(example)
    value, headers = encode(event)
    assert decode(value, headers, MODELS) == event
    event.origin_at = None
    assert decode(structured(event), [("content-type", b"application/cloudevents+json")], MODELS) == event


@every_example
def test_an_example_fits_its_schema(example: Example) -> None:
    checker = Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(schemas()[ENVELOPE], format_checker=checker).validate(example.document)
    Draft202012Validator(schemas()[example.type], format_checker=checker).validate(example.document["data"])


@every_example
def test_an_example_says_only_what_its_model_knows(example: Example) -> None:
    unknown = set(example.document["data"]) - set(MODELS[example.type].model_fields)
    assert not unknown, "a misspelt field would be ignored in silence"


def test_every_event_type_has_a_plain_example() -> None:
    assert {example.type for example in examples() if not example.case} == set(MODELS)


def test_every_example_is_of_a_type_of_the_contract() -> None:
    assert {example.type for example in examples()} <= set(MODELS)


@pytest.mark.parametrize("name", sorted(schemas()))
def test_every_schema_is_a_schema(name: str) -> None:
    validator_for(schemas()[name]).check_schema(schemas()[name])


def test_the_committed_documents_are_what_the_models_generate() -> None:
    generated = generate.files()
    committed = {
        str(path.relative_to(COMMITTED)): path.read_text(encoding="utf-8")
        for path in [*COMMITTED.glob("schemas/*.json"), COMMITTED / "asyncapi.yaml"]
    }
    stale = sorted(name for name in generated | committed if generated.get(name) != committed.get(name))
    assert not stale, f"run `python -m contracts.generate` and commit: {', '.join(stale)}"


def test_generating_removes_the_schema_of_a_type_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    gone = tmp_path / "schemas" / "telephony.fax.received.v1.json"
    gone.write_text("{}")
    generate.write(tmp_path)
    assert not gone.exists()
    assert (tmp_path / "asyncapi.yaml").read_text(encoding="utf-8") == generate.files()["asyncapi.yaml"]


def test_the_asyncapi_document_refers_to_nothing_that_is_not_there() -> None:
    document = asyncapi()

    def references(value: object) -> list[str]:
        match value:
            case {"$ref": str(reference)}:
                return [reference]
            case dict():
                return [found for inner in value.values() for found in references(inner)]
            case list():
                return [found for inner in value for found in references(inner)]
            case _:
                return []

    for reference in references(document):
        place: object = document
        for part in reference.removeprefix("#/").split("/"):
            assert isinstance(place, dict)
            assert part in place, reference
            place = place[part]


def test_a_type_travels_on_one_topic_only() -> None:
    assert len(MODELS) == sum(len(types) for types in CATALOGUE.values())
    assert topic_of("telephony.ring.v1") is TELEPHONY_COMMANDS
    with pytest.raises(KeyError):
        topic_of("telephony.fax.received.v1")


def test_every_topic_of_events_is_in_the_catalogue() -> None:
    assert tuple(CATALOGUE) == EVENT_TOPICS


def test_every_topic_has_a_writer_and_a_reader_that_exist() -> None:
    known = {*SERVICES, "telephony systems", "operators"}
    for topic in TOPICS:
        assert topic.producers, topic.name
        assert topic.consumers, topic.name
        assert {*topic.producers, *topic.consumers} <= known, topic.name


def test_every_service_that_reads_a_topic_has_a_dead_letter_topic_with_room_for_its_records() -> None:
    by_name = {topic.name: topic for topic in TOPICS}
    assert len(by_name) == len(TOPICS), "two topics of one name"
    for topic in EVENT_TOPICS:
        for service in set(topic.consumers) & set(SERVICES):
            dead = by_name[dead_letter_topic(service, topic).name]
            assert dead.max_message_bytes >= topic.max_message_bytes + MIB


def test_a_dead_letter_topic_is_named_after_its_service_and_source() -> None:
    assert dead_letter_topic("inbox_state", DIRECTORY_EVENTS).name == "inbox-state-directory-events-dlq"


def test_only_the_directory_is_compacted() -> None:
    assert [topic.name for topic in TOPICS if topic.retention is None] == ["directory-events"]
    assert DIRECTORY_EVENTS.configuration()["cleanup.policy"] == "compact"
    assert TELEPHONY_EVENTS.configuration() == {
        "cleanup.policy": "delete",
        "retention.ms": "604800000",
        "max.message.bytes": "4194304",
        "message.timestamp.type": "LogAppendTime",
    }
