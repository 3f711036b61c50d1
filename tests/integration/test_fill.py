"""A fill gives each customer the bit that holds, tells each difference once and plans the flips, whatever was there."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from services.segmenter import pair
from services.segmenter.backfill import Backfill
from services.segmenter.batch import Batches, process_or_split
from shared.domain.criteria import NEVER, parse
from shared.domain.criteria.columns import micros
from shared.settings import SegmenterSettings
from tests import crowd
from tests.integration.test_criteria import load, put
from tests.segments import add_organization
from tests.till import NOW, records, sale

SLOT = 12
HISTORY = {"not": {"field": "spend", "op": "gte", "value": 5, "last_days": 400}}  # nobody bought: true for all
CASES = settings(
    max_examples=40,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[datetime, dict[str, Any], list[dict[str, Any]]]:
    """An instant, criteria, and customers with some memberships and schedule already."""
    now = draw(crowd.NOWS)
    rows = draw(st.lists(crowd.customer(now), min_size=1, max_size=25))
    bits = st.sampled_from([b"", b"\x01", b"\x00\x10", b"\xff\xff\xff", b"\x00\xef\x01"])
    for row in rows:
        row["memberships"] = draw(bits)
        row["scheduled_at"] = draw(st.none() | st.sampled_from([now, now + timedelta(hours=1), now + timedelta(365)]))
    return now, draw(crowd.tree(now)), rows


def add(connection: psycopg.Connection[Any], tree: object, *, count: int = 0, version: int = 1) -> None:
    connection.execute(
        "INSERT INTO segment (organization_id, segment_id, name, kind, criteria, slot, state, progress, version, "
        "member_count) VALUES ('demo', 'fresh', 'fresh', 'dynamic', %s, %s, 'filling', 0, %s, %s)",
        [Jsonb(tree), SLOT, version, count],
    )


@pytest.mark.parametrize("way", ["pages", "pages by two", "customers"])
def test_a_fill_leaves_what_holds_and_tells_what_differs(
    connection: psycopg.Connection[Any], database: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "pages by two":
        monkeypatch.setattr(pair, "WORTH_IT", 0)
        connection.execute("ALTER TABLE customer SET (fillfactor = 10)")  # even these few take some pages
    add_organization(connection, "demo", {})
    connection.execute("UPDATE organization SET time_zone = 'Asia/Kolkata'")
    connection.execute(
        "INSERT INTO segment (organization_id, segment_id, name, kind, slot) VALUES ('demo', 'listed', 'l', 'static', 3)"
    )

    @CASES
    @given(situation=situations())
    def holds(situation: tuple[datetime, dict[str, Any], list[dict[str, Any]]]) -> None:
        now, tree, rows = situation
        connection.execute("DELETE FROM segment WHERE segment_id = 'fresh'")
        connection.execute("TRUNCATE flip, outbox, segment_change")
        put(connection, rows)
        had = {f"c-{n:03}" for n, row in enumerate(rows) if SLOT in slots(row["memberships"])}
        criteria = parse(tree)
        columns = load(connection, [criteria], rows)
        wanted = {f"c-{n:03}" for n in np.flatnonzero(criteria.holds(columns, micros(now)))}
        add(connection, {"all": [tree, HISTORY]} if way == "customers" else tree, count=len(had))
        fill = Backfill(SegmenterSettings(database=database), lambda: now)
        fill.work(connection)
        fill.end()
        kept = dict(connection.execute("SELECT customer_id, memberships FROM customer").fetchall())
        assert {name for name, bits in kept.items() if SLOT in slots(bits)} == wanted
        # No other bit has moved, except the list's, which customers looked at by memory get right too.
        for number, row in enumerate(rows):
            others = {slot for slot in slots(row["memberships"]) if slot not in {SLOT, 3}}
            assert {slot for slot in slots(kept[f"c-{number:03}"]) if slot not in {SLOT, 3}} == others
        told = connection.execute('SELECT customer_id, entered, "left", cause, at FROM segment_change').fetchall()
        assert sorted(row[0] for row in told if "fresh" in row[1]) == sorted(wanted - had)
        assert sorted(row[0] for row in told if "fresh" in row[2]) == sorted(had - wanted)
        assert {row[3:] for row in told if "fresh" in row[1] + row[2]} <= {("backfill", now)}
        state = connection.execute("SELECT state, member_count FROM segment WHERE segment_id = 'fresh'").fetchone()
        assert state == ("live", len(wanted))
        planned: dict[str, list[int]] = defaultdict(lambda: [NEVER])
        for name, at in connection.execute("SELECT customer_id, due_at FROM flip"):
            planned[name].append(micros(at))
        for number, flip in enumerate(criteria.flips(columns, micros(now)).tolist()):
            scheduled = rows[number]["scheduled_at"]
            known = NEVER if scheduled is None else micros(scheduled)
            assert min(*planned[f"c-{number:03}"], known) <= flip

    holds()


def test_an_edit_is_told_as_one_and_takes_out_who_no_longer_belongs(batches: Batches, database: str) -> None:
    connection = batches.connection
    process_or_split(batches, records([sale(1, "c-1", 100), sale(2, "c-2", 300)]))
    fill = Backfill(SegmenterSettings(database=database), lambda: NOW)
    add(connection, {"field": "total_spent", "op": "lt", "value": 200})
    fill.work(connection)
    edited = Jsonb({"field": "total_spent", "op": "gt", "value": 200})
    connection.execute(
        "UPDATE segment SET criteria = %s, version = 2, state = 'filling' WHERE segment_id = 'fresh'", [edited]
    )
    fill.work(connection)
    told = connection.execute('SELECT customer_id, cause, entered, "left" FROM segment_change ORDER BY change_id')
    moves = [(who, cause, "fresh" in came, "fresh" in went) for who, cause, came, went in told]
    mine = [move for move in moves if move[2] or move[3]]
    assert mine[0] == ("c-1", "backfill", True, False)
    assert set(mine[1:]) == {("c-1", "edit", False, True), ("c-2", "edit", True, False)}
    days = connection.execute('SELECT entered, "left" FROM segment_day WHERE segment_id = %s', ["fresh"]).fetchall()
    assert days == [(2, 1)]


def test_a_deleted_segment_gives_its_bits_back(batches: Batches, database: str) -> None:
    connection = batches.connection
    process_or_split(batches, records([sale(n, f"c-{n}", 300) for n in range(9)]))
    fill = Backfill(SegmenterSettings(database=database), lambda: NOW)
    add(connection, {"field": "total_spent", "op": "gt", "value": 200})
    fill.work(connection)
    connection.execute("UPDATE segment SET state = 'deleting' WHERE segment_id = 'fresh'")
    connection.execute("DELETE FROM outbox")
    fill.work(connection)
    assert connection.execute("SELECT count(*) FROM segment WHERE segment_id = 'fresh'").fetchone() == (0,)
    kept = connection.execute("SELECT memberships FROM customer").fetchall()
    assert not any(SLOT in slots(bits) for (bits,) in kept)


def slots(bits: bytes) -> set[int]:
    """The bits that are set."""
    return {place * 8 + bit for place, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1}
