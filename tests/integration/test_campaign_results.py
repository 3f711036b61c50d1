"""What a campaign brought, over a ledger written by hand."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from shared.database.tables import campaign, coupon, coupon_code, coupon_use, ledger
from tests.admin import Api

AT = datetime(2026, 11, 1, 9, tzinfo=UTC)


@pytest.fixture
def api(api: Api) -> Api:
    for name in ("spring", "other"):
        api.add_campaign(name)
    return api


def sale(api: Api, sale_id: str, customer_id: str | None, days: float, amount: int, organization: str = "demo") -> None:
    at = AT + timedelta(days=days)
    write(api, sale_id, "sale.completed", at, organization, customer_id=customer_id, entry="sale", amount=amount)


def write(api: Api, sale_id: str, kind: str, at: datetime, organization: str = "demo", **columns: Any) -> None:
    given = {"organization_id": organization, "source": "/t", "event_id": uuid.uuid4().hex, "type": kind}
    api.insert(ledger, **given, occurred_at=at, sale_id=sale_id, **columns)


def mail(api: Api, customer_id: str, campaign_id: str = "spring", **instants: float) -> uuid.UUID:
    """Instants in days after AT; held out where none is given."""
    message_id, given = uuid.uuid4(), {f"{name}_at": AT + timedelta(days=days) for name, days in instants.items()}
    state = {"state": "sent"} if given else {"state": "skipped", "reason": "holdout"}
    api.add_message(campaign_id, customer_id, message_id=message_id, planned_at=AT, **state, **given)
    return message_id


def test_lift_compares_what_the_mailed_and_the_held_out_spent_in_the_seven_days_after(api: Api) -> None:
    for n in range(40):
        mail(api, f"m-{n}", sent=2)
        sale(api, f"m{n}", f"m-{n}", 3, 1_000 + n)
    for n in range(30):
        mail(api, f"h-{n}")
        sale(api, f"h{n}", f"h-{n}", 1, 500 + n)
    sale(api, "too early", "m-0", 0, 77_777)
    sale(api, "at the end", "m-0", 7, 100)
    sale(api, "too late", "m-1", 7.001, 77_777)
    sale(api, "voided", "m-2", 4, 77_777)
    write(api, "voided", "sale.voided", AT, customer_id="m-2", entry="void")
    write(api, "m3", "sale.refunded", AT, customer_id="m-3", entry="refund:r", amount=1_003)
    sale(api, "elsewhere", "m-4", 4, 77_777, organization="other")
    found = api.get("/campaigns/spring/results")
    assert found["mailed"] == {"customers": 40, "buyers": 40, "spent": 40_780 - 1_003 + 100, "per_customer": 997}
    assert found["held_out"] == {"customers": 30, "buyers": 30, "spent": 15_435, "per_customer": 514}
    assert found["lift"] == pytest.approx((39_877 / 40) / (15_435 / 30) - 1, abs=1e-4)
    assert found["more_at_least"] < 482 < found["more_at_most"]
    assert "whoever was mailed spent between ₹4." in found["sentence"]
    assert found["counts_until"] == "2026-11-08T09:00:00Z"


def test_revenue_goes_to_a_unique_code_first_and_else_to_the_last_campaign_opened_or_clicked(api: Api) -> None:
    mail(api, "opened", sent=1, opened=2)
    sale(api, "a", "opened", 3, 10)
    sale(api, "b", "opened", 9.5, 1_000)  # seven and a half days later
    sale(api, "c", "opened", 1.5, 1_000)  # before
    mail(api, "both", sent=1, opened=2, clicked=4)
    mail(api, "both", "other", sent=1, opened=3)
    sale(api, "d", "both", 5, 200)
    mail(api, "later", sent=1, clicked=2)
    mail(api, "later", "other", sent=1, opened=4)
    sale(api, "e", "later", 3, 3_000)
    sale(api, "f", "later", 5, 1_000)  # the other campaign's
    mail(api, "machine", sent=1, machine_opened=1)
    sale(api, "g", "machine", 2, 1_000)
    api.insert(coupon, organization_id="demo", code="SPRING", name="Spring", type="fixed", value=1)
    for n, (campaign_id, state) in enumerate((("spring", "redeemed"), ("other", "redeemed"), ("spring", "given_back"))):
        message_id = mail(api, f"coded-{n}", campaign_id, sent=1)
        if campaign_id == "other":
            mail(api, f"coded-{n}", sent=1, clicked=2)
        code = {"organization_id": "demo", "code": f"CODE{n}", "coupon_code": "SPRING"}
        api.insert(coupon_code, **code, message_id=message_id)
        api.insert(coupon_use, **code, sale_id=f"coded-{n}", state=state, discount=1, redeemed_at=AT)
        sale(api, f"coded-{n}", None if n == 0 else f"coded-{n}", 3, 40_000)
    sale(api, "anonymous", None, 3, 1_000)
    found = api.get("/campaigns/spring/results")
    assert (found["attributed_sales"], found["attributed_revenue"]) == (4, 10 + 200 + 3_000 + 40_000)
    assert api.get("/campaigns/other/results")["attributed_revenue"] == 1_000 + 40_000
    assert "Nobody is held out" in found["sentence"]
    assert api("GET", "/campaigns/spring/results", organization="other").status_code == 404


def test_a_draft_brought_nothing(api: Api) -> None:
    found = api.get("/campaigns/spring/results")
    assert (found["attributed_revenue"], found["mailed"]["customers"], found["lift"]) == (0, 0, None)
    assert found["counts_until"] is None
    assert found["roi"] is None


def test_roi_takes_margin_discount_and_sending_from_what_was_attributed(api: Api) -> None:
    for code in ("SPRING", "POSTER"):
        api.insert(coupon, organization_id="demo", code=code, name=code, type="fixed", value=1)
    api("PATCH", "/campaigns/spring", {"coupon_code": "SPRING"})
    uses = {
        "a": ("SPRING", "redeemed", 500),
        "b": ("POSTER", "redeemed", 70_000),  # a coupon that the campaign has nothing to do with
        "c": ("SPRING", "given_back", 70_000),  # by its refund
        "not attributed": ("SPRING", "redeemed", 70_000),
    }
    for sale_id, (code, state, discount) in uses.items():
        use = {"organization_id": "demo", "code": code, "coupon_code": code, "sale_id": sale_id}
        api.insert(coupon_use, **use, state=state, discount=discount, redeemed_at=AT)
    mail(api, "reader", sent=1, opened=2)
    mail(api, "silent", sent=1)
    for sale_id in ("a", "b", "c"):
        sale(api, sale_id, "reader", 3, 10_000)
    write(api, "c", "sale.refunded", AT, customer_id="reader", entry="refund:r", amount=4_000)
    sale(api, "voided", "reader", 3, 77_777)
    write(api, "voided", "sale.voided", AT, customer_id="reader", entry="void")
    sale(api, "not attributed", "silent", 3, 10_000)
    found = api.get("/campaigns/spring/results")
    assert (found["attributed_sales"], found["attributed_revenue"], found["discount_given"]) == (3, 26_000, 500)
    assert (found["gross_margin_percent"], found["margin_is_assumed"]) == (30, True)
    assert (found["sending_cost"], found["roi"]) == (0, (7_800 - 500) / 500)
    told = api("PATCH", "/organization", {"gross_margin_percent": 42.5, "sending_cost_per_thousand": 50_000}).json()
    assert (told["gross_margin_percent"], told["sending_cost_per_thousand"]) == (42.5, 50_000)
    found = api.get("/campaigns/spring/results")
    assert (found["gross_margin_percent"], found["margin_is_assumed"], found["sending_cost"]) == (42.5, False, 100)
    assert found["roi"] == round((11_050 - 600) / 600, 4)
    api("PATCH", "/organization", {"gross_margin_percent": None})
    assert api.get("/campaigns/spring/results")["margin_is_assumed"]
    refused = api("PATCH", "/organization", {"gross_margin_percent": 100.5}).json()["errors"]
    assert refused[0]["field"] == "gross_margin_percent"


def test_the_table_of_campaigns_says_the_same_as_each_campaigns_results(api: Api) -> None:
    with api.engine.begin() as connection:
        connection.execute(update(campaign).values(state="sent"))
    api("PATCH", "/organization", {"sending_cost_per_thousand": 50_000})
    mail(api, "first", sent=1, opened=2)
    mail(api, "first", "other", sent=1, opened=4)
    for n, days in enumerate((3, 5, 6)):
        sale(api, f"s{n}", "first", days, 1_000)
    items = {each["campaign_id"]: each for each in api.get("/analytics/campaigns")["items"]}
    assert (items["spring"]["attributed_sales"], items["other"]["attributed_sales"]) == (1, 2)
    for name in ("spring", "other"):
        results = api.get(f"/campaigns/{name}/results")
        for field in ("attributed_sales", "attributed_revenue", "discount_given", "sending_cost", "roi"):
            assert items[name][field] == results[field], (name, field)
    assert items["other"]["roi"] == (600 - 50) / 50
