"""The account that everything is measured with: 20 teams, 200 users, 40 inboxes and 100 lines."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from devstack.simulator import Setup, StaffedLine
from service_kit.auth import sign
from service_kit.clock import utc_now
from tests.bench.servers import SECRET, Bench
from tests.support.http import http_client

ACCOUNT: Final = "bench"
ZONE: Final = "Europe/Berlin"
TEAMS, USERS, INBOXES, LINES = 20, 200, 40, 100
MODES: Final = ("simultaneous", "round_robin", "longest_idle", "random")

_MEMBERS: Final = {
    f"team-{team}": tuple(f"user-{user}" for user in range(USERS) if user % TEAMS == team) for team in range(TEAMS)
}


def team_of(inbox: int) -> str:
    """The team that works an inbox."""
    return f"team-{inbox % TEAMS}"


def an_account() -> Setup:
    """What the simulator knows of it."""
    return Setup(
        account_id=ACCOUNT,
        lines=tuple(
            StaffedLine(
                number=f"+1212555{1000 + line:04}",
                inbox_id=f"inbox-{line % INBOXES}",
                user_ids=_MEMBERS[team_of(line % INBOXES)],
            )
            for line in range(LINES)
        ),
    )


async def set_up(bench: Bench) -> None:
    """Put it into the running routing service; its inboxes ring in all four modes."""
    token = sign(
        SECRET, user_id="bench", account_id=ACCOUNT, now=utc_now(), lasts=timedelta(hours=1), scope="directory"
    )
    async with http_client(bench.url("routing"), headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:

        async def put(path: str, body: object) -> None:
            answer = await client.put(path, json=body)
            if answer.is_error:
                raise RuntimeError(f"PUT {path}: {answer.status_code} {answer.text}")

        await put("/v1/account", {"name": "Bench", "time_zone": ZONE})
        for user_id in sorted(user for members in _MEMBERS.values() for user in members):
            person = {"name": user_id, "email": f"{user_id}@example.com", "endpoints": [f"sip:{user_id}@bench"]}
            await put(f"/v1/users/{user_id}", person)
        for team_id, members in _MEMBERS.items():
            await put(f"/v1/teams/{team_id}", {"name": team_id, "members": members})
        for inbox in range(INBOXES):
            team_id = team_of(inbox)
            layer = {"mode": MODES[inbox // TEAMS * 2 + inbox % 2], "teams": [team_id]}
            body = {"name": f"inbox-{inbox}", "agents": {"teams": [team_id]}, "ring_layers": [layer]}
            await put(f"/v1/inboxes/inbox-{inbox}", body)
        for line in an_account().lines:
            await put(f"/v1/lines/{line.number}", {"inbox_id": line.inbox_id})
