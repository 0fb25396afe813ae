"""The Kubernetes manifests: valid by the released schemas, and true to the code.

Every file is validated by itself. Where `kubectl` (or `kustomize`) is there, so is what each overlay becomes.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from console.settings import ConsoleSettings
from contracts.rights import TELEPHONY, rights
from contracts.topics import EVENT_TOPICS, SERVICES
from inbox_state.settings import InboxStateSettings
from notification.settings import NotificationSettings
from reporting.settings import ReportingSettings
from routing.settings import RoutingSettings
from service_kit.settings import EnvironmentSettings, load
from tests.delivery.settings import VARIABLES
from tests.delivery.test_compose import CONTAINERS

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "deploy" / "kubernetes"
VERSIONS = ("1.30", "1.33")
"""Of Kubernetes: the oldest with a pod's own `sleep` before it stops, and a newer one."""

SETTINGS: dict[str, type[EnvironmentSettings]] = {
    "routing": RoutingSettings,
    "inbox-state": InboxStateSettings,
    "notification": NotificationSettings,
    "reporting": ReportingSettings,
    "console": ConsoleSettings,
}
"""What each deployment's process reads."""

SECRETS = {
    "database_url": "postgresql://user:password@postgres:5432/connected_inbox",
    "smtp_url": "smtp://mail.example.org",
}
"""Keys of Secrets whose text has a form; of all others any text will do."""

CUSTOM = {
    "kafka.strimzi.io/v1beta2": {"Kafka", "KafkaNodePool", "KafkaUser"},
    "postgresql.cnpg.io/v1": {"Cluster"},
    "keda.sh/v1alpha1": {"ScaledObject", "TriggerAuthentication"},
}
"""What operators bring: no released schema of Kubernetes knows them."""


def documents(text: str) -> list[dict[str, Any]]:
    """The objects of a file."""
    return [one for one in yaml.safe_load_all(text) if one]


def of_files() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every object that stands whole in a file; kustomizations and their patches do not."""
    for file in sorted(FOLDER.rglob("*.yaml")):
        if file.name == "kustomization.yaml" or "overlays" in file.parts:
            continue
        for one in documents(file.read_text(encoding="utf-8")):
            yield file, one


def builder() -> list[str] | None:
    """What builds an overlay here."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    return ["kubectl", "kustomize"] if shutil.which("kubectl") else None


