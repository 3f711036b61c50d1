from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from services.admin import customer_events, customer_search, personal_data
from shared.database.tables import customer_merge, dead_letter, ledger, metadata, segment_change
from shared.kafka import Topic
from shared.settings import AdminSettings
from tests.admin import Api
from tests.ingest import consume

AT = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
PRECISE = datetime(2026, 11, 22, 10, 15, 0, 123_000, tzinfo=UTC)
ASHA = {
    "name": "Asha Rao",
    "email": "asha@example.com",
    "email_verified": True,
    "email_verified_at": AT,
    "phone": "+91 98450 00000",
    "birthday": 228,
    "birthday_year": 1990,
    "anniversary": 1105,
    "tags": ["VIP", "Bakery"],
    "marketing_consent": True,
    "consent_at": AT,
    "consent_where": "till",
    "consent_wording": "Yes, write to me",
    "preferred_contact_time": "morning",
    "email_frequency": "weekly",
    "time_zone": "Asia/Kolkata",
    "locale": "en-IN",
    "registered_given_at": AT,
    "total_spent": 10_001,
    "visit_count": 2,
    "first_visit_at": AT,
    "last_visit_at": PRECISE,
    "coupon_redemptions": 1,
    "discount_received": 500,
    "memberships": bytes([0b0000_1001, 0b10]),
}


def published(api: Api) -> list[dict[str, Any]]:
    events = [(key, json.loads(value)) for key, value in consume(api.settings, Topic.CUSTOMERS)]
    assert all(key.decode() == f"demo/{event['data']['customer_id']}" for key, event in events)
    return sorted((event for _, event in events), key=lambda event: event["id"])


def test_a_customer_is_shown_with_stats_and_segments(api: Api) -> None:
    api.add_segment("regulars", 9)
    api.add_segment("gone", 8, state="deleting")
    api.add_customer("c-1", **ASHA | {"memberships": bytes([0b0000_1001, 0b11])})
    found = api.get("/customers/c-1")
    assert found["birthday"] == "1990-02-28"
    assert found["anniversary"] == "--11-05"
    assert found["registered_at"] == "2026-11-22T10:15:00Z"
    assert found["stats"] == {
        "total_spent": 10_001,
        "visit_count": 2,
        "average_basket": 5_001,
        "first_visit_at": "2026-11-22T10:15:00Z",
        "last_visit_at": "2026-11-22T10:15:00.123000Z",
        "coupon_redemptions": 1,
        "discount_received": 500,
        "last_open_at": None,
        "last_click_at": None,
    }
    assert found["segments"] == ["new-customers", "regulars", "vip-customers"]


def test_without_a_visit_there_is_no_average_basket(api: Api) -> None:
    api.add_customer("c-1")
    assert api.get("/customers/c-1")["stats"]["average_basket"] is None


def test_an_unknown_customer_is_404_and_an_id_may_hold_a_slash(api: Api) -> None:
    api.add_customer("a/b")
    assert api("GET", "/customers/nobody").status_code == 404
    assert api.get("/customers/a%2Fb")["customer_id"] == "a/b"
    assert api.get("/customers/a%2Fb/timeline")["items"] == []


