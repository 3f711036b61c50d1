from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from shared.database.tables import campaign, mail_slot, suppression
from shared.domain.gates import held_out
from tests.admin import Api

DRAFT = {"name": "Spring sale", "subject": "Hello {first_name|there}", "body": "# Hi\n{organization_name}"}
AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


def be(api: Api, campaign_id: str, **columns: Any) -> None:
    """As the mailer leaves it."""
    with api.engine.begin() as connection:
        connection.execute(update(campaign).where(campaign.c.campaign_id == campaign_id).values(**columns))


def test_a_campaign_is_a_draft_with_sensible_defaults(api: Api) -> None:
    answer = api("POST", "/campaigns", DRAFT)
    assert answer.status_code == 201
    made = answer.json()
    assert (made["id"], made["state"], made["type"], made["trigger"]) == ("spring-sale", "draft", "promotional", None)
    assert made["audience"] == {
        "include_segments": [],
        "exclude_segments": [],
        "minimum_spent": None,
        "minimum_visits": None,
        "tags": [],
    }
    assert made["counts"]["total"] == 0
    assert api.get("/campaigns/spring-sale") == made


def test_hours_may_be_parts_of_one_and_stay_as_they_were_written(api: Api) -> None:
    tested = {"subjects": ["One", "Two"], "test_percent": 20, "winner_by": "opens", "winner_after_hours": 4}
    whole = api("POST", "/campaigns", DRAFT | {"ab_test": tested}).text
    assert '"winner_after_hours":4}' in whole
    part = api("POST", "/campaigns", DRAFT | {"ab_test": tested | {"winner_after_hours": 0.5}}).json()
    assert part["ab_test"]["winner_after_hours"] == 0.5
    refused = api("POST", "/campaigns", DRAFT | {"ab_test": tested | {"winner_after_hours": -0.5}})
    assert refused.status_code == 422


def test_the_starting_campaigns_are_drafts_that_can_be_activated(api: Api) -> None:
    automations = {"birthday", "we-miss-you", "welcome", "vip-thanks", "anniversary"}
    assert {item["id"] for item in api.get("/campaigns")["items"]} == automations | {"newsletter"}
    assert {item["code"] for item in api.get("/coupons")["items"]} >= {
        "WELCOME10",
        "COMEBACK15",
        "VIP500",
        "BIRTHDAY20",
    }
    for campaign_id in automations:
        active = api("POST", f"/campaigns/{campaign_id}/activate").json()
        assert active["state"] == "active"
        assert active["activated_at"]
        assert api("POST", f"/campaigns/{campaign_id}/activate").json() == active


def test_what_was_stored_under_an_older_rule_can_be_read_and_mended(api: Api) -> None:
    test = {"subjects": ["A\u2028B", " "], "test_percent": 20, "winner_by": "opens", "winner_after_hours": 4}
    api.add_campaign("old", name="Old", subject="Two\u2028lines", body=" ", ab_test=test)
    listed = {each["id"]: each["subject"] for each in api.get("/campaigns")["items"]}
    assert api.get("/campaigns/old")["subject"] == listed["old"] == "Two\u2028lines"
    assert api("PATCH", "/campaigns/old", {"name": "New"}).status_code == 422
    assert api("PATCH", "/campaigns/old", {"subject": "One", "body": "Hi", "ab_test": None}).status_code == 200


def test_what_is_wrong_is_named(api: Api) -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"subject": "Two\nlines"}, "subject"),
        ({"subject": "Two\u2028lines"}, "subject"),
        ({"subject": "  "}, "subject"),
        ({"body": " \n"}, "body"),
        ({"subject": "{nickname}"}, "subject"),
        ({"body": "Use {coupon_code}"}, "body"),
        ({"body": "x" * 200_001}, "body"),
        ({"body": "x" * 10_000_000}, "body"),
        ({"body": "Hello {first_name"}, "body"),
        ({"body": "<p>Hello <b>you</p>", "body_format": "html"}, "body"),
        ({"body": "a\0b"}, "body"),
        ({"preview_text": "{first_nam}"}, "preview_text"),
        ({"type": "spam"}, "type"),
        ({"audience": {"include_segments": ["at-risk", "nowhere"]}}, "audience.include_segments[1]"),
        ({"audience": {"minimum_spent": 1.5}}, "audience.minimum_spent"),
        ({"trigger": {"on": "segment_entered", "segment_id": "nowhere"}}, "trigger.segment_id"),
        ({"trigger": {"on": "birthday", "days_before": -1}}, "trigger.days_before"),
        ({"trigger": {"on": "full_moon"}}, "trigger"),
        ({"grant_days": 30}, ""),
        ({"holdout_percent": 200}, "holdout_percent"),
        ({"ab_test": {"subjects": ["One"]}}, "ab_test.subjects"),
        ({"ab_test": {"subjects": ["One", "{two}"]}}, "ab_test.subjects[1]"),
        ({"colour": "red"}, "colour"),
    ]
    for part, field in bad:
        created = api("POST", "/campaigns", DRAFT | part)
        assert (created.status_code, created.json()["errors"][0]["field"]) == (422, field), created.text
        changed = api("PATCH", "/campaigns/newsletter", part)
        assert changed.status_code == 422, (part, changed.text)
        if "ab_test" not in part:
            assert changed.json()["errors"][0]["field"] == field, changed.text
    assert len(api.get("/campaigns")["items"]) == 6


