"""One installation for all of these, in their order: what is killed comes back, what was stopped is gone."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from services import installation
from services.local import processes
from services.local.status import read
from tests import stack
from tests.stack import TRUSTS_NOBODY, eventually

pytestmark = pytest.mark.faults

SERVICES = ["sandbox", "ingest", "segmenter", "mailer", "admin"]
FREE_PORTS = ["--ingest-port=0", "--admin-port=0", "--sandbox-port=0"]


def regulars(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=os.environ | environment
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with stack.scratch() as folder:
        result = regulars("up", "--empty", "--detach", f"--data-dir={folder / 'data'}", *FREE_PORTS)
        assert result.returncode == 0, result.stdout + result.stderr
        yield folder / "data"
        regulars("down", f"--data-dir={folder / 'data'}")


def status(folder: Path) -> dict[str, Any]:
    return read(installation.require(folder))


def ready_again(folder: Path, before: dict[str, int], killed: list[str]) -> dict[str, Any]:
    def replaced() -> dict[str, Any] | None:
        now = status(folder)
        return now if now["ready"] and all(now["processes"][name] != before[name] for name in killed) else None

    return eventually(replaced, 90, every=0.5)


def customers(content: dict[str, Any]) -> set[str]:
    answer = httpx.get(
        f"{content['endpoints']['admin']}/v1/customers",
        headers={"Authorization": f"Bearer {content['keys']['owner']}"},
        timeout=20,
        verify=TRUSTS_NOBODY,
    )
    return {one["customer_id"] for one in answer.json()["items"]} if answer.is_success else set()


def events(folder: Path, *customer_ids: str) -> str:
    path = folder.parent / "events.ndjson"
    with path.open("w") as file:
        for customer_id in customer_ids:
            event = {"specversion": "1.0", "id": customer_id, "source": "/test", "type": "customer.upserted"}
            data = {"organization_id": "demo", "customer_id": customer_id, "name": "A. Customer"}
            file.write(json.dumps(event | {"time": "2026-11-01T10:00:00Z", "data": data}) + "\n")
    return str(path)


def test_status_tells_endpoints_keys_and_the_processes_that_do_the_work(folder: Path) -> None:
    result = regulars("status", "--json", f"--data-dir={folder}")
    assert result.returncode == 0
    content = json.loads(result.stdout)
    assert content["ready"] is True
    assert content["organization_id"] == "demo"
    assert set(content["endpoints"]) == {"ingest", "admin", "sandbox", "kafka", "database"}
    assert set(content["metrics"]) == {"ingest", "segmenter", "mailer", "admin"}
    assert set(content["keys"]) == {"terminal", "owner"}
    assert set(content["processes"]) == {"kafka", "database", *SERVICES}
    for name in SERVICES:
        assert name in psutil.Process(content["processes"][name]).cmdline()
    for url in content["metrics"].values():
        assert "python_info" in httpx.get(url, verify=TRUSTS_NOBODY).text


@pytest.mark.parametrize("via", ["kafka", "http"])
def test_published_events_become_customers(folder: Path, via: str) -> None:
    result = regulars("publish", events(folder, f"c-{via}"), f"--via={via}", f"--data-dir={folder}")
    assert result.returncode == 0, result.stderr
    content = status(folder)
    eventually(lambda: f"c-{via}" in customers(content), every=0.2)


def test_each_consumer_tells_how_far_it_is_behind(folder: Path) -> None:
    content = status(folder)
    headers = {"Authorization": f"Bearer {content['keys']['owner']}"}
    everybody = {"name": "Everybody", "criteria": {"field": "visit_count", "op": "gte", "value": 0}}
    made = httpx.post(
        f"{content['endpoints']['admin']}/v1/segments", json=everybody, headers=headers, verify=TRUSTS_NOBODY
    )
    assert made.status_code == 201
    for service, topic in (("segmenter", "pos.customers.v1"), ("mailer", "crm.segments.v1")):
        told = re.compile(rf'regulars_consumer_lag{{partition="\d+",topic="{topic}"}} 0\.0')
        url = content["metrics"][service]
        eventually(lambda told=told, url=url: told.search(httpx.get(url, verify=TRUSTS_NOBODY).text), 30, every=0.2)


def test_rejected_lines_end_in_exit_code_one(folder: Path) -> None:
    path = Path(events(folder, "c-good", "c" * 65))
    for via in ("kafka", "http"):
        result = regulars("publish", str(path), f"--via={via}", f"--data-dir={folder}")
        assert result.returncode == 1
        assert "line 2: data.customer_id: " in result.stderr


def test_a_second_up_on_the_same_directory_is_refused_in_one_line(folder: Path) -> None:
    result = regulars("up", f"--data-dir={folder}", *FREE_PORTS)
    assert result.returncode == 2
    assert "already runs" in result.stderr
    assert result.stderr.count("\n") == 1
    assert status(folder)["ready"]


@pytest.mark.parametrize("detach", [[], ["--detach"]])
def test_a_port_that_is_taken_is_refused_in_one_line(folder: Path, tmp_path: Path, detach: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = regulars("up", f"--data-dir={tmp_path}", *FREE_PORTS, f"--admin-port={port}", *detach)
    assert result.returncode == 2
    lines = (result.stdout + result.stderr).splitlines()
    assert len(lines) == 1
    assert f"Port {port} for admin is taken" in lines[0]


def test_all_services_come_back_from_kill_9(folder: Path) -> None:
    before = status(folder)["processes"]
    for name in SERVICES:
        os.kill(before[name], signal.SIGKILL)
    ready_again(folder, before, SERVICES)


@pytest.mark.parametrize("store", ["kafka", "database"])
def test_a_store_comes_back_from_kill_9_where_it_was_and_with_what_it_held(folder: Path, store: str) -> None:
    before = status(folder)
    os.kill(before["processes"][store], signal.SIGKILL)
    after = ready_again(folder, before["processes"], [store])
    assert after["endpoints"] == before["endpoints"]
    assert regulars("publish", events(folder, f"c-{store}"), f"--data-dir={folder}").returncode == 0
    eventually(lambda: {f"c-{store}", "c-kafka", "c-http"} <= customers(after), 90, every=0.2)


def test_after_kill_9_of_the_supervisor_up_starts_cleanly_with_the_same_data_and_keys(folder: Path) -> None:
    before = status(folder)
    supervisor = json.loads((folder / "status.json").read_text())["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGKILL)
    assert regulars("status", f"--data-dir={folder}").returncode == 1
    result = regulars("up", "--empty", "--detach", f"--data-dir={folder}", *FREE_PORTS)
    assert result.returncode == 0, result.stdout + result.stderr
    after = status(folder)
    assert after["keys"] == before["keys"]
    assert not set(after["processes"].values()) & set(before["processes"].values())
    assert all(not psutil.pid_exists(pid) for pid in before["processes"].values())
    assert {"c-kafka", "c-http"} <= customers(after)


def test_down_ends_every_process_and_keeps_the_data(folder: Path) -> None:
    before = status(folder)["processes"]
    assert regulars("down", f"--data-dir={folder}").returncode == 0
    assert all(not psutil.pid_exists(pid) for pid in before.values())
    assert processes.marked(folder) == []
    assert status(folder)["ready"] is False
    again = regulars("down", f"--data-dir={folder}")
    assert (again.returncode, again.stdout) == (0, "It was not running.\n")
    # A clean shutdown, not a recovery to come.
    assert "database system is shut down" in (folder / "logs" / "database.log").read_text().splitlines()[-1]


def test_a_service_that_cannot_start_ends_up_with_the_last_lines_of_its_log(
    kafka: str, empty_database: str, topic_prefix: str, tmp_path: Path
) -> None:
    result = regulars(
        "up", "--detach", f"--data-dir={tmp_path}", f"--kafka={kafka}", f"--database={empty_database}", *FREE_PORTS,
        REGULARS_TOPIC_PREFIX=topic_prefix, REGULARS_PARTITIONS="2", REGULARS_LANES="none",
    )  # fmt: skip
    assert result.returncode == 1
    assert "segmenter does not start" in result.stdout
    assert "Setting REGULARS_LANES is wrong" in result.stdout
    assert processes.marked(tmp_path) == []


def test_external_stores_are_used_and_an_interrupt_stops_in_order(
    kafka: str, empty_database: str, topic_prefix: str, tmp_path: Path
) -> None:
    log = tmp_path / "output"
    command = [sys.executable, "-m", "services.cli", "up", "--empty", f"--data-dir={tmp_path / 'data'}", *FREE_PORTS]
    environment = os.environ | {"REGULARS_TOPIC_PREFIX": topic_prefix, "REGULARS_PARTITIONS": "2"}
    with log.open("w") as output:
        up = subprocess.Popen(
            [*command, f"--kafka={kafka}", f"--database={empty_database}"],
            stdout=output,
            stderr=output,
            env=environment,
        )
    try:
        eventually(lambda: "Ready." in log.read_text() or up.poll() is not None, 120, every=0.2)
        content = status(tmp_path / "data")
        assert (content["ready"], set(content["processes"])) == (True, set(SERVICES)), log.read_text()
        assert content["endpoints"]["kafka"] == kafka
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
    finally:
        up.kill()
        up.wait()
        left = processes.end_orphans(tmp_path)
    assert left == []
