"""PostgreSQL and Kafka for a whole test run, and the means to wait for something to become true."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
import psycopg
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from services.local import kafka, ports, postgres
from services.local.program import MARK

T = TypeVar("T")
MODE = os.environ.get("REGULARS_TEST_STACK", "local")
PASSWORD = "of-this-run-only"
SCRATCH_PREFIX = "regulars-test-"
# Tests kill processes, never the machine: what PostgreSQL handed to the kernel stays.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}

# For httpx, which otherwise reads every authority of the web for each client, 20 ms: no test speaks TLS over it.
TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def eventually(condition: Callable[[], T], deadline: float = 30.0, every: float = 0.02) -> T:
    """The first true value that `condition` gives; fails after `deadline` seconds with the last one."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline} s: {condition} gave {value!r}"
        time.sleep(every)


def waits_for_a_lock(database: Engine) -> bool:
    """Whether a connection to it does."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with database.connect() as connection:
        return bool(connection.execute(text(waiting)).scalar_one())


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for this run; what an earlier run that was killed has left is ended and removed first."""
    for old in Path(tempfile.gettempdir()).glob(f"{SCRATCH_PREFIX}*"):
        owner = old.name.removeprefix(SCRATCH_PREFIX).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            end_marked(old)
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{os.getpid()}-"))
    try:
        yield folder
    finally:
        end_marked(folder)
        shutil.rmtree(folder, ignore_errors=True)


def end_marked(folder: Path) -> None:
    """End every process that was started for `folder` or below it."""
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK, "")
            if mark and Path(mark).is_relative_to(folder):
                process.kill()
                process.wait(10)
        except (psutil.Error, OSError):
            continue


@contextmanager
def database_server() -> Iterator[str]:
    """The address of a PostgreSQL whose role may create databases."""
    if MODE == "external":
        yield os.environ["REGULARS_TEST_DATABASE"]
    elif MODE == "containers":
        from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - needs Docker's packages

        with PostgresContainer("postgres:18", username=postgres.ROLE, dbname="postgres", driver=None) as container:
            yield container.get_connection_url()
    else:
        with scratch() as folder:
            port = ports.free()
            program = postgres.prepare(folder / "postgres", port, PASSWORD, NOT_DURABLE)
            process = program.start(folder / "database.log", folder)
            try:
                address = postgres.url(port, PASSWORD, "postgres")
                postgres.wait_until_ready(address, 30)
                yield address
            finally:
                program.stop(process, 10)


@contextmanager
def kafka_server() -> Iterator[str]:
    """The bootstrap servers of a Kafka."""
    if MODE == "external":
        yield os.environ["REGULARS_TEST_KAFKA"]
    elif MODE == "containers":
        from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415

        with KafkaContainer().with_kraft() as container:
            yield container.get_bootstrap_server()
    else:
        with scratch() as folder:
            port = ports.free()
            # Each test has topics of its own, and nobody takes them away: the heap must hold them all.
            program = kafka.prepare(folder / "kafka", port, heap_mb=1_536)
            process = program.start(folder / "kafka.log", folder)
            try:
                kafka.wait_until_ready(f"{ports.LOOPBACK}:{port}", 60)
                yield f"{ports.LOOPBACK}:{port}"
            finally:
                program.stop(process, 10)


@contextmanager
def new_database(server: str, template: str = "template1") -> Iterator[tuple[str, str]]:
    """The name and the address of a database that goes afterwards, whoever is still connected."""
    name = f"t_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield name, make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
