"""The metrics that every service shares, with the contract's names and base units (contract §4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import Counter, Gauge, Histogram

PREFIX: Final = "connected_inbox"
LATENCY_BUCKETS: Final = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    300,
)


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric as operators see it: its whole name, its kind, what it means, and its labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...]
    metric: Counter | Gauge | Histogram


declared: Final[list[Declared]] = []
"""Every metric of the modules imported so far, in the order of their declaration: docs/metrics.md is made of it."""


def start_at_zero(service: str) -> None:
    """Let what this service counts and measures show from its start on.

    A counter that appears with its first count shows no increase to whoever watches it.
    """
    for one in declared:
        if one.kind != "gauge" and one.labels == ("service",):
            one.metric.labels(service=service)


def counter(name: str, meaning: str, labels: tuple[str, ...] = ("service",)) -> Counter:
    """A counter under the project's prefix; `name` ends in `_total`."""
    made = Counter(f"{PREFIX}_{name}", meaning, labels)
    declared.append(Declared(f"{PREFIX}_{name}", "counter", meaning, labels, made))
    return made


def gauge(name: str, meaning: str, labels: tuple[str, ...] = ("service",)) -> Gauge:
    """A gauge under the project's prefix."""
    made = Gauge(f"{PREFIX}_{name}", meaning, labels)
    declared.append(Declared(f"{PREFIX}_{name}", "gauge", meaning, labels, made))
    return made


def histogram(
    name: str,
    meaning: str,
    labels: tuple[str, ...] = ("service",),
    buckets: tuple[float, ...] = LATENCY_BUCKETS,
) -> Histogram:
    """A histogram of seconds (unless the name says otherwise) under the project's prefix."""
    made = Histogram(f"{PREFIX}_{name}", meaning, labels, buckets=buckets)
    declared.append(Declared(f"{PREFIX}_{name}", "histogram", meaning, labels, made))
    return made


CONSUMER_LAG: Final = gauge(
    "consumer_lag_records",
    "Records that the consumer group has not committed yet.",
    ("service", "topic"),
)
CONSUMER_LAG_AGE: Final = gauge(
    "consumer_lag_age_seconds",
    "How long the oldest record that is not committed yet may have waited at the broker; 0 when all is read.",
    ("service", "topic"),
)
CONSUMER_PROGRESS_AGE: Final = gauge(
    "consumer_last_progress_age_seconds",
    "Seconds since the consumer last finished a batch, found nothing to read, or tried again.",
)
CONSUMER_BATCH_SECONDS: Final = histogram(
    "consumer_batch_seconds",
    "Seconds from a batch's first read to its commit; some one to two where more waits than is read at once.",
)
CONSUMER_RECORDS: Final = counter("consumer_records_total", "Records consumed.", ("service", "topic"))
CONSUMER_RETRIES: Final = counter("consumer_retries_total", "Batches tried again after a transient failure.")
CONSUMER_STOPPED: Final = gauge(
    "consumer_stopped",
    "1 when the consumer stopped at the dead-letter limit, 0 otherwise.",
)
UNKNOWN_EVENTS: Final = counter("unknown_events_total", "Events skipped because their type is not known.")
DEAD_LETTERS: Final = counter(
    "dead_letters_total",
    "Records put on the dead-letter topic, by reason.",
    ("service", "reason"),
)
OUTBOX_OLDEST_AGE: Final = gauge(
    "outbox_oldest_age_seconds",
    "Age of the oldest record that waits in the outbox; 0 when it is empty.",
)
TIMER_FAILURES: Final = counter("timer_failures_total", "Timer runs that failed.", ("service", "timer"))
HTTP_SECONDS: Final = histogram(
    "http_request_seconds",
    "Seconds to answer an HTTP request.",
    ("service", "method", "route", "status"),
)
