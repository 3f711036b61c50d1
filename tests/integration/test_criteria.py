"""Invariant 2: what the stream evaluates in memory is what SQL says, over all leaves, nulls and instants."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql as composed
from sqlalchemy import create_engine, null, select

from services.segmenter.arrays import read
from services.segmenter.program import Program, Segment
from shared.database.engine import driver_url
from shared.database.predicate import predicate, tables_of
from shared.database.tables import customer
from shared.domain.criteria import Criteria, parse
from shared.domain.criteria.columns import NEVER, Columns, instant_of, micros
from tests import crowd

ORGANIZATION_ZONE = "Asia/Kolkata"
CASES = settings(
    max_examples=60,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[datetime, list[dict[str, Any]], list[dict[str, Any]]]:
    now = draw(crowd.NOWS)
    trees = draw(st.lists(crowd.tree(now), min_size=1, max_size=12))
    return now, trees, draw(st.lists(crowd.customer(now), min_size=1, max_size=25))


def put(connection: psycopg.Connection[Any], rows: list[dict[str, Any]]) -> None:
    connection.execute("DELETE FROM customer")
    connection.execute("DELETE FROM static_member")
    for number, row in enumerate(rows):
        known = {"organization_id": "demo", "customer_id": f"c-{number:03}"} | row
        if known.pop("listed"):
            connection.execute("INSERT INTO static_member VALUES ('demo', 'listed', %s)", [known["customer_id"]])
        statement = composed.SQL("INSERT INTO customer ({}) VALUES ({})").format(
            composed.SQL(", ").join(map(composed.Identifier, known)),
            composed.SQL(", ").join(map(composed.Placeholder, known)),
        )
        connection.execute(statement, known)


def load(connection: psycopg.Connection[Any], criteria: list[Criteria], rows: list[dict[str, Any]]) -> Columns:
    """As a batch loads the customers it touched; the static list as their stored membership."""
    program = Program(
        "demo", ORGANIZATION_ZONE, "", tuple(Segment(str(n), n, each, "live", 1) for n, each in enumerate(criteria))
    )
    ids = [row[0] for row in connection.execute("SELECT customer_id FROM customer").fetchall()]
    customers = read(connection, "demo", ids, program.columns, ORGANIZATION_ZONE, program.width, lock=False)
    assert customers is not None
    customers.columns.static = {"listed": np.array([row["listed"] for row in rows], np.bool_)}
    return customers.columns


@CASES
@given(situation=situations())
def test_memory_and_sql_agree(connection: psycopg.Connection[Any], database: str, situation: Any) -> None:
    now, trees, rows = situation
    put(connection, rows)
    criteria = [parse(tree) for tree in trees]
    columns = load(connection, criteria, rows)
    engine = create_engine(driver_url(database))
    with engine.connect() as reader:
        for tree, each in zip(trees, criteria, strict=True):
            in_memory = {f"c-{n:03}" for n in np.flatnonzero(each.holds(columns, micros(now)))}
            where = predicate(each, "demo", ORGANIZATION_ZONE, now)
            in_sql = set(reader.scalars(select(customer.c.customer_id).where(where)))
            assert in_memory == in_sql, tree
            due = each.due(tables_of("demo", ORGANIZATION_ZONE), now)
            query = select(null() if due is None else due).select_from(customer).order_by(customer.c.customer_id)
            flips = [NEVER if at is None else micros(at) for at in reader.scalars(query)]
            assert flips == each.flips(columns, micros(now)).tolist(), tree
    engine.dispose()


@CASES
@given(situation=situations(), step=st.floats(0.0, 1.0))
def test_nothing_changes_before_the_next_flip(connection: psycopg.Connection[Any], situation: Any, step: float) -> None:
    now, trees, rows = situation
    put(connection, rows)
    criteria = [parse(tree) for tree in trees]
    columns = load(connection, criteria, rows)
    at = micros(now)
    for tree, each in zip(trees, criteria, strict=True):
        held, flips = each.holds(columns, at), each.flips(columns, at)
        assert (flips > at).all()
        for row, flip in enumerate(flips.tolist()):
            last = min(flip - 1, at + 400 * 86_400_000_000)
            for instant in (last, at + int((last - at) * step)):
                assert each.holds(columns, instant)[row] == held[row], (tree, rows[row], instant_of(instant))
