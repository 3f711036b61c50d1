"""Windowed leaves, `bought` and `redeemed`: the stream, SQL and a slow model say the same, to the microsecond."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from sqlalchemy import create_engine, select

from services.segmenter import arrays, history, verify_recent
from services.segmenter.batch import Batches, process_or_split
from shared.database.engine import driver_url
from shared.database.predicate import predicate
from shared.database.tables import customer
from shared.domain.criteria import parse
from shared.domain.criteria.columns import Columns, micros
from shared.errors import InvalidError
from tests.segments import add_organization
from tests.till import NOW, Event, event, records, redeemed, refund, sale, void

DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
LEAVES: dict[str, dict[str, Any]] = {
    "spend": {"field": "spend", "op": "gte", "value": 1_000, "last_days": 30},
    "spend-little": {"field": "spend", "op": "lt", "value": 500, "last_days": 7},
    "spend-bakery": {"field": "spend", "op": "between", "value": [300, 900], "last_days": 30, "category": "Bakery"},
    "spend-store": {"field": "spend", "op": "gt", "value": 400, "last_days": 30, "store_id": "s2"},
    "visits": {"field": "visits", "op": "eq", "value": 2, "last_days": 30},
    "visits-milk": {"field": "visits", "op": "gte", "value": 1, "last_days": 7, "product_id": "milk"},
    "units": {"field": "units", "op": "gte", "value": 2.5, "last_days": 30, "product_id": "bread"},
    "units-all": {"field": "units", "op": "lte", "value": 3, "last_days": 7},
    "bought": {"field": "bought", "op": "has_any", "categories": ["Dairy"]},
    "bought-lately": {"field": "bought", "op": "has_any", "store_ids": ["s2", "s3"], "last_days": 7},
    "not-bought": {"field": "bought", "op": "has_none", "product_ids": ["bread"], "last_days": 30},
    "redeemed": {"field": "redeemed", "op": "has_any", "coupon_codes": ["TEN"]},
    "not-redeemed": {"field": "redeemed", "op": "has_none", "coupon_codes": ["TEN", "FIVE"], "last_days": 7},
}
PRODUCTS = {"bread": "Bakery", "cake": "Bakery", "milk": "Dairy"}
# On and around the edges of the windows, and in the future of now.
AGES = st.sampled_from(
    [0 * DAY, -timedelta(hours=1), DAY, *(d * DAY + t for d in (7, 30) for t in (-TICK, 0 * TICK, TICK))]
)
LINE = st.builds(
    lambda product, quantity, total: {
        "product_id": product, "category": PRODUCTS[product], "quantity": quantity, "total": total
    },
    st.sampled_from(sorted(PRODUCTS)), st.sampled_from([0.5, 1, 1.25, 2]), st.sampled_from([100, 300, 500]),
)  # fmt: skip
PURCHASE = st.fixed_dictionaries({
    "who": st.sampled_from(["c-1", "c-2", "c-3"]), "age": AGES, "store": st.sampled_from(["s1", "s2"]),
    "lines": st.lists(LINE, max_size=3), "returned": st.sampled_from([None, 0, 1]),
    "fate": st.sampled_from(["kept", "kept", "voided"]), "code": st.sampled_from([None, "TEN", "FIVE"]),
    "reversed": st.booleans(),
})  # fmt: skip
CASES = settings(
    max_examples=25,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def told(purchases: list[dict[str, Any]], run: int) -> list[Event]:
    """The events of these purchases."""
    events = []
    for number, each in enumerate(purchases):
        name, at, who = f"{run}-{number}", NOW - each["age"], each["who"]
        total = sum(line["total"] for line in each["lines"]) if each["lines"] else 200
        events.append(sale(name, who, total, at, lines=each["lines"], store_id=each["store"]))
        if each["returned"] is not None and each["returned"] < len(each["lines"]):
            line = each["lines"][each["returned"]]
            back = refund(name, f"R-{name}", who, line["total"])
            back["data"]["lines"] = [line]
            events.append(back)
        if each["fate"] == "voided":
            events.append(void(name, f"R-{name}", who))
        if each["code"]:
            events.append(redeemed(name, each["code"], f"R-{name}", who, 10, at))
            if each["reversed"]:
                undo = {"coupon_code": each["code"], "sale_id": f"R-{name}", "customer_id": who}
                events.append(event("coupon.redemption_reversed", f"reverse-{name}", at, **undo))
    return events


def model(leaf: dict[str, Any], purchases: list[dict[str, Any]]) -> bool:
    """What a person would add up by hand."""
    days = leaf.get("last_days")
    counted = Decimal(0)
    for each in purchases:
        if each["fate"] == "voided" or (days is not None and each["age"] >= days * DAY):
            continue
        lines = each["lines"]
        back = [lines[each["returned"]]] if each["returned"] is not None and each["returned"] < len(lines) else []
        if leaf["field"] == "redeemed":
            counted += each["code"] in leaf["coupon_codes"] and not each["reversed"] and not back
            continue
        stores = leaf.get("store_ids") or [leaf["store_id"]] if "store_id" in leaf or "store_ids" in leaf else None
        if stores and each["store"] not in stores:
            continue
        products = leaf.get("product_ids") or ([leaf["product_id"]] if "product_id" in leaf else None)
        categories = leaf.get("categories") or ([leaf["category"]] if "category" in leaf else None)

        def fits(line: dict[str, Any], products: Any = products, categories: Any = categories) -> bool:
            return (not products or line["product_id"] in products) and (
                not categories or line["category"] in categories
            )

        narrow = bool(products or categories)
        if leaf["field"] in {"visits", "bought"}:
            counted += not narrow or any(map(fits, lines))
        elif leaf["field"] == "units":
            counted += sum(Decimal(str(line["quantity"])) for line in lines if fits(line))
            counted -= sum(Decimal(str(line["quantity"])) for line in back if fits(line))
        elif narrow or lines:
            counted += sum(line["total"] for line in lines if fits(line)) - sum(
                line["total"] for line in back if fits(line)
            )
        else:
            counted += 200
    value, op = leaf.get("value"), leaf["op"]
    answers = {
        "gte": lambda: counted >= value, "gt": lambda: counted > value, "lt": lambda: counted < value,
        "lte": lambda: counted <= value, "eq": lambda: counted == value,
        "between": lambda: value[0] <= counted <= value[1],
        "has_any": lambda: counted > 0, "has_none": lambda: counted == 0,
    }  # fmt: skip
    return bool(answers[op]())


def members(batches: Batches, organization_id: str) -> dict[str, set[str]]:
    query = (
        "SELECT s.segment_id, c.customer_id FROM segment s LEFT JOIN customer c ON c.organization_id = s.organization_id "
        "AND length(memberships) > slot / 8 AND CASE WHEN length(memberships) > slot / 8 "
        "THEN get_bit(memberships, slot) = 1 ELSE false END WHERE s.organization_id = %s"
    )
    found: dict[str, set[str]] = {}
    for segment_id, customer_id in batches.connection.execute(query, [organization_id]):
        found.setdefault(segment_id, set()).update({customer_id} - {None})
    return found


@CASES
@given(purchases=st.lists(PURCHASE, min_size=1, max_size=8), order=st.randoms(use_true_random=False))
def test_stream_and_sql_say_what_adding_up_by_hand_says(
    batches: Batches, database: str, purchases: list[dict[str, Any]], order: Any
) -> None:
    run = batches.connection.execute("SELECT count(*) FROM organization").fetchone()[0]
    name = f"o-{run}"
    add_organization(batches.connection, name, LEAVES)
    events = told(purchases, run)
    for each in events:
        each["data"]["organization_id"] = name
    order.shuffle(events)
    for first in range(0, len(events), 4):
        process_or_split(batches, records(events[first : first + 4]))
    expected = {
        leaf_id: {who for who in {each["who"] for each in purchases}
                  if model(leaf, [each for each in purchases if each["who"] == who])}
        for leaf_id, leaf in LEAVES.items()
    }  # fmt: skip
    assert members(batches, name) == expected
    engine = create_engine(driver_url(database))
    with engine.connect() as reader:
        in_sql = {
            leaf_id: set(reader.scalars(select(customer.c.customer_id).where(predicate(parse(leaf), name, "UTC", NOW))))
            for leaf_id, leaf in LEAVES.items()
        }
    engine.dispose()
    assert in_sql == expected
    assert verify_recent.compared(batches.connection, name, "UTC", NOW, None) == []


def test_a_sale_leaves_its_window_at_that_very_instant(batches: Batches) -> None:
    leaf = {"field": "spend", "op": "gte", "value": 1_000, "last_days": 30}
    batches.connection.execute("UPDATE segment SET criteria = %s, version = 2 WHERE slot = 0", [Jsonb(leaf)])
    at = NOW - 10 * DAY
    process_or_split(batches, records([sale(1, "c-1", 1_500, at)]))
    assert members(batches, "demo")["vip"] == {"c-1"}
    assert batches.connection.execute("SELECT min(due_at) FROM flip").fetchone() <= (at + 30 * DAY,)
    criteria = parse(leaf)
    connection, program = batches.connection, batches.programs.of(batches.connection, "demo", "UTC")
    customers = arrays.read(connection, "demo", ["c-1"], program.columns, "UTC", program.width, lock=False)
    assert customers is not None
    found = history.read(connection, program, customers, NOW)
    (series,) = program.series
    assert found[series].values.tolist() == [1_500]
    edge: datetime = at + 30 * DAY
    columns = Columns(1, series=found)
    assert criteria.flips(columns, micros(NOW)).tolist() == [micros(edge)]
    assert criteria.holds(columns, micros(edge) - 1).tolist() == [True]
    assert criteria.holds(columns, micros(edge)).tolist() == [False]


@pytest.mark.parametrize(
    ("leaf", "path", "words"),
    [
        ({"field": "spend", "op": "gte", "value": 1}, "criteria.last_days", "is missing"),
        ({"field": "spend", "op": "gte", "value": 1.5, "last_days": 3}, "criteria.value", "whole number"),
        ({"field": "units", "op": "between", "value": [3, 1], "last_days": 3}, "criteria.value", "upside down"),
        ({"field": "units", "op": "gte", "value": "3", "last_days": 3}, "criteria.value", "number of units"),
        ({"field": "visits", "op": "gte", "value": 1, "last_days": 3, "category": "a", "store_id": "b"},
         "criteria.store_id", "give one of"),
        ({"field": "bought", "op": "has_any"}, "criteria", "exactly one of"),
        ({"field": "bought", "op": "has_all", "store_ids": ["a"]}, "criteria.op", "has_any, has_none"),
        ({"field": "redeemed", "op": "has_any", "coupon_codes": []}, "criteria.coupon_codes", "list of 1"),
        ({"field": "tags", "op": "has_any", "value": ["a", "b\0"]}, "criteria.value", "control characters"),
        ({"field": "bought", "op": "has_any", "store_ids": ["\ud800"]}, "criteria.store_ids", "half a surrogate"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_leaf_is_said_where_it_is(leaf: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(InvalidError, match=words) as refused:
        parse(leaf)
    assert refused.value.field == path