def test_an_edit_changes_what_is_given_only(api: Api) -> None:
    api("POST", "/campaigns", DRAFT)
    tag = api("GET", "/campaigns/spring-sale").headers["etag"]
    changed = api("PATCH", "/campaigns/spring-sale", {"subject": "New", "audience": {"tags": ["VIP"]}}, If_Match=tag)
    assert changed.status_code == 200
    assert (changed.json()["subject"], changed.json()["body"]) == ("New", DRAFT["body"])
    assert changed.json()["audience"]["tags"] == ["VIP"]
    assert changed.headers["etag"] != tag
    assert api("PATCH", "/campaigns/spring-sale", {"subject": "X"}, If_Match=tag).status_code == 412
    be(api, "spring-sale", state="sent")
    assert api("PATCH", "/campaigns/spring-sale", {"subject": "X"}).status_code == 409


def test_a_one_off_is_scheduled_paused_resumed_and_cancelled(api: Api) -> None:
    api("POST", "/campaigns", DRAFT)
    later = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    path = "/campaigns/spring-sale"
    assert (
        api("POST", f"{path}/send", {"at": (later - timedelta(days=3)).isoformat()}).json()["errors"][0]["field"]
        == "at"
    )
    for at in ("2099-12-01T00:00:00", "tomorrow", {}):
        refused = api("POST", f"{path}/send", {"at": at})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "at")
        assert "an instant with its time zone" in refused.json()["detail"]
    scheduled = api("POST", f"{path}/send", {"at": later.isoformat()}).json()
    assert (scheduled["state"], scheduled["send_at"]) == ("scheduled", later.isoformat().replace("+00:00", "Z"))
    assert api("POST", f"{path}/activate").status_code == 409
    assert api("POST", f"{path}/pause").json()["state"] == "paused"
    assert api("POST", f"{path}/resume").json()["state"] == "scheduled"
    empty = api("POST", f"{path}/send", {"at": None})
    assert (empty.status_code, empty.json()["errors"][0]["field"]) == (422, "audience")
    api.add_customer("c-1")
    now = api("POST", f"{path}/send", {"at": None}).json()
    assert now["state"] == "scheduled"
    assert now["send_at"] < later.isoformat()
    # The mailer has begun:
    be(api, "spring-sale", state="sending", planned_at=AT)
    assert "pause" in api("POST", f"{path}/send").json()["detail"]
    api("POST", f"{path}/pause")
    assert api("POST", f"{path}/resume").json()["state"] == "sending"
    api.add_message("spring-sale", "c-1", state="waiting", reason="frequency_cap")
    api.add_message("spring-sale", "c-2", state="sent", sent_at=AT)
    cancelled = api("POST", f"{path}/cancel").json()
    assert cancelled["state"] == "cancelled"
    assert (cancelled["counts"]["waiting"], cancelled["counts"]["skipped"]) == (0, {"cancelled": 1})
    assert cancelled["counts"]["sent"] == 1
    assert api("POST", f"{path}/resume").status_code == 409
    assert api("DELETE", path).status_code == 409


def test_a_campaign_that_paused_itself_says_why_until_it_is_resumed(api: Api) -> None:
    be(api, "welcome", state="paused", error="20 batches in a row failed.")
    assert api.get("/campaigns/welcome")["error"] == "20 batches in a row failed."
    assert api("POST", "/campaigns/welcome/send").status_code == 409
    resumed = api("POST", "/campaigns/welcome/resume").json()
    assert (resumed["state"], resumed["error"]) == ("active", None)


