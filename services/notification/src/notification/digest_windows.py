"""A burst does not become a storm: what follows an e-mail within the window comes as one digest (N5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from notification.watcher_settings import EmailKind


@dataclass(frozen=True, slots=True)
class Window:
    """What one watcher hears of one inbox until `ends_at` is gathered; `holds`: a digest goes out then."""

    ends_at: datetime
    holds: bool = False


@dataclass(frozen=True, slots=True)
class Now:
    """An e-mail of its own, at once."""


@dataclass(frozen=True, slots=True)
class Held:
    """Part of the digest that goes out then."""

    until: datetime


def place(window: Window | None, kind: EmailKind, length: timedelta, now: datetime) -> tuple[Now | Held, Window | None]:
    """When a watcher hears of something, and the window that then holds.

    The first e-mail opens a window, and so does the digest that ends one: an endless burst gives one e-mail
    per window. A voicemail is never held; it opens a window where none is open.
    """
    if not length:
        return Now(), window
    open_window = _open(window, length, now)
    if open_window is None:
        return Now(), Window(ends_at=now + length)
    if kind == "voicemail":
        return Now(), open_window
    return Held(open_window.ends_at), Window(ends_at=open_window.ends_at, holds=True)


def ended_early(window: Window, now: datetime) -> Window:
    """The window of a digest that another replica, with a clock ahead of ours, has begun to send."""
    return Window(ends_at=min(window.ends_at, now), holds=True)


def _open(window: Window | None, length: timedelta, now: datetime) -> Window | None:
    if window is None:
        return None
    if now < window.ends_at:
        return window
    if window.holds and now < window.ends_at + length:
        return Window(ends_at=window.ends_at + length)
    return None
