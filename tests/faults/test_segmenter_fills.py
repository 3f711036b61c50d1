"""kill -9 in the midst of fills and of flips, while events flow: nothing is lost, nothing is told twice, none too early."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from shared.clock import utc_now
from shared.database.engine import connect
from shared.kafka import Topic
from shared.settings import SegmenterSettings
from tests.criteria_model import Criteria
from tests.model_events import Event
from tests.segmenter import CRITERIA, Place, Segmenter, assert_right, consume, of_its_own, publish
from tests.stack import eventually
from tests.till import sale

pytestmark = pytest.mark.faults
DAY = timedelta(days=1)
CUSTOMERS = 13_000
DUE = 1_500
HALF: Criteria = {"field": "total_spent", "op": "gte", "value": 2_500}
OTHER_HALF: Criteria = {"all": [{"field": "total_spent", "op": "lt", "value": 2_500},
                                {"field": "last_visit", "op": "within_last", "days": 45}]}  # fmt: skip
WINDOWED: Criteria = {"field": "spend", "op": "gte", "value": 2_000, "last_days": 50}
SLOTS = {"half": 6, "windowed": 45, "gone": 46}
ADD = """
INSERT INTO segment (organization_id, segment_id, name, kind, criteria, slot, state, progress)
VALUES ('demo', %(name)s, %(name)s, 'dynamic', %(criteria)s, %(slot)s, 'filling', 0)
"""
EDIT = """
UPDATE segment SET criteria = %(criteria)s, version = version + 1, state = 'filling', progress = 0
WHERE organization_id = 'demo' AND segment_id = %(name)s
"""
DELETE = "UPDATE segment SET state = 'deleting' WHERE organization_id = 'demo' AND segment_id = %(name)s"
# What a fill writes after its first part waits for these; no till sells to them.
HOLD = """
SELECT count(*) FROM (SELECT FROM customer WHERE ctid >= '(250,0)' AND customer_id > 'c-06500' FOR UPDATE) AS held
"""
WAITS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event <> 'advisory'
  AND (query LIKE '%set_bit%' OR query LIKE '%FOR UPDATE OF c%')
"""
MOVED = "SELECT count(*) FROM segment_change WHERE cause = 'time'"


class Tills:
    """Publish sales of half of the customers who are known, and of new ones, until they are told to stop."""

    def __init__(self, settings: SegmenterSettings) -> None:
        self.settings = settings
        self.chance = random.Random(11)
        self.events: list[Event] = []
        self.places: list[Place] = []
        self.ending = threading.Event()

    def publish(self, events: list[Event]) -> None:
        self.places += publish(self.settings, events)
        self.events += events

    def sell(self) -> None:
        while not self.ending.wait(0.05):
            self.publish(self.some())

    def some(self) -> list[Event]:
        number = len(self.events)
        return [self._sale(number + n, utc_now()) for n in range(20)]

    def _sale(self, number: int, now: datetime) -> Event:
        who = self.chance.choice([f"b-{number}", f"c-{self.chance.randrange(6_500):05}"])
        total = self.chance.randrange(0, 5_000)
        return sale(number, who, total, now - self.chance.random() * 100 * DAY)


@contextmanager
def selling(tills: Tills) -> Iterator[None]:
    thread = threading.Thread(target=tills.sell)
    thread.start()
    try:
        yield
    finally:
        tills.ending.set()
        thread.join(60)


def test_killed_in_the_midst_of_fills_and_flips_it_ends_where_a_recompute_does(
    chosen: SegmenterSettings, tmp_path: Path
) -> None:
    tills = Tills(chosen)
    now = utc_now()
    tills.publish([sale(f"c-{n}", f"c-{n:05}", n * 7_919 % 5_000, now - n * 37 % 100 * DAY) for n in range(CUSTOMERS)])
    with of_its_own(chosen, tmp_path / "one") as segmenter, connect(chosen.database, autocommit=True) as connection:
        segmenter.start()
        segmenter.wait_until_drained()
        with selling(tills):
            for statement, name, criteria in (
                (ADD, "half", HALF),
                (ADD, "windowed", WINDOWED),
                (EDIT, "half", OTHER_HALF),
                (ADD, "gone", HALF),
                (DELETE, "gone", HALF),
            ):
                kill_in_the_midst(segmenter, connection, statement, name, criteria)
        segmenter.wait_until_drained()
        # "60 days ago" comes for each of these within a few seconds.
        first = utc_now() - 60 * DAY + timedelta(seconds=5)
        tills.publish([sale(f"f-{n}", f"f-{n}", 100, first + timedelta(milliseconds=4 * n)) for n in range(DUE)])
        for share in (0.1, 0.5):
            eventually(lambda share=share: moved(connection) >= share * DUE, 60, 0.002)  # type: ignore[misc]
            segmenter.kill()
            tills.publish(tills.some())
            segmenter.start()
        segmenter.wait_until_drained()
        states = "SELECT array_agg(state ORDER BY state) FROM segment"
        live = len(CRITERIA) + 2
        eventually(lambda: connection.execute(states).fetchone() == (["live"] * live,), 60)
        segmenter.wait_until_drained()
        criteria = {**CRITERIA, "half": OTHER_HALF, "windowed": WINDOWED}
        assert_right(chosen, tills.events, tills.places, criteria)
    assert_none_too_early(chosen, tills.events)


def kill_in_the_midst(
    segmenter: Segmenter, connection: psycopg.Connection[Any], statement: str, name: str, criteria: Criteria
) -> None:
    """Change a segment, and kill the service while it is on it: some customers done, some in its hands, some not."""
    with connect(segmenter.settings.database) as holding:
        assert holding.execute(HOLD).fetchone() != (0,)
        connection.execute(statement, {"name": name, "criteria": Jsonb(criteria), "slot": SLOTS[name]})
        connection.execute("SELECT pg_notify('regulars_segments', 'demo')")
        eventually(lambda: connection.execute(WAITS).fetchone() != (0,), 60)
        segmenter.kill()
    state = connection.execute("SELECT state FROM segment WHERE segment_id = %s", [name]).fetchone()
    assert state in {("filling",), ("deleting",)}
    segmenter.start()


def moved(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(MOVED).fetchone()
    return int(row[0]) if row else 0


def assert_none_too_early(settings: SegmenterSettings, events: list[Event]) -> None:
    """Nobody came to "no visit for 60 days" before that instant, most by time alone; one event each."""
    visited = {each["data"]["customer_id"]: datetime.fromisoformat(each["time"]) for each in events}
    entered: dict[str, set[str]] = {}
    by_time = 0
    for record in consume(settings, Topic.SEGMENTS):
        told = json.loads(record.value)
        who = told["data"]["customer_id"]
        if told["data"]["segment_id"] == "at-risk" and who.startswith("f-") and told["type"] == "segment.entered":
            by_time += told["data"]["cause"] == "time"
            assert datetime.fromisoformat(told["data"]["at"]) >= visited[who] + 60 * DAY
            entered.setdefault(who, set()).add(told["id"])
    assert len(entered) == DUE
    assert by_time > DUE / 2
    assert all(len(ids) == 1 for ids in entered.values())
