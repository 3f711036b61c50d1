"""Events through Kafka, the segmenter and back: time that moves members, segments that are made while the stream goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, select

from shared.clock import utc_now
from shared.database.engine import connect, driver_url
from shared.database.predicate import predicate
from shared.database.tables import customer
from shared.domain.criteria import parse
from shared.kafka import Topic
from shared.settings import SegmenterSettings
from tests.criteria_model import Criteria
from tests.segmenter import CRITERIA, Segmenter, assert_right, consume, memberships, of_its_own, organize, publish
from tests.stack import eventually
from tests.till import sale
from tests.traffic import Traffic

Settings = Callable[..., Any]
DAY = timedelta(days=1)
SOON = timedelta(seconds=4)
EVENTS = 4_000
AS_NEW: dict[str, Criteria] = {
    "regular": {"field": "visit_count", "op": "gte", "value": 12},
    "gold": {"all": [{"field": "total_spent", "op": "gte", "value": 25_000}, {"not": CRITERIA["at-risk"]}]},
}


@pytest.fixture
def segmenter(settings: Settings, tmp_path: Path) -> Iterator[Segmenter]:
    chosen = settings(SegmenterSettings)
    organize(chosen)
    with of_its_own(chosen, tmp_path) as made:
        made.start()
        yield made


@pytest.fixture
def connection(segmenter: Segmenter) -> Iterator[psycopg.Connection[Any]]:
    with connect(segmenter.settings.database, autocommit=True) as made:
        yield made


def by_sql(settings: SegmenterSettings, criteria: Criteria) -> set[str]:
    engine = create_engine(driver_url(settings.database))
    try:
        with engine.connect() as reader:
            where = predicate(parse(criteria), "demo", "UTC", utc_now())
            return set(reader.scalars(select(customer.c.customer_id).where(where)))
    finally:
        engine.dispose()


def add_segment(connection: psycopg.Connection[Any], segment_id: str, criteria: Criteria) -> None:
    """As the console saves one: the lowest free slot, filling, and a call to whoever fills."""
    connection.execute(
        "INSERT INTO segment (organization_id, segment_id, name, kind, criteria, slot, state, progress) "
        "SELECT 'demo', %s, %s, 'dynamic', %s, min(n), 'filling', 0 FROM generate_series(0, 200) AS n "
        "WHERE n NOT IN (SELECT slot FROM segment WHERE organization_id = 'demo')",
        [segment_id, segment_id, psycopg.types.json.Jsonb(criteria)],
    )
    connection.execute("NOTIFY regulars_segments")


def state_of(connection: psycopg.Connection[Any], segment_id: str) -> str | None:
    row = connection.execute("SELECT state FROM segment WHERE segment_id = %s", [segment_id]).fetchone()
    return row[0] if row else None


def told(settings: SegmenterSettings, segment_id: str) -> list[tuple[str, str, str, datetime]]:
    """(customer, type, cause, at) of a segment's events."""
    events = [json.loads(record.value) for record in consume(settings, Topic.SEGMENTS)]
    return [
        (each["data"]["customer_id"], each["type"], each["data"]["cause"], datetime.fromisoformat(each["data"]["at"]))
        for each in events
        if each["data"]["segment_id"] == segment_id
    ]


def test_time_alone_moves_a_customer_at_the_instant_and_not_before(
    segmenter: Segmenter, connection: psycopg.Connection[Any]
) -> None:
    publish(segmenter.settings, [sale(0, "c-0", 100, utc_now())])
    segmenter.wait_until_drained()  # so that the wait below is for the instant, not for the start
    instants = {f"c-{n}": utc_now() + SOON + n * timedelta(milliseconds=70) for n in range(1, 20)}
    publish(
        segmenter.settings,
        [sale(customer_id, customer_id, 100, due - 60 * DAY) for customer_id, due in instants.items()],
    )
    # One who buys again before the instant does not flip.
    publish(segmenter.settings, [sale("again", "c-7", 100, utc_now() - DAY)])
    del instants["c-7"]

    def all_moved() -> bool:
        seen = memberships(connection)["at-risk"]
        early = {name for name in seen if instants[name] > utc_now()}
        assert not early, f"{early} moved before their time"
        return seen == set(instants)

    eventually(all_moved, 60)
    segmenter.wait_until_drained()
    moves = told(segmenter.settings, "at-risk")
    assert {(customer_id, kind) for customer_id, kind, _, _ in moves} == {
        (name, "segment.entered") for name in instants
    }
    assert len(moves) == len(instants)
    assert all(at >= instants[customer_id] for customer_id, _, _, at in moves)


def test_segments_are_filled_and_deleted_while_the_stream_goes_on(
    segmenter: Segmenter, connection: psycopg.Connection[Any]
) -> None:
    events = Traffic(5, EVENTS, utc_now()).events(EVENTS)
    half = len(events) // 2
    places = publish(segmenter.settings, events[:half])
    segmenter.count_to(500)
    add_segment(connection, "regular", AS_NEW["regular"])
    connection.execute("UPDATE segment SET state = 'deleting' WHERE segment_id = 'silent'")
    connection.execute("NOTIFY regulars_segments")
    places += publish(segmenter.settings, events[half:])
    eventually(lambda: state_of(connection, "silent") is None, 60)
    add_segment(connection, "gold", AS_NEW["gold"])
    slots = dict(connection.execute("SELECT segment_id, slot FROM segment WHERE organization_id = 'demo'").fetchall())
    assert slots["gold"] == list(CRITERIA).index("silent"), "the slot that came free"
    eventually(lambda: {state_of(connection, name) for name in AS_NEW} == {"live"}, 60)
    segmenter.wait_until_drained()
    kept = {name: tree for name, tree in CRITERIA.items() if name != "silent"} | AS_NEW
    members = memberships(connection)
    assert members == {name: by_sql(segmenter.settings, tree) for name, tree in kept.items()}
    assert_right(segmenter.settings, events, places, kept)


def test_an_edit_moves_members_once_with_its_own_cause(
    segmenter: Segmenter, connection: psycopg.Connection[Any]
) -> None:
    publish(segmenter.settings, [sale(n, f"c-{n}", 1_000 * n, utc_now()) for n in range(1, 60)])
    segmenter.wait_until_drained()
    connection.execute(
        "UPDATE segment SET criteria = %s, version = version + 1, state = 'filling' WHERE segment_id = 'spenders'",
        [psycopg.types.json.Jsonb({"field": "total_spent", "op": "gte", "value": 50_000})],
    )
    connection.execute("NOTIFY regulars_segments")
    eventually(lambda: state_of(connection, "spenders") == "live", 60)
    segmenter.wait_until_drained()
    assert memberships(connection)["spenders"] == {f"c-{n}" for n in range(50, 60)}
    left = [
        (customer_id, cause) for customer_id, kind, cause, _ in told(segmenter.settings, "spenders") if "left" in kind
    ]
    assert sorted(left) == [(f"c-{n}", "edit") for n in range(30, 50)]


def test_an_organization_without_segments_counts_and_gets_its_first_one(
    segmenter: Segmenter, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("DELETE FROM segment")
    instant = utc_now() + SOON - 60 * DAY
    publish(segmenter.settings, [sale(1, "c-1", 100, instant), sale(2, "c-2", 100, utc_now() - 90 * DAY)])
    segmenter.wait_until_drained()
    add_segment(connection, "at-risk", CRITERIA["at-risk"])
    eventually(lambda: state_of(connection, "at-risk") == "live", 60)
    eventually(lambda: memberships(connection) == {"at-risk": {"c-1", "c-2"}}, 60)
