from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from services.local import ports, postgres
from tests import stack
from tests.stack import eventually

PASSWORD = "right"


class Server:
    """A server that can be killed and started again on the same data and port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = ports.free()
        self.address = postgres.url(self.port, PASSWORD, "postgres")

    def start(self) -> None:
        self.program = postgres.prepare(self.folder / "postgres", self.port, PASSWORD, {"shared_buffers": "16MB"})
        self.process: subprocess.Popen[bytes] = self.program.start(self.folder / "log", self.folder)
        postgres.wait_until_ready(self.address, 60)


@pytest.fixture
def server() -> Iterator[Server]:
    with stack.scratch() as folder:
        server = Server(folder)
        server.start()
        yield server
        server.program.stop(server.process, 10)


def test_after_kill_9_it_starts_again_though_a_backend_is_still_at_work(server: Server) -> None:
    with psycopg.connect(server.address, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    client = psycopg.connect(server.address)
    try:
        # Long, and never looking whether its parent lives.
        client.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 10000000000)")
        # By itself each time: one transaction would show its first answer for ever.
        with psycopg.connect(server.address, autocommit=True) as connection:
            eventually(lambda: connection.execute("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%series(1,%' AND state = 'active' AND pid <> pg_backend_pid()").fetchone())  # fmt: skip
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.start()
    finally:
        client.close()
    with psycopg.connect(server.address) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_who_does_not_know_the_password_stays_outside(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.address.replace(PASSWORD, "wrong"))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.address.replace(f":{PASSWORD}@", "@"))


def test_the_folder_is_closed_to_others(server: Server) -> None:
    assert (server.folder / "postgres").stat().st_mode & 0o077 == 0
