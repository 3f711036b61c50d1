"""What was sold by day and store, over a ledger written by hand."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from services.admin import retention
from services.admin.spans import span
from shared.database.tables import coupon, coupon_use, ledger
from tests import console
from tests.admin import Api

MARCH = "from=2026-03-01&until=2026-03-03"


def write(api: Api, sale_id: str, at: str, kind: str = "sale.completed", **columns: Any) -> None:
    """`at` in UTC; the organization lives five and a half hours later."""
    given = {"organization_id": "demo", "source": "/t", "event_id": uuid.uuid4().hex, "type": kind, "entry": "sale"}
    instant = datetime.fromisoformat(f"2026-{at}:00+00:00")
    api.insert(ledger, **given | {"occurred_at": instant, "sale_id": sale_id, "store_id": "s1"} | columns)


def use(api: Api, sale_id: str, code: str, discount: int, state: str = "redeemed", organization: str = "demo") -> None:
    own = {"organization_id": organization, "code": code, "coupon_code": code}
    api.insert(coupon_use, **own, sale_id=sale_id, state=state, discount=discount, redeemed_at=datetime.now(UTC))


def fill(api: Api) -> None:
    """March 1st to 3rd of Kolkata, and what must not count."""
    for code in ("TEN", "MORE"):
        api.insert(coupon, organization_id="demo", code=code, name=code, type="fixed", value=1)
    write(api, "eve", "02-28T18:29", customer_id="a", amount=77_777)
    write(api, "first", "02-28T18:30", customer_id="a", amount=1_000)
    write(api, "again", "03-01T18:29", customer_id="a", amount=200, store_id="s2")
    write(api, "nobody's", "03-01T12:00", amount=30)
    write(api, "two codes", "03-01T18:30", customer_id="b", amount=4_000)
    write(api, "given back", "03-02T10:00", customer_id="b", amount=500)
    write(api, "voided", "03-02T10:00", customer_id="c", amount=77_777)
    write(api, "voided", "03-02T11:00", "sale.voided", customer_id="c", entry="void")
    write(api, "again", "03-09T10:00", "sale.refunded", customer_id="a", entry="refund:1", amount=50, store_id="s9")
    write(api, "given back", "03-09T10:00", "sale.refunded", customer_id="b", entry="refund:2", amount=100)
    write(api, "late", "03-03T18:30", customer_id="a", amount=77_777)
    write(api, "elsewhere", "03-02T10:00", organization_id="other", customer_id="a", amount=77_777)
    write(api, "first", "03-02T10:00", "sale.refunded", organization_id="other", entry="refund:3", amount=999)
    use(api, "two codes", "TEN", 10)
    use(api, "two codes", "MORE", 7)
    use(api, "given back", "TEN", 10, state="given_back")
    use(api, "first", "TEN", 99, organization="other")


def test_days_are_the_organizations_and_refunds_count_on_the_day_of_their_sale(api: Api) -> None:
    fill(api)
    none = {"sales": 0, "revenue": 0, "customers": 0, "revenue_with_coupon": 0, "discount_given": 0}
    second = {"sales": 2, "revenue": 4_400, "customers": 1, "revenue_with_coupon": 4_000, "discount_given": 17}
    assert api.get(f"/analytics/days?{MARCH}")["items"] == [
        {"date": "2026-03-03"} | none,
        {"date": "2026-03-02"} | second,
        {"date": "2026-03-01"} | none | {"sales": 3, "revenue": 1_180, "customers": 1},
    ]
    lines = api("GET", f"/analytics/days.csv?{MARCH}").text.splitlines()
    assert lines[0] == "date,sales,revenue,customers,revenue_with_coupon,discount_given"
    assert lines[2] == "2026-03-02,2,4400,1,4000,17"
    other = {each["date"]: each for each in api.get(f"/analytics/days?{MARCH}", organization="other")["items"]}
    assert [day["revenue"] for day in other.values()] == [0, 77_777, 0]


def test_retention_counts_who_bought_in_each_month_after_the_first(api: Api) -> None:
    now = datetime(2026, 4, 15, tzinfo=UTC)
    for name, first in (("a", "02-28T18:30"), ("b", "03-05T10:00"), ("c", "01-01T10:00"), ("d", "03-31T18:29")):
        api.add_customer(name, first_visit_at=datetime.fromisoformat(f"2026-{first}:00+00:00"), visit_count=1)
        write(api, f"first of {name}", first, customer_id=name, amount=1)
    write(api, "a again", "03-31T18:30", customer_id="a", amount=1)  # April in Kolkata
    write(api, "a once more", "04-02T10:00", customer_id="a", amount=1)
    write(api, "b voided", "04-02T10:00", customer_id="b", amount=1)
    write(api, "b voided", "04-02T11:00", "sale.voided", customer_id="b", entry="void")
    write(api, "c in March", "03-10T10:00", customer_id="c", amount=1)
    write(api, "elsewhere", "04-02T10:00", organization_id="other", customer_id="b", amount=1)
    with api.engine.connect() as connection:
        found = retention.read(connection, "demo", span(now, "Asia/Kolkata"))
    told = [(str(each.month), each.months_after, each.customers, each.retention) for each in found]
    assert told == [
        ("2026-03-01", 0, 3, 1.0),
        ("2026-03-01", 1, 1, 0.3333),
        ("2026-01-01", 0, 1, 1.0),
        ("2026-01-01", 1, 0, 0.0),
        ("2026-01-01", 2, 1, 1.0),
        ("2026-01-01", 3, 0, 0.0),
    ]
    assert api("GET", "/analytics/retention.csv").text.splitlines()[0] == "month,months_after,customers,retention"
    with console.visits(api) as visit:
        client = visit(console.add_user(api, "viewer"))
        assert "/console/analytics/retention" in client.get("/console/analytics/customers").text
        assert client.get("/console/analytics/retention").status_code == 200


def test_stores_count_each_customer_once_and_refunds_where_their_sale_was(api: Api) -> None:
    fill(api)
    assert api("GET", f"/analytics/stores.csv?{MARCH}").text.splitlines() == [
        "store_id,sales,revenue,customers,revenue_with_coupon,discount_given",
        "s1,4,5430,2,4000,17",
        "s2,1,150,1,0,0",
    ]
    assert [each["store_id"] for each in api.get(f"/analytics/stores?{MARCH}")["items"]] == ["s1", "s2"]
    assert api.get("/analytics/stores?from=2025-01-01&until=2025-02-01")["items"] == []


def test_a_span_is_the_last_thirty_days_unless_told_and_never_endless(api: Api) -> None:
    assert len(api.get("/analytics/days")["items"]) == 30
    for query, field in (
        ("from=2026-03-02&until=2026-03-01", "from"),
        ("from=2020-03-02&until=2026-03-01", "from"),
        ("until=0001-01-01", "until"),
        ("until=March", "until"),
    ):
        answer = api("GET", f"/analytics/days.csv?{query}")
        assert answer.status_code == 422, query
        assert answer.json()["errors"][0]["field"] == field


def test_a_day_has_the_hours_that_its_clocks_give_it() -> None:
    """Havana puts its clocks back at one, to midnight, so that day begins once and has 25 hours."""
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    havana = span(now, "America/Havana", datetime(2026, 11, 1, tzinfo=UTC).date())
    assert (havana.ends - havana.starts).total_seconds() == 25 * 3600
    spring = datetime(2026, 3, 8, tzinfo=UTC).date()
    york = span(now, "America/New_York", spring, spring)
    assert (york.starts, york.ends) == (datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 3, 9, 4, tzinfo=UTC))


def test_the_console_shows_figures_and_tables_of_the_days_that_were_asked(api: Api) -> None:
    fill(api)
    write(api, "strange", "03-02T10:00", customer_id="d", amount=1, store_id="<b>x</b>")
    with console.visits(api) as visit:
        client = visit(console.add_user(api, "viewer"))
        shell = client.get(f"/console/analytics?{MARCH}").text
        assert f'hx-get="/console/analytics/sales?{MARCH}"'.replace("&", "&amp;") in shell
        part = client.get(f"/console/analytics/sales?{MARCH}").text
        for told in ("₹55.81", "₹9.30", "₹40.00", "₹0.17", "Mon 2 Mar 2026", "&lt;b&gt;x&lt;/b&gt;", "Asia/Kolkata"):
            assert told in part, told
        assert "<b>x" not in part
