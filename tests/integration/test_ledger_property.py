"""Invariant 1: any order, repetition or crash of the same events gives what the model gives."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row
from sqlalchemy import select

from services.segmenter import express, verify_recent
from services.segmenter.flips import Flips
from shared.database.engine import sql, statement
from shared.database.ledger_stats import stats_from_ledger
from shared.database.predicate import predicate
from shared.database.tables import customer as customer_table
from shared.domain.criteria import parse
from shared.settings import SegmenterSettings
from tests import crowd
from tests.criteria_model import Criteria, Customer
from tests.ledger_bench import LIST, LISTED, Bench, Hands, Step, lane, steps
from tests.ledger_facts import DAY, RUBBISH, TICK, consistent, facts, published
from tests.model import Model
from tests.model_events import Event
from tests.stack import new_database
from tests.till import NOW, Record, records

EXAMPLES = settings(
    phases=[Phase.explicit, Phase.generate],  # an example that fails is small enough to read
    suppress_health_check=list(HealthCheck),
    database=None,
)


@pytest.fixture(scope="module", params=["plain", "express"])
def bench(request: pytest.FixtureRequest, database_server: str, template: str) -> Iterator[Bench]:
    """Once with every batch on the plain way, once with every one that can on the express way."""
    with new_database(database_server, template) as (_, database), lane(database) as one, lane(database) as two:
        for each in (one, two):  # a second for each deadlock would be the longest part of the test
            each.connection.execute(
                "SELECT set_config('deadlock_timeout', '50ms', false) FROM pg_roles "
                "WHERE rolname = current_user AND rolsuper"
            )
        with pytest.MonkeyPatch.context() as patched:
            if request.param == "plain":
                patched.setattr(express, "divide", lambda rows: ([], list(rows)))
            clock = Hands()
            for each in (one, two):
                each.clock = clock
            yield Bench([one, two], itertools.count(), clock, Flips(SegmenterSettings(database=database), clock))


def stored(bench: Bench, organization_id: str) -> dict[str, dict[str, Any]]:
    with bench.lanes[0].connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SELECT * FROM customer WHERE organization_id = %s", [organization_id])
        return {row["customer_id"]: row for row in cursor}


def expected_columns(customer: Customer) -> dict[str, Any]:
    """The columns of a customer as the table names them."""
    profile = dict(customer.profile)
    for name in ("birthday", "anniversary"):
        day = profile[name]
        profile[name] = int(day[-5:-3]) * 100 + int(day[-2:]) if day else None
        profile[f"{name}_year"] = int(day[:4]) if day and day[0] != "-" else None
    profile |= {"consent_where": profile.pop("where"), "consent_wording": profile.pop("wording")}
    numbers = ("total_spent", "visit_count", "coupon_redemptions", "discount_received")
    instants = ("first_visit_at", "last_visit_at", "registered_at", "last_open_at", "last_click_at")
    return profile | {name: getattr(customer, name) for name in (*numbers, *instants)}


def assert_members(bench: Bench, organization_id: str, model: Model | None, rows: dict[str, dict[str, Any]]) -> None:
    """Bits, counters and the outbox replayed say the same, and what SQL says and the model."""
    segments, now = bench.segments[organization_id], bench.clock.now
    connection = bench.lanes[0].connection
    counts = dict(
        connection.execute("SELECT slot, member_count FROM segment WHERE organization_id = %s", [organization_id])
    )
    members: dict[int, set[str]] = {slot: set() for slot in (LIST, *bench.segments[organization_id])}
    for customer_id, row in rows.items():
        bits = int.from_bytes(row["memberships"], "little")
        for slot in range(bits.bit_length()):
            if bits >> slot & 1:
                members[slot].add(customer_id)
    assert counts == {slot: len(found) for slot, found in members.items()}
    assert replayed(bench, organization_id) == members
    in_list = listed(bench, organization_id)
    for slot, tree in segments.items():
        meant = select(customer_table.c.customer_id).where(predicate(parse(tree), organization_id, "UTC", now))
        assert {row[0] for row in connection.execute(*statement(meant))} == members[slot], (tree, now)
        if model is not None:
            assert model.members(organization_id, tree, now) == members[slot], (tree, now)
    assert members[LIST] == set(rows) & in_list


def listed(bench: Bench, organization_id: str) -> set[str]:
    """Who stands in the list."""
    query = "SELECT customer_id FROM static_member WHERE organization_id = %s"
    return {row[0] for row in bench.lanes[0].connection.execute(query, [organization_id])}


def replayed(bench: Bench, organization_id: str) -> dict[int, set[str]]:
    """The members after every change that the outbox tells; each must be a change."""
    members: dict[int, set[str]] = {slot: set() for slot in (LIST, *bench.segments[organization_id])}
    connection = bench.lanes[0].connection
    slot_of = dict(
        connection.execute("SELECT segment_id, slot FROM segment WHERE organization_id = %s", [organization_id])
    )
    changes = 'SELECT customer_id, entered, "left" FROM segment_change WHERE organization_id = %s ORDER BY change_id'
    for customer_id, entered, left in connection.execute(changes, [organization_id]):
        for slot in map(slot_of.__getitem__, left):
            members[slot].remove(customer_id)
        for slot in map(slot_of.__getitem__, entered):
            assert customer_id not in members[slot]
            members[slot].add(customer_id)
    return members


def assert_equal(bench: Bench, organization_id: str, model: Model) -> None:
    rows, customers = stored(bench, organization_id), model.customers(organization_id)
    assert set(rows) == set(customers)
    for customer_id, customer in customers.items():
        expected = expected_columns(customer)
        assert {name: rows[customer_id][name] for name in expected} == expected, customer_id
    assert_members(bench, organization_id, model, rows)


def assert_recomputed(bench: Bench, organization_id: str) -> None:
    """The stats and the recent sales that the stream kept are those that the ledger gives."""
    connection = bench.lanes[0].connection
    columns = [column.name for column in stats_from_ledger().selected_columns]
    fresh = set(connection.execute(f"{sql(stats_from_ledger())} HAVING own.organization_id = %s", [organization_id]))
    kept = f"SELECT {', '.join(columns)} FROM customer WHERE organization_id = %s"
    assert set(connection.execute(kept, [organization_id])) == fresh
    assert verify_recent.compared(connection, organization_id, "UTC", bench.clock.now, None) == []


def letters(bench: Bench, arrivals: Sequence[Record]) -> list[str | None]:
    """The reason of each record's dead letter."""
    query = 'SELECT "offset", reason FROM dead_letter WHERE "offset" = ANY(%s)'
    reasons = dict(bench.lanes[0].connection.execute(query, [[record.offset for record in arrivals]]).fetchall())
    return [reasons.get(record.offset) for record in arrivals]


