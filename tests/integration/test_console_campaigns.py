"""Campaigns at the console."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import insert, select, update

from shared.database.tables import campaign, coupon, direct_mail, organization, segment
from tests import console
from tests.admin import Api
from tests.console import Marketer, Visit

TYPED = {  # what the editor sends for a one-off with nothing else chosen
    "name": "Summer",
    "type": "promotional",
    "subject": "Hello {first_name|there}",
    "preview_text": "",
    "body": "# Come by",
    "body_format": "markdown",
    "coupon_code": "",
    "trigger.on": "",
    "holdout_percent": "0",
    "expires_after_hours": "72",
    "priority": "",
    "respect_contact_time": "yes",
}


def ready_customer(api: Api, customer_id: str, **columns: Any) -> None:
    verified = {"email": f"{customer_id}@example.com", "email_verified": True, "marketing_consent": True}
    api.add_customer(customer_id, **verified | columns)


def test_a_campaign_shows_its_counts_its_reasons_in_words_and_each_mail_with_its_decision(
    api: Api, marketer: Marketer
) -> None:
    api.add_campaign("news", name="<b>News</b>", state="sending", error="The provider said <no>.")
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for number in range(4):
        opened = {"opened_at": at} if number < 2 else {}
        api.add_message("news", f"c-{number}", state="delivered", sent_at=at, delivered_at=at, **opened)
    api.add_message("news", "c-4", state="sent", sent_at=at, machine_opened_at=at)
    api.add_message("news", "c-5", state="skipped", reason="no_consent")
    assert "&lt;b&gt;News&lt;/b&gt;" in marketer.get("/campaigns")
    page = marketer.get("/campaigns/news")
    assert "<b>News" not in page
    assert "The provider said &lt;no&gt;." in page
    assert "There is no consent to marketing mail" in page
    assert "<dd>40.0%</dd>" in page  # opened by people, of delivered, to which a machine's open counts
    assert 'hx-trigger="every 30s"' in page  # nothing is left to go
    mails = marketer.get("/campaigns/news/mails?state=skipped&reason=no_consent")
    assert "Did not go: there is no consent to marketing mail." in mails
    assert "c-5" in mails
    assert "c-0" not in mails
    assert "What it brought" in marketer.get("/campaigns/news/results")


def test_before_it_goes_the_audience_is_counted_as_the_api_counts_it(api: Api, marketer: Marketer) -> None:
    ready_customer(api, "c-1")
    ready_customer(api, "c-2", marketing_consent=False)
    api.add_campaign("news")
    told = api.get("/campaigns/news/audience")
    page = marketer.get("/campaigns/news/audience")
    assert (told["recipients"], told["excluded"]) == (1, {"no_consent": 1})
    assert "Send now to 1<" in page
    assert "Would not get it: 1 of 2" in page


def test_only_the_steps_that_the_state_allows_are_offered_and_each_does_what_it_says(
    api: Api, marketer: Marketer
) -> None:
    ready_customer(api, "c-1")
    steps = {
        "draft": {"send", "delete"},
        "sending": {"take/pause", "take/cancel"},
        "paused": {"take/resume", "take/cancel"},
        "sent": set(),
        "cancelled": {"delete"},
    }
    for state, offered in steps.items():
        api.add_campaign(state, state=state)
        found = set(re.findall(rf'action="/console/campaigns/{state}/([a-z/]+)"', marketer.get(f"/campaigns/{state}")))
        assert found - {"tests"} == offered, state
    assert marketer.post("/campaigns/draft/send").headers["location"] == "/console/campaigns/draft"
    assert api.get("/campaigns/draft")["state"] == "scheduled"
    assert marketer.post("/campaigns/sending/take/cancel").status_code == 303
    assert api.get("/campaigns/sending")["state"] == "cancelled"
    refused = marketer.post("/campaigns/sent/take/pause")
    assert refused.status_code == 409
    assert "That was not done." in refused.text
    assert marketer.post("/campaigns/cancelled/delete").status_code == 303
    assert marketer.client.get("/console/campaigns/cancelled").status_code == 404


def test_a_time_that_is_typed_is_one_of_the_organizations_clock(api: Api, marketer: Marketer) -> None:
    with api.engine.begin() as connection:
        its_own = organization.c.organization_id == "demo"
        connection.execute(update(organization).where(its_own).values(time_zone="America/New_York"))
    api.add_campaign("news")
    page = marketer.get("/campaigns/news")
    assert "On the clock of America/New_York." in page
    skipped = marketer.post("/campaigns/news/send", at="2035-03-11T02:30")
    assert (skipped.status_code, "the clocks of America/New_York are put forward" in skipped.text) == (422, True)
    assert 'value="2035-03-11T02:30"' in skipped.text
    assert marketer.post("/campaigns/news/send", at="2035-03-11T03:30").status_code == 303
    assert api.get("/campaigns/news")["send_at"] == "2035-03-11T07:30:00Z"
    for wrong in ("", "soon", "2020-01-01T00:00", "9999-12-31T23:59"):
        assert marketer.post("/campaigns/news/send", at=wrong).status_code == 422, wrong


def test_all_that_the_editor_shows_comes_back_as_it_was(api: Api, marketer: Marketer) -> None:
    for slot, segment_id in enumerate(("regulars", "staff"), start=20):
        api.add_segment(segment_id, slot)
    everything = {
        "name": "All & <more>",
        "type": "follow_up",
        "subject": "Hello {first_name|there}",
        "preview_text": "Look",
        "body": "# Hello\n\n<b>{coupon_code}</b>\n",
        "body_format": "html",
        "coupon_code": "COMEBACK15",
        "unique_codes": True,
        "grant_days": 14,
        "audience": {"include_segments": ["regulars"], "exclude_segments": ["staff"]}
        | {"minimum_spent": 123_450, "minimum_visits": 3, "tags": ["tea", "cake"]},
        "trigger": {"on": "segment_entered", "segment_id": "regulars", "cool_down_days": 7, "delay_hours": 1.5}
        | {"causes": ["event", "edit"]},
        "holdout_percent": 5,
        "expires_after_hours": 24,
        "priority": 7,
        "respect_contact_time": False,
        "ab_test": None,
    }
    tried = {"name": "Tried", "subject": "S", "body": "B"} | {
        "ab_test": {"subjects": ["One", "Two", "Three"], "test_percent": 40}
        | {"winner_by": "clicks", "winner_after_hours": 2.5}
    }
    for body in (everything, tried):
        before = api("POST", "/campaigns", body).json()
        page = marketer.get(f"/campaigns/-/edit?id={before['id']}")
        form = console.fields_of(page, "editor")
        assert (
            marketer.post(f"/campaigns/-/edit?id={before['id']}", **form | {"preview_text": "New"}).status_code == 303
        )
        after = api.get(f"/campaigns/{before['id']}")
        same = {name: value for name, value in before.items() if name not in {"preview_text", "updated_at"}}
        assert {name: after[name] for name in same} == same
        assert after["preview_text"] == "New"
        changes = api.get("/audit-log")["items"]
        assert changes[0]["detail"]["fields"] == ["preview_text"]


def test_what_is_refused_stands_at_its_field_and_nothing_typed_is_lost(api: Api, marketer: Marketer) -> None:
    wrong = {
        "subject": "Hello {first_nam}",
        "audience.minimum_spent": "a lot",
        "ab_test": "yes",
        "ab_test.subjects[0]": "One",
    }
    answer = marketer.post("/campaigns/-/edit", **TYPED | wrong)
    assert answer.status_code == 422
    assert console.error_at(answer.text, "audience.minimum_spent").endswith("must be an amount such as 12.50.")
    right = wrong | {"audience.minimum_spent": "1,200.50"}
    answer = marketer.post("/campaigns/-/edit", **TYPED | right)
    assert console.error_at(answer.text, "ab_test.subjects[1]").endswith("must hold at least 2 entries.")
    answer = marketer.post("/campaigns/-/edit", **TYPED | right | {"ab_test.subjects[1]": "Two"})
    assert "did you mean {first_name}?" in console.error_at(answer.text, "subject")
    assert 'value="1,200.50"' in answer.text
    assert "# Come by" in answer.text
    made = marketer.post("/campaigns/-/edit", **TYPED | {"audience.minimum_spent": "1,200.50"})
    assert api.get(made.headers["location"].removeprefix("/console"))["audience"]["minimum_spent"] == 120_050


def test_an_edit_that_somebody_overtook_says_so_and_keeps_both_texts(api: Api, marketer: Marketer) -> None:
    made = api("POST", "/campaigns", {"name": "News", "subject": "S", "body": "Theirs before"}).json()
    page = f"/campaigns/-/edit?id={made['id']}"
    form = console.fields_of(marketer.get(page), "editor")
    api("PATCH", f"/campaigns/{made['id']}", {"body": "Theirs now"})
    answer = marketer.post(page, **form | {"subject": "Mine"})
    assert answer.status_code == 412
    assert "Somebody else changed this campaign" in answer.text
    assert "Theirs now" in answer.text
    again = console.fields_of(answer.text, "editor")
    assert (again["subject"], again["body"]) == ("Mine", "Theirs before")
    assert api.get(f"/campaigns/{made['id']}")["subject"] == "S"
    assert marketer.post(page, **again).status_code == 303
    assert api.get(f"/campaigns/{made['id']}")["subject"] == "Mine"


def test_the_preview_of_what_is_not_saved_is_the_mail_as_it_will_be_in_a_frame_that_runs_nothing(
    api: Api, marketer: Marketer
) -> None:
    api.add_customer("c-1", name="<Asha> Rao")
    text = marketer.post("/campaigns/-/preview", **TYPED | {"as_customer": "c-1"}).text
    assert "Hello &lt;Asha&gt;" in text
    assert "is not known" in marketer.post("/campaigns/-/preview", **TYPED | {"as_customer": "c-9"}).text
    unknown = marketer.post("/campaigns/-/preview", **TYPED | {"body": "{discount_value}"}).text
    assert 'data-field="body"' in unknown
    frame = marketer.post("/campaigns/-/mail", **TYPED | {"body": "<script>alert(1)</script>Hi", "body_format": "html"})
    policy = frame.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert "<script" not in frame.text
    with api.engine.connect() as connection:
        assert "Summer" not in set(connection.execute(select(campaign.c.name)).scalars())


def test_viewers_and_other_organizations_reach_as_far_as_at_the_api(api: Api, visit: Visit) -> None:
    api.add_campaign("news")
    viewer = Marketer(visit(console.add_user(api, "viewer")))
    page = viewer.get("/campaigns/news")
    assert "/console/campaigns/news/send" not in page
    assert "/console/campaigns/-/edit" not in page + viewer.get("/campaigns")
    for path in ("/news/send", "/news/take/cancel", "/news/delete", "/news/tests", "/-/edit", "/-/preview", "/-/mail"):
        assert viewer.post(f"/campaigns{path}", **TYPED).status_code == 403, path
    stranger = Marketer(visit(console.add_user(api, "owner", "other"), "other"))
    for path in ("", "/standing", "/audience", "/results", "/mail", "/mails", "/tests"):
        assert stranger.client.get(f"/console/campaigns/news{path}").status_code == 404, path
    assert stranger.client.get("/console/campaigns/-/edit?id=news").status_code == 404
    for path in ("/news/send", "/news/take/cancel", "/news/delete", "/news/tests", "/-/edit?id=news"):
        assert stranger.post(f"/campaigns{path}", **TYPED | {"to": "a@example.com"}).status_code == 404, path
    assert api.get("/campaigns/news")["state"] == "draft"


@pytest.mark.skipif(console.CHROMIUM is None, reason="no Chromium on this machine")
def test_a_marketer_writes_a_campaign_sees_it_and_schedules_it_in_a_browser(api: Api) -> None:
    email = console.add_user(api, "marketer")
    ready_customer(api, "c-1", name="Asha Rao")
    with console.browser() as chromium:
        page = console.signed_in(chromium, api, email)
        page.get_by_role("link", name="Campaigns", exact=True).click()
        page.get_by_role("link", name="New campaign").click()
        page.get_by_role("link", name="Start from this: Newsletter").click()
        mail = page.frame_locator("iframe.mail")
        expect(mail.get_by_role("heading", name="What is new, dear customer")).to_be_visible()
        page.get_by_label("As customer").fill("c-1")
        expect(mail.get_by_role("heading", name="What is new, Asha")).to_be_visible()
        write(page)
        expect(mail.get_by_text("Good to see you, Asha!")).to_be_visible()
        page.get_by_label("Name", exact=True).fill("News of June")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Send now to 1").wait_for()
        page.get_by_label("Or send it at").fill("2035-06-01T09:00")
        page.get_by_role("button", name="Schedule").click()
        assert page.get_by_role("status").inner_text() == "It is scheduled."
        page.get_by_label("Send a test to").fill("one@example.com, two@example.com")
        page.get_by_role("button", name="Send the test").click()
        expect(page.locator("#last-tests tbody tr")).to_have_count(2)
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Cancel for good").click()
        assert page.get_by_role("status").inner_text() == "It is cancelled."
        phone = console.signed_in(chromium, api, email, width=390)
        for path in ("", "/-/new", "/-/edit?template=welcome", "/news-of-june", "/news-of-june/mails"):
            phone.goto(f"/console/campaigns{path}")
            phone.wait_for_load_state("networkidle")
            assert phone.evaluate("document.documentElement.scrollWidth") == 390, path
    with api.engine.connect() as connection:
        assert set(connection.execute(select(direct_mail.c.email)).scalars()) == {"one@example.com", "two@example.com"}


def write(page: Page) -> None:
    """A mistake is told at its field while one writes, and is gone with it; a variable is inserted where one writes."""
    body = page.get_by_label("Body", exact=True)
    body.fill("Good to see you, {first_nam}!")
    expect(page.locator(".field", has=body)).to_contain_text("did you mean {first_name}?")
    expect(page.get_by_role("link", name="Body", exact=True)).to_be_visible()
    body.fill("Good to see you, !")
    body.press("End")
    body.press("ArrowLeft")
    page.get_by_text("Variables to insert").click()
    page.get_by_role("button", name="{first_name}").click()
    assert body.input_value() == "Good to see you, {first_name}!"
    expect(page.locator(".field .error")).to_have_count(0)


@pytest.mark.skipif(console.CHROMIUM is None, reason="no Chromium on this machine")
def test_every_coupon_and_segment_can_be_chosen_however_many_there_are(api: Api) -> None:
    email = console.add_user(api, "marketer")
    for table, given in [
        (coupon, {"name": "Of <b>", "type": "fixed", "value": 100}),
        (segment, {"kind": "static", "state": "live", "progress": 1}),
    ]:
        own = [
            {"code": f"SAVE{n:03}"}
            if table is coupon
            else {"segment_id": f"s-{n}", "slot": n, "name": f"List {n:03} <i>"}
            for n in range(20, 540)
        ]
        with api.engine.begin() as connection:
            connection.execute(insert(table), [given | each | {"organization_id": "demo"} for each in own])
    with console.browser() as chromium:
        page = console.signed_in(chromium, api, email)
        page.goto("/console/campaigns/-/edit")
        page.get_by_label("Name", exact=True).fill("Spring")
        page.get_by_label("Subject", exact=True).fill("Hello")
        page.get_by_label("Body", exact=True).fill("Take {coupon_code}")
        with page.expect_response("**/coupons?coupon_code=save53"):
            page.locator("[name=coupon_code]").press_sequentially("save53")
        page.locator("#codes option[value=SAVE539]").wait_for(state="attached")
        assert page.locator("#codes option").count() == 10
        assert "Of <b>" in page.locator("#codes option").first.inner_text()
        page.locator("[name=coupon_code]").press_sequentially("9")
        page.keyboard.press("Tab")
        page.get_by_label("Search: In any of these segments").press_sequentially("539")
        assert page.locator("[id='f-audience.include_segments'] label:visible").count() == 1
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("status").get_by_text("Saved").wait_for()
        assert "SAVE539" in page.locator("main").inner_text()
        assert "List 539 <i>" in page.locator("main").inner_text()
        page.goto("/console/customers")
        page.get_by_label("Search: Segment").press_sequentially("list 539")
        assert page.get_by_label("Segment", exact=True).locator("option").count() == 2
        page.get_by_label("Segment", exact=True).select_option("List 539 <i>")
        page.get_by_role("button", name="Find").click()
        assert page.url.endswith("segment=s-539")
