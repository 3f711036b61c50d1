"""Verification finds what is wrong, and says what was expected."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, create_engine, select

from benchmarks import ledger_crowd
from services.segmenter import verify as verification
from services.segmenter.verify import verify
from shared.database.engine import connect, driver_url, statement
from shared.database.predicate import hold_sets, predicate
from shared.database.tables import customer
from shared.domain.criteria import parse
from shared.errors import NotFoundError

STATIC = """
INSERT INTO segment (organization_id, segment_id, name, kind, slot) VALUES ('demo', 'list', 'list', 'static', 30)
"""
WRONG = {
    "UPDATE customer SET total_spent = 7 WHERE customer_id = 'c-00000001'": ("c-00000001", "total_spent"),
    "UPDATE customer SET memberships = '' WHERE customer_id = 'c-00000002'": ("c-00000002", "segment:"),
    "UPDATE customer SET recent = substr(recent, 1, 16) WHERE customer_id = 'c-00000009'": ("c-00000009", "recent"),
    "INSERT INTO static_member VALUES ('demo', 'list', 'c-00000003')": ("c-00000003", "segment:list"),
    "UPDATE segment SET member_count = member_count + 1 WHERE segment_id = 's-4'": ("", "member_count:s-4"),
    "UPDATE coupon SET redemptions = 1": ("", "coupon:SAVE"),
    "DELETE FROM customer WHERE customer_id = 'c-00000005'": ("c-00000005", "visit_count"),
    "INSERT INTO customer (organization_id, customer_id, visit_count) VALUES ('demo', 'new', 1)": (
        "new",
        "visit_count",
    ),
}
MANY_SALES = """
INSERT INTO ledger (organization_id, source, event_id, type, occurred_at, customer_id, sale_id, entry, store_id)
SELECT 'demo', '/t', n::text, 'sale.completed', '2025-12-31', 'c-' || n, n::text, 'sale', 's1'
FROM generate_series(1, 20000) AS n
"""
USE = "DELETE FROM coupon_use WHERE sale_id = (SELECT min(sale_id) FROM coupon_use) RETURNING customer_id, sale_id"


@pytest.fixture
def connection(database: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(verification, "LOOKED_AGAIN", 0)
    ledger_crowd.found(database, 300, ledger_crowd.segments(30))
    with connect(database, autocommit=True) as connection:
        connection.execute(STATIC)
        yield connection


def test_an_organization_that_does_not_exist_is_not_verified(database: str) -> None:
    with pytest.raises(NotFoundError, match="no organization 'nowhere'"):
        verify(database, "nowhere")


def test_what_is_right_differs_in_nothing_and_all_parts_are_told(
    database: str, connection: psycopg.Connection[Any]
) -> None:
    told: list[tuple[str, int, int]] = []
    report = verify(database, "demo", lambda *each: told.append(each))
    assert report.differences == []
    assert (report.customers_checked, report.memberships_checked) == (300, 300 * 31)
    assert (report.redemptions_checked,) == connection.execute("SELECT count(*) FROM coupon_use").fetchone()
    parts = told[-1][2]
    assert told == [("demo", done, parts) for done in range(parts + 1)]


def test_all_that_is_wrong_is_found_with_what_it_should_be(database: str, connection: psycopg.Connection[Any]) -> None:
    for change in WRONG:
        connection.execute(change)
    user, sale_id = connection.execute(USE).fetchone() or ("", "")
    found = verify(database).differences
    assert {each.customer_id for each in found} == {customer_id for customer_id, _ in WRONG.values()} | {user}
    for customer_id, about in WRONG.values():
        assert any(each.customer_id == customer_id and each.about.startswith(about) for each in found), about
    assert all(each.expected != each.found for each in found)
    by_about = {each.about: each for each in found}
    use, counters = by_about[f"redemption:SAVE:{sale_id}"], by_about["coupon:SAVE"]
    assert (use.customer_id, use.expected["sale_id"], use.found) == (user, sale_id, None)
    assert (counters.found["redemptions"], counters.expected["redemptions"] > 1) == (1, True)
    assert (by_about["segment:list"].expected, by_about["segment:list"].found) == (True, False)


def test_a_set_too_large_for_ordinary_memory_is_held_all_the_same(database: str) -> None:
    """Else it is gone through once for each customer."""
    bought = parse({"field": "bought", "op": "has_none", "store_ids": ["s1"]})
    asked = select(customer.c.customer_id).where(predicate(bought, "demo", "UTC", datetime(2026, 1, 1, tzinfo=UTC)))
    text, given = statement(asked)
    with connect(database, autocommit=True) as connection:
        connection.execute(MANY_SALES)
        connection.execute("ANALYZE ledger")
    store = create_engine(driver_url(database), connect_args={"options": "-c work_mem=64kB"})
    with store.connect() as reader:
        before = _plan(reader, text, given)
        hold_sets(reader)
        assert ("hashed SubPlan" in before, "hashed SubPlan" in _plan(reader, text, given)) == (False, True)
    store.dispose()


def _plan(reader: Connection, text: str, given: dict[str, Any]) -> str:
    return "\n".join(row[0] for row in reader.exec_driver_sql(f"EXPLAIN {text}", given))
