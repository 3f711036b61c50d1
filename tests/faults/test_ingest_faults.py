"""Invariant 5: 202 means that Kafka holds it, whatever is killed meanwhile."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
from sqlalchemy import NullPool
from sqlalchemy.engine import make_url

from services.local import kafka, ports
from services.local.program import Program
from shared.database.engine import engine
from shared.kafka import Topic
from shared.keys import create_key
from shared.settings import IngestSettings
from tests.ingest import consume, ndjson, organize, running, sale
from tests.ingest_process import Process
from tests.stack import TRUSTS_NOBODY, eventually, scratch

pytestmark = pytest.mark.faults
BATCH = 40
Settings = Callable[..., Any]


class Broker:
    """A Kafka of these tests' own, to be killed."""

    def __init__(self, folder: Path) -> None:
        self.port = ports.free()
        self.bootstrap = f"{ports.LOOPBACK}:{self.port}"
        self._folder = folder
        self._program: Program = kafka.prepare(folder / "kafka", self.port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        """Nothing where it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        self._process = self._program.start(self._folder / "kafka.log", self._folder)
        if wait:
            kafka.wait_until_ready(self.bootstrap, 60)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with scratch() as folder:
        broker = Broker(folder)
        try:
            yield broker
        finally:
            broker.kill()


class Till:
    """Sends batches one after the other, each until it gets its 202, and notes what was promised."""

    def __init__(self, url: str, token: str, first: int) -> None:
        self.promised: list[bytes] = []
        self.refusals: Counter[int | str] = Counter()
        self._url, self._token, self._next = url, token, first
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def stop(self) -> None:
        self._enough.set()
        self._thread.join(60)

    def _send(self) -> None:
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/x-ndjson"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=30, verify=TRUSTS_NOBODY) as client:
            while not self._enough.is_set():
                self._send_batch(client)

    def _send_batch(self, client: httpx.Client) -> None:
        batch = [msgspec.json.encode(sale(number)) for number in range(self._next, self._next + BATCH)]
        try:
            answer = client.post("/v1/events", content=ndjson(batch))
        except httpx.HTTPError as error:
            self.refusals[type(error).__name__] += 1
            self._enough.wait(0.05)
            return
        if answer.status_code == 202:
            assert answer.json() == {"accepted": BATCH, "rejected": []}
            self.promised += batch
            self._next += BATCH
        else:
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) >= 1
            self.refusals[answer.status_code] += 1
            self._enough.wait(0.05)


@contextmanager
def tills(url: str, token: str, count: int = 3) -> Iterator[list[Till]]:
    selling = [Till(url, token, 1_000_000 * number) for number in range(count)]
    try:
        yield selling
    finally:
        for till in selling:
            till.stop()


def sell_on(selling: list[Till], batches: int = 10) -> None:
    """Wait until so many more batches have been promised."""
    enough = sum(len(till.promised) for till in selling) + batches * BATCH
    eventually(lambda: sum(len(till.promised) for till in selling) >= enough, deadline=90)


def assert_kept(settings: IngestSettings, selling: list[Till]) -> None:
    held = Counter(value for _, value in consume(settings, Topic.SALES))
    promised = [event for till in selling for event in till.promised]
    lost = [event for event in promised if event not in held]
    assert not lost, f"{len(lost)} of {len(promised)} were promised and are not there"


@pytest.fixture
def process(settings: Settings, broker: Broker, tmp_path: Path) -> Iterator[tuple[Process, IngestSettings, str]]:
    """Ingest as a process with the tests' own broker, which may not run; and a terminal's key."""
    chosen: IngestSettings = settings(
        IngestSettings, kafka=broker.bootstrap, ingest_port=ports.free(), acknowledge_seconds=3
    )
    database = engine(chosen.database, poolclass=NullPool)
    organize(database)
    with database.begin() as connection:
        token = create_key(connection, "demo", "terminal", "till")[1]
    ingest = Process(chosen, tmp_path)
    try:
        yield ingest, chosen, token
    finally:
        ingest.kill()
        print((tmp_path / "ingest.log").read_text()[-4000:])  # noqa: T201 - shown where the test failed


@pytest.fixture
def no_broker(broker: Broker) -> None:
    broker.kill()


@pytest.mark.usefixtures("no_broker")
def test_started_without_a_broker_it_says_why_and_finds_it_by_itself(broker: Broker, process: Any) -> None:
    ingest, settings, token = process
    answer = eventually(lambda: asked(ingest.url))
    assert answer.status_code == 503
    assert "Kafka" in answer.text
    with tills(ingest.url, token, 1) as (till,):
        eventually(lambda: till.refusals[503] >= 3)
        broker.start(wait=False)
        sell_on([till], 3)
    eventually(ingest.is_ready)
    assert_kept(settings, [till])


def asked(url: str) -> httpx.Response | None:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, verify=TRUSTS_NOBODY)
    except httpx.HTTPError:
        return None


def test_ingest_killed_under_load_loses_nothing_that_it_promised(process: Any, broker: Broker) -> None:
    ingest, settings, token = process
    broker.start()
    with tills(ingest.url, token) as selling:
        for _ in range(3):
            sell_on(selling)
            ingest.kill()
            ingest.start()
        sell_on(selling)
    assert sum(till.refusals.total() for till in selling) > 0
    assert_kept(settings, selling)


def test_told_to_stop_it_finishes_what_it_began(process: Any, broker: Broker) -> None:
    ingest, settings, token = process
    broker.start()
    with tills(ingest.url, token) as selling:
        sell_on(selling)
        ingest.process.terminate()
        assert ingest.process.wait(30) == 0
    # A connection may be refused, or end while it is idle, but no request dies without an answer.
    assert not sum(till.refusals["ReadTimeout"] + till.refusals[500] for till in selling)
    assert_kept(settings, selling)


def test_a_broker_killed_under_load_loses_nothing_that_was_promised(process: Any, broker: Broker) -> None:
    ingest, settings, token = process
    broker.start()
    with tills(ingest.url, token) as selling:
        for _ in range(2):
            sell_on(selling)
            refused = sum(till.refusals[503] for till in selling)
            broker.kill()
            eventually(lambda seen=refused: sum(till.refusals[503] for till in selling) > seen, deadline=60)
            assert asked(ingest.url).status_code == 503
            broker.start()
        sell_on(selling)
    eventually(ingest.is_ready)
    assert ingest.process.poll() is None
    assert_kept(settings, selling)


def test_while_the_database_is_away_known_keys_publish(
    settings: Settings, database_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(IngestSettings)
    name = make_url(chosen.database).database
    with running(chosen) as ingest, psycopg.connect(database_server, autocommit=True) as server:
        stranger = ingest.key()
        assert ingest.publish(sale(1)).status_code == 202
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        # The stranger's refusal shows that the outage was noticed; from then on the known key is past its freshness.
        eventually(lambda: ingest.publish(sale(2), stranger).status_code == 503)
        monkeypatch.setattr("shared.keys.FRESH_SECONDS", 0.0)
        for number in range(3, 8):
            assert ingest.publish(sale(number)).status_code == 202
        assert ingest.publish(sale(8, currency="EUR")).status_code == 400, "the currency last known still holds"
        page = ingest.client.post("/webhooks/resend", content=b"{}")
        assert page.status_code == 400
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        eventually(lambda: ingest.publish(sale(9), stranger).status_code == 202)
        assert len(ingest.held(Topic.SALES)) == 7
