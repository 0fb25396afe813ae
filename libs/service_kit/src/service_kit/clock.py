"""The only place where the time of day and fresh ids come from; everything else takes them as arguments."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

import uuid_utils

Clock = Callable[[], datetime]
"""Tells the time: aware, in UTC."""

Identify = Callable[[], str]
"""Makes a fresh id."""


def utc_now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh UUIDv7 as text: ids that were made later sort later."""
    return str(uuid_utils.uuid7())


def new_secret() -> str:
    """A fresh text of 256 random bits that nobody can guess, safe in a URL."""
    return secrets.token_urlsafe(32)
