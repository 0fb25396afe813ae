"""Snapshots as bytes: what goes to Kafka, and how a change of content is told from a repetition."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import orjson

from contracts import commands, communications, directory, topics
from contracts.directory import Entity, Inbox, Snapshot
from contracts.envelope import Event, binary_headers, encode
from contracts.fields import Data, key_of
from routing.communications import Communication, Plan, Standing, analysis, snapshot
from routing.directory import InboxSettings
from routing.facts import Instant, moment

SOURCE: Final = "/connected-inbox/routing"

_TYPES: Final[dict[Entity, str]] = {
    "account": directory.ACCOUNT,
    "user": directory.USER,
    "team": directory.TEAM,
    "line": directory.LINE,
    "inbox": directory.INBOX,
}
_NOTHING: Final = Data()


class Ready(NamedTuple):
    """A record whose bytes are ready: a topic's name, key, value and headers."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Content:
    """What is published of a routed communication, but for its version: encoded once, compared by digest."""

    __slots__ = ("_analysis", "_key", "_snapshot", "digest")

    def __init__(self, communication: Communication, standing: Standing) -> None:
        document = snapshot(communication, standing)
        self._key = key_of(communication.account_id, document["inbox_id"], document["contact_number"])
        self._snapshot = orjson.dumps(document)
        found = analysis(communication)
        self._analysis = None if found is None else orjson.dumps(found)
        self.digest = blake2b(self._key + self._snapshot + (self._analysis or b""), digest_size=16).hexdigest()

    def records(self, communication: Communication) -> list[Ready]:
        """The records that say all of it, under the version that the communication has now.

        Publishing again gives the same bytes: id and time follow from the version.
        """
        event_id = f"{communication.communication_id}/{communication.version}"
        records = [self._record(communication, event_id, communications.CHANGED, self._snapshot)]
        if self._analysis is not None:
            records.append(self._record(communication, f"{event_id}/analysis", communications.ANALYZED, self._analysis))
        return records

    def _record(self, communication: Communication, event_id: str, event_type: str, content: bytes) -> Ready:
        version = communication.version
        event = Event(
            id=event_id,
            source=SOURCE,
            type=event_type,
            time=moment(version),
            account_id=communication.account_id,
            data=_NOTHING,
            traceparent=communication.traceparent,
            origin_at=None if communication.origin_at is None else moment(communication.origin_at),
        )
        return Ready(
            topic=topics.COMMUNICATION_EVENTS.name,
            key=self._key,
            value=b'%b,"version":%d}' % (content[:-1], version),
            headers=binary_headers(event),
        )


def next_version(version: int, now: Instant) -> int:
    """The version after `version`: it only grows, and is the time in microseconds wherever that is greater."""
    return max(version + 1, now)


def ring_command(account_id: str, plan: Plan, traceparent: str | None) -> Ready:
    """A stored ring plan as the command that it is, the same bytes whenever it is published (R4).

    Only the trace differs: it is the one of whatever publishes it now.
    """
    event = Event(
        id=plan.command["command_id"],
        source=SOURCE,
        type=commands.RING,
        time=moment(plan.decided_at),
        account_id=account_id,
        data=_NOTHING,
        traceparent=traceparent,
        expires_at=datetime.fromisoformat(plan.command["expires_at"]),
    )
    return Ready(
        topic=topics.TELEPHONY_COMMANDS.name,
        key=key_of(plan.command["call_id"]),
        value=orjson.dumps(plan.command),
        headers=binary_headers(event),
    )


def directory_record(
    account_id: str, entity: Entity, id: str, changed: Snapshot, changed_at: datetime, traceparent: str | None = None
) -> Ready:
    """A directory snapshot as a record. Of an inbox, what only routing needs to know stays here."""
    data: Snapshot = changed
    if isinstance(changed, InboxSettings):
        data = Inbox.model_validate(changed.model_dump())
    event: Event[Any] = Event(
        id=f"{account_id}/{entity}/{id}/{changed.version}",
        source=SOURCE,
        type=_TYPES[entity],
        time=changed_at,
        account_id=account_id,
        data=data,
        traceparent=traceparent,
    )
    value, headers = encode(event)
    return Ready(topics.DIRECTORY_EVENTS.name, key_of(account_id, entity, id), value, headers)
