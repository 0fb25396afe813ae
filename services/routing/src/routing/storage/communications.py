"""Communications and what decisions about them rest on, in Postgres."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson

from routing.communications import Communication, Standing, document_of, restored
from routing.facts import Fact, Instant, instant, moment
from routing.ring_plan import Presence
from service_kit.database import Connection, as_json, insert_new

_COLUMNS: Final = (
    "account_id",
    "communication_id",
    "version",
    "document",
    "inbox_id",
    "due_at",
    "talking",
    "command_id",
    "unrouted_line",
    "unrouted_at",
    "touched_at",
)

Key = tuple[str, str]
"""Account and communication."""


async def lock_communications(connection: Connection, keys: Iterable[Key]) -> dict[Key, Communication]:
    """Lock the rows of `keys` that exist, in key order, and load them; what does not exist begins as nothing.

    Two partitions can hold two facts of one new call, and no lock is on a row that is not there:
    `save_communications` tells by `Raced` when somebody else made it first.
    """
    ordered = sorted(keys)
    accounts, ids = [key[0] for key in ordered], [key[1] for key in ordered]
    # The lateral subquery keeps the primary key's index in the plan, whatever the statistics say of the table.
    rows = await connection.fetch(
        """
        SELECT found.*
        FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (account_id, communication_id, place)
        CROSS JOIN LATERAL (
            SELECT account_id, communication_id, version, document
            FROM communications AS c
            WHERE c.account_id = k.account_id AND c.communication_id = k.communication_id
            FOR UPDATE
        ) AS found
        """,
        accounts,
        ids,
    )
    known = {(row["account_id"], row["communication_id"]): _communication(row) for row in rows}
    return {key: known.get(key) or Communication(*key) for key in ordered}


def _communication(row: asyncpg.Record) -> Communication:
    account_id, communication_id, version, document, *_ = row
    return restored(account_id, communication_id, version, orjson.loads(document))


@dataclass(slots=True)
class Saving:
    """A communication as it is to be saved, with what SQL needs to find it again."""

    communication: Communication
    standing: Standing
    due_at: datetime | None
    talking: list[str]


async def save_communications(connection: Connection, savings: Sequence[Saving], now: datetime) -> None:
    """Write whole rows over those that `lock_communications` holds, and new ones. Raises `Raced`, see there."""
    new = sorted(_row(saving, now) for saving in savings if saving.communication.is_new)
    await insert_new(connection, "communications", _COLUMNS, new)
    rows = sorted(_row(saving, now) for saving in savings if not saving.communication.is_new)
    if not rows:
        return
    # An upsert, because that always goes by the primary key.
    await connection.execute(
        """
        INSERT INTO communications (
            account_id, communication_id, version, document, inbox_id, due_at, talking, command_id,
            unrouted_line, unrouted_at, touched_at
        )
        SELECT * FROM json_to_recordset($1::json) AS n (
            account_id text, communication_id text, version bigint, document text, inbox_id text,
            due_at timestamptz, talking text[], command_id text, unrouted_line text, unrouted_at timestamptz,
            touched_at timestamptz
        )
        ON CONFLICT (account_id, communication_id) DO UPDATE SET
            version = excluded.version, document = excluded.document, inbox_id = excluded.inbox_id,
            due_at = excluded.due_at, talking = excluded.talking, command_id = excluded.command_id,
            unrouted_line = excluded.unrouted_line, unrouted_at = excluded.unrouted_at,
            touched_at = excluded.touched_at
        """,
        as_json(_COLUMNS, rows),
    )


def _row(saving: Saving, now: datetime) -> tuple[Any, ...]:
    communication, standing = saving.communication, saving.standing
    facts = communication.facts
    unrouted = standing.place if standing.inbox_id is None else None
    shown = standing.call or standing.message
    return (
        communication.account_id,
        communication.communication_id,
        communication.version,
        orjson.dumps(document_of(communication), default=tuple).decode(),
        standing.inbox_id,
        saving.due_at,
        saving.talking or None,
        # Only while nobody has taken it: what is reported can neither expire nor be refused any more.
        facts.requested.command_id if facts and facts.requested and not facts.reported else None,
        None if unrouted is None else unrouted.line_number,
        moment(shown.activity_at) if unrouted is not None and shown is not None else None,
        now,
    )


async def due_communications(
    connection: Connection, through: datetime, untouched_since: datetime, limit: int
) -> dict[Key, Communication]:
    """Lock some communications that fell due by `through` (M4), skipping what others hold.

    A ghost must have been left alone since `untouched_since`; a request that nobody took (it still has its
    `command_id`) only has to be over.
    Served by `communications_due`.
    """
    rows = await connection.fetch(
        """
        SELECT account_id, communication_id, version, document FROM communications
        WHERE due_at <= $1 AND (command_id IS NOT NULL OR touched_at < $2)
        ORDER BY due_at LIMIT $3
        FOR UPDATE SKIP LOCKED
        """,
        through,
        untouched_since,
        limit,
    )
    return {(row["account_id"], row["communication_id"]): _communication(row) for row in rows}


async def waiting_reroute(connection: Connection) -> tuple[str, str] | None:
    """An account and line (or '' for all of them) whose unrouted communications wait for a new decision."""
    row = await connection.fetchrow("SELECT account_id, line_number FROM reroutes ORDER BY 1, 2 LIMIT 1")
    return None if row is None else (row["account_id"], row["line_number"])


async def take_reroute(connection: Connection, account_id: str, line_number: str) -> str | None:
    """Lock a reroute, and say through which communication it was done; None where another replica has it.

    Take the account's revision first: whoever maps a line locks both in that order.
    """
    done_through: str | None = await connection.fetchval(
        "SELECT done_through FROM reroutes WHERE account_id = $1 AND line_number = $2 FOR UPDATE SKIP LOCKED",
        account_id,
        line_number,
    )
    return done_through


async def advance_reroute(connection: Connection, account_id: str, line_number: str, done_through: str | None) -> None:
    """Remember through which communication a reroute is done; None: it is done."""
    if done_through is None:
        await connection.execute(
            "DELETE FROM reroutes WHERE account_id = $1 AND line_number = $2", account_id, line_number
        )
    else:
        await connection.execute(
            "UPDATE reroutes SET done_through = $3 WHERE account_id = $1 AND line_number = $2",
            account_id,
            line_number,
            done_through,
        )


async def ask_for_reroute(connection: Connection, account_id: str, line_numbers: Iterable[str]) -> None:
    """Have the timer decide the unrouted communications of these lines again ('' for a whole account)."""
    numbers = list(line_numbers)
    if not numbers:
        return
    await connection.execute(
        """
        INSERT INTO reroutes (account_id, line_number)
        SELECT $1, n FROM unnest($2::text[]) AS n ORDER BY n
        ON CONFLICT (account_id, line_number) DO UPDATE SET done_through = ''
        """,
        account_id,
        numbers,
    )


async def ask_for_missed_reroutes(connection: Connection) -> None:
    """Find unrouted communications whose line is mapped by now: what the wake-up of a mapping may have missed."""
    await connection.execute(
        """
        INSERT INTO reroutes (account_id, line_number)
        SELECT DISTINCT c.account_id, c.unrouted_line
        FROM communications AS c
        JOIN directory_records AS r ON r.account_id = c.account_id AND NOT r.deleted AND (
            (r.entity = 'line' AND r.id = c.unrouted_line AND r.document ->> 'inbox_id' IS NOT NULL)
            OR (r.entity = 'account' AND r.document ->> 'fallback_inbox_id' IS NOT NULL)
        )
        WHERE c.unrouted_line IS NOT NULL
        ORDER BY 1, 2
        ON CONFLICT DO NOTHING
        """
    )


async def unrouted_communications(
    connection: Connection, account_id: str, line_number: str, after: str, limit: int
) -> dict[Key, Communication]:
    """Lock some unrouted communications of a line ('' for all lines), by id beyond `after`.

    Served by `communications_unrouted`.
    """
    rows = await connection.fetch(
        """
        SELECT account_id, communication_id, version, document FROM communications
        WHERE unrouted_line IS NOT NULL AND account_id = $1
            AND ($2 = '' OR unrouted_line = $2) AND communication_id > $3
        ORDER BY communication_id LIMIT $4
        FOR UPDATE
        """,
        account_id,
        line_number,
        after,
        limit,
    )
    return {(row["account_id"], row["communication_id"]): _communication(row) for row in rows}


async def count_unrouted(connection: Connection) -> int:
    """How many communications of all accounts wait for a mapping."""
    count: int = await connection.fetchval("SELECT count(*) FROM communications WHERE unrouted_line IS NOT NULL")
    return count


async def unrouted_by_line(connection: Connection, account_id: str, after: str, limit: int) -> list[asyncpg.Record]:
    """What waits for a mapping: lines beyond `after` with their counts and the span of their activity."""
    return await connection.fetch(
        """
        SELECT unrouted_line AS line_number, count(*) AS waiting,
            min(unrouted_at) AS oldest_at, max(unrouted_at) AS newest_at
        FROM communications
        WHERE account_id = $1 AND unrouted_line > $2
        GROUP BY unrouted_line ORDER BY unrouted_line LIMIT $3
        """,
        account_id,
        after,
        limit,
    )


async def communication(
    connection: Connection, account_id: str, communication_id: str
) -> tuple[Communication, str | None] | None:
    """One communication and its inbox, unlocked, for reading; None where nothing is known of it."""
    row = await connection.fetchrow(
        """
        SELECT account_id, communication_id, version, document, inbox_id
        FROM communications
        WHERE account_id = $1 AND communication_id = $2 AND document IS NOT NULL
        """,
        account_id,
        communication_id,
    )
    return None if row is None else (_communication(row), row["inbox_id"])


async def save_presences(connection: Connection, presences: Mapping[Key, Presence]) -> None:
    """Keep the newest presence of each user by `(time, id)` (R5)."""
    rows = [(*key, presence.status, presence.time, presence.id) for key, presence in sorted(presences.items())]
    if not rows:
        return
    await connection.execute(
        """
        INSERT INTO presences AS p (account_id, user_id, status, time, event_id)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
        ON CONFLICT (account_id, user_id) DO UPDATE
        SET status = excluded.status, time = excluded.time, event_id = excluded.event_id
        WHERE (p.time, p.event_id) < (excluded.time, excluded.event_id)
        """,
        *map(list, zip(*rows, strict=True)),
    )


async def presences(connection: Connection, account_id: str, user_ids: Iterable[str]) -> dict[str, Presence]:
    """The presence of those users of whom one was ever told."""
    rows = await connection.fetch(
        "SELECT user_id, status, time, event_id FROM presences WHERE account_id = $1 AND user_id = ANY($2::text[])",
        account_id,
        list(user_ids),
    )
    return {row["user_id"]: Presence(row["status"], row["time"], row["event_id"]) for row in rows}


async def talking_users(connection: Connection, account_id: str, but: Iterable[str]) -> set[str]:
    """The users whom open calls keep from being rung (R5), leaving out the calls `but`."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT unnest(talking) AS user_id FROM communications
        WHERE account_id = $1 AND talking IS NOT NULL AND communication_id <> ALL($2::text[])
        """,
        account_id,
        list(but),
    )
    return {row["user_id"] for row in rows}


async def lock_ring_heads(
    connection: Connection, account_id: str, inbox_id: str, layers: Iterable[tuple[int, str]]
) -> dict[tuple[int, str], Instant]:
    """Lock the round-robin memory of an inbox for these layers and users; -1: never headed yet.

    Locked until the transaction ends, so that two replicas never ring the same head twice.
    """
    ordered = sorted(layers)
    places, users = [place for place, _ in ordered], [user for _, user in ordered]
    await connection.execute(
        """
        INSERT INTO ring_heads (account_id, inbox_id, place, user_id)
        SELECT $1, $2, * FROM unnest($3::integer[], $4::text[])
        ON CONFLICT DO NOTHING
        """,
        account_id,
        inbox_id,
        places,
        users,
    )
    rows = await connection.fetch(
        """
        SELECT place, user_id, last_headed_at FROM ring_heads
        WHERE account_id = $1 AND inbox_id = $2
            AND (place, user_id) IN (SELECT * FROM unnest($3::integer[], $4::text[]))
        ORDER BY place, user_id
        FOR UPDATE
        """,
        account_id,
        inbox_id,
        places,
        users,
    )
    return {(row["place"], row["user_id"]): row["last_headed_at"] for row in rows}


async def ring_heads(connection: Connection, account_id: str, inbox_id: str) -> dict[tuple[int, str], Instant]:
    """The round-robin memory of an inbox, for looking only."""
    rows = await connection.fetch(
        "SELECT place, user_id, last_headed_at FROM ring_heads WHERE account_id = $1 AND inbox_id = $2",
        account_id,
        inbox_id,
    )
    return {(row["place"], row["user_id"]): row["last_headed_at"] for row in rows}


async def save_ring_heads(
    connection: Connection, account_id: str, inbox_id: str, heads: Mapping[tuple[int, str], Instant]
) -> None:
    """Remember who headed each layer; the rows are held by `lock_ring_heads`."""
    ordered = sorted(heads.items())
    await connection.execute(
        """
        UPDATE ring_heads AS h SET last_headed_at = n.at
        FROM unnest($3::integer[], $4::text[], $5::bigint[]) AS n (place, user_id, at)
        WHERE h.account_id = $1 AND h.inbox_id = $2 AND h.place = n.place AND h.user_id = n.user_id
        """,
        account_id,
        inbox_id,
        [place for (place, _), _ in ordered],
        [user for (_, user), _ in ordered],
        [at for _, at in ordered],
    )


async def save_talks(connection: Connection, ended: Mapping[Key, Instant]) -> None:
    """Keep the latest end of a talk of each user: the memory of longest idle."""
    if not ended:
        return
    rows = [(*key, at) for key, at in sorted(ended.items())]
    await connection.execute(
        """
        INSERT INTO talks AS t (account_id, user_id, ended_at)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
        ON CONFLICT (account_id, user_id) DO UPDATE SET ended_at = excluded.ended_at
        WHERE t.ended_at < excluded.ended_at
        """,
        *map(list, zip(*rows, strict=True)),
    )


async def talks(connection: Connection, account_id: str, user_ids: Iterable[str]) -> dict[str, Instant]:
    """When each of these users last ended a talk."""
    rows = await connection.fetch(
        "SELECT user_id, ended_at FROM talks WHERE account_id = $1 AND user_id = ANY($2::text[])",
        account_id,
        list(user_ids),
    )
    return {row["user_id"]: row["ended_at"] for row in rows}


async def save_refusals(connection: Connection, refusals: Mapping[Key, Fact[str]]) -> None:
    """Keep the least refusal of each command by `(time, id)`."""
    if not refusals:
        return
    rows = [
        (*key, moment(fact.time), fact.id, moment(fact.appended_at), fact.said)
        for key, fact in sorted(refusals.items())
    ]
    await connection.execute(
        """
        INSERT INTO refusals AS r (account_id, command_id, time, event_id, appended_at, reason)
        SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::text[])
        ON CONFLICT (account_id, command_id) DO UPDATE
        SET time = excluded.time, event_id = excluded.event_id,
            appended_at = excluded.appended_at, reason = excluded.reason
        WHERE (excluded.time, excluded.event_id, excluded.appended_at) < (r.time, r.event_id, r.appended_at)
        """,
        *map(list, zip(*rows, strict=True)),
    )


async def refusals(connection: Connection, commands: Iterable[Key]) -> dict[Key, Fact[str]]:
    """The refusals of these commands, by account and command."""
    keys = sorted(commands)
    rows = await connection.fetch(
        """
        SELECT account_id, command_id, time, event_id, appended_at, reason FROM refusals
        WHERE (account_id, command_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
        """,
        [account for account, _ in keys],
        [command for _, command in keys],
    )
    return {
        (row["account_id"], row["command_id"]): Fact(
            instant(row["time"]), row["event_id"], instant(row["appended_at"]), row["reason"]
        )
        for row in rows
    }


async def requested_by(connection: Connection, commands: Iterable[Key]) -> list[Key]:
    """The communications that these commands were sent for. Served by `communications_by_command`."""
    keys = sorted(commands)
    rows = await connection.fetch(
        """
        SELECT account_id, communication_id FROM communications
        WHERE command_id IS NOT NULL
            AND (account_id, command_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
        """,
        [account for account, _ in keys],
        [command for _, command in keys],
    )
    return [(row["account_id"], row["communication_id"]) for row in rows]


async def next_account(connection: Connection, after: str) -> str | None:
    """The first account beyond `after` of which any communication is kept."""
    account_id: str | None = await connection.fetchval(
        "SELECT min(account_id) FROM communications WHERE account_id > $1", after
    )
    return account_id


@dataclass(slots=True)
class Stretch:
    """Some of an account's communications, by id: the `routed` ones that were asked for, and how many wait unrouted.

    `last` is the last id that was looked at, None where there was none; `goes_on`: there may be more beyond it.
    """

    routed: list[Communication]
    unrouted: int
    last: str | None
    goes_on: bool


async def stretch_of(connection: Connection, account_id: str, after: str, since: Instant, limit: int) -> Stretch:
    """Look at `limit` communications of an account by id beyond `after`, and load the routed ones, unlocked.

    Only those whose content changed at `since` or later: their versions are times. So many are looked at, and not
    found: however few they are, no statement reads the whole table.
    """
    rows = await connection.fetch(
        """
        SELECT account_id, communication_id, version,
            CASE WHEN inbox_id IS NOT NULL AND version >= $3 THEN document END AS document,
            inbox_id IS NULL AND unrouted_line IS NOT NULL AS is_unrouted
        FROM communications
        WHERE account_id = $1 AND communication_id > $2
        ORDER BY communication_id LIMIT $4
        """,
        account_id,
        after,
        since,
        limit,
    )
    return Stretch(
        [_communication(row) for row in rows if row["document"] is not None],
        sum(row["is_unrouted"] for row in rows),
        rows[-1]["communication_id"] if rows else None,
        len(rows) == limit,
    )