def test_pages_show_each_customer_once(api: Api) -> None:
    ids = [f"c-{number:02}" for number in range(23)]
    for customer_id in ids:
        api.add_customer(customer_id)
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/customers?limit=5{cursor and f'&cursor={cursor}'}")
        seen += [item["customer_id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ids


def test_a_cursor_or_limit_that_is_none_is_refused(api: Api) -> None:
    for cursor in ("x", "W10", "WzFd", "bnVsbA", "WyJhXHUwMDAwIl0", "%00"):
        answer = api("GET", f"/customers?cursor={cursor}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor"), cursor
    for limit in ("0", "501", "many"):
        assert api("GET", f"/customers?limit={limit}").json()["errors"][0]["field"] == "limit"


@pytest.mark.parametrize("near", [1, customer_search.NEAR])
def test_search_finds_beginnings_of_ids_addresses_and_words_of_names(
    api: Api, monkeypatch: pytest.MonkeyPatch, near: int
) -> None:
    monkeypatch.setattr(customer_search, "NEAR", near)  # 1: nobody is near, so that the indexes find them
    api.add_segment("regulars", 11)
    api.add_customer("C-1", name="Asha Rao")
    api.add_customer("C-2", email="ASHA@example.com", memberships=b"\x00\x08")
    api.add_customer("c_3", name="Ravi O'Brien-Šťastná 100%")
    api.add_customer("c_4", name="\\ ' \" | & ! : * ()")
    api.add_customer("x-5", "other", name="Asha", email="asha@example.com")

    def found(text: str, more: str = "") -> list[str]:
        return [item["customer_id"] for item in api.get(f"/customers?search={quote(text)}{more}")["items"]]

    finds = {
        "asha": ["C-1", "C-2"],
        " rao  ASH ": ["C-1"],
        "asha ravi": [],
        "sha": [],
        "asha@": ["C-2"],
        "c-": ["C-1", "C-2"],
        "c_": ["c_3", "c_4"],
        "o'brien": ["c_3"],
        "šťas bri": ["c_3"],
        "100%": ["c_3"],
        "%": [],
        "\\": ["c_4"],
        "'": [],
        ": *": ["c_4"],
        "!": ["c_4"],
        "x-5": [],
    }
    assert {text: found(text) for text in finds} == finds
    assert found("asha", "&segment=regulars") == ["C-2"]
    first = api.get("/customers?search=asha&limit=1")
    assert found("asha", f"&limit=1&cursor={first['next_cursor']}") == ["C-2"]


def test_members_of_a_segment_are_found_by_their_bit(api: Api) -> None:
    api.add_segment("regulars", 11)
    for number, bits in enumerate([b"", b"\xff", b"\x00\x08", b"\xff\xf7", b"\x00\x08\x00"]):
        api.add_customer(f"c-{number}", memberships=bits)
    assert [item["customer_id"] for item in api.get("/customers?segment=regulars")["items"]] == ["c-2", "c-4"]
    assert [item["customer_id"] for item in api.get("/segments/regulars/members")["items"]] == ["c-2", "c-4"]
    lines = api("GET", "/segments/regulars/members.csv").text.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["c-2", "c-4"]
    assert api("GET", "/customers?segment=nothing").status_code == 404


def test_nul_characters_are_refused_everywhere(api: Api) -> None:
    for path in ("/customers?search=%00", "/customers/%00", "/segments/%00", "/customers?segment=%00"):
        assert api("GET", path).status_code == 422, path


def test_the_csv_has_every_field_and_guards_free_text_only(api: Api) -> None:
    api.add_customer("c-1", **ASHA)
    api.add_customer("=1+1", name="=HYPERLINK(1)", tags=["@x", "y"], phone="-1+cmd", total_spent=-5)
    answer = api("GET", "/customers.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    strange, asha = csv.DictReader(io.StringIO(answer.text))
    assert asha == {
        "customer_id": "c-1",
        "name": "Asha Rao",
        "email": "asha@example.com",
        "email_verified": "true",
        "email_verified_at": "2026-11-22T10:15:00Z",
        "phone": "+91 98450 00000",
        "birthday": "1990-02-28",
        "anniversary": "--11-05",
        "tags": "VIP;Bakery",
        "marketing_consent": "true",
        "consent_at": "2026-11-22T10:15:00Z",
        "consent_where": "till",
        "consent_wording": "Yes, write to me",
        "preferred_contact_time": "morning",
        "email_frequency": "weekly",
        "time_zone": "Asia/Kolkata",
        "locale": "en-IN",
        "registered_at": "2026-11-22T10:15:00Z",
        "total_spent": "10001",
        "visit_count": "2",
        "average_basket": "5001",
        "first_visit_at": "2026-11-22T10:15:00Z",
        "last_visit_at": "2026-11-22T10:15:00.123000Z",
        "coupon_redemptions": "1",
        "discount_received": "500",
        "last_open_at": "",
        "last_click_at": "",
        "segments": "new-customers;vip-customers",
    }
    assert (strange["customer_id"], strange["total_spent"], strange["average_basket"]) == ("=1+1", "-5", "")
    assert (strange["name"], strange["tags"], strange["phone"]) == ("'=HYPERLINK(1)", "'@x;y", "'-1+cmd")


def test_the_csv_streams_more_than_one_chunk(api: Api) -> None:
    with api.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO customer (organization_id, customer_id) SELECT 'demo', 'c' || n FROM generate_series(1, 2500) n"
            )
        )
    assert len(api("GET", "/customers.csv").text.splitlines()) == 2_501


@pytest.mark.usefixtures("nobody_counts")
def test_creating_publishes_what_a_till_would(api: Api) -> None:
    answer = api("POST", "/customers", {"customer_id": "c-9", "name": "Ravi", "marketing_consent": True})
    assert answer.status_code == 202
    profile, consent = published(api)
    assert profile["type"] == "customer.upserted"
    assert profile["source"] == "/demo/console"
    assert profile["data"] == {"organization_id": "demo", "customer_id": "c-9", "name": "Ravi"}
    assert consent["type"] == "customer.consent_changed"
    assert consent["data"] == {
        "organization_id": "demo",
        "customer_id": "c-9",
        "marketing_consent": True,
        "where": "console",
    }


@pytest.mark.usefixtures("nobody_counts")
def test_the_same_request_again_is_the_same_event(api: Api) -> None:
    for _ in range(2):
        assert api("POST", "/customers", {"name": "Ravi"}, Idempotency_Key="k-1").status_code == 202
    first, second = published(api)
    assert (first["id"], first["data"]) == (second["id"], second["data"])
    # Once the segmenter has counted it:
    api.add_customer(first["data"]["customer_id"], name="Ravi")
    api.insert(
        ledger, organization_id="demo", source="/demo/console", event_id=first["id"], type=first["type"], occurred_at=AT
    )
    again = api("POST", "/customers", {"name": "Ravi"}, Idempotency_Key="k-1")
    assert (again.status_code, again.json()["name"]) == (201, "Ravi")
    assert again.headers["location"] == f"/v1/customers/{again.json()['customer_id']}"
    assert again.headers["etag"]
    assert len(published(api)) == 2


@pytest.mark.usefixtures("nobody_counts")
def test_a_customer_of_any_id_is_where_the_answer_says(api: Api) -> None:
    made = api("POST", "/customers", {"customer_id": "客户/7 ü"})
    assert made.status_code == 202, made.text
    api.add_customer("客户/7 ü")
    assert api.get(made.headers["location"].removeprefix("/v1"))["customer_id"] == "客户/7 ü"


def test_creating_who_exists_is_409(api: Api) -> None:
    api.add_customer("c-1")
    assert api("POST", "/customers", {"customer_id": "c-1"}).status_code == 409
    assert published(api) == []


def test_a_bad_field_is_named_and_nothing_is_published(api: Api) -> None:
    api.add_customer("c-1")
    bad: list[tuple[dict[str, Any], str]] = [
        ({"email": "nonsense"}, "email"),
        ({"birthday": "1990-02-30"}, "birthday"),
        ({"tags": "VIP"}, "tags"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"name": "a\0b"}, "name"),
        ({"marketing_consent": "yes"}, "marketing_consent"),
        ({"marketing_consent": True, "consent_where": 7}, "consent_where"),
        ({"consent_where": "till"}, "marketing_consent"),
        ({"total_spent": 5}, "total_spent"),
        ({"customer_id": "c-2"}, "customer_id"),
    ]
    for body, field in bad:
        answer = api("PATCH", "/customers/c-1", body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text
    for no_object in ([], "text", 7, None):
        assert api("PATCH", "/customers/c-1", no_object).status_code == 422
    assert published(api) == []


@pytest.mark.usefixtures("nobody_counts")
def test_an_edit_needs_the_etag_that_was_read(api: Api) -> None:
    api.add_customer("c-1", name="Asha")
    tag = api("GET", "/customers/c-1").headers["etag"]
    assert api("PATCH", "/customers/c-1", {"name": "X"}, If_Match='"old"').status_code == 412
    assert published(api) == []
    assert api("PATCH", "/customers/c-1", {"name": None}, If_Match=tag).status_code == 202
    assert published(api)[0]["data"] == {"organization_id": "demo", "customer_id": "c-1", "name": None}


def test_an_edit_of_nothing_answers_what_stands(api: Api) -> None:
    api.add_customer("c-1", name="Asha")
    answer = api("PATCH", "/customers/c-1", {})
    assert (answer.status_code, answer.json()["name"]) == (200, "Asha")


@pytest.mark.usefixtures("nobody_counts")
def test_erasing_publishes_and_leaves_no_id_in_the_audit_log(api: Api) -> None:
    api.add_customer("c-1")
    assert api("DELETE", "/customers/c-1").status_code == 202
    assert published(api)[0]["type"] == "customer.erased"
    entries = api.get("/audit-log")["items"]
    assert entries[0]["action"] == "customer.erased"
    assert "c-1" not in json.dumps(entries)
    assert api("DELETE", "/customers/nobody").status_code == 404


def test_the_timeline_is_newest_first_and_pages(api: Api) -> None:
    api.add_customer("c-1")
    api.add_campaign("spring", name="Spring")
    for number in range(3):
        sale = {
            "source": "/demo/t",
            "event_id": f"e-{number}",
            "type": "sale.completed",
            "sale_id": f"R-{number}",
            "amount": 900,
        }
        api.insert(ledger, organization_id="demo", customer_id="c-1", occurred_at=AT.replace(hour=number), **sale)
    move = {"organization_id": "demo", "customer_id": "c-1", "cause": "event"}
    api.insert(segment_change, **move, change_id=7, at=AT.replace(hour=2), entered=["vip", "new"], left=[])
    api.insert(segment_change, **move, change_id=8, at=AT.replace(hour=3), entered=[], left=["new"])
    api.add_message(
        "spring",
        "c-1",
        state="delivered",
        sent_at=AT.replace(hour=4),
        email="a@example.com",
    )
    click = {"source": "/demo/mail", "event_id": "click", "type": "mail.clicked", "occurred_at": AT.replace(hour=5)}
    told = {"campaign_id": "spring", "message_id": "m", "link": "https://shop.example/"}
    api.insert(ledger, organization_id="demo", customer_id="c-1", **click, payload=told)
    expected = [
        "mail.clicked",
        "mail.sent",
        "segment.left",
        "segment.entered",
        "segment.entered",
        "sale.completed",
        "sale.completed",
        "sale.completed",
    ]
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/customers/c-1/timeline?limit=3{cursor and f'&cursor={cursor}'}")
        seen += page["items"]
        cursor = page["next_cursor"]
    assert [item["type"] for item in seen] == expected
    assert seen[0]["detail"] == told | {"campaign": "Spring"}
    assert seen[1]["detail"] == {"campaign_id": "spring", "campaign": "Spring", "email": "a@example.com"}
    assert seen[5]["detail"] == {"sale_id": "R-2", "amount": 900}
    assert [item["detail"]["segment_id"] for item in seen[2:5]] == ["new", "vip", "new"]


def test_decisions_say_why_in_words(api: Api) -> None:
    api.add_customer("c-1", time_zone="America/New_York")
    api.add_campaign("spring", name="Spring")
    api.add_message("spring", "c-1", occasion="a", state="skipped", reason="no_consent", planned_at=AT.replace(hour=1))
    until = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)
    api.add_message(
        "spring",
        "c-1",
        occasion="b",
        state="waiting",
        reason="quiet_hours",
        wait_until=until,
        planned_at=AT.replace(hour=2),
    )
    waiting, skipped = api.get("/customers/c-1/decisions")["items"]
    assert skipped["why"] == "Did not go: there is no consent to marketing mail."
    assert waiting["why"] == "Waits until Tuesday 24 November 09:00 (America/New_York): it is quiet hours."
    assert (waiting["campaign"], waiting["wait_until"], skipped["wait_until"]) == (
        "Spring",
        "2026-11-24T14:00:00Z",
        None,
    )


