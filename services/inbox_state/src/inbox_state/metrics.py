"""What inbox_state measures beside what every service does (contract §4)."""

from __future__ import annotations

from typing import Final

from service_kit.metrics import counter, histogram

EVENT_TO_VIEW_SECONDS: Final = histogram(
    "event_to_view_seconds",
    "Seconds from a telephony event's arrival at the broker to its row being visible; replays are left out.",
)
THREADS_COUNTED_ANEW: Final = counter(
    "threads_counted_anew_total",
    "Threads whose figures had to be counted from their communications, because a change alone could not tell.",
)
AUTO_MARKED: Final = counter(
    "auto_marked_threads_total",
    "Threads in which auto-mark has read something.",
)
