"""A thread's figures by their definition, worked out from all of its communications as they stand in their rows."""

from __future__ import annotations

from collections.abc import Collection

from inbox_state.read_state import Position, is_unread, reads_through, unread_since
from inbox_state.threads import Communication, Counted, Name, Thread


def counted_plainly(thread: Thread, members: Collection[Communication]) -> Counted:
    """What counting the thread anew must find, name included."""
    marks = [
        reads_through(row.reads_through, row.acted_at, thread.state)
        for row in members
        if row.reads_through is not None and row.acted_at is not None
    ]
    mark = max([thread.state.settled_through, *marks])
    state = thread.state._replace(read_through=mark)
    unread = [row for row in members if is_unread(row, state)]
    latest = max(members, key=lambda row: (row.activity_at, row.communication_id), default=None)
    sent = [row for row in members if row.delivered is not None]
    last = max(sent, key=lambda row: (row.activity_at, row.communication_id), default=None)
    named = max(
        (row for row in members if row.contact_name is not None),
        key=lambda row: (row.activity_at, row.communication_id),
        default=None,
    )
    return Counted(
        read_through=mark,
        unread=len(unread),
        unread_since=min((unread_since(row, state) for row in unread), default=None),
        newest_attention=max((row.position for row in members if row.wants_attention), default=Position("")),
        active_calls=sum(row.active for row in members),
        last_activity_at=latest.activity_at if latest else None,
        latest_id=latest.communication_id if latest else None,
        send_failed=last is not None and last.delivered is False,
        name=Name(named.contact_name, named.activity_at, named.communication_id)
        if named is not None and named.contact_name is not None
        else None,
    )
