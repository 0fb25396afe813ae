"""What routing measures (contract §4)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from service_kit.clock import Clock
from service_kit.metrics import counter, gauge, histogram

SERVICE: Final = "routing"

RING_PLAN_SECONDS: Final = histogram(
    "ring_plan_seconds", "Seconds from the append of what called for a ring plan to its decision being saved."
)
UNROUTED: Final = gauge("unrouted_communications", "Communications that wait for their line to be mapped (R3).")
NOT_TAKEN: Final = counter(
    "commands_not_taken_total", "Requests that no telephony system took in time (M4).", ("service", "system")
)
LAST_EVENT_AGE: Final = gauge(
    "telephony_last_event_age_seconds",
    "Seconds since the newest event of a telephony system that this process has read.",
    ("service", "system"),
)


class LastEvents:
    """Remembers when each telephony system was last heard of, for `telephony_last_event_age_seconds`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: dict[str, datetime] = {}

    def heard(self, system: str, appended_at: datetime) -> None:
        """An event of this system reached us at that time."""
        known = self._at.get(system)
        if known is None:
            LAST_EVENT_AGE.labels(service=SERVICE, system=system).set_function(lambda: self._age(system))
        if known is None or known < appended_at:
            self._at[system] = appended_at

    def _age(self, system: str) -> float:
        return max((self._clock() - self._at[system]).total_seconds(), 0.0)
