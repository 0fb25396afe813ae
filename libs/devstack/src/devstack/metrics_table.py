"""`python -m devstack.metrics_table > docs/metrics.md`: every metric of every service, out of the code.

A test compares what is committed with what this writes.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from contracts.topics import SERVICES
from service_kit import metrics

_HEAD = """\
# Metrics

Made from the code by `make documents`; a test holds it true, another finds each of these in a live scrape. Every
service answers `GET /metrics`. Lengths of time are seconds, counters end in `_total`, and no metric has an account,
a user, an inbox or a number as a label. What to do when one of them looks bad: [alerts](alerts.md).

| metric | kind | labels | of | meaning |
|---|---|---|---|---|
"""


def metrics_by_service() -> dict[str, list[metrics.Declared]]:
    """What each service declares beside what all share (under the empty name).

    Only in a process that has imported no service yet: what an import declares is what belongs to it.
    """
    found = {"": list(metrics.declared)}
    for service in (*SERVICES, "console"):
        if find_spec(service) is None:
            continue
        before = len(metrics.declared)
        import_module(f"{service}.metrics")
        found[service] = metrics.declared[before:]
    return found


def table() -> str:
    """The whole page."""
    rows = []
    for service, declared in metrics_by_service().items():
        for one in sorted(declared, key=lambda one: one.name):
            labels = ", ".join(f"`{label}`" for label in one.labels)
            rows.append(f"| `{one.name}` | {one.kind} | {labels} | {service or 'every service'} | {one.meaning} |\n")
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    print(table(), end="")
