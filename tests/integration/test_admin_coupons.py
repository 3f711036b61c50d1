"""Coupons over the admin API: what marketers make, change and see."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete

from shared.database.tables import campaign, coupon, coupon_use, customer_merge, ledger
from shared.domain.coupons.codes import is_well_formed
from tests.admin import Api

NOW = datetime.now(UTC)
VIP = {"code": "VIP500", "type": "fixed", "value": 50_000}


@pytest.fixture
def api(api: Api) -> Api:
    with api.engine.begin() as connection:  # only what a test makes
        connection.execute(delete(campaign))
        connection.execute(delete(coupon))
    return api


def make(api: Api, **rules: Any) -> Any:
    answer = api("POST", "/coupons", VIP | rules)
    assert answer.status_code == 201, answer.text
    return answer.json()


def use(api: Api, sale_id: str, state: str = "redeemed", *, paid: int | None = None, **columns: Any) -> None:
    given = {
        "code": "VIP500",
        "coupon_code": "VIP500",
        "discount": 50_000,
        "redeemed_at": NOW,
        "expires_at": NOW + timedelta(hours=5),
    } | columns
    api.insert(coupon_use, organization_id="demo", sale_id=sale_id, state=state, **given)
    if paid is not None:
        event = {"source": "t", "event_id": sale_id, "type": "sale.completed", "occurred_at": NOW}
        api.insert(ledger, organization_id="demo", sale_id=sale_id, entry="sale", amount=paid, **event)


def test_a_coupon_has_every_rule_and_reads_as_it_was_made(api: Api) -> None:
    api.add_segment("friends", 9)
    rules = {
        "name": "For regulars",
        "description": "Spring",
        "type": "percentage",
        "value": 12.5,
        "minimum_purchase": 200_000,
        "maximum_discount": 30_000,
        "limit_per_customer": 1,
        "limit_total": 50,
        "valid_from": "2026-11-01T00:00:00Z",
        "valid_until": "2027-11-01T00:00:00Z",
        "valid_hours": {"from": "22:00", "until": "02:00"},
        "valid_weekdays": ["monday", "sunday"],
        "include_products": ["p-1"],
        "include_categories": ["Bakery"],
        "exclude_products": ["p-2"],
        "exclude_categories": ["Tobacco"],
        "stores": ["s1"],
        "segment_id": "friends",
        "first_purchase_only": True,
        "state": "active",
    }
    made = make(api, code="spring-25", **rules)
    assert made["code"] == "SPRING25"
    assert {name: made[name] for name in rules} == rules
    assert made["warnings"] == ["I is easily taken for 1"]
    assert (made["redemptions"], made["held"], made["over_limit"], made["discount_given"]) == (0, 0, 0, 0)
    assert (made["revenue"], made["exposure"]) == (0, 50 * 30_000)
    assert api.get("/coupons/spring25") == made
    assert api.get("/coupons")["items"] == [made]


def test_without_a_code_it_gets_one_that_is_easy_to_read(api: Api) -> None:
    made = make(api, code=None)
    assert is_well_formed(made["code"])
    assert made["warnings"] == []


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"code": "AB"}, "code"),
        ({"code": "ÄPFEL"}, "code"),
        ({"type": "percentage", "value": 101}, "value"),
        ({"type": "percentage", "value": 0}, "value"),
        ({"type": "percentage", "value": 12.345}, "value"),
        ({"value": 10.5}, "value"),
        ({"value": -1}, "value"),
        ({"maximum_discount": 100}, "maximum_discount"),
        ({"limit_total": 0}, "limit_total"),
        ({"limit_per_customer": 0}, "limit_per_customer"),
        ({"valid_from": "2026-11-02T00:00:00Z", "valid_until": "2026-11-01T00:00:00Z"}, "valid_until"),
        ({"valid_from": "2026-11-02T00:00:00"}, "valid_from"),
        ({"valid_hours": {"from": "09:00", "until": "09:00"}}, "valid_hours"),
        ({"valid_hours": {"from": "9", "until": "10:00"}}, "valid_hours.from"),
        ({"valid_weekdays": ["someday"]}, "valid_weekdays[0]"),
        ({"include_products": ["p"], "exclude_products": ["p"]}, "exclude_products"),
        ({"segment_id": "nobody"}, "segment_id"),
        ({"state": "gone"}, "state"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(api: Api, rules: dict[str, Any], field: str) -> None:
    answer = api("POST", "/coupons", VIP | rules)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field
    assert api.get("/coupons")["items"] == []


def test_a_code_is_taken_once_and_only_within_its_organization(api: Api) -> None:
    make(api)
    taken = api("POST", "/coupons", VIP | {"code": "vip 500"})
    assert taken.status_code == 409
    assert "leave it out" in taken.json()["detail"]
    assert api("POST", "/coupons", VIP, organization="other").status_code == 201


def test_the_same_request_key_makes_one_coupon(api: Api) -> None:
    first = api("POST", "/coupons", VIP, idempotency_key="k-1")
    again = api("POST", "/coupons", VIP, idempotency_key="k-1")
    assert (again.status_code, again.json()) == (201, first.json())


def test_edits_need_the_version_that_was_read(api: Api) -> None:
    make(api)
    read = api("GET", "/coupons/VIP500")
    changed = api("PATCH", "/coupons/VIP500", {"limit_total": 10, "name": "Ten"}, if_match=read.headers["etag"])
    assert changed.status_code == 200
    assert (changed.json()["limit_total"], changed.json()["name"]) == (10, "Ten")
    assert api("PATCH", "/coupons/VIP500", {"name": "No"}, if_match=read.headers["etag"]).status_code == 412
    assert api("PATCH", "/coupons/VIP500", {"limit_total": None}).json()["limit_total"] is None
    refused = api("PATCH", "/coupons/VIP500", {"code": "OTHER"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "code")
    assert api("PATCH", "/coupons/VIP500", {"valid_until": "x"}).status_code == 422
    assert api("PATCH", "/coupons/NOSUCH", {"name": "x"}).status_code == 404


def test_what_was_promised_stays_and_a_copy_is_offered(api: Api) -> None:
    make(api)
    assert api("PATCH", "/coupons/VIP500", {"value": 40_000}).status_code == 200
    assert api("PATCH", "/coupons/VIP500", {"value": 50_000}).status_code == 200
    use(api, "S-1")
    refused = api("PATCH", "/coupons/VIP500", {"value": 60_000})
    assert refused.status_code == 409
    assert "Copy it" in refused.json()["detail"]
    assert api("PATCH", "/coupons/VIP500", {"value": 50_000, "state": "paused"}).status_code == 200
    copied, again = (api("POST", "/coupons/VIP500/copies", {"code": "VIP600"}, Idempotency_Key="k") for _ in range(2))
    assert (copied.status_code, copied.json()) == (201, again.json())
    assert api("POST", "/coupons/VIP500/copies", {"code": "VIP600"}).status_code == 409
    assert (copied.json()["value"], copied.json()["state"], copied.json()["redemptions"]) == (50_000, "paused", 0)
    assert api("PATCH", "/coupons/VIP600", {"value": 60_000, "state": "active"}).status_code == 200


def test_redemptions_before_the_coupon_was_known_count(api: Api) -> None:
    use(api, "S-1")
    use(api, "S-2", "given_back")
    made = make(api)
    assert (made["redemptions"], made["discount_given"]) == (1, 50_000)


def test_how_a_coupon_does(api: Api) -> None:
    use(api, "S-1", paid=120_000, store_id="s1", customer_id="c-1")
    use(api, "S-2", paid=80_000, store_id="s1", over_limit=True, redeemed_at=NOW - timedelta(seconds=5))
    use(api, "S-3", store_id="s2", redeemed_at=NOW - timedelta(seconds=9))
    use(api, "S-4", "given_back", paid=70_000, redeemed_at=NOW - timedelta(seconds=10))
    made = make(api, limit_total=10)
    use(api, "S-5", "held", redeemed_at=None)
    use(api, "S-6", "held", redeemed_at=None, expires_at=NOW - timedelta(minutes=5))
    found = api.get("/coupons/VIP500")
    assert (made["exposure"], found["held"], found["redemptions"]) == (7 * 50_000, 1, 3)
    assert (found["discount_given"], found["revenue"]) == (150_000, 200_000)
    first = api.get("/coupons/VIP500/redemptions?limit=2")
    rest = api.get(f"/coupons/VIP500/redemptions?limit=2&cursor={first['next_cursor']}")
    listed = [(item["sale_id"], item["state"], item["revenue"]) for item in first["items"] + rest["items"]]
    assert listed == [
        ("S-1", "redeemed", 120_000),
        ("S-2", "redeemed", 80_000),
        ("S-3", "redeemed", None),
        ("S-4", "given_back", 70_000),
    ]
    over = api.get("/coupons/VIP500/redemptions?over_limit=true")["items"]
    assert [item["sale_id"] for item in over] == ["S-2"]
    by_store: dict[str, list[int]] = {}
    for day in api.get("/coupons/VIP500/days")["items"]:
        sums = by_store.setdefault(day["store_id"], [0, 0, 0, 0])
        for place, name in enumerate(("redemptions", "over_limit", "discount_given", "revenue")):
            sums[place] += day[name]
    assert by_store == {"s1": [2, 1, 100_000, 200_000], "s2": [1, 0, 50_000, 0]}


def test_exposure_says_plainly_when_it_has_no_bound(api: Api) -> None:
    assert make(api)["exposure"] == "unbounded"
    assert make(api, code="TENTH", type="percentage", value=10, limit_total=5)["exposure"] == "unbounded"
    assert api("PATCH", "/coupons/TENTH", {"maximum_discount": 700}).json()["exposure"] == 3_500
    assert api("PATCH", "/coupons/TENTH", {"state": "archived"}).json()["exposure"] == 0


def test_a_grant_ties_a_coupon_to_customers(api: Api) -> None:
    make(api, limit_per_customer=1)
    given = api("POST", "/coupons/VIP500/grants", {"customer_ids": ["c-1", "c-2"], "days": 30})
    assert given.status_code == 201
    assert given.json()["granted"] == 2
    api("POST", "/coupons/VIP500/grants", {"customer_id": "c-2", "expires_at": "2030-01-01T00:00:00Z"})
    listed = {item["customer_id"]: item["expires_at"] for item in api.get("/coupons/VIP500/grants")["items"]}
    assert listed == {"c-1": given.json()["expires_at"], "c-2": "2030-01-01T00:00:00Z"}
    found = api.get("/coupons/VIP500")
    assert (found["grants_only"], found["exposure"]) == (True, 100_000)
    use(api, "S-1", customer_id="c-1")
    assert api.get("/coupons/VIP500")["exposure"] == 50_000
    for body, field in (
        ({}, ""),
        ({"customer_ids": ["c"], "days": 0}, "days"),
        ({"customer_ids": ["c"], "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ):
        refused = api("POST", "/coupons/VIP500/grants", body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


def test_unique_codes_are_made_in_bulk(api: Api) -> None:
    make(api, unique_only=True)
    made = api("POST", "/coupons/VIP500/unique-codes", {"count": 12_000}).json()
    assert (made["created"], len(made["items"])) == (12_000, 10_000)
    mine = api("POST", "/coupons/VIP500/unique-codes", {"customer_ids": ["c-1", "c-2"], "days": 3}).json()["items"]
    assert [item["customer_id"] for item in mine] == ["c-1", "c-2"]
    rows = list(csv.DictReader(io.StringIO(api("GET", "/coupons/VIP500/unique-codes.csv").text)))
    assert len({row["code"] for row in rows}) == 12_002
    assert all(is_well_formed(row["code"]) for row in rows)
    use(api, "S-1", code=mine[0]["code"])
    page = api.get("/coupons/VIP500/unique-codes?limit=500")
    while page["next_cursor"] and not any(item["sale_id"] for item in page["items"]):
        page = api.get(f"/coupons/VIP500/unique-codes?limit=500&cursor={page['next_cursor']}")
    assert [item["code"] for item in page["items"] if item["sale_id"] == "S-1"] == [mine[0]["code"]]
    assert api.get("/coupons/VIP500")["exposure"] == 12_001 * 50_000
    assert api("POST", "/coupons/VIP500/unique-codes", {}).status_code == 422
    assert api("POST", "/coupons/VIP500/unique-codes", {"count": 1_000_001}).status_code == 422
    assert api("POST", "/coupons", VIP | {"code": mine[0]["code"]}).status_code == 409


def test_the_same_request_key_makes_unique_codes_once(api: Api) -> None:
    make(api)
    path, body = "/coupons/VIP500/unique-codes", {"customer_ids": ["c-2", "c-1"]}
    first = api("POST", path, body, idempotency_key="k-1").json()
    again = api("POST", path, body, idempotency_key="k-1").json()
    assert again["created"] == 2
    assert {item["code"] for item in again["items"]} == {item["code"] for item in first["items"]}
    assert len(api.get(path)["items"]) == 2
    assert api("POST", path, {"count": 3}, idempotency_key="k-1").status_code == 422
    make(api, code="OTHER5")
    assert api("POST", "/coupons/OTHER5/unique-codes", body, idempotency_key="k-1").status_code == 422


def test_a_grant_goes_to_who_the_customer_is_now(api: Api) -> None:
    make(api)
    merge = {"into_customer_id": "c-2", "merged_at": NOW, "event_key": "e"}
    api.insert(customer_merge, organization_id="demo", customer_id="c-1", root_customer_id="c-2", **merge)
    assert api("POST", "/coupons/VIP500/grants", {"customer_ids": ["c-1", "c-2"]}).json()["granted"] == 1
    assert [item["customer_id"] for item in api.get("/coupons/VIP500/grants")["items"]] == ["c-2"]


def test_the_same_request_key_grants_once(api: Api) -> None:
    make(api)
    body = {"customer_ids": ["c-1"], "days": 3}
    first, again = (api("POST", "/coupons/VIP500/grants", body, Idempotency_Key="k").json() for _ in range(2))
    assert first == again
    assert api("POST", "/coupons/VIP500/grants", body).json()["expires_at"] > first["expires_at"]


def test_what_is_refused_says_what_to_do_in_plain_words(api: Api) -> None:
    for rules, says in (
        ({"limit_total": 0}, "limit_total: must be at least 1; leave it empty for no limit"),
        ({"code": "A"}, "code: must be 4 to 20 letters A-Z and digits"),
    ):
        assert api("POST", "/coupons", VIP | rules).json()["detail"].startswith(says)


def test_a_segment_that_a_coupon_uses_stays(api: Api) -> None:
    api.add_segment("friends", 9)
    make(api, segment_id="friends")
    refused = api("DELETE", "/segments/friends")
    assert refused.status_code == 409
    assert "coupon VIP500" in refused.json()["detail"]
    api("PATCH", "/coupons/VIP500", {"state": "archived"})
    assert api("DELETE", "/segments/friends").status_code == 204


def test_each_change_is_in_the_audit_log(api: Api) -> None:
    make(api)
    api("PATCH", "/coupons/VIP500", {"name": "x"})
    api("POST", "/coupons/VIP500/grants", {"customer_id": "c-1"})
    actions = [entry["action"] for entry in api.get("/audit-log")["items"]]
    assert actions[:3] == ["coupon.granted", "coupon.changed", "coupon.created"]
