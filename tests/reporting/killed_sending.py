"""Runs reporting so that it kills itself, with SIGKILL, at one step of sending a report.

The product has no hooks for this: its own functions are wrapped from outside, then its `__main__` runs. `KILL_AT`
names the step.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from typing import Any, Literal, get_args

from contracts.topics import EMAIL_REQUESTS
from reporting import reports
from service_kit.publishing import Outgoing, Publisher
from tests.faults.killed import die

Step = Literal["before the commit", "before the broker has it", "before the outbox forgets it"]

STEPS: tuple[Step, ...] = get_args(Step)


def wrap(step: Step) -> None:
    """Make reporting die at `step` of the first report that it sends."""
    send, publish = reports.send, Publisher.publish

    async def mortal_send(*arguments: Any) -> int:
        count = await send(*arguments)
        if step == "before the commit" and count:
            die()
        return count

    async def mortal_publish(self: Publisher, records: Sequence[Outgoing]) -> None:
        are_emails = any(record.topic == EMAIL_REQUESTS.name for record in records)
        if step == "before the broker has it" and are_emails:
            die()
        await publish(self, records)
        if step == "before the outbox forgets it" and are_emails:
            die()

    reports.send = mortal_send  # type: ignore[assignment] # the fault is injected here
    Publisher.publish = mortal_publish  # type: ignore[method-assign] # the fault is injected here


if __name__ == "__main__":
    at = os.environ["KILL_AT"]
    assert at in STEPS
    wrap(at)
    sys.argv = ["reporting"]
    runpy.run_module("reporting", run_name="__main__")
