"""Tables of analytics, by the API, as CSV and at the console."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from services.admin import analytics
from shared.clock import utc_now
from shared.database.tables import campaign, coupon, coupon_code, coupon_grant, coupon_use
from tests import console
from tests.admin import Api


def test_rates_are_of_the_delivered_and_none_where_there_are_none(api: Api) -> None:
    now = utc_now()
    api.add_campaign("spring", name="<b>Spring</b>", state="sent")
    api.add_campaign("later", state="scheduled")
    for n, did in enumerate(
        ({}, {"delivered_at": now}, {"opened_at": now}, {"machine_opened_at": now}, {"clicked_at": now})
    ):
        api.add_message("spring", f"c-{n}", state="sent", sent_at=now, **did)
    rates = {each["campaign_id"]: each for each in api.get("/analytics/campaigns")["items"]}
    assert "birthday" not in rates  # a draft
    assert (rates["spring"]["delivered"], rates["spring"]["open_rate"], rates["spring"]["click_rate"]) == (
        4,
        0.25,
        0.25,
    )
    assert rates["later"]["open_rate"] is None
    api.add_campaign("formula", name="=1+1", state="paused")
    lines = api("GET", "/analytics/campaigns.csv").text.splitlines()
    assert lines[0].startswith("campaign_id,name,state,sent,delivered,opened,open_rate")
    assert "formula,'=1+1,paused,0,0,0,,0,,0,,0,0,0,0,,0," in lines


def test_redemption_rates_are_of_what_was_issued(api: Api) -> None:
    now = utc_now()
    with api.engine.begin() as connection:  # only what this test makes
        connection.execute(campaign.delete())
        connection.execute(coupon.delete())
    for code in ("SHARED", "OWNONE"):
        api.insert(coupon, organization_id="demo", code=code, type="fixed", value=1)
    api.add_campaign("shared", state="sent", coupon_code="SHARED")
    api.add_campaign("own", state="sent", coupon_code="OWNONE", unique_codes=True)
    api.add_campaign("plain", state="sent")
    redeemed: dict[str, Any] = {"organization_id": "demo", "state": "redeemed", "discount": 1, "redeemed_at": now}
    for name in ("a", "b", "c", "d"):
        mail = uuid.uuid4()
        for campaign_id in ("shared", "plain"):
            api.add_message(campaign_id, name, state="sent", sent_at=now - timedelta(hours=1))
        api.add_message("own", name, state="sent", sent_at=now - timedelta(hours=1), message_id=mail)
        issued = {"organization_id": "demo", "coupon_code": "OWNONE", "customer_id": name, "message_id": mail}
        api.insert(coupon_code, code=f"OWN{name}", **issued)
    # Given back, or before the mail, it does not count; nor what somebody uses whom nobody mailed.
    use = redeemed | {"code": "SHARED", "coupon_code": "SHARED"}
    api.insert(coupon_use, sale_id="1", customer_id="a", **use)
    api.insert(coupon_use, sale_id="2", customer_id="b", **use | {"state": "given_back"})
    api.insert(coupon_use, sale_id="3", customer_id="c", **use | {"redeemed_at": now - timedelta(hours=2)})
    api.insert(coupon_use, sale_id="4", customer_id="x", **use)
    for name in ("a", "b"):
        own = redeemed | {"code": f"OWN{name}", "coupon_code": "OWNONE"}
        api.insert(coupon_use, sale_id=f"own-{name}", customer_id=name, **own)
    for name in ("a", "d", "e", "f", "g"):
        api.insert(coupon_grant, organization_id="demo", coupon_code="SHARED", customer_id=name, granted_by="key:k")
    found = {each["campaign_id"]: each for each in api.get("/analytics/campaigns")["items"]}
    rates = {name: (each["redeemed"], each["redemption_rate"]) for name, each in found.items()}
    assert rates == {"shared": (1, 0.25), "own": (2, 0.5), "plain": (0, None)}
    coupons = {each["code"]: (each["issued"], each["redemption_rate"]) for each in coupons_of(api)}
    assert coupons == {"OWNONE": (4, 0.5), "SHARED": (5, 0.2)}


def coupons_of(api: Api) -> list[dict[str, Any]]:
    """By pages of one."""
    page = api.get("/analytics/coupons?limit=1")
    found = page["items"]
    while page["next_cursor"]:
        page = api.get(f"/analytics/coupons?limit=1&cursor={page['next_cursor']}")
        found += page["items"]
    return list(found)


def test_files_have_all_rows_however_many(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics, "MOST", 2)
    for n in range(5):
        api.add_campaign(f"c-{n}", state="sent")
    assert len(api("GET", "/analytics/coupons.csv").text.splitlines()) == 1 + 5
    assert len(api("GET", "/analytics/campaigns.csv").text.splitlines()) == 1 + 5


def test_cohorts_are_months_of_the_organizations_calendar_and_only_its_own_customers(api: Api) -> None:
    now = utc_now()
    # In Kolkata this is the first of the month already.
    turn = now.replace(day=1, hour=20, minute=0) - timedelta(days=1)
    month = (turn + timedelta(days=1)).date().replace(day=1).isoformat()
    for name, visits, days in (("a", 1, 0), ("b", 3, 0), ("c", 2, 45)):
        stats = {"visit_count": visits, "total_spent": 100 * visits, "last_visit_at": now - timedelta(days=days)}
        api.add_customer(name, first_visit_at=turn, **stats)
    api.add_customer("never")
    api.add_customer("long ago", first_visit_at=now - timedelta(days=800), visit_count=1)
    api.add_customer("elsewhere", organization="other", first_visit_at=turn, visit_count=1)
    assert api.get("/analytics/cohorts")["items"] == [
        {
            "month": month, "customers": 3, "regulars": 2, "repeat_rate": 0.6667, "active": 2, "retention": 0.6667,
            "spent": 600, "per_customer": 200,
        }
    ]  # fmt: skip
    assert api("GET", "/analytics/cohorts.csv").text.splitlines()[1] == f"{month},3,2,0.6667,2,0.6667,600,200"
    assert api("GET", "/analytics/secrets.csv").status_code == 404


def test_the_console_shows_the_tables_escaped_and_gives_them_as_files(api: Api) -> None:
    api.add_campaign("spring", name="<b>Spring</b>", state="sent")
    api.insert(coupon, organization_id="demo", code="NEWONE", name="New", type="fixed", value=1)
    with console.visits(api) as visit:
        client = visit(console.add_user(api, "viewer"))
        assert "&lt;b&gt;Spring&lt;/b&gt;" in client.get("/console/analytics/campaigns").text
        assert "Nobody has come yet." in client.get("/console/analytics/customers").text
        assert "/console/coupons/NEWONE" in client.get("/console/analytics/coupons").text
        assert "Nothing was sold" in client.get("/console/analytics/sales").text
        wrong = client.get("/console/analytics?from=2026-03-02&until=2026-03-01")
        assert wrong.status_code == 422
        assert console.error_at(wrong.text, "from") == "From must not be after the last day, 2026-03-01."
        file = client.get("/console/analytics/coupons.csv")
        assert file.headers["content-disposition"] == 'attachment; filename="coupons.csv"'
        assert "NEWONE,New,active,0,0,0,0,0," in file.text.splitlines()
        part = client.get("/console/campaigns/spring/results").text
        assert "Nobody is held out" in part
        assert client.get("/console/campaigns/nothing/results").status_code == 404
