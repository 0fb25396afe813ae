"""What routing measures (contract §4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from routing.communications import RING_WITHIN
from service_kit.clock import Clock
from service_kit.metrics import counter, gauge, histogram

SERVICE: Final = "routing"

RING_PLAN_SECONDS: Final = histogram(
    "ring_plan_seconds", "Seconds from the append of what called for a ring plan to the acknowledgement of its command."
)
UNROUTED: Final = gauge("unrouted_communications", "Communications that wait for their line to be mapped (R3).")
NOT_TAKEN: Final = counter(
    "commands_not_taken_total", "Requests that no telephony system took in time (M4).", ("service", "system")
)
LAST_EVENT_AGE: Final = gauge(
    "telephony_last_event_age_seconds",
    "Seconds since the newest event of a telephony system that this process has read, or since it first knew of it.",
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

    def expect(self, systems: Collection[str]) -> None:
        """These have lines, so something is to be heard of them; those that have none any more are forgotten."""
        for system in set(systems) - set(self._at):
            self.heard(system, self._clock())
        for system in set(self._at) - set(systems):
            del self._at[system]
            LAST_EVENT_AGE.remove(SERVICE, system)
        for system in systems:
            # From 0 on, so that its first request that nobody takes shows as an increase.
            NOT_TAKEN.labels(service=SERVICE, system=system)

    def _age(self, system: str) -> float:
        at = self._at.get(system)
        return 0.0 if at is None else max((self._clock() - at).total_seconds(), 0.0)


class PlansUnderWay:
    """Measures `ring_plan_seconds`: from the append of what called for a plan to the broker having its command.

    A batch whose publication fails comes again with its plans decided already: they are remembered until then.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._deadlines: dict[tuple[str, str], datetime] = {}

    def decided(self, planned: Mapping[tuple[str, str], datetime]) -> None:
        """These plans were saved, and their commands are about to be published until the deadlines."""
        now = self._clock()
        self._deadlines = {key: deadline for key, deadline in self._deadlines.items() if deadline > now}
        self._deadlines.update(planned)

    def acknowledged(self, rung: Sequence[tuple[str, str]]) -> None:
        """The broker has the commands of these calls."""
        now = self._clock()
        for key in rung:
            deadline = self._deadlines.pop(key, None)
            if deadline is not None:
                RING_PLAN_SECONDS.labels(service=SERVICE).observe((now - (deadline - RING_WITHIN)).total_seconds())
