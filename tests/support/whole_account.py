"""An account of the size that issue and contract speak of, as a set-up file."""

from __future__ import annotations

from typing import Any

import yaml

TEAMS, USERS, INBOXES, LINES, WATCHERS = 20, 200, 40, 100, 3
PERSONAL = 5

_SHIFT = [{"from": "09:00", "to": "12:30"}, {"from": "13:30", "to": "18:00"}]
_NIGHT = [{"from": "22:00", "to": "06:00"}]


def whole_account(account_id: str = "acme") -> str:
    """20 teams, 200 users, 40 inboxes with every setting that an inbox has, and 100 lines, as YAML."""
    document = {
        "account": {
            "account_id": account_id,
            "name": "Acme & Söhne: the whole company",
            "time_zone": "Europe/Berlin",
            "fallback_inbox_id": "inbox-00",
            "admins_see_all": True,
        },
        "users": {f"user-{number:03}": _user(number) for number in range(USERS)},
        "teams": {f"team-{number:02}": _team(number) for number in range(TEAMS)},
        "inboxes": {f"inbox-{number:02}": _inbox(number) for number in range(INBOXES)},
        "lines": {f"+1212555{1000 + number}": _line(number) for number in range(LINES)},
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _user(number: int) -> dict[str, Any]:
    return {
        "name": f"User {number}",
        "email": f"user-{number:03}@acme.example",
        "role": "admin" if number % 50 == 0 else "agent",
        "time_zone": "America/New_York" if number % 3 == 0 else None,
        "rings": number % 17 != 0,
        "active": number % 41 != 40,
        "endpoints": [f"sip:{1000 + number}@pbx", f"client:user-{number:03}"][: 1 + number % 2],
    }


def _team(number: int) -> dict[str, Any]:
    members = [f"user-{member:03}" for member in range(number, USERS, TEAMS)]
    return {"name": f"Team {number}", "members": members, "supervisors": [f"user-{number * 10:03}"]}


def _inbox(number: int) -> dict[str, Any]:
    watchers = [f"user-{(number * 7 + place * 31) % USERS:03}" for place in range(WATCHERS)]
    settings = {
        "watchers": watchers,
        "watcher_notifications": {
            "enabled": number % 2 == 0,
            "events": ["voicemail", "missed_call"],
            "digest_minutes": number % 4 * 5,
        },
        "automations": {
            "auto_mark_as_read": {"enabled": number % 3 == 0, "after_hours": 24 * (1 + number)},
            "manual_mark_as_read_only": number % 5 == 0,
        },
        "report_notifications": {
            "enabled": number % 2 == 1,
            "reports": ["daily_activity"],
            "recipients": ["watching", "team_supervisors"],
            "lines": "all" if number % 3 else [f"+1212555{1000 + number}"],
            "users": "all" if number % 4 else [],
            "send_at": "17:30",
        },
    }
    if number >= INBOXES - PERSONAL:
        return {"name": f"Own {number}", "kind": "personal", "owner_id": f"user-{number:03}"} | settings
    team, member = f"team-{number % TEAMS:02}", f"user-{number % TEAMS:03}"
    hours = {"mon": _SHIFT, "fri": _NIGHT, "closures": ["2026-12-25", "2027-01-01"]} if number % 4 == 0 else None
    return {
        "name": f"Inbox {number}",
        "agents": {"users": [f"user-{number * 3:03}"], "teams": [team]},
        "ring_layers": [
            {"mode": "round_robin", "users": [member], "ring_seconds": 20},
            {"mode": "simultaneous", "teams": [team]},
        ],
        "business_hours": hours,
        "time_zone": "Australia/Lord_Howe" if number % 6 == 0 else None,
    } | settings


def _line(number: int) -> dict[str, Any]:
    return {
        "inbox_id": f"inbox-{number % INBOXES:02}" if number % 25 != 24 else None,
        "name": f"Line {number}",
        "primary": number < INBOXES and number % 25 != 24,
        "telephony_system": "pbx" if number % 2 else "default",
        "rings_itself": number % 10 == 0,
    }
