"""Invariant 1 on the running service: whatever is killed, customers, memberships and dead letters come out right."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.clock import utc_now
from shared.database.engine import connect
from shared.settings import SegmenterSettings
from tests.segmenter import Segmenter, assert_right, organize, publish
from tests.stack import eventually
from tests.traffic import Traffic

pytestmark = pytest.mark.faults
Settings = Callable[..., Any]
EVENTS = 20_000


@pytest.fixture
def segmenter(settings: Settings, tmp_path: Path) -> Iterator[Segmenter]:
    made = Segmenter(settings(SegmenterSettings), tmp_path, REGULARS_BATCH_EVENTS="400")
    organize(made.settings)
    try:
        yield made
    finally:
        made.kill()
        print(made.log.read_text()[-6000:])  # noqa: T201 - shown when the test fails


def counted(segmenter: Segmenter) -> int:
    with connect(segmenter.settings.database, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM ledger").fetchone()
    return int(row[0]) if row else 0


def test_killed_again_and_again_it_counts_each_event_once(segmenter: Segmenter) -> None:
    chance, now = random.Random(7), utc_now()
    events = Traffic(7, EVENTS, now).events(EVENTS)
    places = publish(segmenter.settings, events)
    for _ in range(4):
        segmenter.start()
        enough = counted(segmenter) + chance.randrange(1, 2_500)
        eventually(lambda least=enough: counted(segmenter) >= least, 60, 0.001)
        segmenter.kill()
    segmenter.start()
    segmenter.wait_until_drained()
    assert_right(segmenter.settings, events, places, utc_now())
