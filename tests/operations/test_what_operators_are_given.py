"""Rules, dashboards and tables are true to the code, everywhere; promtool tries the rules where it is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from devstack import dashboards
from tests.operations import words
from tests.operations.scaled import faults


def generated(module: str) -> str:
    """What a generator writes, in a process that has imported nothing else."""
    done = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True, check=True)
    return done.stdout


def declared() -> set[str]:
    """Every metric of the code."""
    return set(re.findall(r"^\| `(\w+)` \|", generated("devstack.metrics_table"), re.MULTILINE))


def test_the_table_of_metrics_is_what_the_code_says() -> None:
    page = (words.REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page == generated("devstack.metrics_table"), "run `make documents`"


def test_the_dashboards_are_what_the_code_says() -> None:
    written = {file.name: file.read_bytes() for file in words.DASHBOARDS.glob("*.json")}
    assert written == dashboards.files(), "run `make documents`"


def test_grafana_finds_its_dashboards_and_they_find_prometheus() -> None:
    grafana = words.DASHBOARDS.parent / "provisioning"
    (source,) = yaml.safe_load((grafana / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))["datasources"]
    (provider,) = yaml.safe_load((grafana / "dashboards" / "connected-inbox.yml").read_text(encoding="utf-8"))[
        "providers"
    ]
    compose = yaml.safe_load((words.REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
    mounted = dict(volume.split(":")[1::-1] for volume in compose["services"]["grafana"]["volumes"])
    assert words.REPOSITORY / mounted["/etc/grafana/provisioning"] == grafana
    assert words.REPOSITORY / mounted[provider["options"]["path"]] == words.DASHBOARDS
    address = urlsplit(source["url"])
    assert address.hostname in compose["services"]
    assert compose["services"][address.hostname]["ports"][0].endswith(f":{address.port}")
    uids = set()
    for file in words.DASHBOARDS.glob("*.json"):
        dashboard = json.loads(file.read_text(encoding="utf-8"))
        uids.add(dashboard["uid"])
        assert len(dashboard["uid"]) <= 40, "Grafana takes no longer one"
        referred = [panel["datasource"] for panel in dashboard["panels"]]
        referred += [target["datasource"] for panel in dashboard["panels"] for target in panel["targets"]]
        referred += [one["datasource"] for one in dashboard["annotations"]["list"]]
        for datasource in referred:
            assert datasource == {"type": source["type"], "uid": source["uid"]}, file.name
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids), file.name
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert max(x for x, _ in cells) < 24, file.name
            assert not cells & taken, file.name
            taken |= cells
    assert len(uids) == len(list(words.DASHBOARDS.glob("*.json"))) == 6


def test_every_metric_that_a_rule_a_dashboard_or_a_document_names_is_declared() -> None:
    named = words.metrics_of_rules() | words.metrics_of_dashboards() | words.metrics_of_documents()
    ours = {name for name in named if name.startswith("connected_inbox_")}
    assert ours - declared() == set()


def test_every_metric_has_a_base_unit_and_says_what_it_means() -> None:
    for name, kind, meaning in re.findall(
        r"^\| `(\w+)` \| (\w+) \| .*? \| .*? \| (.*) \|$", generated("devstack.metrics_table"), re.MULTILINE
    ):
        assert name.endswith("_total") == (kind == "counter"), name
        assert kind != "histogram" or name.endswith("_seconds"), name
        assert not re.search(r"_(ms|milliseconds|minutes|hours|percent|kb|mb)(_|$)", name), name
        assert len(meaning) > 10, name


def test_every_recorded_rule_that_is_used_is_there() -> None:
    recorded = {rule["record"] for rule in words.rules() if "record" in rule}
    used = {name for rule in words.rules() for name in re.findall(r"connected_inbox:\w+:\w+", rule["expr"])}
    assert used == recorded


def test_every_alert_has_a_section_that_its_link_leads_to_and_no_section_lacks_its_alert() -> None:
    page = words.ALERTS_PAGE.read_text(encoding="utf-8")
    sections = re.findall(r"^## (\w+)$", page, re.MULTILINE)
    assert sorted(sections) == sorted(alert["alert"] for alert in words.alerts())
    for alert in words.alerts():
        assert alert["annotations"]["runbook_url"] == f"docs/alerts.md#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}


def test_every_alert_is_tried_by_the_rules_tests() -> None:
    tried = set(re.findall(r'alertname="(\w+)"', words.RULE_TESTS.read_text(encoding="utf-8")))
    assert tried == {alert["alert"] for alert in words.alerts()}


def test_the_table_of_faults_is_what_the_rules_tests_try() -> None:
    tried = yaml.safe_load(words.RULE_TESTS.read_text(encoding="utf-8"))["tests"]
    by_name = {test["name"]: set(re.findall(r'alertname="(\w+)"', str(test))) for test in tried}
    for fault, alerts in faults().items():
        assert alerts
        assert by_name[fault] == alerts


def test_every_service_is_scraped_at_its_port() -> None:
    prometheus = yaml.safe_load((words.RULES.parents[1] / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = prometheus["scrape_configs"]
    scraped = {target for one in job["static_configs"] for target in one["targets"]}
    assert scraped == {
        "routing:8001",
        "inbox_state:8002",
        "notification:8003",
        "reporting:8004",
        "console:8005",
    }
    for one in job["static_configs"]:
        assert one["targets"][0].startswith(one["labels"]["service"] + ":")
    replicas = {f"{name}:{one['port']}" for one in job["dns_sd_configs"] for name in one["names"]}
    assert replicas == {target.replace(":", "_2:") for target in scraped}


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="NOT RUN: the alerts' own tests, because promtool is not installed (Debian: apt install prometheus)",
)
def test_promtool_finds_the_rules_sound_and_their_tests_true() -> None:
    folder = words.RULES.parents[1]
    for arguments in (("check", "config", "prometheus.yml"), ("test", "rules", "tests/alerts.yml")):
        done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="NOT RUN: the dashboards' queries, because promtool is not installed (Debian: apt install prometheus)",
)
def test_promtool_can_read_every_query_of_the_dashboards(tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboard:query_{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(words.shown_by_dashboards().values())
    ]
    assert len(rules) > 80
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(
    shutil.which("amtool") is None,
    reason="NOT RUN: the check of alertmanager.yml, because amtool is not installed (Debian: prometheus-alertmanager)",
)
def test_alertmanager_takes_its_configuration() -> None:
    file = words.RULES.parents[1] / "alertmanager.yml"
    done = subprocess.run(["amtool", "check-config", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
