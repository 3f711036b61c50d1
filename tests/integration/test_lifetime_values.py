"""Lifetime values of customers and of groups of them: as the domain's functions say, and nobody else's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert

from shared.clock import utc_now
from shared.database.tables import customer
from shared.domain.lifetime_value import WEEK, YEAR, Habits, learn
from tests import console
from tests.admin import Api

AGES = tuple(10 + n * 5 % 290 for n in range(80))  # days since the first visit


def fill(api: Api, number: int = len(AGES)) -> list[dict[str, Any]]:
    """Who came one to seven times, last 0 to 140 days ago; the even ones are in the segment of slot 9."""
    now, rows = utc_now(), []
    for n, age in enumerate(AGES[:number]):
        visits = 1 + n % 7
        first = now - timedelta(days=age)
        last = first if visits == 1 else max(first, now - timedelta(days=n * 3 % 141))
        rows.append(
            {"organization_id": "demo", "customer_id": f"c-{n:02}", "visit_count": visits, "first_visit_at": first,
             "last_visit_at": last, "total_spent": 1_000 * visits + n * 10, "discount_received": n,
             "memberships": b"\x00\x02" if n % 2 == 0 else b""}
        )  # fmt: skip
    with api.engine.begin() as connection:
        connection.execute(insert(customer), rows)
    return rows


def columns(rows: list[dict[str, Any]]) -> list[np.ndarray]:
    now = utc_now()
    weeks = [
        (row["visit_count"], (row["last_visit_at"] - row["first_visit_at"]).total_seconds() / WEEK,
         (now - row["first_visit_at"]).total_seconds() / WEEK, row["total_spent"])
        for row in rows
    ]  # fmt: skip
    return list(np.array(weeks, dtype=float).T)


def predicted(habits: Habits, rows: list[dict[str, Any]]) -> np.ndarray:
    visits, recency, age, spent = columns(rows)
    found: np.ndarray = habits.visits_within(YEAR, visits, recency, age) * habits.basket_of(visits, spent)
    return found


def test_a_customers_value_is_what_the_domain_makes_of_their_stats(api: Api) -> None:
    rows = fill(api)
    api.add_customer("never")
    api.add_customer("ahead", visit_count=1, first_visit_at=utc_now() + timedelta(hours=5),
                     last_visit_at=utc_now() + timedelta(hours=5), total_spent=1)  # fmt: skip
    api.add_customer("elsewhere", organization="other", visit_count=9, first_visit_at=utc_now(), total_spent=10**9)
    asked = api.get("/customers/c-33")
    habits = next(iter(api.app.state.admin.learnt._found.values()))[1]
    alone = learn(*columns(rows))
    assert alone is not None
    assert habits.basket == pytest.approx((alone.basket * 80 + 1) / 81)  # the one ahead counts, the others do not
    value, own = asked["lifetime_value"], rows[33:34]
    assert value["so_far"] == own[0]["total_spent"]
    assert value["predicted_12_months"] == pytest.approx(predicted(habits, own)[0], rel=1e-3)
    visits, recency, age, _ = columns(own)
    assert value["still_customer"] == pytest.approx(habits.still_customer(visits, recency, age)[0], abs=1e-3)
    assert value["expected_visits"] == pytest.approx(habits.visits_within(YEAR, visits, recency, age)[0], abs=0.06)
    nothing = {"predicted_12_months": None, "expected_visits": None, "still_customer": None}
    assert api.get("/customers/never")["lifetime_value"] == {"so_far": 0} | nothing
    assert api.get("/customers/ahead")["lifetime_value"]["predicted_12_months"] > 0
    other = api.get("/customers/elsewhere", organization="other")["lifetime_value"]
    assert other == {"so_far": 10**9} | nothing  # too few there, whatever is known here


def test_groups_add_up_their_customers_by_last_visit_and_segment(api: Api) -> None:
    rows = fill(api)
    api.add_segment("even", 9, name="Even ones")
    api.add_segment("going", 10, state="deleting")
    api.add_customer("never")
    api.add_customer(
        "elsewhere", organization="other", visit_count=9, first_visit_at=utc_now(), last_visit_at=utc_now()
    )
    now = utc_now()
    groups = {each["engagement"]: each for each in api.get("/analytics/engagement")["items"]}
    assert list(groups) == ["active", "cooling", "asleep", "none yet"]
    assert sum(each["customers"] for each in groups.values()) == len(rows) + 1  # and none of the other organization
    habits = next(iter(api.app.state.admin.learnt._found.values()))[1]
    cooling = [row for row in rows if 30 <= (now - row["last_visit_at"]).days < 90]
    spent = sum(row["total_spent"] for row in cooling)
    found = groups["cooling"]
    assert (found["customers"], found["spent"]) == (len(cooling), spent)
    assert found["per_customer"] == round(spent / len(cooling))
    assert found["repeat_rate"] == round(sum(row["visit_count"] > 1 for row in cooling) / len(cooling), 4)
    assert found["predicted_12_months"] == pytest.approx(predicted(habits, cooling).sum(), rel=1e-3)
    assert groups["none yet"] == {
        "engagement": "none yet", "customers": 1, "repeat_rate": None, "spent": 0, "per_customer": 0,
        "discount_given": 0, "predicted_12_months": 0, "predicted_per_customer": 0,
    }  # fmt: skip
    segments = {each["segment_id"]: each for each in api.get("/analytics/segments")["items"]}
    assert "going" not in segments
    even = rows[::2]
    assert (segments["even"]["customers"], segments["even"]["buyers"]) == (40, 40)
    assert segments["even"]["discount_given"] == sum(range(0, 80, 2))
    assert segments["even"]["predicted_12_months"] == pytest.approx(predicted(habits, even).sum(), rel=1e-3)
    assert segments["even"]["predicted_per_customer"] == pytest.approx(predicted(habits, even).mean(), rel=1e-3)
    assert segments["vip-customers"]["customers"] == 0
    assert api("GET", "/analytics/segments.csv").text.splitlines()[0].startswith("segment_id,name,customers,buyers")


def test_the_console_says_about_how_much_and_that_it_cannot_say_yet(api: Api) -> None:
    fill(api, 40)
    with console.visits(api) as visit:
        client = visit(console.add_user(api, "viewer"))
        assert "it takes 50 customers who came again" in client.get("/console/analytics/customers").text
        assert "Next 12 months" not in client.get("/console/customers/c-33").text
        with api.engine.begin() as connection:
            connection.execute(customer.delete())
        fill(api)
        page = client.get("/console/customers/c-33").text
        assert "Next 12 months, about" in page
        assert "likely still a customer" in page
        api.add_segment("even", 9, name="<b>Even</b>")
        page = client.get("/console/analytics/customers").text
        assert "&lt;b&gt;Even&lt;/b&gt;" in page
        assert "There is none yet" not in page
