"""Every module of a service has its place: a room that all services share, the pure domain, or work shared by rooms.

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

FOLDERS_WITHOUT_CODE = {"migrations", "templates"}

PURE = "Decisions are pure: no driver, no clock, no settings"
SHARED_WORK = "Shared work knows neither its callers nor a driver"


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
    homeless = modules_of(service) - ROOMS - declared(PURE, service) - declared(SHARED_WORK, service)
    assert not homeless, f"{service}: give these a place in a contract of pyproject.toml, or move them into a room"


@pytest.mark.parametrize("service", SERVICES)
def test_no_module_has_two_places(service: str) -> None:
    pure, shared = declared(PURE, service), declared(SHARED_WORK, service)
    assert not ROOMS & (pure | shared)
    assert not pure & shared


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_declared_exists(service: str) -> None:
    assert declared(PURE, service) | declared(SHARED_WORK, service) <= modules_of(service)


@pytest.mark.parametrize("service", SERVICES)
def test_folders_without_code_hold_none(service: str) -> None:
    package = REPOSITORY / "services" / service / "src" / service
    assert not [file for folder in FOLDERS_WITHOUT_CODE for file in (package / folder).rglob("*.py")]
