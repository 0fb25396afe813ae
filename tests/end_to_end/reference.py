"""What everything must come out as: the records as they stand on the topics, folded in memory, step by step.

Nothing here knows of batches, locks, offsets or retries. What is decided once (a line's mapping, a ring plan,
after hours, a verdict) is taken from the database, since it must never be decided again (M3).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from aiokafka.structs import ConsumerRecord

from contracts import communications, directory, inbox_events, telephony
from contracts.communications import CommunicationChanged
from contracts.envelope import Event, UnknownEvent, decode
from contracts.inbox_events import CallRequested, MessageRequested
from contracts.topics import COMMUNICATION_EVENTS, DIRECTORY_EVENTS, INBOX_EVENTS, TELEPHONY_EVENTS
from routing.communications import Communication, merge, merge_request, restored, snapshot, stand
from routing.directory import Directory, InboxSettings, directory_of
from tests.end_to_end.company import ACCOUNT, INBOXES, Company
from tests.inbox_state.plain_model import Figures, PlainInbox

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(records: Iterable[ConsumerRecord[Any, Any]], types: Any) -> list[tuple[Event[Any], datetime]]:
    """Events with their append times, in whatever order they are given."""
    found = []
    for record in records:
        appended_at = _EPOCH + timedelta(milliseconds=record.timestamp)
        event = decode(record.value, record.headers, types, appended_at)
        if not isinstance(event, UnknownEvent):
            found.append((event, appended_at))
    return found


async def directory_now(company: Company) -> Directory:
    """The directory as its topic tells it."""
    newest: dict[str, Any] = {}
    for event, _ in read(await company.kafka.records(DIRECTORY_EVENTS), directory.EVENTS):
        key = event.id.rpartition("/")[0]
        if key not in newest or newest[key].version < event.data.version:
            newest[key] = event.data
    living = [
        InboxSettings.model_validate(one.model_dump()) if isinstance(one, directory.Inbox) else one
        for one in newest.values()
        if not one.deleted
    ]
    return directory_of(ACCOUNT, living)


async def folded(company: Company) -> dict[str, dict[str, Any]]:
    """Every routed communication's content, folded from the records of the topics."""
    known = await directory_now(company)
    decided = {
        row["communication_id"]: restored(
            ACCOUNT, row["communication_id"], row["version"], orjson.loads(row["document"])
        ).decided
        for row in await company.rows(
            "SELECT communication_id, version, document FROM routing.communications WHERE document IS NOT NULL"
        )
    }
    made: dict[str, Communication] = {}

    def at(communication_id: str) -> Communication:
        if communication_id not in made:
            assert communication_id in decided, f"{communication_id} is not there yet"
            made[communication_id] = Communication(ACCOUNT, communication_id)
            made[communication_id].decided = decided[communication_id]
        return made[communication_id]

    for event, appended_at in read(await company.kafka.records(TELEPHONY_EVENTS), telephony.EVENTS):
        communication_id = getattr(event.data, "call_id", None) or getattr(event.data, "message_id", None)
        if communication_id is not None:
            merge(at(communication_id), event, appended_at, known)
    for event, _ in read(await company.kafka.records(INBOX_EVENTS), inbox_events.EVENTS):
        if isinstance(event.data, MessageRequested):
            merge_request(at(event.data.message_id), event.data)
        elif isinstance(event.data, CallRequested):
            merge_request(at(event.data.call_id), event.data)
    standings = {id: (one, stand(one, known)) for id, one in made.items()}
    return {
        id: orjson.loads(orjson.dumps(snapshot(one, standing)))
        for id, (one, standing) in standings.items()
        if standing.place is not None and standing.inbox_id is not None
    }


async def published(company: Company) -> dict[str, list[tuple[CommunicationChanged, dict[str, Any]]]]:
    """Every snapshot of each communication that was published, by version, as model and as JSON."""
    found: dict[str, list[tuple[CommunicationChanged, dict[str, Any]]]] = {}
    for record in await company.kafka.records(COMMUNICATION_EVENTS):
        event = decode(record.value, record.headers, communications.EVENTS)
        if isinstance(event, Event) and isinstance(event.data, CommunicationChanged):
            document = orjson.loads(record.value)
            found.setdefault(event.data.communication_id, []).append((event.data, document))
    for snapshots in found.values():
        snapshots.sort(key=lambda one: one[0].version)
    return found