def built(overlay: str) -> list[dict[str, Any]]:
    """What an overlay becomes. Skips the test where nothing here can tell."""
    command = builder()
    if command is None:
        pytest.skip("no kubectl and no kustomize here: the overlays are not built, only their parts are validated")
    done = subprocess.run([*command, str(FOLDER / "overlays" / overlay)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def is_valid(one: dict[str, Any], version: str) -> None:
    if one["kind"] in CUSTOM.get(one["apiVersion"], ()):
        return
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        place = f"{one['kind']} {one['metadata']['name']}: {'.'.join(str(part) for part in error.path)}"
        raise AssertionError(f"{place}: {error.message}") from None


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(kind, name, pod) of everything that runs containers."""
    for one in objects:
        if one["kind"] in ("Deployment", "Job"):
            yield one["kind"], one["metadata"]["name"], one["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version: str) -> None:
    found = 0
    for _, one in of_files():
        is_valid(one, version)
        found += 1
    assert found > 30


@pytest.mark.parametrize("overlay", ["small", "production"])
def test_what_an_overlay_becomes_is_valid(overlay: str) -> None:
    objects = built(overlay)
    for one in objects:
        is_valid(one, VERSIONS[-1])
    deployed = {one["metadata"]["name"] for one in objects if one["kind"] == "Deployment"}
    assert deployed == {*(service.replace("_", "-") for service in SERVICES), "console", "gateway"}


@pytest.mark.parametrize("process", SETTINGS)
@pytest.mark.parametrize("overlay", ["small", "production"])
def test_what_a_pod_is_told_is_taken_by_its_process(
    overlay: str, process: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = built(overlay)
    ((_, _, pod),) = [found for found in pods(objects) if found[:2] == ("Deployment", process)]
    (container,) = pod["containers"]
    configs = {one["metadata"]["name"]: one["data"] for one in objects if one["kind"] == "ConfigMap"}
    told = {
        name: str(value) for one in container["envFrom"] for name, value in configs[one["configMapRef"]["name"]].items()
    } | {one["name"]: one["value"] for one in container["env"]}
    mounted = {one["mountPath"] for one in container["volumeMounts"]}
    for name in [name for name in told if name.endswith("_FILE") and name != "KAFKA_CA_FILE"]:
        secret = Path(told[name])
        assert str(secret.parent) in mounted, (process, name)
        file = tmp_path / f"{process}-{name}"
        file.write_text(SECRETS.get(secret.name, "a secret of thirty-two characters"), encoding="utf-8")
        told[name] = str(file)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    # Ends the test as it ends the process, when it says that something is missing or wrong.
    load(SETTINGS[process])


def test_every_image_has_its_tag_in_an_installation() -> None:
    images = {container["image"] for _, _, pod in pods(built("production")) for container in pod["containers"]}
    assert {image for image in images if "connected-inbox" in image} == {
        f"registry.example.org/connected-inbox/{name}:0.1.0" for name in (*SETTINGS, "gateway", "inboxctl")
    }


def test_the_gateway_leads_to_the_same_as_by_compose() -> None:
    (gateway,) = [one for _, one in of_files() if one["kind"] == "Deployment" and one["metadata"]["name"] == "gateway"]
    (container,) = gateway["spec"]["template"]["spec"]["containers"]
    told = {one["name"]: one["value"] for one in container["env"]}
    by_compose = CONTAINERS["gateway"]["environment"]
    assert told == {name: value.replace("_", "-") for name, value in by_compose.items()}
    reached = {
        f"{one['metadata']['name']}:{one['spec']['ports'][0]['port']}"
        for _, one in of_files()
        if one["kind"] == "Service"
    }
    assert {value for name, value in told.items() if name.endswith("_UPSTREAMS")} < reached


def test_the_console_is_reached_by_the_gateway_and_reaches_every_service() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for _, one in of_files() if one["kind"] == "NetworkPolicy"}
    services = {service.replace("_", "-") for service in SERVICES}

    def named(selectors: list[dict[str, Any]]) -> set[str]:
        """The pods that a rule's selectors name."""
        found: set[str] = set()
        for one in selectors:
            selector = one.get("podSelector", {})
            found |= {selector["matchLabels"]["app.kubernetes.io/name"]} if "matchLabels" in selector else set()
            found |= {value for how in selector.get("matchExpressions", ()) for value in how["values"]}
        return found

    assert named(policies["gateway"]["egress"][0]["to"]) == services | {"console"}
    assert named(policies["console"]["ingress"][0]["from"]) == {"gateway"}
    assert named(policies["console"]["egress"][0]["to"]) == services
    assert named(policies["services"]["ingress"][0]["from"]) == {"gateway", "console"}


@pytest.mark.parametrize("overlay", ["small", "production"])
def test_every_secret_and_config_that_is_mounted_is_made_or_documented(overlay: str) -> None:
    objects = built(overlay)
    made = {(one["kind"], one["metadata"]["name"]) for one in objects}
    users = {one["metadata"]["name"] for one in objects if one["kind"] == "KafkaUser"}
    described = (FOLDER / "README.md").read_text(encoding="utf-8")
    for _, name, pod in pods(objects):
        for volume in pod.get("volumes", ()):
            if secret := volume.get("secret", {}).get("secretName"):
                assert ("Secret", secret) in made or secret in users or f"`{secret}`" in described, (name, secret)
            if config := volume.get("configMap", {}).get("name"):
                assert ("ConfigMap", config) in made, (name, config)


def test_every_variable_is_a_setting() -> None:
    for file, one in of_files():
        names = set(one.get("data", {})) if one["kind"] == "ConfigMap" else set()
        for _, owner, pod in pods([one]):
            if owner in ("gateway", "roles"):
                continue
            for container in pod["containers"]:
                names |= {variable["name"] for variable in container.get("env", ())}
        assert names <= VARIABLES, (file.name, names - VARIABLES)


def test_every_pod_is_unprivileged_on_a_file_system_that_is_read_only() -> None:
    for kind, name, pod in pods([one for _, one in of_files()]):
        assert pod["securityContext"]["runAsNonRoot"] is True, (kind, name)
        assert pod["automountServiceAccountToken"] is False, (kind, name)
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, (kind, name)
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, (kind, name)
            assert container["resources"]["limits"]["memory"], (kind, name)
            assert ":latest" not in container["image"], (kind, name)


def test_every_service_is_probed_bounded_and_spread() -> None:
    objects = [one for _, one in of_files()]
    guarded = {one["metadata"]["name"] for one in objects if one["kind"] == "PodDisruptionBudget"}
    for name in SETTINGS:
        (deployment,) = [one for one in objects if one["kind"] == "Deployment" and one["metadata"]["name"] == name]
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
        assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert deployment["spec"]["replicas"] == 2
        assert len(pod["topologySpreadConstraints"]) == 2
        assert pod["terminationGracePeriodSeconds"] >= 45
        assert name in guarded
        port = next(one["value"] for one in container["env"] if one["name"] == "PORT")
        assert container["ports"] == [{"name": "http", "containerPort": int(port)}]


def test_scaling_looks_at_what_each_service_reads() -> None:
    scaled = {one["metadata"]["name"]: one["spec"] for _, one in of_files() if one["kind"] == "ScaledObject"}
    assert scaled.keys() == {service.replace("_", "-") for service in SERVICES}
    for service in SERVICES:
        triggers = [trigger["metadata"] for trigger in scaled[service.replace("_", "-")]["triggers"]]
        assert {trigger["consumerGroup"] for trigger in triggers} == {service}
        read = {topic.name for topic in EVENT_TOPICS if service in topic.consumers}
        assert {trigger["topic"] for trigger in triggers} <= read


def test_every_service_may_do_on_kafka_what_the_registry_says_and_nothing_else() -> None:
    users = {one["metadata"]["name"]: one for _, one in of_files() if one["kind"] == "KafkaUser"}
    for user in (*SERVICES, TELEPHONY):
        acls = users[f"kafka-{user.replace('_', '-')}"]["spec"]["authorization"]["acls"]
        granted = {
            (acl["resource"]["type"], acl["resource"]["name"].removesuffix("-"), operation)
            for acl in acls
            for operation in acl["operations"]
        }
        needed = {
            (right.resource, right.name, operation)
            for right in rights()
            if right.user == user
            for operation in (*right.operations, "Describe")
        }
        assert granted == needed, user
