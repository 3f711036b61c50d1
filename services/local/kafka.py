"""One Apache Kafka node in KRaft mode on this machine: durable, back within seconds after a kill -9."""

from __future__ import annotations

import base64
import subprocess
import uuid
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from services.local import jars, java, ports
from services.local.program import Program
from shared.errors import SetupError
from shared.kafka_access import plain
from shared.kafka_trouble import reach_within

HEAP_MB = 256
FORMAT_SECONDS = 60


def prepare(folder: Path, port: int, *, heap_mb: int = HEAP_MB, console: Console | None = None) -> Program:
    """The broker on 127.0.0.1:`port` with its data in `folder`: jars at hand, configuration written, storage formatted.

    The configuration is written anew each time, because the port may have changed. Raises SetupError.
    """
    class_path = ":".join(str(path) for path in jars.ensure(console))
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "server.properties"
    config.write_text(properties(folder / "log", port, ports.free()), encoding="utf-8")
    launch = [
        str(java.find()),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",  # a small heap on few cores: half a G1's memory, and up sooner
        "-XX:TieredStopAtLevel=1",
        f"-Dlog4j2.configurationFile={files('services.local') / 'kafka-log4j2.properties'}",
        "-cp",
        class_path,
    ]
    if not (folder / "log" / "meta.properties").exists():
        _format(launch, config, folder)
    return Program("kafka", [*launch, "kafka.Kafka", str(config)], folder)


def properties(log_dir: Path, port: int, controller_port: int) -> str:
    """The content of server.properties for a single node that is broker and controller in one."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{ports.LOOPBACK}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{ports.LOOPBACK}:{port},CONTROLLER://{ports.LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{ports.LOOPBACK}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": log_dir,
        # Topics are made on purpose, with their partitions, never by a typing error.
        "auto.create.topics.enable": "false",
        "message.max.bytes": 2 * 1024 * 1024,
        "replica.fetch.max.bytes": 2 * 1024 * 1024,
        # Each partition begins with two indexes of this size, and the first record has the kernel fill both with zeros.
        "log.index.size.max.bytes": 512 * 1024,
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        # The controller forgets a killed broker sooner, so that it is let back in after 4 s instead of 12.
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def wait_until_ready(bootstrap: str, deadline: float) -> None:
    """Return once the broker answers a metadata request; raise SetupError when it has not after `deadline` seconds."""
    reach_within(plain(bootstrap), deadline)


def _format(launch: list[str], config: Path, folder: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # With "=": an id may begin with a dash.
    command = [*launch, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(config)]
    command.append("--ignore-formatted")
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=FORMAT_SECONDS)
    except subprocess.CalledProcessError as error:
        lines = [line for line in (error.stderr + error.stdout).splitlines() if line.strip()]
        raise SetupError(f"Kafka could not set up its storage in {folder}: {lines[0] if lines else error}") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"Kafka did not set up its storage in {folder} within {FORMAT_SECONDS} s.") from error
