"""A bad deploy must not empty the stream into the dead letters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shared.clock import utc_now
from shared.settings import SegmenterSettings
from tests.segmenter import assert_right, of_its_own, organize, publish
from tests.stack import eventually
from tests.till import Event
from tests.traffic import Traffic

pytestmark = pytest.mark.faults
Settings = Callable[..., Any]


def test_when_too_many_fail_it_stops_says_why_and_goes_on_when_told(settings: Settings, tmp_path: Path) -> None:
    chosen = settings(SegmenterSettings, partitions=1)
    organize(chosen)
    good = [each for each in Traffic(3, 300, utc_now()).events(300) if isinstance(each, dict)]
    bad: list[Event | bytes | None] = [b"from a bad deploy"] * 1_000
    with of_its_own(chosen, tmp_path, REGULARS_LANES="1", REGULARS_DEAD_LETTER_WINDOW="200") as segmenter:
        segmenter.start()
        events: list[Event | bytes | None] = [*good]
        places = publish(chosen, good)
        segmenter.wait_until_drained()
        places += publish(chosen, bad)
        why = eventually(lambda: said if "refused" in (said := segmenter.why_not_ready() or "") else "", 60)
        assert "REGULARS_DEAD_LETTER_SHARE=1" in why
        assert segmenter.is_running()
        assert segmenter.lag() > 0, "what was refused for its number stays in Kafka"
        segmenter.kill()
        segmenter.start(REGULARS_DEAD_LETTER_SHARE="1")
        segmenter.wait_until_drained()
        assert segmenter.why_not_ready() is None
        assert_right(chosen, events + bad, places)


def test_a_batch_that_the_database_cannot_take_is_told_until_it_can(settings: Settings, tmp_path: Path) -> None:
    chosen = settings(SegmenterSettings, partitions=1)
    organize(chosen)
    good = [each for each in Traffic(4, 300, utc_now()).events(300) if isinstance(each, dict)]
    with (
        of_its_own(chosen, tmp_path, REGULARS_LANES="1") as segmenter,
        psycopg.connect(chosen.database, autocommit=True) as connection,
    ):
        segmenter.start()
        connection.execute(
            "ALTER TABLE customer RENAME COLUMN total_spent TO spent"
        )  # as with a schema of another version
        places = publish(chosen, good)
        eventually(lambda: "total_spent" in (segmenter.why_not_ready() or ""), 60)
        connection.execute("ALTER TABLE customer RENAME COLUMN spent TO total_spent")
        segmenter.wait_until_drained()
        eventually(lambda: segmenter.why_not_ready() is None, 10)
        assert_right(chosen, good, places)
