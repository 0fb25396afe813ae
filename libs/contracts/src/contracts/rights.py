"""What each user of Kafka may do there, out of the registry of topics: no more than it needs.

A user per service, named as the service; one for telephony systems, one for operators (`inboxctl`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from contracts.topics import SERVICES, TELEPHONY_EVENTS, TOPICS, Topic, dead_letter_topic

Operation = Literal["Read", "Write", "Describe", "DescribeConfigs", "Create"]

TELEPHONY: Final = "telephony"
OPERATOR: Final = "operator"
USERS: Final = (*SERVICES, TELEPHONY, OPERATOR)

FOLLOWED: Final = {"reporting": ("routing", "inbox_state")}
"""Whose progress a service asks for: a day's report waits for the services before it. It may see how far their
groups have come and where their topics end, and read neither."""

_CALLED: Final = {"telephony systems": TELEPHONY, "operators": OPERATOR}


@dataclass(frozen=True, slots=True)
class Right:
    """What one user may do with one resource. `name` is without the prefix; Read and Write imply Describe.

    A group's name may be the beginning of several (`any_suffix`).
    """

    user: str
    resource: Literal["topic", "group"]
    name: str
    operations: tuple[Operation, ...]
    any_suffix: bool = False


def rights() -> list[Right]:
    """Every right of every user, by user."""
    return [right for user in USERS for right in (*_topics_of(user), *_groups_of(user))]


def _topics_of(user: str) -> Iterable[Right]:
    for topic in TOPICS:
        operations: list[Operation] = []
        if user in _users(topic.consumers):
            operations.append("Read")
        if user in _users(topic.producers) or (user == OPERATOR and _takes_replays(topic)):
            operations.append("Write")
        if not operations and any(before in topic.consumers for before in FOLLOWED.get(user, ())):
            operations.append("Describe")
        if user == OPERATOR:
            operations += ["Describe", "DescribeConfigs", "Create"]
        if operations:
            yield Right(user, "topic", topic.name, tuple(operations))


def _groups_of(user: str) -> Iterable[Right]:
    if user in SERVICES:
        yield Right(user, "group", user, ("Read",))
        for before in FOLLOWED.get(user, ()):
            yield Right(user, "group", before, ("Describe",))
    elif user == TELEPHONY:
        yield Right(user, "group", TELEPHONY, ("Read",), any_suffix=True)
    else:
        for service in SERVICES:
            yield Right(user, "group", service, ("Describe",))


def _users(sides: Iterable[str]) -> set[str]:
    return {_CALLED.get(side, side) for side in sides}


def _takes_replays(topic: Topic) -> bool:
    dead = {dead_letter_topic(service, topic) for service in topic.consumers if service in SERVICES}
    # Operators publish events as well: recorded ones, and those of a simulated day.
    return topic == TELEPHONY_EVENTS or bool(dead & set(TOPICS))


def commands(prefix: str) -> list[str]:
    """The rights as commands of Kafka's own `kafka-acls`, one a line; running them again changes nothing."""
    return [
        'kafka-acls --bootstrap-server "$KAFKA_BOOTSTRAP_SERVERS" --command-config "$ADMIN_PROPERTIES" --add '
        + " ".join(given)
        for given in arguments(prefix)
    ]


def arguments(prefix: str) -> list[list[str]]:
    """What to give to `kafka-acls --add`: a list for each user and set of operations, with all that they hold for."""
    alike: dict[tuple[str, str, tuple[Operation, ...], bool], list[str]] = {}
    for right in rights():
        kind = (right.user, right.resource, right.operations, right.any_suffix)
        alike.setdefault(kind, []).append(prefix + right.name)
    return [
        [
            *("--allow-principal", f"User:{user}"),
            *(word for operation in operations for word in ("--operation", operation)),
            *(word for name in names for word in (f"--{resource}", name)),
            *(("--resource-pattern-type", "prefixed") if any_suffix else ()),
        ]
        for (user, resource, operations, any_suffix), names in alike.items()
    ]


def page() -> str:
    """docs/kafka-rights.md."""
    rows = [
        f"| `{right.user}` | {right.resource} | `{right.name}{'…' if right.any_suffix else ''}` "
        f"| {', '.join(right.operations)} |\n"
        for right in rights()
    ]
    return _PAGE + "".join(rows)


_PAGE: Final = """\
# Rights on Kafka

Made from the registry of topics by `make documents`; a test holds it true, and another runs every service against a
broker that knows these users and these rights alone.

Give each service a user of its own, named as the service, and no more than this. Names go with `TOPIC_PREFIX` before
them. `inboxctl topics rights --as commands` writes the `kafka-acls` commands. Read and Write imply Describe; nobody
needs a right on the cluster. `telephony` stands for the user of a telephony system (one for each is better), `operator`
for whoever runs `inboxctl`.

How a service signs in (`SASL_SSL` with SCRAM is what was tried):

```
KAFKA_SECURITY_PROTOCOL=SASL_SSL
KAFKA_SASL_MECHANISM=SCRAM-SHA-512
KAFKA_SASL_USERNAME=routing
KAFKA_SASL_PASSWORD=…
KAFKA_CA_FILE=/path/to/the/brokers/ca.pem
```

Postgres takes TLS by its URL: `postgresql://routing:…@db/connected_inbox?sslmode=verify-full&sslrootcert=/path/to/ca.pem`.

| user | resource | name | operations |
|---|---|---|---|
"""
