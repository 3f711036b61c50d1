"""Holds the Helm chart to the services' settings, to compose and to the image; with helm installed, what it renders, too."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from shared.settings import SERVICES, AdminSettings, IngestSettings, Settings, variable_of

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/regulars"
EXAMPLE = CHART / "ci/example-values.yaml"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
WORKLOADS = (CHART / "templates/workloads.yaml").read_text()
# The chart has no sandbox.
LEFT_OUT = {"REGULARS_SANDBOX_URL"}
OF_NAMED_MEMBERS = "REGULARS_INSTANCE"


def known(kind: type[Settings]) -> set[str]:
    return {variable_of(kind, name) for name in kind.model_fields}


def secret(kind: type[Settings]) -> set[str]:
    fields = kind.model_fields.items()
    return {variable_of(kind, name) for name, field in fields if field.annotation is SecretStr or name == "database"}


def given(name: str) -> set[str]:
    """Every variable that the chart gives to a service."""
    part = VALUES[name]
    return {*VALUES["settings"], *part["settings"], *part["secrets"], *part["optionalSecrets"]}


@pytest.mark.parametrize(("name", "kind"), SERVICES.items())
def test_a_service_gets_settings_that_exist_and_secrets_from_the_secret_alone(name: str, kind: type[Settings]) -> None:
    secrets = [*VALUES[name]["secrets"], *VALUES[name]["optionalSecrets"]]
    assert given(name) <= known(kind)
    assert sorted(secrets) == sorted(secret(kind))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_gets_what_compose_gives_it(name: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert {*compose["services"][name]["environment"]} - LEFT_OUT <= given(name)


def test_what_needs_a_stable_name_has_one() -> None:
    named = {name for name, kind in SERVICES.items() if OF_NAMED_MEMBERS in known(kind)}
    found = re.search(r"\$member := has \$name \(list ([^)]*)\)", WORKLOADS)
    assert found
    assert {*re.findall(r'"(\w+)"', found[1])} == named


def test_the_chart_is_that_of_this_version_and_this_image() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == project["version"]
    image = (ROOT / "deploy/Dockerfile").read_text()
    pod = (CHART / "templates/_pod.tpl").read_text()
    assert re.findall(r"--uid (\d+)", image) == re.findall(r"runAsUser: (\d+)", pod)
    assert re.findall(r"METRICS_PORT=(\d+)", image) == re.findall(r"name: metrics, containerPort: (\d+)", WORKLOADS)
    ports = {name: int(port) for name, port in re.findall(r'"(ingest|admin)" (\d+)', WORKLOADS)}
    assert ports == {"ingest": IngestSettings().ingest_port, "admin": AdminSettings().admin_port}


def test_the_schema_knows_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["additionalProperties"] is False
    assert {*schema["properties"]} - {"global"} == {*VALUES}
    secrets = {name for kind in SERVICES.values() for name in secret(kind)}
    assert {*schema["properties"]["secrets"]["properties"]["values"]["propertyNames"]["enum"]} == secrets


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("helm")
    if found is None:
        pytest.skip("helm is not installed")
    return subprocess.run([found, *arguments], cwd=CHART, capture_output=True, text=True, check=False)


def template(*arguments: str) -> subprocess.CompletedProcess[str]:
    return helm("template", "regulars", ".", "--kube-version", "1.31.0", f"--values={EXAMPLE}", *arguments)


def test_helm_finds_nothing_wrong() -> None:
    done = helm("lint", ".", "--strict", f"--values={EXAMPLE}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_container_gets_its_environment_and_few_rights() -> None:
    done = template()
    assert done.returncode == 0, done.stderr
    pods = {
        one["metadata"]["name"].removeprefix("regulars-"): one["spec"]["template"]["spec"]
        for one in yaml.safe_load_all(done.stdout)
        if one["kind"] in {"Deployment", "StatefulSet", "Job"}
    }
    assert {*pods} == {*SERVICES, "migrate"}
    for name, pod in pods.items():
        (container,) = pod["containers"]
        # Else a Service `regulars-ingest` would be told as REGULARS_INGEST_PORT, which is a setting.
        assert pod["enableServiceLinks"] is pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        environment = [each["name"] for each in container["env"]]
        assert len(set(environment)) == len(environment)
        if name in SERVICES:
            named = {OF_NAMED_MEMBERS} & known(SERVICES[name])
            assert {*environment} == given(name) | named
            assert container["args"] == [name]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("secrets.values.REGULARS_DATABASE=null", "secrets.values.REGULARS_DATABASE"),
        ("settings.REGULARS_KAFKA=kafka", "REGULARS_KAFKA"),
        ("segmenter.autoscaling.maxReplicas=13", "more than REGULARS_PARTITIONS"),
        ("mailer.setings.REGULARS_SENDERS=1", "setings"),
    ],
)
def test_what_cannot_work_is_refused_with_its_name(wrong: str, said: str) -> None:
    done = template(f"--set={wrong}")
    assert done.returncode
    assert said in done.stderr