async def plain_threads(company: Company) -> dict[str, Figures]:
    """Every thread's figures, worked out from the newest snapshots."""
    model = PlainInbox(ACCOUNT, frozenset({"anna", "ben"}))
    for snapshots in (await published(company)).values():
        model.deliver([snapshots[-1][0]])
    return model.threads()


async def everything_agrees(company: Company) -> bool:
    """Assert that what the services hold and have published is what the fold gives: nothing lost, nothing twice."""
    expected = await folded(company)
    said = await published(company)
    assert set(said) == set(expected)
    for id, snapshots in said.items():
        document = dict(snapshots[-1][1])
        document.pop("version")
        assert document == expected[id], id
        by_version: dict[int, Any] = {}
        for model, one in snapshots:
            assert by_version.setdefault(model.version, one) == one, f"{id} says two things under one version"

    kept = await company.rows("SELECT communication_id, version FROM inbox_state.communications")
    assert {row["communication_id"]: row["version"] for row in kept} == {
        id: snapshots[-1][0].version for id, snapshots in said.items()
    }
    rows = await company.rows(
        """
        SELECT thread_id, unread, active_calls, latest_id, last_activity_at, send_failed
        FROM inbox_state.threads WHERE latest_id IS NOT NULL
        """
    )
    shown = {row["thread_id"]: tuple(row)[1:] for row in rows}
    assert shown == {
        id: (len(f.unread), f.active_calls, f.latest, f.last_activity_at, f.send_failed)
        for id, f in (await plain_threads(company)).items()
    }

    counted = await company.rows("SELECT communication_id, version, status FROM reporting.communications")
    assert {row["communication_id"]: (row["version"], row["status"]) for row in counted} == {
        id: (snapshots[-1][0].version, snapshots[-1][0].status) for id, snapshots in said.items()
    }
    return True


def mailed_as(one: CommunicationChanged) -> str | None:
    """The kind of e-mail that a snapshot calls for (N1); None: none."""
    if one.unread_at is None or one.inbox_id not in INBOXES:
        return None
    if one.kind == "message":
        return "inbound_message"
    return {"voicemail": "voicemail", "abandoned": "abandoned_call"}.get(one.status, "missed_call")


async def every_email_is_explained(company: Company, *, kills: int = 0) -> bool:
    """Assert one e-mail for each communication that wants one, for a reason that was published, and no other.

    Each kill of a sender with one connection may fall between the server's acceptance and our record of it:
    then that e-mail comes again, under the same `Message-ID`. SMTP can't do better.
    """
    said = await published(company)
    sent = await company.rows(
        """
        SELECT n.communication_id, n.user_id, n.kind, e.email_id, e.outcome
        FROM notification.notices n JOIN notification.emails e USING (account_id, email_id)
        """
    )
    assert {row["outcome"] for row in sent} <= {"sent"}, "not all sent yet"
    assert {row["user_id"] for row in sent} <= {"wim"}
    mailed = {row["communication_id"]: row["kind"] for row in sent}
    assert len(mailed) == len(sent)
    wanted = {id for id, snapshots in said.items() if mailed_as(snapshots[-1][0]) is not None}
    assert wanted - set(mailed) == set(), "an e-mail lacks"
    for id, kind in mailed.items():
        assert kind in {mailed_as(model) for model, _ in said[id]}, f"{id} was mailed as {kind}, and never was that"

    inbound = [mail for mail in company.mails() if mail["To"] == "Wim Watcher <wim@acme.example>"]
    assert len(inbound) == len(company.mails())
    different = {mail["Message-ID"] for mail in inbound}
    assert len(different) == len({row["email_id"] for row in sent})
    assert len(inbound) - len(different) <= kills
    return True
