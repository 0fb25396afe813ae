"""Every module of a service has its place: a room that all services share, the pure domain, work shared by rooms, or
what an operator starts beside the service.

import-linter (`make lint`) holds the pure ones to importing no driver, no clock and no settings.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from contracts.topics import SERVICES

REPOSITORY = Path(__file__).parents[2]

ROOMS = {
    "__init__",
    "__main__",
    "settings",
    "storage",
    "consumer",
    "http_api",
    "timers",
    "metrics",
}
"""The rooms that CONTRIBUTING.md names, the same in every service. A room may be a module or a package."""

CONSOLE_ROOMS = {
    "__init__",
    "__main__",
    "application",
    "gateway",
    "metrics",
    "pages",
    "rendering",
    "services",
    "session",
    "settings",
    "static_files",
    "visitors",
}
"""The console's rooms: it has no database, no topic and no domain of its own."""

FOLDERS_WITHOUT_CODE = {"migrations", "templates"}

PURE = "Decisions are pure: no driver, no clock, no settings"
SHARED_WORK = "Shared work knows neither its callers nor a driver"
STARTED_BY_OPERATORS = "What operators start goes its own way in"
PLACES = (PURE, SHARED_WORK, STARTED_BY_OPERATORS)


def declared(name: str, service: str) -> set[str]:
    """The service's modules that an import-linter contract of pyproject.toml names."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (one for one in project["tool"]["importlinter"]["contracts"] if one["name"] == name)
    prefix = f"{service}."
    return {module.removeprefix(prefix) for module in contract["source_modules"] if module.startswith(prefix)}


def modules_of(service: str) -> set[str]:
    """The names right under the service's package, modules and packages."""
    package = REPOSITORY / "services" / service / "src" / service
    modules = {file.stem for file in package.glob("*.py")}
    folders = {folder.name for folder in package.iterdir() if folder.is_dir() and any(folder.rglob("*.py"))}
    return modules | folders


@pytest.mark.parametrize("service", SERVICES)
def test_every_module_has_its_place(service: str) -> None:
    homeless = modules_of(service) - ROOMS - set().union(*(declared(place, service) for place in PLACES))
    assert not homeless, f"{service}: give these a place in a contract of pyproject.toml, or move them into a room"


@pytest.mark.parametrize("service", SERVICES)
def test_no_module_has_two_places(service: str) -> None:
    named = [module for place in PLACES for module in sorted(declared(place, service))]
    assert len(named) == len(set(named))
    assert not ROOMS & set(named)


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_declared_exists(service: str) -> None:
    for place in PLACES:
        assert declared(place, service) <= modules_of(service)


@pytest.mark.parametrize("service", SERVICES)
def test_folders_without_code_hold_none(service: str) -> None:
    package = REPOSITORY / "services" / service / "src" / service
    assert not [file for folder in FOLDERS_WITHOUT_CODE for file in (package / folder).rglob("*.py")]


def test_every_module_of_the_console_has_its_place() -> None:
    homeless = modules_of("console") - CONSOLE_ROOMS - declared(PURE, "console")
    assert not homeless, "console: give these a place in the pure list of pyproject.toml, or move them into a room"
