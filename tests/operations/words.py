"""What operators are given: rules, dashboards and documents, and the metrics that each of them names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
RULES = REPOSITORY / "deploy" / "prometheus" / "rules" / "connected-inbox.yml"
RULE_TESTS = REPOSITORY / "deploy" / "prometheus" / "tests" / "alerts.yml"
DASHBOARDS = REPOSITORY / "deploy" / "grafana" / "dashboards"
ALERTS_PAGE = REPOSITORY / "docs" / "alerts.md"

_METRIC = re.compile(r"(?<![a-z0-9_:])(?:connected_inbox|process)_[a-z0-9_]+[a-z0-9](?![a-z0-9_]*:)")
_OF_HISTOGRAM = re.compile(r"_(bucket|count|sum)$")


def metrics_in(text: str) -> set[str]:
    """The metrics that a text names; recorded rules (with a colon) are none."""
    return {_OF_HISTOGRAM.sub("", name) for name in _METRIC.findall(text)}


def rules() -> Iterator[dict[str, Any]]:
    """Every rule, recorded ones and alerts."""
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    """Every alert."""
    return [rule for rule in rules() if "alert" in rule]


def metrics_of_rules() -> set[str]:
    """What the rules are made of."""
    return {name for rule in rules() for name in metrics_in(rule["expr"])}


def metrics_of_dashboards() -> set[str]:
    """What the dashboards show."""
    return {name for file in DASHBOARDS.glob("*.json") for name in metrics_in(file.read_text(encoding="utf-8"))}


def shown_by_dashboards() -> dict[str, str]:
    """Every query of every dashboard, by where it stands."""
    queries = {}
    for file in DASHBOARDS.glob("*.json"):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                queries[f"{file.stem} {panel['id']}{target['refId']}"] = target["expr"]
    return queries


def metrics_of_documents() -> set[str]:
    """What the documents name in full."""
    pages = [*REPOSITORY.glob("docs/*.md"), REPOSITORY / "README.md", *REPOSITORY.glob("services/*/README.md")]
    return {name for page in pages for name in metrics_in(page.read_text(encoding="utf-8"))}
