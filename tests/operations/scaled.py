"""The alerts with every window divided, so that what takes an hour can be seen in a minute."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.operations import words

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_RANGE = re.compile(r"\[(\d+)([smhd])\]")
_LENGTH = re.compile(r"(\d+)([smhd])")
_AGE = re.compile(r"(_age_seconds\) > )(\d+)")


def _shorter(number: str, unit: str, by: int) -> str:
    return f"{int(number) * _UNITS[unit] * 1000 // by}ms"


def scaled_rules(by: int) -> str:
    """The rules as YAML: ranges, `for` and the ages that are compared with, all divided by `by`."""
    document: dict[str, Any] = yaml.safe_load(words.RULES.read_text(encoding="utf-8"))
    for group in document["groups"]:
        for rule in group["rules"]:
            expression = _RANGE.sub(lambda found: f"[{_shorter(found[1], found[2], by)}]", rule["expr"])
            rule["expr"] = _AGE.sub(lambda found: f"{found[1]}{int(found[2]) / by:g}", expression)
            if "for" in rule:
                length = _LENGTH.fullmatch(rule["for"])
                assert length is not None
                rule["for"] = _shorter(length[1], length[2], by)
    return yaml.safe_dump(document)


def faults() -> dict[str, set[str]]:
    """The table of docs/alerts.md: what fires while a fault lasts."""
    page = words.ALERTS_PAGE.read_text(encoding="utf-8").split("## What fires when", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1:4] for line in page.splitlines() if line.startswith("| ")][1:]
    return {fault.strip(): set(re.findall(r"`(\w+)`", fires)) for fault, fires, _ in rows}
