"""What inbox_state measures beside what every service does (contract §4)."""

from __future__ import annotations

from typing import Final

from service_kit.metrics import counter, gauge, histogram

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
STREAM_CLIENTS: Final = gauge("stream_clients", "Open live streams.")
STREAM_CLIENTS_CUT_OFF: Final = counter(
    "stream_clients_cut_off_total",
    "Live streams that were cut off because their client did not read fast enough.",
)
STREAM_RESETS: Final = counter(
    "stream_resets_total",
    "Times that a client was told to load again: too long away, access gained, or too much changed at once.",
)
