"""The demo as a marketer at the admin API, and the numbers that it reads from the tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from services.installation import Installation
from services.local.demo import figures, mails
from services.local.demo.figures import Figures, Mails
from shared.clock import utc_now
from shared.database.tables import segment
from shared.errors import RegularsError
from tests.admin import Api

NOW = utc_now()


@pytest.fixture
def marketer(api: Api) -> Iterator[mails.Marketer]:
    installation = Installation(
        data_dir=Path(),
        organization_id="demo",
        endpoints={"admin": str(api.client.base_url).rstrip("/")},
        keys={"owner": api.keys["demo", "owner"]},
    )
    with mails.Marketer(installation) as one:
        yield one


def _states(api: Api) -> dict[str, str]:
    return {one["name"]: one["state"] for one in api.get("/campaigns")["items"]}


def test_the_automations_are_activated_and_the_thanks_sent(api: Api, marketer: mails.Marketer) -> None:
    with api.engine.begin() as connection:
        connection.execute(update(segment).where(segment.c.segment_id == mails.VIPS).values(member_count=1))
    api.add_customer("c-1", memberships=b"\x01")
    marketer.start_campaigns()
    states = _states(api)
    assert {states[name] for name in ("Birthday", "Welcome", "We miss you")} == {"active"}
    assert states[mails.VIP_THANKS["name"]] in {"scheduled", "sending"}


def test_a_second_demo_sends_nothing_again(api: Api, marketer: mails.Marketer) -> None:
    marketer.start_campaigns()
    before = _states(api)
    marketer.start_campaigns()
    assert _states(api) == before


def test_a_shop_without_ready_made_campaigns_and_segments_gets_no_mail(api: Api, marketer: mails.Marketer) -> None:
    for one in api.get("/campaigns")["items"]:
        assert api("DELETE", f"/campaigns/{one['id']}").is_success
    assert api("DELETE", f"/segments/{mails.VIPS}").is_success
    marketer.start_campaigns()
    assert _states(api) == {}


def test_what_the_api_refuses_is_said_in_its_words(api: Api) -> None:
    stranger = Installation(
        Path(), "demo", endpoints={"admin": str(api.client.base_url)}, keys={"owner": "rg.no.key.x"}
    )
    with mails.Marketer(stranger) as one, pytest.raises(RegularsError, match="admin API refuses GET /campaigns"):
        one.start_campaigns()


def test_mails_that_only_their_clock_holds_back_are_not_waited_for(api: Api) -> None:
    api.add_message("birthday", "c-1", state="waiting", reason="contact_time", wait_until=NOW + timedelta(hours=9))
    api.add_message("birthday", "c-2", state="sent", sent_at=NOW)
    assert mails.wait_until_out(api.engine, deadline=0)
    api.add_message("birthday", "c-3", state="waiting", reason="contact_time", wait_until=NOW - timedelta(seconds=1))
    assert not mails.wait_until_out(api.engine, deadline=0)


def test_a_campaign_without_an_audience_is_waited_for(api: Api) -> None:
    api.add_campaign("promo", state="scheduled")
    assert not mails.wait_until_out(api.engine, deadline=0)


def test_the_figures_are_those_of_one_organization(api: Api) -> None:
    for organization in ("demo", "other"):
        api.add_customer("c-1", organization, visit_count=3, total_spent=900, coupon_redemptions=1, consent_at=NOW)
        api.add_customer("c-2", organization, visit_count=2, total_spent=100)
        api.add_message("birthday", "c-1", organization, state="sent", sent_at=NOW)
        api.add_message("birthday", "c-2", organization, state="skipped", reason="no_email")
        api.add_message(
            "birthday", "c-3", organization, state="delivered", sent_at=NOW, delivered_at=NOW, opened_at=NOW
        )
        api.add_message("birthday", "c-4", organization, state="bounced", sent_at=NOW, bounced_at=NOW)
    told = figures.read(api.engine, "demo")
    assert told == Figures(customers=2, sales=5, revenue=1_000, redemptions=1, consents=1)
    assert told.events == 5 + 1 + 2
    assert figures.currency(api.engine, "demo") == "INR"
    assert figures.mails_sent(api.engine, "demo") == 3
    assert figures.mails_opened(api.engine, "demo") == figures.unsettled(api.engine, "demo") == 1
    assert figures.mails_due(api.engine, "demo", NOW) == figures.dead_letters(api.engine, "demo") == 0
    assert sorted(figures.mails(api.engine, "demo"), key=lambda one: one.state) == [
        Mails("Birthday", "sent", None, 3, delivered=1, opened=1),
        Mails("Birthday", "skipped", "no_email", 1),
    ]