def test_counts_are_cumulative(api: Api) -> None:
    api.add_campaign("spring")
    skipped = {"state": "skipped", "reason": "no_consent"}
    rows: list[dict[str, Any]] = [
        {"state": "planned"},
        {"state": "claimed"},
        {"state": "waiting", "reason": "frequency_cap"},
        {"state": "sent", "sent_at": AT},
        {"state": "delivered", "sent_at": AT, "delivered_at": AT, "opened_at": AT, "clicked_at": AT},
        {"state": "delivered", "sent_at": AT, "delivered_at": AT, "machine_opened_at": AT},
        {"state": "bounced", "sent_at": AT, "bounced_at": AT},
        {"state": "complained", "sent_at": AT, "delivered_at": AT, "complained_at": AT, "unsubscribed_at": AT},
        {"state": "failed", "reason": "refused"},
        skipped,
        skipped,
        {"state": "skipped", "reason": "holdout"},
    ]
    for number, row in enumerate(rows):
        api.add_message("spring", f"c-{number:02}", **row)
    assert api.get("/campaigns/spring")["counts"] == {
        "total": 12,
        "planned": 2,
        "waiting": 1,
        "sent": 5,
        "delivered": 3,
        "opened": 1,
        "machine_opened": 1,
        "clicked": 1,
        "bounced": 1,
        "complained": 1,
        "unsubscribed": 1,
        "failed": 1,
        "skipped": {"no_consent": 2, "holdout": 1},
        "waiting_for": {"frequency_cap": 1},
    }
    skipped_ones = api.get("/campaigns/spring/messages?state=skipped")["items"]
    assert {item["reason"] for item in skipped_ones} == {"no_consent", "holdout"}
    assert len(api.get("/campaigns/spring/messages?state=skipped&reason=holdout")["items"]) == 1
    seen, cursor = [], ""
    while cursor is not None:
        found = api.get(f"/campaigns/spring/messages?limit=5{cursor and f'&cursor={cursor}'}")
        seen += [item["customer_id"] for item in found["items"]]
        cursor = found["next_cursor"]
    assert seen == [f"c-{number:02}" for number in range(12)]


def test_a_draft_is_deleted_for_good(api: Api) -> None:
    assert api("DELETE", "/campaigns/welcome").status_code == 204
    assert api("GET", "/campaigns/welcome").status_code == 404
    assert api.get("/audit-log")["items"][0]["action"] == "campaign.deleted"


def test_a_repeated_request_makes_one_campaign(api: Api) -> None:
    first, again = (api("POST", "/campaigns", DRAFT, Idempotency_Key="k") for _ in range(2))
    assert first.json()["id"] == again.json()["id"]
    assert len(api.get("/campaigns")["items"]) == 7


def test_a_preview_shows_the_mail_as_that_customer_would_get_it(api: Api) -> None:
    api("POST", "/campaigns", DRAFT)
    api.add_customer("c-7", name="Zoë <b>", visit_count=3)
    seen = api.get("/campaigns/spring-sale/preview?customer_id=c-7")
    assert seen["subject"] == "Hello Zoë"
    assert "Demo" in seen["html"]
    assert "Unsubscribe" in seen["text"]
    assert api.get("/campaigns/spring-sale/preview")["subject"] == "Hello there"
    assert api("GET", "/campaigns/spring-sale/preview?customer_id=nobody").status_code == 404
    assert api("GET", "/campaigns/spring-sale/preview?customer_id=c-7", organization="other").status_code == 404


