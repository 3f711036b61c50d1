"""Holds docker-compose.yml, Prometheus, Grafana and the reference to the code that they speak of."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import typer
import yaml

from services.cli import app
from shared import metrics
from shared.settings import SERVICES, variable_of

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboards/regulars.json"
FROM_PROMETHEUS = {"job", "instance", "le"}
SECRETS = ("POSTGRES_PASSWORD", "REGULARS_SECRET", "REGULARS_WEBHOOK_SECRET", "GRAFANA_PASSWORD")


def described() -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Of every metric by its published name: its kind, its meaning, its labels."""
    found = {}
    for each in vars(metrics).values():
        if isinstance(each, prometheus_client.Counter | prometheus_client.Gauge | prometheus_client.Histogram):
            family = next(iter(each.describe()))
            name = family.name + ("_total" if family.type == "counter" else "")
            found[name] = (family.type, family.documentation, tuple(each._labelnames))
    return found


def expressions() -> list[str]:
    rules = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return rules + [target["expr"] for panel in panels for target in panel["targets"]]


def locked(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.\[\]-]+)==(\S+)", path.read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize("expression", expressions())
def test_alerts_and_dashboard_use_only_metrics_and_labels_that_exist(expression: str) -> None:
    known = described()
    for name, selector in re.findall(r"(regulars_\w+)(?:\{([^}]*)\})?", expression):
        kind, _, labels = known[name.removesuffix("_bucket") if name.endswith("_bucket") else name]
        assert name.endswith("_bucket") == (kind == "histogram")
        assert set(re.findall(r"(\w+)\s*(?:=~|!=|=)", selector)) <= {*labels, *FROM_PROMETHEUS}
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            assert {each.strip() for each in grouped.split(",")} <= {*labels, *FROM_PROMETHEUS}


def test_every_metric_is_shown_on_the_dashboard() -> None:
    shown = " ".join(
        target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]
    )
    assert [name for name in described() if name not in shown] == []


def test_the_reference_lists_every_metric_as_it_is() -> None:
    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |"
        for name, (kind, meaning, labels) in sorted(described().items())
    ]
    text = (ROOT / "docs/reference/metrics.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("| `regulars_")] == rows


def test_the_reference_names_every_command() -> None:
    text = (ROOT / "docs/reference/command-line.md").read_text()
    assert [name for name in commands(typer.main.get_command(app)) if f"`regulars {name}" not in text] == []


def commands(group: Any, before: str = "") -> list[str]:
    """Names of all commands that people call, such as `keys create`."""
    found: list[str] = []
    for name, command in group.commands.items():
        if not command.hidden:
            found += commands(command, f"{before}{name} ") if hasattr(command, "commands") else [before + name]
    return found


@pytest.mark.parametrize("given", [("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")])
def test_promtool_accepts_the_configuration_and_the_alerts_fire_when_they_should(given: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: it comes with Prometheus")
    done = subprocess.run([promtool, *given], cwd=RULES.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_service_runs_in_compose_with_the_least_rights(compose: dict[str, Any]) -> None:
    for name in SERVICES:
        service = compose["services"][name]
        assert service["command"] == [name]
        assert service["read_only"] is True
    for service in compose["services"].values():
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["cap_drop"] == ["ALL"]


def test_compose_gives_services_only_settings_that_exist(compose: dict[str, Any]) -> None:
    for name, kind in SERVICES.items():
        known = {variable_of(kind, setting) for setting in kind.model_fields}
        assert set(compose["services"][name]["environment"]) <= known


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    example = (ROOT / "deploy/compose.env.example").read_text()
    for secret in SECRETS:
        uses = re.findall(r"\$\{" + secret + r"([^}]*)\}", text)
        assert uses
        assert all(use.startswith(":?") for use in uses)
        assert re.search(f"^{secret}=$", example, re.MULTILINE)


def test_every_setting_of_compose_stands_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text())) - {"REGULARS_VERSION"}
    given = set(re.findall(r"^(\w+)=", (ROOT / "deploy/compose.env.example").read_text(), re.MULTILINE))
    assert used == given - {"COMPOSE_PROFILES"}


def test_fresh_secrets_are_long_and_differ_and_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    for name in ("make-env", "compose.env.example"):
        shutil.copy(ROOT / "deploy" / name, tmp_path / "deploy")
    subprocess.run(["sh", "deploy/make-env"], cwd=tmp_path, check=True, capture_output=True)
    content = (tmp_path / ".env").read_text()
    values = [re.search(f"^{secret}=(.*)$", content, re.MULTILINE)[1] for secret in SECRETS]  # type: ignore[index]
    assert len(set(values)) == len(SECRETS)
    assert min(map(len, values)) >= 64
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    again = subprocess.run(["sh", "deploy/make-env"], cwd=tmp_path, check=False, capture_output=True)
    assert again.returncode == 1
    assert (tmp_path / ".env").read_text() == content


def test_the_image_holds_packages_as_they_are_tested() -> None:
    tested = locked(ROOT / "requirements.lock")
    for lock in ("requirements.lock", "build.lock"):
        pins = locked(ROOT / "deploy" / lock)
        assert pins
        assert pins.items() <= tested.items()
