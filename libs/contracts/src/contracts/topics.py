"""The registry of Kafka topics: who writes, who reads, how long records stay (contract §1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `name` is without the prefix; `retention` is None for a compacted topic."""

    name: str
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    retention: timedelta | None
    max_message_bytes: int = MIB
    log_append_time: bool = True

    def named(self, prefix: str) -> str:
        """The topic's name on the broker: `TOPIC_PREFIX` goes before every name."""
        return prefix + self.name

    def configuration(self) -> dict[str, str]:
        """The topic's settings, in Kafka's words."""
        settings = {
            "message.timestamp.type": "LogAppendTime" if self.log_append_time else "CreateTime",
            "max.message.bytes": str(self.max_message_bytes),
        }
        if self.retention is None:
            return settings | {"cleanup.policy": "compact"}
        milliseconds = int(self.retention.total_seconds() * 1000)
        return settings | {
            "cleanup.policy": "delete",
            "retention.ms": str(milliseconds),
        }


SERVICES: Final = ("routing", "inbox_state", "notification", "reporting")

TELEPHONY_EVENTS: Final = Topic(
    "telephony-events",
    key="any; the call or message id is best",
    producers=("telephony systems",),
    consumers=("routing",),
    retention=timedelta(days=7),
    max_message_bytes=4 * MIB,
)
TELEPHONY_COMMANDS: Final = Topic(
    "telephony-commands",
    key="call or message id",
    producers=("routing", "inbox_state"),
    consumers=("telephony systems",),
    retention=timedelta(hours=1),
)
COMMUNICATION_EVENTS: Final = Topic(
    "communication-events",
    key="account_id/inbox_id/contact_number",
    producers=("routing",),
    consumers=("inbox_state", "notification", "reporting"),
    retention=timedelta(days=30),
    max_message_bytes=4 * MIB,
)
DIRECTORY_EVENTS: Final = Topic(
    "directory-events",
    key="account_id/entity/id",
    producers=("routing",),
    consumers=("inbox_state", "notification", "reporting"),
    retention=None,
)
INBOX_EVENTS: Final = Topic(
    "inbox-events",
    key="account_id/thread_id",
    producers=("inbox_state",),
    consumers=("routing", "notification", "reporting"),
    retention=timedelta(days=7),
)
EMAIL_REQUESTS: Final = Topic(
    "email-requests",
    key="email_id",
    producers=("reporting",),
    consumers=("notification",),
    retention=timedelta(days=7),
    max_message_bytes=4 * MIB,
)

MAX_TELEPHONY_VALUE_BYTES: Final = MIB
"""A telephony value over this is poison (`too_large`)."""


def dead_letter_topic(service: str, topic: Topic) -> Topic:
    """Where `service` puts the records of `topic` that can't be processed."""
    return Topic(
        f"{service.replace('_', '-')}-{topic.name}-dlq",
        key="the original key",
        producers=(service,),
        consumers=("operators",),
        retention=timedelta(days=30),
        max_message_bytes=6 * MIB,
    )


EVENT_TOPICS: Final = (
    TELEPHONY_EVENTS,
    TELEPHONY_COMMANDS,
    COMMUNICATION_EVENTS,
    DIRECTORY_EVENTS,
    INBOX_EVENTS,
    EMAIL_REQUESTS,
)

TOPICS: Final = EVENT_TOPICS + tuple(
    dead_letter_topic(service, topic) for topic in EVENT_TOPICS for service in topic.consumers if service in SERVICES
)
"""Every topic that the project creates, the dead-letter topics among them."""
