"""The editor of campaigns: what is typed, refused, previewed and chosen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import insert, select

from shared.database.tables import campaign, coupon, direct_mail, segment
from tests import console
from tests.admin import Api
from tests.console import CAMPAIGN_FORM, Marketer


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
    answer = marketer.post("/campaigns/-/edit", **CAMPAIGN_FORM | wrong)
    assert answer.status_code == 422
    assert console.error_at(answer.text, "audience.minimum_spent").endswith("must be an amount such as 12.50.")
    right = wrong | {"audience.minimum_spent": "1,200.50"}
    answer = marketer.post("/campaigns/-/edit", **CAMPAIGN_FORM | right)
    assert console.error_at(answer.text, "ab_test.subjects[1]").endswith("must hold at least 2 entries.")
    answer = marketer.post("/campaigns/-/edit", **CAMPAIGN_FORM | right | {"ab_test.subjects[1]": "Two"})
    assert "did you mean {first_name}?" in console.error_at(answer.text, "subject")
    assert 'value="1,200.50"' in answer.text
    assert "# Come by" in answer.text
    made = marketer.post("/campaigns/-/edit", **CAMPAIGN_FORM | {"audience.minimum_spent": "1,200.50"})
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
    text = marketer.post("/campaigns/-/preview", **CAMPAIGN_FORM | {"as_customer": "c-1"}).text
    assert "Hello &lt;Asha&gt;" in text
    assert "is not known" in marketer.post("/campaigns/-/preview", **CAMPAIGN_FORM | {"as_customer": "c-9"}).text
    unknown = marketer.post("/campaigns/-/preview", **CAMPAIGN_FORM | {"body": "{discount_value}"}).text
    assert 'data-field="body"' in unknown
    frame = marketer.post(
        "/campaigns/-/mail", **CAMPAIGN_FORM | {"body": "<script>alert(1)</script>Hi", "body_format": "html"}
    )
    policy = frame.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert "<script" not in frame.text
    with api.engine.connect() as connection:
        assert "Summer" not in set(connection.execute(select(campaign.c.name)).scalars())


@pytest.mark.skipif(console.CHROMIUM is None, reason="no Chromium on this machine")
def test_a_marketer_writes_a_campaign_sees_it_and_schedules_it_in_a_browser(api: Api) -> None:
    email = console.add_user(api, "marketer")
    api.add_reachable("c-1", name="Asha Rao")
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
