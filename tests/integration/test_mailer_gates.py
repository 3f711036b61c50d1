"""A gate is one definition with two readings: these tests hold the decision and the column equal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    Boolean,
    Connection,
    Date,
    Engine,
    Integer,
    Text,
    cast,
    column,
    func,
    literal,
    select,
    values,
)

from shared.database.engine import engine
from shared.domain.gates import (
    GATES,
    Facts,
    capped,
    capped_column,
    closed_gate,
    closed_gate_column,
    held_out,
    held_out_column,
)

FREQUENCIES = st.sampled_from([None, "daily", "weekly", "monthly", "never"])
DAYS = st.dates(date(2023, 12, 20), date(2028, 3, 5))
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=64)
YES_OR_NO = [gate.fact for gate in GATES if isinstance(gate.closed_at, bool)]
FACTS = st.builds(
    Facts,
    email=st.sampled_from([None, "a@example.com"]),
    email_frequency=FREQUENCIES,
    **dict.fromkeys(YES_OR_NO, st.sampled_from([None, False, True])),
)
# Mostly open, so that the last gates have their turn.
OPEN_FACTS = st.builds(
    Facts,
    email=st.just("a@example.com"),
    email_verified=st.just(value=True),
    marketing_consent=st.just(value=True),
    email_frequency=FREQUENCIES,
    **dict.fromkeys(("capped", "held_out", "coupon_used_up"), st.sampled_from([None, False, True])),
)
CHECKS = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def store(database_server: str) -> Iterator[Engine]:
    made = engine(database_server)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def connection(store: Engine) -> Iterator[Connection]:
    with store.connect() as made:
        yield made


def rows_of(kinds: dict[str, Any], rows: list[tuple[Any, ...]]) -> Any:
    """A table of these rows; a first row without values keeps PostgreSQL from guessing types."""
    return values(*[column(name, kind) for name, kind in kinds.items()], name="given").data(rows).alias()


@CHECKS
@given(st.lists(FACTS | OPEN_FACTS, min_size=1, max_size=40))
def test_the_first_closed_gate_is_the_same_in_sql(connection: Connection, facts: list[Facts]) -> None:
    kinds = {gate.fact: Text() if gate.fact in {"email", "email_frequency"} else Boolean() for gate in GATES}
    numbered = [(n, *(getattr(fact, name) for name in kinds)) for n, fact in enumerate(facts)]
    table = rows_of({"n": Integer(), **kinds}, numbered)
    columns = {name: cast(table.c[name], kind) for name, kind in kinds.items()}
    found = connection.execute(select(closed_gate_column(columns)).order_by(table.c.n)).scalars().all()
    assert found == [closed_gate(fact) for fact in facts]


@CHECKS
@given(st.lists(st.tuples(DAYS, st.integers(-4, 40), FREQUENCIES), min_size=1, max_size=60))
def test_the_cap_is_the_same_in_sql(connection: Connection, given_rows: list[tuple[date, int, str | None]]) -> None:
    rows = [
        (n, today, None if ago == 40 else today - timedelta(days=ago), frequency)
        for n, (today, ago, frequency) in enumerate(given_rows)
    ]
    table = rows_of({"n": Integer(), "today": Date(), "last_on": Date(), "frequency": Text()}, rows)
    last_on, frequency = cast(table.c.last_on, Date), cast(table.c.frequency, Text)
    column_ = capped_column(last_on, cast(table.c.today, Date), frequency)
    found = connection.execute(select(column_).order_by(table.c.n)).scalars().all()
    assert found == [capped(last, today, each) for _, today, last, each in rows]


@CHECKS
@given(TEXTS, TEXTS, st.integers(0, 100))
def test_the_holdout_is_the_same_in_sql(
    connection: Connection, campaign_id: str, customer_id: str, percent: int
) -> None:
    column_ = held_out_column(literal(campaign_id), literal(customer_id), literal(percent))
    assert connection.execute(select(column_)).scalar() is held_out(campaign_id, customer_id, percent)


def test_a_holdout_is_as_large_as_it_says(connection: Connection) -> None:
    people = func.generate_series(1, 20_000).alias()
    share = func.avg(cast(held_out_column(literal("spring"), cast(people.column, Text), literal(10)), Integer))
    assert 0.09 < float(connection.execute(select(share).select_from(people)).scalar_one()) < 0.11
