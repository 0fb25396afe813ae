"""What comes at once, and what is gathered: in a burst (N5), and in a watcher's quiet hours (N6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from notification.quiet_hours import Quiet
from notification.watcher_settings import EmailKind


@dataclass(frozen=True, slots=True)
class Window:
    """What one watcher hears of one inbox until `ends_at` is gathered; `holds`: a digest goes out then.

    `since`: when the first thing was put into that digest. It tells the digest from another one that was to go
    out at the same time, and went early.
    """

    ends_at: datetime
    holds: bool = False
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Now:
    """An e-mail of its own, at once."""


@dataclass(frozen=True, slots=True)
class Held:
    """Part of the digest that goes out when this window ends."""

    window: Window


def place(
    window: Window | None, kind: EmailKind, length: timedelta, now: datetime, quiet: Quiet | None = None
) -> tuple[Now | Held, Window | None]:
    """When a watcher hears of something, and the window that then holds.

    The first e-mail opens a window, and so does the digest that ends one: an endless burst gives one e-mail
    per window. A voicemail is not held by the window; it opens one where none is open.

    What falls in his quiet hours comes as one digest at their end, voicemails included (N6). So does what a
    window would let out in the midst of them.
    """
    if quiet is not None and (quiet_until := quiet.until(now)) is not None:
        return _held(window, quiet_until, now)
    if not length:
        return Now(), window
    open_window = _open(window, length, now)
    if open_window is None:
        return Now(), Window(ends_at=now + length)
    if kind == "voicemail":
        return Now(), open_window
    ends_at = open_window.ends_at
    if quiet is not None:
        ends_at = quiet.until(ends_at) or ends_at
    return _held(open_window, ends_at, now)


def ended_early(window: Window, now: datetime) -> Window:
    """The window of a digest that is being sent already: by a replica whose clock is ahead of ours, or because
    the watcher's quiet hours were changed.
    """
    return Window(ends_at=min(window.ends_at, now), holds=True)


def _held(window: Window | None, ends_at: datetime, now: datetime) -> tuple[Held, Window]:
    if window is None or not window.holds or window.ends_at != ends_at:
        window = Window(ends_at, holds=True, since=now)
    return Held(window), window


def _open(window: Window | None, length: timedelta, now: datetime) -> Window | None:
    if window is None:
        return None
    if now < window.ends_at:
        return window
    if window.holds and now < window.ends_at + length:
        return Window(ends_at=window.ends_at + length)
    return None
