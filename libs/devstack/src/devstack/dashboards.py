"""`python -m devstack.dashboards` writes Grafana's dashboards: an overview, one for each service, one for the console.

They are made here rather than in Grafana's editor so that all of them look alike and a change can be read. A test
compares what is committed with what this writes, and another looks up every metric in a live scrape.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from contracts.topics import SERVICES

DEFAULT_FOLDER: Final = Path("deploy/grafana/dashboards")
DATASOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
_COLUMNS: Final = 24

Unit = Literal["s", "short", "ops", "reqps", "percentunit", "bytes"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `queries` are pairs of PromQL and legend; `red_from` colours a stat from that value on."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: Unit = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"
    red_from: float | None = None
    red_below: float | None = None
    about: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height on Grafana's grid."""
        return (4, 4) if self.kind == "stat" else (8, 8)

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """The panel as Grafana reads it."""
        width, height = self.size
        steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
        if self.red_from is not None:
            steps.append({"color": "red", "value": self.red_from})
        if self.red_below is not None:
            steps = [{"color": "red", "value": None}, {"color": "green", "value": self.red_below}]
        panel: dict[str, Any] = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": width, "h": height},
            "targets": [
                {"refId": chr(ord("A") + at), "datasource": DATASOURCE, "expr": expression, "legendFormat": legend}
                for at, (expression, legend) in enumerate(self.queries)
            ],
            "fieldConfig": {
                "defaults": {"unit": self.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}},
                "overrides": [],
            },
        }
        if self.kind == "stat":
            panel["options"] = {"colorMode": "background", "reduceOptions": {"calcs": ["lastNotNull"]}}
        else:
            panel["options"] = {
                "legend": {"displayMode": "list", "placement": "bottom"},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        return panel


def _metric(name: str) -> str:
    return f"connected_inbox_{name}"


def _quantiles(histogram: str, by: str = "", where: str = "") -> list[tuple[str, str]]:
    labels = f", {by}" if by else ""
    legend = f" {{{{{by}}}}}" if by else ""
    return [
        (
            (
                f"histogram_quantile({quantile}, "
                f"sum by (le{labels}) (rate({_metric(histogram)}_bucket{where}[$__rate_interval])))"
            ),
            f"p{quantile[2:].ljust(2, '0')}{legend}",
        )
        for quantile in ("0.5", "0.95", "0.99")
    ]


def _within(histogram: str, le: str) -> str:
    name = _metric(histogram)
    return f'sum(rate({name}_bucket{{le="{le}"}}[15m])) / sum(rate({name}_count[15m]))'


def overview() -> list[Panel]:
    """Does it work for the users now?"""
    http = _metric("http_request_seconds_count")
    return [
        Panel("Services that answer", [('count(max by (service) (up{job="connected-inbox"}) == 1)', "")], kind="stat"),
        Panel(
            "Visible within 1 s",
            [(_within("event_to_view_seconds", "1.0"), "")],
            "percentunit",
            "stat",
            red_below=0.99,
            about="Of what happened on the lines in the last 15 minutes. Objective: 99 %.",
        ),
        Panel(
            "E-mailed within 30 s",
            [(_within("event_to_email_seconds", "30.0"), "")],
            "percentunit",
            "stat",
            red_below=0.99,
            about="Of the watcher e-mails of the last 15 minutes. Objective: 99 %.",
        ),
        Panel(
            "Oldest record not done",
            [(f"max({_metric('consumer_lag_age_seconds')})", "")],
            "s",
            "stat",
            red_from=300,
        ),
        Panel("Oldest e-mail due", [(f"max({_metric('email_oldest_age_seconds')})", "")], "s", "stat", red_from=600),
        Panel("Oldest in an outbox", [(f"max({_metric('outbox_oldest_age_seconds')})", "")], "s", "stat", red_from=300),
        Panel("Unrouted", [(f"max({_metric('unrouted_communications')})", "")], kind="stat", red_from=1),
        Panel(
            "Dead letters, 1 h",
            [(f"sum(increase({_metric('dead_letters_total')}[1h]))", "")],
            kind="stat",
            red_from=1,
        ),
        Panel(
            "Commands not taken, 1 h",
            [(f"sum(increase({_metric('commands_not_taken_total')}[1h]))", "")],
            kind="stat",
            red_from=1,
        ),
        Panel(
            "Longest silence of a telephony system",
            [(f"max(min by (system) ({_metric('telephony_last_event_age_seconds')}))", "")],
            "s",
            "stat",
            red_from=3600,
        ),
        Panel("Agents with a live view", [(f"sum({_metric('stream_clients')})", "")], kind="stat"),
        Panel("Alerts", [('count(ALERTS{alertstate="firing"}) or vector(0)', "")], kind="stat", red_from=1),
        Panel("From the event to the list", _quantiles("event_to_view_seconds"), "s"),
        Panel("From the event to the e-mail", _quantiles("event_to_email_seconds"), "s"),
        Panel("From the call to its ring command", _quantiles("ring_plan_seconds"), "s"),
        Panel(
            "What comes in",
            [
                (f"sum by (topic) (rate({_metric('consumer_records_total')}[$__rate_interval]))", "{{topic}}"),
            ],
            "ops",
        ),
        Panel("Requests", [(f"sum by (service) (rate({http}[$__rate_interval]))", "{{service}}")], "reqps"),
        Panel(
            "Requests that failed",
            [
                (
                    (
                        f'sum by (service) (rate({http}{{status=~"5.."}}[$__rate_interval]))'
                        f" / sum by (service) (rate({http}[$__rate_interval]))"
                    ),
                    "{{service}}",
                )
            ],
            "percentunit",
        ),
    ]


def of_service(service: str) -> list[Panel]:
    """How one service does: what all have, then its own."""
    where = f'{{service="{service}"}}'

    def rate(name: str, by: str) -> tuple[str, str]:
        return f"sum by ({by}) (rate({_metric(name)}{where}[$__rate_interval]))", f"{{{{{by}}}}}"

    panels = [
        Panel("Records", [rate("consumer_records_total", "topic")], "ops"),
        Panel(
            "Not done yet",
            [(f"sum by (topic) ({_metric('consumer_lag_records')}{where})", "{{topic}}")],
        ),
        Panel(
            "Age of the oldest not done",
            [(f"max by (topic) ({_metric('consumer_lag_age_seconds')}{where})", "{{topic}}")],
            "s",
        ),
        Panel("A batch takes", _quantiles("consumer_batch_seconds", where=where), "s"),
        Panel(
            "Since the last progress",
            [(f"max by (instance) ({_metric('consumer_last_progress_age_seconds')}{where})", "{{instance}}")],
            "s",
        ),
        Panel(
            "Tried again, dead letters, unknown",
            [
                (f"sum(rate({_metric('consumer_retries_total')}{where}[$__rate_interval]))", "tried again"),
                (
                    f"sum by (reason) (rate({_metric('dead_letters_total')}{where}[$__rate_interval])) > 0",
                    "dead: {{reason}}",
                ),
                (f"sum(rate({_metric('unknown_events_total')}{where}[$__rate_interval]))", "unknown type"),
                (f"max({_metric('consumer_stopped')}{where})", "stands still"),
            ],
            "ops",
        ),
        Panel("Timers that failed", [rate("timer_failures_total", "timer")], "ops"),
        *_of_any_process(where),
    ]
    if service != "notification":
        panels.append(
            Panel("Oldest in the outbox", [(f"max({_metric('outbox_oldest_age_seconds')}{where})", "age")], "s")
        )
    return panels + _own(service)


def _own(service: str) -> list[Panel]:
    def rate(name: str, by: str) -> tuple[str, str]:
        return f"sum by ({by}) (rate({_metric(name)}[$__rate_interval]))", f"{{{{{by}}}}}"

    match service:
        case "routing":
            return [
                Panel("From the call to its ring command", _quantiles("ring_plan_seconds"), "s"),
                Panel("Unrouted", [(f"max({_metric('unrouted_communications')})", "communications")]),
                Panel("Commands not taken", [rate("commands_not_taken_total", "system")], "ops"),
                Panel(
                    "Since a telephony system's last event",
                    [(f"min by (system) ({_metric('telephony_last_event_age_seconds')})", "{{system}}")],
                    "s",
                ),
            ]
        case "inbox_state":
            return [
                Panel("From the event to the list", _quantiles("event_to_view_seconds"), "s"),
                Panel("Live views", [(f"sum by (instance) ({_metric('stream_clients')})", "{{instance}}")]),
                Panel(
                    "Live views told to load again, or cut off",
                    [
                        (f"sum(rate({_metric('stream_resets_total')}[$__rate_interval]))", "load again"),
                        (f"sum(rate({_metric('stream_clients_cut_off_total')}[$__rate_interval]))", "cut off"),
                    ],
                    "ops",
                ),
                Panel(
                    "Threads counted anew, read by themselves",
                    [
                        (f"sum(rate({_metric('threads_counted_anew_total')}[$__rate_interval]))", "counted anew"),
                        (f"sum(rate({_metric('auto_marked_threads_total')}[$__rate_interval]))", "auto-marked"),
                    ],
                    "ops",
                ),
            ]
        case "notification":
            return [
                Panel("From the event to the e-mail", _quantiles("event_to_email_seconds"), "s"),
                Panel("Oldest e-mail due", [(f"max({_metric('email_oldest_age_seconds')})", "age")], "s"),
                Panel("Attempts by outcome", [rate("email_attempts_total", "outcome")], "ops"),
            ]
        case "reporting":
            return [
                Panel(
                    "How far behind the input is read",
                    [(f"max({_metric('report_input_age_seconds')})", "age")],
                    "s",
                    about="A day's reports wait until this reaches past its end.",
                ),
                Panel("Report e-mails asked for", [rate("report_emails_total", "report")], "ops"),
            ]
        case _:
            return []


def of_console() -> list[Panel]:
    """How the console does, which has no consumer and no database."""
    where = '{service="console"}'
    return [
        Panel(
            "Calls that a service did not answer",
            [
                (
                    f"sum by (upstream) (rate({_metric('console_unanswered_total')}[$__rate_interval]))",
                    "{{upstream}}",
                )
            ],
            "ops",
        ),
        Panel(
            "Live streams handed on",
            [(f"sum by (instance) ({_metric('console_open_streams')})", "{{instance}}")],
        ),
        *_of_any_process(where),
    ]


def _of_any_process(where: str) -> list[Panel]:
    """What everything that answers HTTP has."""
    http = _metric("http_request_seconds")
    return [
        Panel(
            "Requests by route",
            [(f"sum by (method, route) (rate({http}_count{where}[$__rate_interval]))", "{{method}} {{route}}")],
            "reqps",
        ),
        Panel(
            "A request takes (p95)",
            [
                (
                    f"histogram_quantile(0.95, sum by (le, route) (rate({http}_bucket{where}[$__rate_interval])))",
                    "{{route}}",
                )
            ],
            "s",
        ),
        Panel(
            "Processor",
            [(f"rate(process_cpu_seconds_total{where}[$__rate_interval])", "{{instance}}")],
            "percentunit",
        ),
        Panel("Memory", [(f"process_resident_memory_bytes{where}", "{{instance}}")], "bytes"),
    ]


def dashboard(uid: str, title: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """A whole dashboard, its panels laid out in rows."""
    laid: list[dict[str, Any]] = []
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        width, tall = panel.size
        if x + width > _COLUMNS or (height and tall != height):
            x, y = 0, y + height
        laid.append(panel.json(number, x, y))
        x, height = x + width, tall
    return {
        "uid": uid,
        "title": title,
        "tags": ["connected-inbox"],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "15s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": []},
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "enable": True,
                    "iconColor": "red",
                    "datasource": DATASOURCE,
                    "expr": 'ALERTS{alertstate="firing"}',
                    "titleFormat": "{{alertname}} {{service}}",
                }
            ]
        },
        "links": [{"type": "dashboards", "title": "Connected Inbox", "tags": ["connected-inbox"], "asDropdown": True}],
        "panels": laid,
    }


def files() -> dict[str, bytes]:
    """Every dashboard by its file's name."""
    made = {"overview": dashboard("connected-inbox", "Connected Inbox: does it work for the users now?", overview())}
    for service in SERVICES:
        title = f"Connected Inbox: {service.replace('_', ' ')}"
        made[service] = dashboard(f"connected-inbox-{service.replace('_', '-')}", title, of_service(service))
    made["console"] = dashboard("connected-inbox-console", "Connected Inbox: console", of_console())
    return {
        f"{name.replace('_', '-')}.json": orjson.dumps(one, option=orjson.OPT_INDENT_2) + b"\n"
        for name, one in made.items()
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for file_name, content in files().items():
        (folder / file_name).write_bytes(content)
