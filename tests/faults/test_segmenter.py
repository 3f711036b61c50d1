"""Invariant 1 on the running service: whatever is killed, customers, memberships and dead letters come out right."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from shared.clock import utc_now
from shared.settings import SegmenterSettings
from tests.segmenter import Segmenter, assert_right, of_its_own, publish
from tests.stack import eventually
from tests.traffic import Traffic

pytestmark = pytest.mark.faults
Settings = Callable[..., Any]
EVENTS = 8_000
FEW = 3_000


@pytest.fixture
def segmenter(chosen: SegmenterSettings, tmp_path: Path) -> Iterator[Segmenter]:
    with of_its_own(chosen, tmp_path / "one") as made:
        yield made


def test_killed_again_and_again_it_counts_each_event_once(segmenter: Segmenter) -> None:
    chance = random.Random(7)
    events = Traffic(7, EVENTS, utc_now()).events(EVENTS)
    places = []
    for number, is_killed in enumerate((True, True, False, True)):
        before = segmenter.counted()
        places += publish(segmenter.settings, events[number * len(events) // 4 : (number + 1) * len(events) // 4])
        segmenter.start()
        segmenter.count_to(before + chance.randrange(1, EVENTS // 8))
        if is_killed:
            segmenter.kill()
        else:
            assert segmenter.stop() == 0
    segmenter.start()
    segmenter.wait_until_drained()
    assert_right(segmenter.settings, events, places)


def test_a_second_process_shares_the_work_and_takes_it_over(segmenter: Segmenter, tmp_path: Path) -> None:
    traffic = Traffic(8, FEW, utc_now())
    events = traffic.events(FEW)
    with of_its_own(segmenter.settings, tmp_path / "two", REGULARS_INSTANCE="segmenter-1") as second:
        places = publish(segmenter.settings, events[: FEW // 2])
        segmenter.start()
        segmenter.count_to(1)
        second.start()
        eventually(lambda: second.why_not_ready() is None, 60)
        assert segmenter.is_running()
        segmenter.kill()
        places += publish(segmenter.settings, events[FEW // 2 :])
        second.wait_until_drained()
        assert second.is_running()
        assert_right(segmenter.settings, events, places)


def test_connections_that_are_cut_lose_and_double_nothing(segmenter: Segmenter, database_server: str) -> None:
    events = Traffic(9, FEW, utc_now()).events(FEW)
    segmenter.start()
    places = []
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    with psycopg.connect(database_server, autocommit=True) as server:
        for part in range(0, len(events), len(events) // 5 + 1):
            before = segmenter.counted()
            places += publish(segmenter.settings, events[part : part + len(events) // 5 + 1])
            segmenter.count_to(before + 1)
            server.execute(cut, [make_url(segmenter.settings.database).database])
    segmenter.wait_until_drained()
    assert segmenter.is_running()
    assert_right(segmenter.settings, events, places)
