"""Customers at the console: found, read, changed, erased, by who may."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from shared.database.tables import ledger, segment_change
from shared.kafka import Topic
from tests import console
from tests.admin import Api
from tests.console import Visit
from tests.ingest import consume

AT = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
ASHA: dict[str, Any] = {
    "name": "Asha <b>Rao</b>",
    "email": "asha@example.com",
    "birthday": 228,
    "tags": ["VIP", "a, b"],
    "marketing_consent": True,
    "consent_at": AT,
    "consent_where": "till <i>",
    "total_spent": 10_001,
    "visit_count": 2,
    "memberships": bytes([0, 0b10]),
}
pytestmark = pytest.mark.usefixtures("nobody_counts")


def marketer(api: Api, visit: Visit) -> tuple[httpx.Client, dict[str, str]]:
    client = visit(console.add_user(api, "marketer"))
    return client, {"form_token": console.form_token(client)}


def published(api: Api) -> list[tuple[str, dict[str, Any]]]:
    events = [json.loads(value) for _, value in consume(api.settings, Topic.CUSTOMERS)]
    return [(event["type"], event["data"]) for event in events]


def test_the_list_finds_by_letters_and_segment_in_pages_and_shows_names_as_they_are(api: Api, visit: Visit) -> None:
    api.add_segment("vip", 9, name="VIP <i>")
    api.add_customer("c-1", **ASHA)
    for number in range(60):
        api.add_customer(f"d-{number:02}", name="Binod")
    api.add_customer("c-secret", "other", name="Asha of another")
    client = visit(console.add_user(api, "viewer"))
    found = client.get("/console/customers?search=ASHA").text
    assert "Asha &lt;b&gt;Rao&lt;/b&gt;" in found
    assert "₹100.01" in found
    assert "VIP &lt;i&gt;</a>" in found
    assert "of another" not in found
    assert "<b>Rao" not in found
    assert "Binod" not in client.get("/console/customers?segment=vip").text
    assert "Add a customer" not in found
    first = client.get("/console/customers?search=binod")
    following = first.text.partition("?search=binod&amp;cursor=")[2].partition('"')[0]
    second = client.get(f"/console/customers?search=binod&cursor={following}").text
    assert second.count(">Binod</a>") == 10
    assert "Nobody found" in client.get("/console/customers?search=nobody").text
    assert client.get("/console/customers?segment=none").status_code == 404
    assert client.get("/console/customers.csv").text.count("\r\n") == 62


def test_the_page_of_one_tells_profile_consent_and_timeline_and_nothing_of_others(api: Api, visit: Visit) -> None:
    api.add_segment("vip", 9, name="VIP <i>")
    api.add_customer("shop/7 #?", **ASHA)
    own = {"organization_id": "demo", "customer_id": "shop/7 #?"}
    api.insert(segment_change, **own, change_id=1, at=AT, cause="time", entered=["vip"], left=[])
    row = own | {"source": "/demo", "type": "sale.completed", "occurred_at": AT}
    with api.engine.begin() as connection:
        connection.execute(
            insert(ledger), [row | {"event_id": f"e-{n:02}", "amount": n, "lines": "[]"} for n in range(70)]
        )
    client = visit(console.add_user(api, "viewer"))
    (address,) = {
        part.partition('"')[0] for part in client.get("/console/customers").text.split('href="') if "shop/" in part
    }
    page = client.get(address).text
    for said in ("Asha &lt;b&gt;", "28 February", "till &lt;i&gt;", "Entered VIP &lt;i&gt;", "Bought for ₹0.69"):
        assert said in page, said
    assert "Bought for ₹0.01" not in page
    assert "/erase" not in page
    more = page.partition('hx-get="')[2].partition('"')[0]
    part = client.get(more, headers={"HX-Request": "true"}).text
    assert "Bought for ₹0.10" in part
    assert "<html" not in part
    assert "<html" in client.get(more).text
    stranger = visit(console.add_user(api, organization="other"), "other")
    for path in ("", "/timeline", "/decisions", "/edit", "/erase", "/export"):
        assert stranger.get(address + path).status_code == 404, path


def test_an_edit_sends_what_was_changed_only_and_says_that_it_is_not_counted_yet(api: Api, visit: Visit) -> None:
    api.add_customer("c-1", **ASHA)
    client, token = marketer(api, visit)
    page = client.get("/console/customers/c-1/edit").text
    fields = token | {
        "version": page.partition('name="version" value="')[2].partition('"')[0].replace("&#34;", '"'),
        "name": ASHA["name"], "email": "asha@", "tags": "VIP\r\na, b",
        "birthday_day": "28", "birthday_month": "2", "birthday_year": "1990",
    }  # fmt: skip
    refused = client.post("/console/customers/c-1/edit", data=fields)
    assert refused.status_code == 422
    assert "Email must be one address" in refused.text
    assert 'value="1990"' in refused.text
    saved = client.post("/console/customers/c-1/edit", data=fields | {"email": ""})
    assert saved.headers["location"] == "/console/customers/c-1"
    assert "not yet counted" in client.get("/console/customers/c-1").text
    stale = client.post("/console/customers/c-1/edit", data=fields | {"email": "", "version": '"another"'})
    assert "Somebody changed this meanwhile" in stale.text
    consent = token | {"marketing_consent": "no", "consent_wording": "Stop", "consent_where": ""}
    assert client.post("/console/customers/c-1/consent", data=consent).status_code == 303
    own = {"organization_id": "demo", "customer_id": "c-1"}
    assert published(api) == [
        ("customer.upserted", own | {"email": None, "birthday": "1990-02-28"}),
        ("customer.consent_changed", own | {"where": "console", "wording": "Stop", "marketing_consent": False}),
    ]


def test_a_customer_is_added_and_erased_only_once_that_is_confirmed(api: Api, visit: Visit) -> None:
    api.add_customer("c-1", **ASHA)
    client, token = marketer(api, visit)
    given = token | {"customer_id": "c-2", "name": "Binod", "tags": "", "marketing_consent": "yes"}
    assert client.post("/console/new-customer", data=given).headers["location"] == "/console/customers"
    taken = client.post("/console/new-customer", data=given | {"customer_id": "c-1"})
    assert taken.status_code == 422
    assert "exists already" in taken.text
    assert client.post("/console/customers/c-1/erase", data=token).status_code == 422
    assert client.post("/console/customers/c-1/erase", data=token | {"confirmed": "yes"}).status_code == 303
    own = {"organization_id": "demo"}
    assert published(api) == [
        ("customer.upserted", own | {"customer_id": "c-2", "name": "Binod"}),
        ("customer.consent_changed", own | {"customer_id": "c-2", "where": "console", "marketing_consent": True}),
        ("customer.erased", own | {"customer_id": "c-1"}),
    ]
    assert client.get("/console/customers/c-1/export").json()["customer"]["email"] == "asha@example.com"


def test_a_viewer_changes_nobody(api: Api, visit: Visit) -> None:
    api.add_customer("c-1", **ASHA)
    client = visit(console.add_user(api, "viewer"))
    token = {"form_token": console.form_token(client), "confirmed": "yes", "marketing_consent": "no"}
    for path in ("/new-customer", *(f"/customers/c-1/{each}" for each in ("edit", "consent", "erase", "verification"))):
        assert client.post(f"/console{path}", data=token).status_code == 403, path
    assert client.get("/console/customers/c-1/export").status_code == 403
    assert published(api) == []
