"""Every table of inbox_state is either derived or kept: a new one has to be given its side."""

from __future__ import annotations

import psycopg

from inbox_state.storage.rebuilding import DERIVED, KEPT
from tests.support.databases import FreshDatabase


def test_every_table_is_derived_or_kept(database: FreshDatabase) -> None:
    with psycopg.connect(database.dsn("inbox_state")) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'inbox_state'").fetchall()
    tables = {name for (name,) in found if "yoyo" not in name}
    assert tables <= {*DERIVED, *KEPT}
    assert not {*DERIVED} & {*KEPT}
