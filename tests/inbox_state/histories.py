"""Hypothesis strategies: what may happen to a few communications of a few contacts."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from contracts.communications import CommunicationChanged
from tests.inbox_state.words import CUSTOMER, NEIGHBOUR, SALES_LINE, at

minutes = st.integers(0, 6)


@st.composite
def a_history(draw: st.DrawFn, id: str) -> list[CommunicationChanged]:
    """The versions of one communication: it may move, end, be corrected in any field."""
    kind = draw(st.sampled_from(["call", "message"]))
    direction = draw(st.sampled_from(["inbound", "outbound"]))
    requested = direction == "outbound" and draw(st.booleans())
    requested_at = at(draw(minutes)) if requested else None
    versions = []
    for version in range(1, draw(st.integers(1, 3)) + 1):
        fields: dict[str, Any] = {
            "communication_id": id,
            "kind": kind,
            "direction": direction,
            "inbox_id": draw(st.sampled_from(["sales", "sales", "support"])),
            "line_number": SALES_LINE,
            "contact_name": draw(st.sampled_from([None, None, "Clara", "WIRELESS CALLER"])),
            "contact_number": draw(st.sampled_from([CUSTOMER, CUSTOMER, NEIGHBOUR, "anonymous"])),
            "requested_at": requested_at,
            "started_at": requested_at or at(draw(minutes)),
            "activity_at": at(draw(minutes)),
            "received_at": requested_at or at(draw(minutes)),
            "version": version * 10,
        }
        if direction == "inbound":
            fields["unread_at"] = draw(st.none() | minutes.map(at))
            fields["status"] = "received"
            if kind == "call":
                fields["answered_at"] = draw(st.none() | minutes.map(at))
                fields["user_id"] = draw(st.sampled_from(["anna", "wilma"])) if fields["answered_at"] else None
                fields["status"] = draw(st.sampled_from(["ringing", "in_progress", "completed", "missed"]))
        else:
            fields["user_id"] = draw(st.sampled_from(["anna", "anna", "wilma", None]))
            fields["status"] = draw(
                st.sampled_from(
                    ["in_progress", "completed", "no_answer"]
                    if kind == "call"
                    else ["queued", "sent", "delivered", "failed", "undelivered"]
                )
            )
        versions.append(CommunicationChanged.model_validate(fields))
    return versions


@st.composite
def snapshots(draw: st.DrawFn, most: int = 6) -> list[CommunicationChanged]:
    """All versions of a few communications."""
    return [one for number in range(draw(st.integers(1, most))) for one in draw(a_history(f"c{number}"))]


@st.composite
def deliveries(draw: st.DrawFn, of: list[CommunicationChanged]) -> list[list[CommunicationChanged]]:
    """Some order of all of them, some repeated, cut into batches."""
    order = draw(st.permutations(of + draw(st.lists(st.sampled_from(of), max_size=4))))
    batches: list[list[CommunicationChanged]] = [[]]
    for one in order:
        batches[-1].append(one)
        if draw(st.booleans()):
            batches.append([])
    return [batch for batch in batches if batch]