def test_a_test_is_handed_to_the_mailer_and_not_counted(api: Api) -> None:
    api("POST", "/campaigns", DRAFT)
    api.add_customer("c-7", name="Zoë")
    path = "/campaigns/spring-sale/test"
    asked = api("POST", path, {"to": ["me@x.example", "you@x.example", "me@x.example"], "as_customer": "c-7"})
    assert asked.status_code == 202
    assert {item["to"]: item["state"] for item in asked.json()["items"]} == {
        "me@x.example": "planned",
        "you@x.example": "planned",
    }
    assert api.get("/campaigns/spring-sale/tests")["items"] == asked.json()["items"]
    first, again = (api("POST", path, {"to": ["me@x.example"]}, Idempotency_Key="k") for _ in range(2))
    assert first.json() == again.json()
    assert len(api.get("/campaigns/spring-sale/tests")["items"]) == 3
    assert api.get("/campaigns/spring-sale")["counts"]["total"] == 0
    for body, field in (
        ({"to": []}, "to"),
        ({"to": ["nonsense"]}, "to[0]"),
        ({"to": ["me@x.example"], "as_customer": "nobody"}, "as_customer"),
    ):
        refused = api("POST", path, body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    assert api("POST", path, {"to": ["me@x.example"]}, role="viewer").status_code == 403


def test_a_dry_run_counts_each_customer_by_the_first_closed_gate(api: Api) -> None:
    api.add_segment("chosen", 9)
    members = {"memberships": b"\x00\x02", "email_verified": True, "marketing_consent": True}
    for number, given in enumerate(
        (
            {},
            {},
            {"email_frequency": "weekly"},
            {"email_frequency": "never"},
            {"marketing_consent": False},
            {"marketing_consent": False, "email_verified": False},
            {"email": None},
            {"memberships": b""},
        )
    ):
        api.add_customer(f"c-{number}", **members | {"email": f"c-{number}@x.example"} | given)
    api.insert(mail_slot, organization_id="demo", customer_id="c-2", last_on=datetime.now(UTC).date())
    api.insert(suppression, organization_id="demo", email="c-1@x.example", reason="unsubscribe")
    api("POST", "/campaigns", DRAFT | {"audience": {"include_segments": ["chosen"]}})
    assert api.get("/campaigns/spring-sale/audience") == {
        "recipients": 1,
        "waiting": 1,
        "excluded": {"frequency_never": 1, "no_consent": 1, "no_email": 1, "not_verified": 1, "suppressed": 1},
        "coupon_exposure": 0,
        "estimated_seconds": 1,
    }
    assert api.get("/campaigns/spring-sale")["counts"]["total"] == 0
    api("PATCH", "/campaigns/spring-sale", {"holdout_percent": 90})
    held = [n for n in (0,) if held_out("spring-sale", f"c-{n}", 90)]
    assert api.get("/campaigns/spring-sale/audience")["excluded"].get("holdout", 0) == len(held)


def test_a_campaign_needs_a_coupon_that_counts_when_it_goes(api: Api) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    with_coupon = DRAFT | {"body": "Use {coupon_code}", "coupon_code": "soon-500"}
    missing = api("POST", "/campaigns", with_coupon)
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "coupon_code")
    api("POST", "/coupons", {"code": "SOON500", "type": "fixed", "value": 5, "valid_until": soon.isoformat()})
    made = api("POST", "/campaigns", with_coupon | {"preview_text": "{discount_value} off"})
    assert (made.status_code, made.json()["coupon_code"]) == (201, "SOON500")
    assert "Use SOON500" in api.get("/campaigns/spring-sale/preview")["text"]
    assert api.get("/campaigns/spring-sale/audience")["coupon_exposure"] == 0  # nobody would get it
    api.add_customer("c-1", email="c@x.example", email_verified=True, marketing_consent=True)
    assert api.get("/campaigns/spring-sale/audience")["coupon_exposure"] == "unbounded"
    api("PATCH", "/campaigns/spring-sale", {"unique_codes": True})
    assert api.get("/campaigns/spring-sale/audience")["coupon_exposure"] == 5
    late = api("POST", "/campaigns/spring-sale/send", {"at": (soon + timedelta(hours=1)).isoformat()})
    assert (late.status_code, late.json()["errors"][0]["field"]) == (422, "coupon_code")
    assert "before the mails go" in late.json()["detail"]
    api("PATCH", "/coupons/SOON500", {"state": "archived"})
    refused = api("POST", "/campaigns/spring-sale/send")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "coupon_code")
    assert api.get("/campaigns/spring-sale")["state"] == "draft"
    api("PATCH", "/coupons/SOON500", {"state": "active"})
    assert api("POST", "/campaigns/spring-sale/send").status_code == 200


def test_a_template_is_a_campaign_and_a_coupon_to_post(api: Api) -> None:
    for campaign_id in ("welcome", "newsletter"):
        assert api("DELETE", f"/campaigns/{campaign_id}").status_code == 204
    found = {item["id"]: item for item in api.get("/templates")["items"]}
    assert list(found) == ["welcome", "we-miss-you", "vip-thanks", "birthday", "anniversary", "newsletter"]
    welcome = found["welcome"]
    assert (welcome["segment_id"], welcome["coupon"]["code"]) == ("new-customers", "WELCOME10")
    assert api("POST", "/coupons", welcome["coupon"] | {"code": "ANOTHER10"}).status_code == 201
    made = api("POST", "/campaigns", welcome["campaign"] | {"coupon_code": "ANOTHER10"})
    assert (made.status_code, made.json()["id"]) == (201, "welcome")
    text = api.get("/campaigns/welcome/preview")["text"]
    assert "ANOTHER10" in text
    assert "takes 10% off" in text
    assert api("POST", "/campaigns", found["newsletter"]["campaign"]).status_code == 201
