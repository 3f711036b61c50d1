"""Coupons at the console."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import expect

from shared.database.tables import coupon_use
from tests import console
from tests.admin import Api
from tests.console import Marketer, Visit

WELCOME = "/coupons/WELCOME10"


def redeem(api: Api, sale_id: str, **columns: Any) -> None:
    given = {"state": "redeemed", "discount": 900, "redeemed_at": datetime.now(UTC), "over_limit": False} | columns
    codes = {"code": "WELCOME10", "coupon_code": "WELCOME10", "sale_id": sale_id}
    api.insert(coupon_use, organization_id="demo", **codes, **given)


def test_a_coupon_shows_how_it_does_and_each_redemption(api: Api, marketer: Marketer) -> None:
    redeem(api, "R-1", customer_id="c-1")
    redeem(api, "R-2", customer_id="c-<2>", over_limit=True)
    api("PATCH", WELCOME, {"name": "<b>Ten</b>", "limit_total": 50})
    assert "10% off, up to ₹500.00" in marketer.get("/coupons")
    page = marketer.get(WELCOME)
    assert "<b>Ten" not in page
    assert "0 of 50" in page  # the segmenter counts; here nobody did
    assert "Of this code 0 is easily taken for O" in page
    assert "R-1" in page
    assert "c-&lt;2&gt;" in page
    only_over = marketer.get(f"{WELCOME}?over_limit=true")
    assert "R-2" in only_over
    assert "R-1" not in only_over
    assert "No redemptions yet" in marketer.get("/coupons/VIP500")


def test_all_that_the_form_shows_comes_back_as_it_was(api: Api, marketer: Marketer) -> None:
    everything = {
        "code": "SUMMER2",
        "name": "Summer & <more>",
        "description": "One\nTwo",
        "type": "percentage",
        "value": 12.5,
        "minimum_purchase": 123_450,
        "maximum_discount": 50_000,
        "limit_per_customer": 2,
        "limit_total": 5_000,
        "valid_from": "2035-06-01T03:30:00Z",
        "valid_until": "2035-06-30T18:29:59Z",  # seconds, which its field cannot show
        "valid_hours": {"from": "09:00", "until": "12:30"},
        "valid_weekdays": ["monday", "sunday"],
        "include_products": ["p-1", "p,2"],
        "exclude_products": ["p-3"],
        "include_categories": ["Tea & Cake"],
        "exclude_categories": [],
        "stores": ["s1"],
        "segment_id": "at-risk",
        "first_purchase_only": True,
        "unique_only": True,
    }
    fixed = {"code": "FIXED", "type": "fixed", "value": 50_050}
    for body in (everything, fixed):
        before = api("POST", "/coupons", body).json()
        path = f"/coupons/-/edit?code={body['code']}"
        form = console.fields_of(marketer.get(path), "editor")
        assert marketer.post(path, **form | {"name": "Other"}).status_code == 303
        after = api.get(f"/coupons/{body['code']}")
        same = {name: value for name, value in before.items() if name not in {"name", "updated_at"}}
        assert {name: after[name] for name in same} == same
        assert after["name"] == "Other"
        assert api.get("/audit-log")["items"][0]["detail"]["fields"] == ["name"]
    shown = console.fields_of(marketer.get("/coupons/-/edit?code=SUMMER2"), "editor")
    assert (shown["minimum_purchase"], shown["valid_from"]) == (
        "1234.50",
        "2035-06-01T09:00",
    )  # as Kolkata's clock shows


def test_what_is_refused_stands_at_its_field_and_an_overtaken_edit_loses_nothing(api: Api, marketer: Marketer) -> None:
    new = console.fields_of(marketer.get("/coupons/-/edit"), "editor")
    wrong: dict[str, tuple[dict[str, str], str]] = {
        "code": ({"code": "AB"}, "4 to 20 letters"),
        "value": ({"value": "120"}, "must be a percentage above 0"),
        "maximum_discount": ({"maximum_discount": "5.001"}, "must be an amount such as 12.50"),
        "limit_total": ({"limit_total": "many"}, "must be a whole number"),
        "valid_until": ({"valid_from": "2035-06-02T10:00", "valid_until": "2035-06-01T10:00"}, "must lie after"),
        "valid_hours.from": ({"valid_hours.from": "09:00", "valid_hours.until": "09:00"}, "must differ"),
        "exclude_products": ({"include_products": "a\nb", "exclude_products": "b"}, "must not hold"),
        "segment_id": ({"segment_id": "gone"}, "There is no segment"),
    }
    for field, (typed, told) in wrong.items():
        answer = marketer.post("/coupons/-/edit", **new | typed | {"name": "Keep me"})
        assert answer.status_code == 422, field
        assert told in console.error_at(answer.text, field)
        assert 'value="Keep me"' in answer.text
    taken = marketer.post("/coupons/-/edit", **new | {"code": "welcome 10"})
    assert (taken.status_code, "The code WELCOME10 is taken" in taken.text) == (409, True)
    old = console.fields_of(marketer.get("/coupons/-/edit?code=VIP500"), "editor")
    api("PATCH", "/coupons/VIP500", {"description": "Theirs"})
    answer = marketer.post("/coupons/-/edit?code=VIP500", **old | {"name": "Mine"})
    assert (answer.status_code, 'value="Mine"' in answer.text) == (412, True)
    again = console.fields_of(answer.text, "editor")
    assert marketer.post("/coupons/-/edit?code=VIP500", **again).status_code == 303
    assert api.get("/coupons/VIP500")["name"] == "Mine"


def test_grants_and_unique_codes_are_given_once_and_can_be_downloaded(api: Api, marketer: Marketer) -> None:
    api.add_customer("c-1")
    granted = marketer.post(f"{WELCOME}/grants", customer_ids="c-1\nc-2", days="30")
    assert granted.status_code == 303
    assert "c-2" in marketer.get(f"{WELCOME}/grants")
    assert api.get(WELCOME)["grants_only"]
    past = marketer.post(f"{WELCOME}/grants", customer_ids="c-1", expires_at="2020-01-01T00:00")
    assert "must lie in the future" in console.error_at(past.text, "expires_at")
    form = {"count": "3", "request_key": "pressed twice"}
    for _ in range(2):
        assert marketer.post(f"{WELCOME}/codes", **form).status_code == 303
    made = [each["code"] for each in api.get(f"{WELCOME}/unique-codes")["items"]]
    assert len(made) == 3
    csv = marketer.client.get(f"/console{WELCOME}/codes.csv")
    assert csv.headers["content-disposition"] == 'attachment; filename="WELCOME10-unique-codes.csv"'
    assert all(code in csv.text for code in made)
    assert marketer.post(f"{WELCOME}/codes", count="").status_code == 422


def test_viewers_and_other_organizations_reach_as_far_as_at_the_api(api: Api, visit: Visit) -> None:
    changes = ("/-/edit?code=MINE", "/MINE/state", "/MINE/copies", "/MINE/grants", "/MINE/codes")
    api("POST", "/coupons", {"code": "MINE", "type": "percentage", "value": 10})
    viewer = Marketer(visit(console.add_user(api, "viewer")))
    for path in ("", "/MINE", "/MINE/grants", "/MINE/codes"):
        page = viewer.get(f"/coupons{path}")
        assert page.count("<form") == 1, path  # to sign out
        assert "/-/edit" not in page
    for path in changes:
        assert viewer.post(f"/coupons{path}", state="paused").status_code == 403, path
    stranger = Marketer(visit(console.add_user(api, "owner", "other"), "other"))
    for path in ("/MINE", "/MINE/grants", "/MINE/codes", "/MINE/codes.csv", "/-/edit?code=MINE"):
        assert stranger.client.get(f"/console/coupons{path}").status_code == 404, path
    for path in changes:
        given = {"state": "paused", "customer_ids": "c-1"}
        assert stranger.post(f"/coupons{path}", **given).status_code == 404, path
    assert api.get("/coupons/MINE")["state"] == "active"


@pytest.mark.skipif(console.CHROMIUM is None, reason="no Chromium on this machine")
def test_a_marketer_makes_a_coupon_pauses_it_and_copies_it_in_a_browser(api: Api) -> None:
    email = console.add_user(api, "marketer")
    with console.browser() as chromium:
        page = console.signed_in(chromium, api, email)
        page.get_by_role("link", name="Coupons").click()
        page.get_by_role("link", name="New coupon").click()
        page.get_by_label("Code", exact=True).press_sequentially("book2read0")
        expect(page.locator("#warnings")).to_contain_text("0 is easily taken for O")
        page.get_by_label("Type").select_option("fixed")
        expect(page.get_by_label("Largest discount, in INR")).to_be_hidden()
        page.get_by_label("Value").fill("49.90")
        page.get_by_label("Saturday").check()
        page.get_by_role("button", name="Save").click()
        assert page.get_by_role("status").inner_text() == "Saved."
        expect(page.locator("main")).to_contain_text("₹49.90 off")
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Pause").click()
        assert "paused" in page.get_by_role("heading", level=1).inner_text()
        page.get_by_role("button", name="Copy").click()
        assert page.get_by_role("heading", level=1).inner_text().startswith("Edit ")
        assert page.get_by_label("Saturday").is_checked()
        phone = console.signed_in(chromium, api, email, width=390)
        for path in ("", "/BOOK2READ0", "/-/edit", "/BOOK2READ0/grants", "/BOOK2READ0/codes"):
            phone.goto(f"/console/coupons{path}")
            assert phone.evaluate("document.documentElement.scrollWidth") == 390, path
    assert api.get("/coupons/BOOK2READ0")["value"] == 4_990
