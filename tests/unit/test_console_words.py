"""What happened to a customer, in words, and the profile's form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.admin.console import happenings, profile_form
from services.admin.customers import Customer, Stats
from services.admin.memberships import Label
from services.admin.timeline import Happening

AT = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
SEGMENTS = {"vip": Label("VIP <i>", "#b8860b")}
LINES = [{"product_id": f"p-{n}", "quantity": n, "category": "Bakery", "total": 1} for n in (1, 2, 2.5, 4, 5)]
SAID: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "sale.completed",
        {"amount": 9_000, "discount": 500, "store_id": "s1", "lines": LINES},
        "Bought for ₹90.00 at s1, after a discount of ₹5.00",
        "p-1 (Bakery), 2 of p-2 (Bakery), 2.5 of p-2.5 (Bakery) and 2 more lines",
    ),
    ("sale.completed", {"amount": 0}, "Bought for ₹0.00", ""),
    ("sale.refunded", {"amount": 100, "sale_id": "R-1"}, "Got ₹1.00 back for sale R-1", ""),
    ("sale.voided", {"sale_id": "R-1"}, "Sale R-1 was voided", "It counts no longer."),
    (
        "coupon.redeemed",
        {"entry": "redeem:VIP500", "amount": 500, "sale_id": "R-1"},
        "Redeemed the coupon VIP500",
        "Saved ₹5.00 in sale R-1",
    ),
    ("segment.entered", {"segment_id": "vip", "cause": "time"}, "Entered VIP <i>", "because time passed"),
    ("segment.left", {"segment_id": "old", "cause": "event"}, "Left old (deleted)", "by what happened"),
    (
        "customer.upserted",
        {"payload": {"organization_id": "demo", "customer_id": "c", "name": "A", "email_verified": True}},
        "The profile was changed",
        "email verified, name",
    ),
    (
        "customer.consent_changed",
        {"payload": {"marketing_consent": True, "where": "till", "wording": "Yes"}},
        "Agreed to marketing mail",
        "till: “Yes”",
    ),
    ("mail.clicked", {"campaign": "Spring", "link": "https://x.example"}, "The mail “Spring” was clicked", "https://x.example"),
    ("something.new", {}, "Something new", ""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "detail", "what", "more"), SAID)
def test_an_entry_of_the_timeline_reads_as_a_sentence(kind: str, detail: dict[str, Any], what: str, more: str) -> None:
    line = happenings.told(Happening(at=AT, type=kind, id="1", detail=detail), "INR", SEGMENTS)
    assert (line.what, line.more) == (what, more)


def test_what_stands_in_the_form_unchanged_changes_nothing_and_an_empty_field_clears() -> None:
    stats = Stats.model_construct()
    known = Customer.model_construct(
        **dict.fromkeys(profile_form.TEXTS) | {"name": "Asha"}, birthday="--02-29", anniversary="1990-11-05",
        tags=["a, b", "c"], email_verified=True, stats=stats,
    )  # fmt: skip
    values = profile_form.fields_of(known)
    assert profile_form.changes(known, values) == {}
    changed = values | {"name": "", "birthday_year": "1992", "anniversary_day": "", "anniversary_month": ""}
    told = profile_form.changes(known, changed | {"anniversary_year": "", "tags": "c", "email_verified": False})
    assert told == {
        "name": None, "birthday": "1992-02-29", "anniversary": None, "tags": ["c"], "email_verified": False,
    }  # fmt: skip
    assert profile_form.in_words(known.birthday) == "29 February"
    assert profile_form.in_words("1990-11-05") == "5 November 1990"
