"""Kafka and PostgreSQL of a test's own, ended under load: the segmenter waits, lives, and goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from services.local import kafka, ports, postgres
from services.local.program import Program
from shared.clock import utc_now
from shared.database.migrate import upgrade
from shared.settings import SegmenterSettings
from tests.model_events import Event
from tests.segmenter import Place, Segmenter, assert_right, of_its_own, organize, publish
from tests.stack import scratch
from tests.traffic import Traffic

pytestmark = pytest.mark.faults
Settings = Callable[..., Any]
EVENTS = 4_000
PARTS = 20
PASSWORD = "of-this-test-only"
KEPT_BY_THE_KERNEL = {"fsync": "off", "full_page_writes": "off"}  # a process dies here, never the machine


class Store:
    """A server that can be killed and started again where it was."""

    def __init__(self, prepare: Callable[[], Program], folder: Path, wait: Callable[[], None]) -> None:
        self._prepare, self._folder, self._wait = prepare, folder, wait
        self._process: Any = None

    def start(self) -> None:
        program = self._prepare()
        self._process = program.start(self._folder / f"{program.name}.log", self._folder)
        self._wait()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


@contextmanager
def broker() -> Iterator[tuple[Store, str]]:
    with scratch() as folder:
        port = ports.free()
        bootstrap = f"{ports.LOOPBACK}:{port}"
        store = Store(
            lambda: kafka.prepare(folder / "kafka", port), folder, lambda: kafka.wait_until_ready(bootstrap, 60)
        )
        store.start()
        try:
            yield store, bootstrap
        finally:
            store.kill()


@contextmanager
def database() -> Iterator[tuple[Store, str]]:
    with scratch() as folder:
        port = ports.free()
        address = postgres.url(port, PASSWORD)
        maintenance = make_url(address).set(database="postgres").render_as_string(hide_password=False)
        store = Store(
            lambda: postgres.prepare(folder / "postgres", port, PASSWORD, KEPT_BY_THE_KERNEL),
            folder,
            lambda: postgres.wait_until_ready(maintenance, 60),
        )
        store.start()
        try:
            postgres.ensure_database(port, PASSWORD)
            upgrade(address)
            yield store, address
        finally:
            store.kill()


class Till(threading.Thread):
    """Publishes in parts, one after the other, whatever happens to the stores."""

    def __init__(self, settings: SegmenterSettings, events: Sequence[Event | bytes | None]) -> None:
        super().__init__()
        self.settings, self.events = settings, events
        self.places: list[Place] = []
        self.start()

    def run(self) -> None:
        size = len(self.events) // PARTS + 1
        # In a process of its own: kafka-python 3.0 forgets sockets when its broker goes away.
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            for part in range(0, len(self.events), size):
                self.places += process.submit(publish, self.settings, self.events[part : part + size]).result()


def interrupted(segmenter: Segmenter, store: Store, times: int) -> None:
    """Outages under load, then peace; all must be right and the process the same."""
    settings = segmenter.settings
    organize(settings)
    segmenter.start()
    till = Till(settings, Traffic(11, EVENTS, utc_now()).events(EVENTS))
    for number in range(times):
        segmenter.count_to((number + 1) * EVENTS // (2 * times))
        store.kill()
        store.start()
    till.join(120)
    segmenter.wait_until_drained()
    assert segmenter.is_running()
    assert segmenter.why_not_ready() is None
    assert_right(settings, till.events, till.places)


def test_a_database_killed_under_load_loses_and_doubles_nothing(settings: Settings, tmp_path: Path) -> None:
    with (
        database() as (store, address),
        of_its_own(settings(SegmenterSettings, database=address), tmp_path) as segmenter,
    ):
        interrupted(segmenter, store, 3)


def test_a_broker_killed_under_load_loses_and_doubles_nothing(settings: Settings, tmp_path: Path) -> None:
    with (
        broker() as (store, bootstrap),
        of_its_own(settings(SegmenterSettings, kafka=bootstrap), tmp_path) as segmenter,
    ):
        interrupted(segmenter, store, 1)