def test_the_export_holds_all_that_is_known(api: Api) -> None:
    api.add_customer("c-1", **ASHA)
    api.add_campaign("spring")
    api.add_message("spring", "c-1", email="asha@example.com")
    api.insert(
        ledger,
        organization_id="demo",
        source="/t",
        event_id="e",
        type="customer.upserted",
        occurred_at=AT,
        customer_id="c-1",
        payload={"name": "Asha"},
    )
    letter = {"organization_id": "demo", "topic": "pos.customers.v1", "partition": 0, "reason": "invalid_field"}
    for n, name in enumerate((b"c-1", b"c-10")):
        api.insert(dead_letter, **letter, offset=n, message="data.email", key=b"demo/" + name, value=b'{"email": 1}')
    data = api.get("/customers/c-1/export")
    assert [(each["offset"], each["value"]) for each in data["dead_letters"]] == [(0, '{"email": 1}')]
    assert data["customer"]["email"] == "asha@example.com"
    assert data["events"][0]["payload"] == {"name": "Asha"}
    assert data["mails"][0]["email"] == "asha@example.com"


def test_what_was_mailed_to_a_merged_id_is_the_customers_too(api: Api) -> None:
    api.add_customer("c-1", **ASHA)
    api.insert(
        customer_merge,
        organization_id="demo",
        customer_id="c-old",
        into_customer_id="c-1",
        root_customer_id="c-1",
        merged_at=AT,
        event_key="m",
    )
    api.add_campaign("spring")
    api.add_message("spring", "c-old", state="sent", email="old@example.com", sent_at=AT)
    assert [each["customer_id"] for each in api.get("/customers/c-1/decisions")["items"]] == ["c-old"]
    assert [each["type"] for each in api.get("/customers/c-1/timeline")["items"]] == ["mail.sent"]
    assert [each["email"] for each in api.get("/customers/c-1/export")["mails"]] == ["old@example.com"]


def test_the_export_leaves_out_no_table_that_names_a_customer() -> None:
    apart = {"customer", "customer_merge", "flip"}  # the first two have their own places; of the third, only instants
    naming = {name for name, table in metadata.tables.items() if "customer_id" in table.c}
    assert {table.name for table, _ in personal_data.HELD.values()} == naming - apart


def test_kafka_away_is_503_and_nothing_is_noted(
    api: Api, settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    api.add_customer("c-1")
    away = customer_events.CustomerEvents(settings(AdminSettings, kafka="127.0.0.1:1"))
    monkeypatch.setattr(api.app.state.admin.edits, "_events", away)
    answer = api("PATCH", "/customers/c-1", {"name": "X"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert all(entry["action"] != "customer.changed" for entry in api.get("/audit-log")["items"])
