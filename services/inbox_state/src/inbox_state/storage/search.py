"""What search finds things by, and the finding (I5). Everything here is derived from threads and communications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from inbox_state.searching import Sought, number_key, words_of
from inbox_state.threads import Communication, Thread
from service_kit.database import Connection, insert_new

FEW: Final = 1_000
"""So many hits are looked up one by one; where there are more, the list is walked, since the next hit is near."""

_LAST_CHARACTER: Final = "\U0010ffff"


def _vector(alias: str, column: str = "words") -> str:
    # As the indexes have it, letter by letter.
    return (
        f"(to_tsvector('pg_catalog.simple', {alias}.{column})"
        f" || array_to_tsvector(ARRAY[E'\\x01' || {alias}.account_id]))"
    )


async def insert_texts(connection: Connection, communications: Sequence[Communication]) -> None:
    """Write the texts of communications that are new here; raises `Raced` where somebody else was faster."""
    rows = sorted((one.account_id, one.communication_id, one.text) for one in communications if one.text is not None)
    await insert_new(connection, "searchable_texts", ("account_id", "communication_id", "words"), rows)


async def save_texts(connection: Connection, communications: Sequence[Communication]) -> None:
    """Write the texts of communications that were known and are locked, where they changed."""
    rows = sorted((one.account_id, one.communication_id, one.text) for one in communications if one.text is not None)
    if not rows:
        return
    await connection.execute(
        """
        INSERT INTO searchable_texts AS held (account_id, communication_id, words)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        ON CONFLICT (account_id, communication_id) DO UPDATE SET words = excluded.words
        WHERE held.words <> excluded.words
        """,
        *zip(*rows, strict=True),
    )


async def insert_threads(connection: Connection, threads: Sequence[Thread]) -> None:
    """Write what new threads are found by; raises `Raced` where somebody else was faster."""
    rows = sorted(
        (one.account_id, one.thread_id, one.inbox_id, number_key(one.contact_number), _words(one.contact_name))
        for one in threads
    )
    await insert_new(connection, "searchable_threads", ("account_id", "thread_id", "inbox_id", "number", "words"), rows)


async def save_names(connection: Connection, threads: Sequence[Thread]) -> None:
    """Write the names of locked threads whose names changed."""
    if not threads:
        return
    await connection.execute(
        """
        UPDATE searchable_threads AS held SET words = new.words
        FROM unnest($1::text[], $2::text[], $3::text[]) AS new (account_id, thread_id, words)
        WHERE held.account_id = new.account_id AND held.thread_id = new.thread_id
        """,
        [one.account_id for one in threads],
        [one.thread_id for one in threads],
        [_words(one.contact_name) for one in threads],
    )


def _words(name: str | None) -> str | None:
    return words_of(name) if name is not None else None


@dataclass(frozen=True, slots=True)
class Few:
    """All that was found: threads by their contact's number or name, communications by their text."""

    threads: list[str]
    communications: list[str]
    threads_of_communications: list[str]


class Many:
    """More than can be looked up one by one."""


