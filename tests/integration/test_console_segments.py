"""Segments at the console: listed, built, filled by hand, frozen and deleted, by who may."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from playwright.sync_api import Page, expect

from shared.database.tables import segment_day
from tests import console
from tests.admin import Api
from tests.console import Visit

BIG = {"all": [{"field": "total_spent", "op": "gte", "value": 1_000_050}]}


@pytest.fixture
def api(api: Api, nobody_counts: None) -> Api:
    for number in range(1, 4):
        api.add_customer(
            f"c-{number}", name=f"Asha <{number}>", total_spent=number * 500_000, visit_count=number, tags=["VIP"]
        )
    api.add_segment("staff", 9, name="Staff <i>")
    api.add_segment("big", 10, name="Big", kind="dynamic", criteria=BIG, state="filling", progress=0.4)
    return api


def marketer(api: Api, visit: Visit) -> tuple[httpx.Client, dict[str, str]]:
    client = visit(console.add_user(api, "marketer"))
    return client, {"form_token": console.form_token(client)}


def test_list_and_page_tell_sentence_state_and_members_and_nothing_of_others(api: Api, visit: Visit) -> None:
    api.add_customer("c-9", name="In <b>", memberships=bytes([0, 0b100]))
    api.add_campaign("hello", name="Hello <b>", audience={"include_segments": ["big"]})
    today = datetime.now(UTC).astimezone(ZoneInfo("Asia/Kolkata")).date()
    api.insert(segment_day, organization_id="demo", segment_id="big", day=today, entered=12, left=3)
    client = visit(console.add_user(api, "viewer"))
    listed = client.get("/console/segments").text
    moves = ('+12<span class="unseen"> entered</span>', '\N{MINUS SIGN}3<span class="unseen"> left</span>')
    for said in (
        *moves,
        'aria-label="from 0 to 0"',
        "Staff &lt;i&gt;",
        "has spent at least ₹10,000.50",
        'value="0.4"',
        'hx-trigger="every 2s"',
    ):
        assert said in listed, said
    page = client.get("/console/segments/big").text
    assert 'campaign <a href="/console/campaigns/hello">Hello &lt;b&gt;</a>' in page
    for said in ("Everybody who has spent at least ₹10,000.50.", "In &lt;b&gt;", "data-chart="):
        assert said in page, said
    assert "Asha" not in page
    assert "/delete" not in page
    assert "c-9" in client.get("/console/segments/big/members.csv").text
    token = {"form_token": console.form_token(client), "customer_ids": "c-1", "name": "x"}
    for path in ("/new-segment", *(f"/segments/staff/{each}" for each in ("edit", "members", "copy", "delete"))):
        assert client.post(f"/console{path}", data=token).status_code == 403, path
    stranger = visit(console.add_user(api, organization="other"), "other")
    for path in ("", "/edit", "/members.csv"):
        assert stranger.get(f"/console/segments/big{path}").status_code == 404, path


def test_a_list_takes_customers_in_and_out_and_says_whom_nobody_knows(api: Api, visit: Visit) -> None:
    client, token = marketer(api, visit)
    wrong = client.post("/console/segments/staff/members", data=token | {"customer_ids": "c-1\r\n<b>\r\n"})
    assert wrong.status_code == 422
    assert "The list holds 1 unknown customer, such as &#39;&lt;b&gt;&#39;" in wrong.text
    path = "/console/segments/staff/members"
    assert client.post(path, data=token | {"customer_ids": "c-1\r\n c-2 \r\n\r\nc-1"}).status_code == 303
    assert "Accepted: 2 customers in" in client.get("/console/segments/staff").text
    assert client.post(path, data=token | {"customer_ids": "c-2", "do": "remove"}).status_code == 303
    copy = client.post("/console/segments/staff/copy", data=token | {"name": "Staff <i>"})
    assert copy.status_code == 422
    assert "There is a segment" in copy.text
    made = client.post("/console/segments/staff/copy", data=token | {"name": "Then"})
    assert made.headers["location"] == "/console/segments/then"
    not_static = client.post("/console/segments/big/members", data=token | {"customer_ids": "c-1"})
    assert "follow from its criteria" in not_static.text


def test_a_segment_in_use_is_not_deleted_and_the_page_says_by_whom(api: Api, visit: Visit) -> None:
    client, token = marketer(api, visit)
    api.add_campaign("spring", audience={"include_segments": ["big"]}, name="Spring")
    kept = client.post("/console/segments/big/delete", data=token)
    assert kept.status_code == 409
    assert "is used by campaign &#39;Spring&#39;" in kept.text
    assert client.post("/console/segments/staff/delete", data=token).status_code == 303
    assert client.get("/console/segments/staff").status_code == 404


def test_without_a_script_criteria_are_json_that_is_counted_and_saved_or_refused_by_its_path(
    api: Api, visit: Visit
) -> None:
    client, token = marketer(api, visit)
    good = token | {"name": "New", "color": "#112233", "kind": "dynamic", "criteria": json.dumps(BIG)}
    counted = client.post("/console/new-segment", data=good | {"count": "yes"})
    assert "<b>1</b> customer now" in counted.text
    assert "&#34;value&#34;: 1000050" in counted.text
    wrong = {"any": [{"field": "visit_count", "op": "most", "value": 1}]}
    refused = client.post("/console/new-segment", data=good | {"criteria": json.dumps(wrong)})
    assert refused.status_code == 422
    assert "criteria.any[0].op &#34;most&#34; is not an operator" in refused.text
    for text, why in (
        ("{", "must be JSON"),
        ("[]", "must be an object"),
        ("", "say who is meant"),
        ("[" * 20_000, "must be JSON"),
    ):
        assert why in client.post("/console/segment-preview", data=token | {"criteria": text}).text, text[:9]
    frozen = client.post("/console/new-segment", data=good | {"kind": "frozen", "criteria": json.dumps(wrong)})
    assert "criteria.any[0].op" in frozen.text
    assert client.post("/console/new-segment", data=good).headers["location"] == "/console/segments/new"
    assert api.get("/segments/new")["criteria"] == BIG


def test_an_edit_of_a_segment_that_somebody_else_changed_is_refused(api: Api, visit: Visit) -> None:
    client, token = marketer(api, visit)
    form = token | {"name": "Bigger", "color": "#4f7cac", "criteria": json.dumps(BIG), "version": '"1"'}
    assert client.post("/console/segments/big/edit", data=form).status_code == 303
    again = client.post("/console/segments/big/edit", data=form | {"name": "Biggest"})
    assert "Somebody changed this meanwhile" in again.text
    assert 'value="Biggest"' in again.text
    assert api.get("/segments/big")["name"] == "Bigger"
    (entry,) = [each for each in api.get("/audit-log")["items"] if each["action"] == "segment.changed"]
    assert entry["detail"] == {"fields": ["name"]}


def criteria(page: Page) -> Any:
    return json.loads(page.locator("#f-criteria").input_value())


@pytest.mark.skipif(console.CHROMIUM is None, reason="no Chromium on this machine")
def test_the_builder_makes_nested_criteria_and_counts_them_on_a_phone_and_by_keyboard(api: Api) -> None:
    email = console.add_user(api, "marketer")
    with console.browser() as chromium:
        page = console.signed_in(chromium, api, email, width=390)
        page.goto("/console/new-segment")
        count = page.locator("#preview .count")
        expect(count).to_have_text("2 customers now")
        first = page.locator(".condition").first
        first.get_by_label("Condition on").select_option("total_spent")
        expect(page.locator("#preview")).to_contain_text("as soon as the conditions are whole")
        first.get_by_label("Amount").fill("10000.50")
        expect(count).to_have_text("1 customer now")
        expect(page.locator("#preview")).to_contain_text("spent at least ₹10,000.50")
        first.get_by_label("Amount").fill("0.001")
        expect(first.locator(".error")).not_to_be_empty()
        first.get_by_label("Amount").fill("10000.50")
        # By keyboard: the new group's first select has the focus.
        page.get_by_role("button", name="Add a group to this group").press("Enter")
        group = page.locator(".group .group")
        assert page.evaluate("document.activeElement.closest('.group .group') !== null")
        group.get_by_label("How the conditions").select_option("none")
        inner = group.locator(".condition")
        inner.get_by_label("Condition on").select_option("spend")
        inner.get_by_label("Spent lately: how").select_option("between")
        inner.get_by_label("Amount, at least").fill("5")
        inner.get_by_label("Amount, at most").fill("7")
        inner.get_by_label("Of which").select_option("category")
        inner.get_by_label("of the category").fill("Bakery")
        group.get_by_role("button", name="Add a condition").click()
        second = group.locator(".condition").nth(1)
        second.get_by_label("Condition on").select_option("registered")
        second.get_by_label("Registered: how").select_option("after")
        second.get_by_label("Date and time").fill("2026-06-01T10:30")
        spend = {"field": "spend", "op": "between", "value": [500, 700], "category": "Bakery", "last_days": 30}
        after = {"field": "registered", "op": "after", "value": "2026-06-01T05:00:00Z"}
        expected = {"all": [*BIG["all"], {"not": {"any": [spend, after]}}]}
        assert criteria(page) == expected
        expect(count).to_have_text("1 customer now")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.get_by_label("Name", exact=True).fill("Much <b>")
        page.get_by_role("button", name="Make the segment").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Much <b>")
        assert api.get("/segments/much-b")["criteria"] == expected
        page.get_by_role("link", name="Edit").click()
        expect(page.get_by_label("Amount", exact=True)).to_have_value("10000.5")
        page.get_by_role("button", name="Save").click()
        assert api.get("/segments/much-b")["criteria"] == expected
        for path in (
            "/segments",
            "/segments/much-b",
            "/segments/staff",
            "/customers",
            "/customers/c-1",
            "/customers/c-1/edit",
        ):
            page.goto(f"/console{path}")
            assert page.evaluate("document.documentElement.scrollWidth") == 390, path


@pytest.mark.skipif(console.CHROMIUM is None, reason="no Chromium on this machine")
def test_of_many_lists_the_builder_finds_one_by_its_letters(api: Api) -> None:
    for n in range(30):
        api.add_segment(f"list-{n}", 50 + n, name=f"List {n}")
    email = console.add_user(api, "marketer")
    with console.browser() as chromium:
        page = console.signed_in(chromium, api, email)
        page.goto("/console/new-segment")
        first = page.locator(".condition").first
        first.get_by_label("Condition on").select_option("segment")
        chosen = first.get_by_role("combobox", name="Segment")
        first.get_by_role("searchbox", name="Search: Segment").press_sequentially("T 27")
        expect(chosen.locator("option")).to_have_text(["choose …", "List 27"])
        chosen.select_option("list-27")
        assert criteria(page) == {"all": [{"field": "segment", "op": "in", "value": "list-27"}]}
        expect(page.locator("#preview .count")).to_have_text("0 customers now")
        # The field that searches is none that the condition is refused at, and other conditions have none.
        first.get_by_label("Condition on").select_option("birthday")
        expect(first.get_by_role("searchbox")).to_have_count(0)


@pytest.mark.skipif(console.CHROMIUM is None, reason="no Chromium on this machine")
def test_what_the_service_refuses_stands_at_its_condition_until_that_is_mended(api: Api) -> None:
    email = console.add_user(api, "marketer")
    with console.browser() as chromium:
        page = console.signed_in(chromium, api, email)
        page.goto("/console/segments/big/edit")
        page.get_by_role("button", name="Add a condition").click()
        second = page.locator(".condition").nth(1)
        second.get_by_label("Condition on").select_option("segment")
        second.get_by_label("Segment").select_option("staff")
        page.get_by_text("As JSON", exact=True).click()
        text = page.locator("#f-criteria")
        text.fill(text.input_value().replace('"staff"', '"nobodys"'))
        text.blur()
        expect(second.locator(".error")).to_contain_text("is no static segment of this organization")
        expect(page.locator(".condition").first.locator(".error")).to_be_empty()
        text.fill(text.input_value().replace('"nobodys"', '"staff"'))
        text.blur()
        expect(page.locator("#preview .count")).to_have_text("0 customers now")
        expect(second.locator(".error")).to_be_empty()
        second.get_by_role("button", name="Remove List").click()
        assert criteria(page) == BIG
