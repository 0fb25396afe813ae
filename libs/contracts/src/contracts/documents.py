"""The contract as machine-readable documents: a JSON Schema per event type, and one AsyncAPI 3.0 document.

Built from the models, the topic registry and the examples; `python -m contracts.generate` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from contracts.catalogue import CATALOGUE, MODELS, examples
from contracts.fields import CLIENT_ID_PATTERN
from contracts.topics import SERVICES, Topic

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ENVELOPE: Final = "cloudevent"
"""The name of the schema that every structured event fits, whatever its type."""

CONTRACT_VERSION: Final = "1.0.0"

_ATTRIBUTES: Final[dict[str, dict[str, Any]]] = {
    "specversion": {"const": "1.0"},
    "id": {"type": "string", "minLength": 1, "maxLength": 512},
    "source": {"type": "string", "minLength": 1, "maxLength": 2048},
    "type": {"type": "string", "minLength": 1},
    "time": {
        "type": "string",
        "format": "date-time",
        "description": "When it happened, with offset; at most 24 h ahead of the broker's clock.",
    },
    "accountid": {
        "type": "string",
        "pattern": f"^{CLIENT_ID_PATTERN}$",
        "description": "The account that the event belongs to.",
    },
    "originat": {
        "type": "string",
        "format": "date-time",
        "description": "When the telephony record behind it was appended: latency counts from here.",
    },
    "expirytime": {
        "type": "string",
        "format": "date-time",
        "description": "On commands: from when on nobody may act on it, `expires_at` of the data.",
    },
    "traceparent": {"type": "string", "description": "W3C trace context."},
    "datacontenttype": {"const": "application/json"},
}
_REQUIRED_ATTRIBUTES: Final = ("specversion", "id", "source", "type", "time", "accountid")


def envelope_schema() -> dict[str, Any]:
    """The JSON Schema of a CloudEvent in structured mode, as this contract needs it."""
    return {
        "$schema": SCHEMA_DIALECT,
        "title": "CloudEvent in structured mode",
        "type": "object",
        "properties": _ATTRIBUTES | {"data": {"type": "object"}},
        "required": [*_REQUIRED_ATTRIBUTES, "data"],
    }


def data_schema(event_type: str) -> dict[str, Any]:
    """The JSON Schema of the data of one event type, complete in itself."""
    return {"$schema": SCHEMA_DIALECT, "$id": event_type} | MODELS[event_type].model_json_schema()


def schemas() -> dict[str, dict[str, Any]]:
    """All JSON Schemas by name: the envelope's, and one for each event type's data."""
    return {ENVELOPE: envelope_schema()} | {event_type: data_schema(event_type) for event_type in sorted(MODELS)}


def asyncapi(service: str | None = None) -> dict[str, Any]:
    """The AsyncAPI 3.0 document: topics, who sends and receives what, and the events with an example each.

    With a service, only what it sends and receives. Names of topics are without `TOPIC_PREFIX`. `send` and
    `receive` are those of our four services.
    """
    topics = [topic for topic in CATALOGUE if service is None or service in (*topic.producers, *topic.consumers)]
    models = {event_type: model for topic in topics for event_type, model in CATALOGUE[topic].items()}
    references, components = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models.values())],
        ref_template="#/components/schemas/{model}",
    )
    plain = {example.type: example for example in examples() if not example.case}
    messages = {
        event_type: {
            "name": event_type,
            "title": model.__name__,
            "summary": (model.__doc__ or "").strip().splitlines()[0],
            "contentType": "application/json",
            "headers": {"$ref": "#/components/schemas/BinaryModeHeaders"},
            "payload": references[(model, "validation")],
            "examples": [{"payload": plain[event_type].document["data"]}],
        }
        for event_type, model in sorted(models.items())
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Connected Inbox",
            "version": CONTRACT_VERSION,
            "description": (
                "CloudEvents 1.0 on Kafka. Messages are described in binary mode: attributes in `ce_` "
                "headers, data as the value. Structured mode (`application/cloudevents+json`) is read "
                "everywhere too."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": _operations(SERVICES if service is None else (service,)),
        "components": {
            "messages": messages,
            "schemas": components.get("$defs", {}) | {"BinaryModeHeaders": _binary_mode_headers()},
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": f"From {_joined(topic.producers)} to {_joined(topic.consumers)}. Key: {topic.key}.",
        "messages": {
            event_type: {"$ref": f"#/components/messages/{event_type}"} for event_type in sorted(CATALOGUE[topic])
        },
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "topicConfiguration": {
                    "cleanup.policy": ["compact" if topic.retention is None else "delete"],
                    "max.message.bytes": topic.max_message_bytes,
                }
                | ({} if topic.retention is None else {"retention.ms": int(topic.retention.total_seconds() * 1000)}),
                "bindingVersion": "0.5.0",
            }
        },
    }


def _joined(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _operations(services: Iterable[str]) -> dict[str, Any]:
    return {
        f"{service}-{action}s-{topic.name}": {
            "action": action,
            "channel": {"$ref": f"#/channels/{topic.name}"},
            "title": f"{service} {action}s {topic.name}",
        }
        for topic in CATALOGUE
        for action, sides in (("send", topic.producers), ("receive", topic.consumers))
        for service in services
        if service in sides
    }


def _binary_mode_headers() -> dict[str, Any]:
    return {
        "title": "CloudEvent attributes in binary mode",
        "type": "object",
        "properties": {f"ce_{name}": schema for name, schema in _ATTRIBUTES.items() if name != "datacontenttype"}
        | {"content-type": {"const": "application/json"}},
        "required": [f"ce_{name}" for name in _REQUIRED_ATTRIBUTES],
    }
