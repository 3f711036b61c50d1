"""A campaign's pages at the console: how it stands, its audience, its steps."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sqlalchemy import update

from shared.database.tables import organization
from tests import console
from tests.admin import Api
from tests.console import CAMPAIGN_FORM, Marketer, Visit


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
    api.add_reachable("c-1")
    api.add_reachable("c-2", marketing_consent=False)
    api.add_campaign("news")
    told = api.get("/campaigns/news/audience")
    page = marketer.get("/campaigns/news/audience")
    assert (told["recipients"], told["excluded"]) == (1, {"no_consent": 1})
    assert "Send now to 1<" in page
    assert "Would not get it: 1 of 2" in page


def test_only_the_steps_that_the_state_allows_are_offered_and_each_does_what_it_says(
    api: Api, marketer: Marketer
) -> None:
    api.add_reachable("c-1")
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


def test_viewers_and_other_organizations_reach_as_far_as_at_the_api(api: Api, visit: Visit) -> None:
    api.add_campaign("news")
    viewer = Marketer(visit(console.add_user(api, "viewer")))
    page = viewer.get("/campaigns/news")
    assert "/console/campaigns/news/send" not in page
    assert "/console/campaigns/-/edit" not in page + viewer.get("/campaigns")
    for path in ("/news/send", "/news/take/cancel", "/news/delete", "/news/tests", "/-/edit", "/-/preview", "/-/mail"):
        assert viewer.post(f"/campaigns{path}", **CAMPAIGN_FORM).status_code == 403, path
    stranger = Marketer(visit(console.add_user(api, "owner", "other"), "other"))
    for path in ("", "/standing", "/audience", "/results", "/mail", "/mails", "/tests"):
        assert stranger.client.get(f"/console/campaigns/news{path}").status_code == 404, path
    assert stranger.client.get("/console/campaigns/-/edit?id=news").status_code == 404
    for path in ("/news/send", "/news/take/cancel", "/news/delete", "/news/tests", "/-/edit?id=news"):
        assert stranger.post(f"/campaigns{path}", **CAMPAIGN_FORM | {"to": "a@example.com"}).status_code == 404, path
    assert api.get("/campaigns/news")["state"] == "draft"
