"""Quote, hold, commit, release: over HTTP, as a till does it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, update

from shared.database.tables import coupon, coupon_code, coupon_grant, coupon_use, customer, segment
from shared.kafka import Topic
from tests.coupons import LINES, Till, add_coupon, codes, counters, states
from tests.ingest import NOW, Service
from tests.stack import eventually, waits_for_a_lock


def put(ingest: Service, table: Any, **values: Any) -> None:
    with ingest.engine.begin() as connection:
        connection.execute(insert(table).values(organization_id="demo", **values))


def test_a_quote_tells_the_discount_line_by_line(ingest: Service, till: Till) -> None:
    add_coupon(ingest.engine, "WELCOME10", type="percentage", value=1_000)
    answer = till.quote("welcome-10", lines=LINES)
    assert answer.status_code == 200
    assert answer.json() == {
        "valid": True,
        "discount": 1_000,
        "lines": [{"index": 0, "discount": 600}, {"index": 1, "discount": 400}],
    }
    assert counters(ingest.engine, "WELCOME10")["held"] == 0


def test_a_quote_tells_every_reason(ingest: Service, till: Till) -> None:
    add_coupon(ingest.engine, "VIP500", minimum_purchase=20_000, stores=["s9"], limit_per_customer=1)
    answer = till.quote("VIP500", store_id="s1").json()
    assert answer["valid"] is False
    assert [reason["code"] for reason in answer["reasons"]] == ["minimum_purchase", "store", "customer_required"]
    assert "₹200.00" in answer["reasons"][0]["message"]
    assert till.quote("NOSUCH").json()["reasons"][0]["code"] == "unknown_code"


def test_hold_commit_and_the_same_answer_again(ingest: Service, till: Till) -> None:
    add_coupon(ingest.engine, "VIP500", limit_total=1)
    held = till.hold("VIP500", lines=LINES)
    assert held.status_code == 201
    again = till.hold("vip500", lines=LINES)
    assert (again.status_code, again.json()) == (200, held.json())
    assert codes(till.hold("VIP500", "S-2")) == ["limit_total"]
    committed = till.commit(held.json()["id"])
    assert committed.status_code == 200
    assert till.commit(held.json()["id"]).json() == committed.json()
    assert till.hold("VIP500", lines=LINES).status_code == 200
    assert till.hold("VIP500", "S-2").status_code == 409
    assert counters(ingest.engine, "VIP500") == {
        "redemptions": 1,
        "held": 0,
        "over_limit": 0,
        "discount_given": 500,
    }


def test_a_released_use_is_free_again(ingest: Service, till: Till) -> None:
    add_coupon(ingest.engine, "VIP500", limit_total=1)
    first = till.hold("VIP500").json()["id"]
    assert till.release(first).status_code == 204
    assert till.release(first).status_code == 204
    assert codes(till.commit(first)) == ["released"]
    other = till.hold("VIP500", "S-2")
    assert other.status_code == 201
    assert till.commit(other.json()["id"]).status_code == 200
    refused = till.release(other.json()["id"])
    assert refused.status_code == 409
    assert "void or refund" in refused.json()["detail"]


def test_a_hold_that_runs_out_frees_itself_and_commits_while_limits_allow(ingest: Service, till: Till) -> None:
    add_coupon(ingest.engine, "VIP500", limit_total=1)
    first = till.hold("VIP500").json()["id"]
    run_out(ingest, "S-1")
    assert till.quote("VIP500", "S-2").json()["valid"] is True
    second = till.hold("VIP500", "S-2").json()["id"]
    assert states(ingest.engine, "VIP500") == {"S-1": "expired", "S-2": "held"}
    assert codes(till.commit(first)) == ["limit_total"]
    till.release(second)
    assert till.commit(first).status_code == 200
    assert states(ingest.engine, "VIP500") == {"S-1": "redeemed", "S-2": "released"}


def run_out(ingest: Service, sale_id: str) -> None:
    past = NOW - timedelta(seconds=1)
    with ingest.engine.begin() as connection:
        connection.execute(update(coupon_use).where(coupon_use.c.sale_id == sale_id).values(expires_at=past))


def test_limits_per_customer_count_holds(ingest: Service, till: Till) -> None:
    add_coupon(ingest.engine, "ONCE", limit_per_customer=1)
    assert till.hold("ONCE", "S-1", customer_id="c-1").status_code == 201
    assert codes(till.hold("ONCE", "S-2", customer_id="c-1")) == ["limit_per_customer"]
    assert till.hold("ONCE", "S-3", customer_id="c-2").status_code == 201
    assert codes(till.hold("ONCE", "S-4")) == ["customer_required"]


def test_what_is_known_of_the_customer_decides(ingest: Service, till: Till) -> None:
    put(ingest, segment, segment_id="vip", name="VIP", kind="static", slot=9)
    put(ingest, customer, customer_id="c-1", visit_count=3, memberships=bytes([0, 2]))
    put(ingest, customer, customer_id="c-2")
    add_coupon(ingest.engine, "VIPS", segment_id="vip")
    add_coupon(ingest.engine, "FIRST", first_purchase_only=True)
    assert till.quote("VIPS", customer_id="c-1").json()["valid"]
    assert codes(till.quote("VIPS", customer_id="c-2")) == ["segment"]
    assert codes(till.quote("FIRST", customer_id="c-1")) == ["first_purchase_only"]
    assert till.quote("FIRST", customer_id="c-2").json()["valid"]
    assert till.quote("FIRST", customer_id="c-new").json()["valid"]


def test_grants_and_unique_codes(ingest: Service, till: Till) -> None:
    add_coupon(ingest.engine, "MAIL", grants_only=True)
    put(ingest, coupon_grant, coupon_code="MAIL", customer_id="c-1", granted_by="t", expires_at=NOW + timedelta(1))
    put(ingest, coupon_grant, coupon_code="MAIL", customer_id="c-2", granted_by="t", expires_at=NOW)
    put(ingest, coupon_code, code="ABCD2345EFGH67", coupon_code="MAIL", customer_id="c-3")
    assert till.quote("MAIL", customer_id="c-1").json()["valid"]
    assert codes(till.quote("MAIL", customer_id="c-2")) == ["grant_expired"]
    assert codes(till.quote("MAIL", customer_id="c-9")) == ["not_granted"]
    assert codes(till.quote("ABCD2345EFGH67", customer_id="c-9")) == ["not_granted"]
    held = till.hold("abcd-2345-efgh-67", "S-1", customer_id="c-3")
    assert held.status_code == 201
    assert codes(till.hold("ABCD2345EFGH67", "S-2", customer_id="c-3")) == ["limit_total"]
    assert till.commit(held.json()["id"]).status_code == 200
    assert counters(ingest.engine, "MAIL")["redemptions"] == 1


def test_a_commit_is_told_to_the_ledger(ingest: Service, till: Till) -> None:
    add_coupon(ingest.engine, "VIP500")
    till.commit(till.hold("VIP500", "S-7", customer_id="c-1", store_id="s1").json()["id"])
    eventually(lambda: len(ingest.held(Topic.COUPONS)) == 1)
    ((key, value),) = ingest.held(Topic.COUPONS)
    assert key == b"demo/c-1"
    event = json.loads(value)
    assert (event["type"], event["id"], event["source"]) == ("coupon.redeemed", "VIP500/S-7", "/demo/redemptions")
    assert event["data"] == {
        "organization_id": "demo",
        "coupon_code": "VIP500",
        "sale_id": "S-7",
        "customer_id": "c-1",
        "store_id": "s1",
        "discount": 500,
    }


def test_paused_and_archived_coupons_still_commit_what_they_hold(ingest: Service, till: Till) -> None:
    add_coupon(ingest.engine, "VIP500")
    held = till.hold("VIP500").json()
    with ingest.engine.begin() as connection:
        connection.execute(update(coupon).values(state="paused"))
    assert codes(till.hold("VIP500", "S-2")) == ["paused"]
    assert till.commit(held["id"]).status_code == 200


def test_a_first_purchase_coupon_counts_once_though_no_sale_has_arrived_yet(ingest: Service, till: Till) -> None:
    add_coupon(ingest.engine, "HELLO5", first_purchase_only=True)
    first = till.hold("HELLO5", "S-1", customer_id="c-1")
    assert first.status_code == 201
    assert codes(till.hold("HELLO5", "S-2", customer_id="c-1")) == ["first_purchase_only"]
    till.release(first.json()["id"])
    second = till.hold("HELLO5", "S-2", customer_id="c-1")
    assert till.commit(second.json()["id"]).status_code == 200
    assert codes(till.hold("HELLO5", "S-3", customer_id="c-1")) == ["first_purchase_only"]
    assert till.hold("HELLO5", "S-3", customer_id="c-2").status_code == 201


def test_a_hold_and_a_redemption_of_the_same_sale_at_once_are_one_use(ingest: Service, till: Till) -> None:
    """Of a code that was no coupon when the ledger looked: it holds no row that the till would wait for."""
    add_coupon(ingest.engine, "VIP500")
    redeemed = {"organization_id": "demo", "code": "VIP500", "sale_id": "S-1", "coupon_code": "VIP500"}
    with ThreadPoolExecutor(1) as pool, ingest.engine.connect() as ledger:
        ledger.execute(insert(coupon_use).values(**redeemed, state="redeemed", discount=400, redeemed_at=NOW))
        held = pool.submit(till.hold, "VIP500")
        eventually(lambda: waits_for_a_lock(ingest.engine))
        ledger.commit()
        assert (held.result().status_code, held.result().json()["discount"]) == (200, 400)
    assert states(ingest.engine, "VIP500") == {"S-1": "redeemed"}
