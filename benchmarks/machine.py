"""PostgreSQL and Kafka for a benchmark, as durable as in production, and services as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from services.local import kafka, ports, postgres
from shared.database.migrate import upgrade
from shared.kafka import create_topics
from shared.settings import Settings

PASSWORD = "of-this-benchmark-only"  # noqa: S105


@contextmanager
def machine(prefix: str = "bench.") -> Iterator[Settings]:
    """A migrated database and empty topics; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="regulars-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        database_port, kafka_port = ports.free(), ports.free()
        database = postgres.prepare(folder / "postgres", database_port, PASSWORD)
        broker = kafka.prepare(folder / "kafka", kafka_port)
        running = [
            (database, database.start(folder / "database.log", folder)),
            (broker, broker.start(folder / "kafka.log", folder)),
        ]
        try:
            url = postgres.url(database_port, PASSWORD)
            postgres.wait_until_ready(postgres.url(database_port, PASSWORD, "postgres"), 30)
            postgres.ensure_database(database_port, PASSWORD)
            kafka.wait_until_ready(f"{ports.LOOPBACK}:{kafka_port}", 60)
            settings = Settings(
                kafka=f"{ports.LOOPBACK}:{kafka_port}", database=url, topic_prefix=prefix, partitions=12
            )
            upgrade(url)
            create_topics(settings)
            yield settings
        finally:
            for program, process in reversed(running):
                program.stop(process, 10)


@contextmanager
def service(name: str, settings: Settings, **more: str) -> Iterator[psutil.Process]:
    """`regulars NAME` as a process of its own, ready when this yields."""
    port = ports.free()
    given = {"kafka": settings.kafka, "database": settings.database, "topic_prefix": settings.topic_prefix}
    environment = {f"REGULARS_{key.upper()}": value for key, value in (given | more).items()}
    environment |= {"REGULARS_METRICS_PORT": str(port), "REGULARS_LOG_LEVEL": "warning"}
    process = subprocess.Popen([sys.executable, "-m", "services.cli", name], env={**os.environ, **environment})
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def wait_until_ready(url: str, deadline: float = 60) -> None:
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        try:
            if httpx.get(url, timeout=1).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise TimeoutError(url)