def assert_forgotten(bench: Bench, organization_id: str, events: Sequence[Event]) -> None:
    """Nothing stands in the ledger under an erased name, or with its data, from before the erasure."""
    kept = (
        "SELECT source, event_id FROM ledger WHERE organization_id = %s AND occurred_at <= %s "
        "AND coalesce(published_customer_id, customer_id) = %s"
    )
    for event in events:
        if event["type"] == "customer.erased":
            known = [organization_id, event["time"], event["data"]["customer_id"]]
            assert bench.lanes[0].connection.execute(kept, known).fetchall() == []


def in_list(leaf: dict[str, Any]) -> dict[str, Any]:
    """Where it asks for a static segment: ours."""
    return leaf | {"value": f"s{LIST}"} if leaf["field"] == "segment" else leaf


# Any two events may share an identity or a sale, whatever they say: the first to arrive counts.
anything = st.builds(lambda told, number: told | {"id": f"e{number}"}, facts(identity=""), st.integers(0, 25))


# Any leaf, the windowed ones as often as all others.
trees = st.lists(crowd.tree(NOW, crowd.leaf(NOW).map(in_list) | crowd.windowed()), min_size=1, max_size=8)


@given(
    told=st.lists(st.one_of(*[anything] * 6, st.sampled_from(RUBBISH)), min_size=10, max_size=40),
    plan=steps,
    drawn=trees,
    chance=st.randoms(use_true_random=False),
)
@settings(EXAMPLES, max_examples=30)
def test_what_comes_first_counts_through_repetitions_and_crashes(
    bench: Bench, told: list[Any], plan: list[Step], drawn: list[Criteria], chance: random.Random
) -> None:
    organization_id = bench.organize(drawn, listed=True)
    model = Model({organization_id: "USD"}, NOW, {f"s{LIST}": LISTED})
    events = published(organization_id, told)
    arrivals = records(events)
    bench.run(arrivals, plan)
    codes = model.take_all(events)
    assert letters(bench, arrivals) == codes
    assert_equal(bench, organization_id, model)
    for edge in edges(bench, model, chance):
        bench.clock.now = edge
        bench.flips.work(bench.lanes[0].connection)
        assert_equal(bench, organization_id, model)
    assert_recomputed(bench, organization_id)