async def hits(connection: Connection, account_id: str, inboxes: Sequence[str], sought: Sought) -> Few | Many:
    """What of these inboxes is found. Each kind of hit comes from an index of its own."""
    rows = await connection.fetch(
        f"""
        (
            SELECT s.thread_id, NULL FROM unnest($2::text[]) AS i (inbox_id)
            CROSS JOIN unnest($3::text[], $4::text[]) AS r (low, high)
            CROSS JOIN LATERAL (
                SELECT thread_id FROM searchable_threads
                WHERE account_id = $1 AND inbox_id = i.inbox_id AND number >= r.low AND number < r.high
                LIMIT $8
            ) AS s
            LIMIT $8
        )
        UNION ALL
        (
            SELECT s.thread_id, NULL FROM unnest($2::text[]) AS i (inbox_id)
            CROSS JOIN unnest($5::text[], $6::text[]) AS r (low, high)
            CROSS JOIN LATERAL (
                SELECT thread_id FROM searchable_threads
                WHERE account_id = $1 AND inbox_id = i.inbox_id
                    AND reverse(number) >= r.low AND reverse(number) < r.high
                LIMIT $8
            ) AS s
            LIMIT $8
        )
        UNION ALL
        (
            SELECT s.thread_id, NULL FROM searchable_threads AS s
            WHERE s.words IS NOT NULL AND {_vector("s")} @@ $7::tsquery
                AND s.account_id = $1 AND s.inbox_id = ANY ($2)
            LIMIT $8
        )
        UNION ALL
        (
            SELECT s.thread_id, NULL
            FROM (
                SELECT c.contact_number FROM contacts AS c
                WHERE {_vector("c")} @@ $7::tsquery AND c.account_id = $1
                LIMIT $8
            ) AS named
            CROSS JOIN unnest($2::text[]) AS i (inbox_id)
            CROSS JOIN LATERAL (
                SELECT thread_id FROM searchable_threads
                WHERE account_id = $1 AND inbox_id = i.inbox_id AND number = lower(named.contact_number)
                LIMIT $8
            ) AS s
            LIMIT $8
        )
        UNION ALL
        (
            SELECT c.thread_id, c.communication_id
            FROM searchable_texts AS x
            JOIN communications AS c ON c.account_id = x.account_id AND c.communication_id = x.communication_id
            WHERE {_vector("x")} @@ $7::tsquery AND x.account_id = $1
                AND c.account_id = $1 AND c.inbox_id = ANY ($2) AND c.thread_id IS NOT NULL
            LIMIT $8
        )
        """,  # noqa: S608 - put together from constants; every value is an argument
        account_id,
        list(inboxes),
        *_ranges(sought),
        _query(account_id, sought),
        FEW + 1,
    )
    threads = {row[0] for row in rows if row[1] is None}
    texts = {row[1]: row[0] for row in rows if row[1] is not None}
    if len(threads) > FEW or len(texts) > FEW:
        return Many()
    return Few(sorted(threads), sorted(texts), sorted(set(texts.values())))


def found_by_contact(sought: Sought, add: Any) -> str:
    """Whether a thread `t` is found by its contact's number or name; `add` makes a value an argument."""
    low, high, low_ending, high_ending = (add(values) for values in _ranges(sought))
    query = add(_words_query(sought))
    return f"""(
        EXISTS (
            SELECT FROM searchable_threads AS s
            WHERE s.account_id = t.account_id AND s.thread_id = t.thread_id
                AND (
                    EXISTS (
                        SELECT FROM unnest({low}::text[], {high}::text[]) AS r (low, high)
                        WHERE s.number >= r.low AND s.number < r.high
                    )
                    OR EXISTS (
                        SELECT FROM unnest({low_ending}::text[], {high_ending}::text[]) AS r (low, high)
                        WHERE reverse(s.number) >= r.low AND reverse(s.number) < r.high
                    )
                    OR to_tsvector('pg_catalog.simple', s.words) @@ {query}::tsquery
                )
        )
        OR EXISTS (
            SELECT FROM contacts AS n
            WHERE n.account_id = t.account_id AND n.contact_number = t.contact_number
                AND to_tsvector('pg_catalog.simple', n.words) @@ {query}::tsquery
        )
    )"""  # noqa: S608 - put together from constants; every value is an argument


def found_by_text(sought: Sought, add: Any) -> str:
    """Whether a communication `c` is found by its text."""
    return f"""EXISTS (
        SELECT FROM searchable_texts AS x
        WHERE x.account_id = c.account_id AND x.communication_id = c.communication_id
            AND to_tsvector('pg_catalog.simple', x.words) @@ {add(_words_query(sought))}::tsquery
    )"""


def _ranges(sought: Sought) -> tuple[list[str], list[str], list[str], list[str]]:
    # Bounds instead of LIKE: an index serves them whatever plan is kept for the statement.
    return (
        list(sought.beginnings),
        [one + _LAST_CHARACTER for one in sought.beginnings],
        list(sought.endings),
        [one + _LAST_CHARACTER for one in sought.endings],
    )


def _query(account_id: str, sought: Sought) -> str:
    if not sought.words:
        return ""
    account = account_id.replace("\\", "\\\\").replace("'", "''")
    return f"'\x01{account}' & {_words_query(sought)}"


def _words_query(sought: Sought) -> str:
    # Words hold letters and digits only. Each may go on: who looks for "invoi" finds the invoices.
    return " & ".join(f"'{word}':*" for word in sought.words)