def edges(bench: Bench, model: Model, chance: random.Random) -> list[datetime]:
    """Two instants to come at which an event leaves a window, or just beside them, in order."""
    days = (1, 30, 60)
    sales = [event for event in model.counted if event["type"] == "sale.completed"]
    found = [datetime.fromisoformat(event["time"]) + n * DAY for event in sales for n in days]
    later = sorted(at for at in set(found) if at > bench.clock.now)
    chosen = sorted(chance.sample(later, min(2, len(later))))
    return [at + chance.choice([-TICK, 0 * TICK, 0 * TICK]) for at in chosen]


@pytest.mark.parametrize("identity", ["nobody", "merge", "erase"])
def test_the_order_of_arrival_does_not_matter(bench: Bench, identity: str) -> None:
    @given(
        told=st.lists(facts(identity=identity), min_size=10, max_size=40).map(consistent),
        seed=st.integers(0, 2**32),
        plan=steps,
    )
    @settings(EXAMPLES, max_examples=15)
    def holds(told: list[Event], seed: int, plan: list[Step]) -> None:
        chance = random.Random(seed)
        told = told + chance.choices(told, k=len(told) // 5)
        one_by_one, at_once = (bench.organize(listed=identity == "nobody") for _ in range(2))
        chance.shuffle(told)
        bench.run(records(published(one_by_one, told)), plan)
        model = Model({one_by_one: "USD"}, NOW)
        model.take_all(published(one_by_one, told))
        assert_equal(bench, one_by_one, model)
        chance.shuffle(told)
        bench.run_at_once(records(published(at_once, told)), chance.randint(1, 6))
        model = Model({at_once: "USD"}, NOW)
        model.take_all(published(at_once, told))
        assert_equal(bench, at_once, model)

    holds()


@given(told=st.lists(facts(identity="merge erase"), min_size=10, max_size=40).map(consistent), plan=steps)
@settings(EXAMPLES, max_examples=15)
def test_merges_and_erasures_together_keep_the_revenue_and_nothing_personal(
    bench: Bench, told: list[Event], plan: list[Step]
) -> None:
    organization_id = bench.organize()
    events = published(organization_id, told)
    bench.run(records(events), plan)
    model = Model({organization_id: "USD"}, NOW)
    model.take_all(events)
    revenue = "SELECT coalesce(sum(amount), 0) FROM ledger WHERE organization_id = %s AND type = 'sale.completed'"
    assert bench.lanes[0].connection.execute(revenue, [organization_id]).fetchone() == (model.revenue(organization_id),)
    assert_forgotten(bench, organization_id, model.counted)
    assert_members(bench, organization_id, None, stored(bench, organization_id))
    assert_recomputed(bench, organization_id)
