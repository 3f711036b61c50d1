"""What a coupon takes off, and every reason why it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.coupons import UNBOUNDED, Basket, Coupon, Facts, Grant, Hours, Line, Offer, Refused, exposure, judge
from shared.domain.coupons.basket import discount_of, spread

NOW = datetime(2026, 11, 24, 4, 30, tzinfo=UTC)  # a Tuesday, 10:00 in Kolkata
TEN_PERCENT = Coupon("WELCOME10", "percentage", 1_000)
BASKET = Basket("R-1", 10_000, (Line(6_000, "p-1", "Bakery"), Line(4_000, "p-2", "Dairy")), "c-1", "s1")


def decide(coupon: Coupon | None, basket: Basket = BASKET, now: datetime = NOW, **facts: Any) -> Offer | Refused:
    return judge(coupon, basket, Facts(**facts), now, currency="INR", time_zone="Asia/Kolkata", code="WELCOME10")


def codes(decision: Offer | Refused) -> list[str]:
    assert isinstance(decision, Refused), decision
    assert all(reason.message.endswith(".") for reason in decision.reasons)
    return [str(reason.code) for reason in decision.reasons]


def test_a_percentage_is_spread_over_the_lines() -> None:
    assert decide(TEN_PERCENT) == Offer(1_000, ((0, 600), (1, 400)))


def test_only_the_matching_part_counts_and_exclusion_beats_inclusion() -> None:
    bakery = replace(TEN_PERCENT, include_categories=frozenset({"Bakery"}))
    assert decide(bakery) == Offer(600, ((0, 600),))
    assert decide(replace(TEN_PERCENT, exclude_products=frozenset({"p-1"}))) == Offer(400, ((1, 400),))
    assert codes(decide(replace(bakery, exclude_products=frozenset({"p-1"})))) == ["no_matching_products"]
    assert decide(Coupon("X", "fixed", 9_000, include_products=frozenset({"p-2"}))) == Offer(4_000, ((1, 4_000),))


def test_a_product_bound_coupon_needs_lines() -> None:
    bound = replace(TEN_PERCENT, include_products=frozenset({"p-1"}))
    assert codes(decide(bound, replace(BASKET, lines=()))) == ["no_matching_products"]


def test_a_cashier_can_say_what_the_coupon_is_for() -> None:
    def said(coupon: Coupon, basket: Basket) -> str:
        decision = decide(coupon, basket)
        assert isinstance(decision, Refused)
        return decision.reasons[0].message

    bakery = replace(TEN_PERCENT, include_categories=frozenset({"Bakery", "Tea"}))
    sold = replace(BASKET, lines=(Line(100, "p-7", "Toys"),))
    assert said(bakery, sold) == "Nothing in the basket is what this coupon is for: Bakery, Tea."
    many = replace(TEN_PERCENT, include_products=frozenset({"a", "b", "c", "d"}))
    assert said(many, sold) == "Nothing in the basket is what this coupon is for: a, b, c and more."
    assert said(replace(TEN_PERCENT, exclude_categories=frozenset({"Toys"})), sold).endswith("coupon is for.")
    assert "did not say what is in the basket" in said(bakery, replace(BASKET, lines=()))
    assert "did not say in which one" in said(
        replace(TEN_PERCENT, stores=frozenset({"s1"})), replace(BASKET, store_id=None)
    )


def test_a_first_purchase_is_over_when_the_coupon_was_used_in_another_sale() -> None:
    first = replace(TEN_PERCENT, first_purchase_only=True)
    assert isinstance(decide(first), Offer)
    assert codes(decide(first, uses_by_customer=1)) == ["first_purchase_only"]


def test_without_lines_the_total_counts() -> None:
    assert decide(TEN_PERCENT, replace(BASKET, lines=())) == Offer(1_000)


def test_a_cap_and_the_basket_bound_the_discount() -> None:
    assert decide(replace(TEN_PERCENT, maximum_discount=250)) == Offer(250, ((0, 150), (1, 100)))
    assert decide(Coupon("X", "fixed", 50_000)) == Offer(10_000, ((0, 6_000), (1, 4_000)))


@given(st.integers(0, 10**9), st.integers(1, 10_000))
def test_percentages_round_half_up(base: int, value: int) -> None:
    exact = Decimal(base) * value / 10_000
    assert discount_of(Coupon("X", "percentage", value), base) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


@given(st.lists(st.integers(0, 10**7), max_size=20), st.data())
def test_shares_add_up_and_stay_within_their_lines(totals: list[int], data: st.DataObject) -> None:
    discount = data.draw(st.integers(0, sum(totals)))
    shares = spread(discount, totals)
    assert sum(shares) == discount
    assert all(0 <= share <= total for share, total in zip(shares, totals, strict=True))
    # Fair: nobody is more than a minor unit away from the exact share.
    whole = sum(totals) or 1
    assert all(abs(share * whole - discount * total) < whole for share, total in zip(shares, totals, strict=True))


def test_every_reason_is_told_at_once() -> None:
    strict = Coupon(
        "X",
        "fixed",
        100,
        state="paused",
        minimum_purchase=20_000,
        limit_per_customer=1,
        limit_total=5,
        valid_from=NOW + timedelta(days=1),
        valid_until=NOW,
        weekdays=frozenset({6, 7}),
        include_products=frozenset({"p-9"}),
        stores=frozenset({"s2"}),
        segment_id="vip",
        first_purchase_only=True,
        grants_only=True,
    )
    assert codes(decide(strict, uses_total=5, uses_by_customer=1, visit_count=3)) == [
        "paused",
        "not_yet_valid",
        "expired",
        "outside_hours",
        "minimum_purchase",
        "no_matching_products",
        "store",
        "segment",
        "first_purchase_only",
        "not_granted",
        "limit_per_customer",
        "limit_total",
    ]
    assert "customer_required" in codes(decide(strict, replace(BASKET, customer_id=None)))


def test_an_unknown_code_says_so_alone() -> None:
    assert codes(decide(None)) == ["unknown_code"]
    assert codes(decide(replace(TEN_PERCENT, unique_only=True))) == ["unknown_code"]


def test_no_code_at_all_is_said_as_a_cashier_would() -> None:
    nothing = judge(None, Basket("S-1", 1), Facts(), NOW, currency="INR", time_zone="UTC", code="")
    assert isinstance(nothing, Refused)
    assert nothing.reasons[0].message == "No code was read. Please read it again."


def test_dates_are_half_open() -> None:
    dated = replace(TEN_PERCENT, valid_from=NOW, valid_until=NOW + timedelta(seconds=1))
    assert isinstance(decide(dated), Offer)
    assert codes(decide(dated, now=NOW + timedelta(seconds=1))) == ["expired"]
    assert codes(decide(dated, now=NOW - timedelta(microseconds=1))) == ["not_yet_valid"]


@pytest.mark.parametrize(
    ("hours", "weekdays", "minutes_later", "counts"),
    [
        (Hours(600, 720), None, 0, True),
        (Hours(601, 720), None, 0, False),
        (Hours(540, 600), None, 0, False),
        (None, {2}, 0, True),
        (None, {3}, 0, False),
        # From 22:00 to 02:00, on Tuesdays: until two o'clock on Wednesday, but not on Tuesday morning.
        (Hours(1320, 120), {2}, 12 * 60, True),
        (Hours(1320, 120), {2}, 15 * 60 + 59, True),
        (Hours(1320, 120), {2}, 16 * 60, False),
        (Hours(1320, 120), {2}, -9 * 60, False),
    ],
)
def test_hours_and_weekdays_go_by_the_organizations_clock(
    hours: Hours | None, weekdays: set[int] | None, minutes_later: int, counts: bool
) -> None:
    coupon = replace(TEN_PERCENT, hours=hours, weekdays=frozenset(weekdays) if weekdays else None)
    decision = decide(coupon, now=NOW + timedelta(minutes=minutes_later))
    assert isinstance(decision, Offer) == counts
    if not counts:
        assert codes(decision) == ["outside_hours"]


def test_hours_follow_the_clocks_when_they_change() -> None:
    coupon = replace(TEN_PERCENT, hours=Hours(540, 600))
    for day, utc_hour in ((datetime(2026, 3, 28, tzinfo=UTC), 8), (datetime(2026, 3, 29, tzinfo=UTC), 7)):
        at = day + timedelta(hours=utc_hour)
        decided = judge(coupon, BASKET, Facts(), at, currency="EUR", time_zone="Europe/Berlin", code="X")
        assert isinstance(decided, Offer)


def test_grants_run_out_and_unique_codes_belong_to_somebody() -> None:
    granted = replace(TEN_PERCENT, grants_only=True)
    assert isinstance(decide(granted, grant=Grant(NOW + timedelta(seconds=1))), Offer)
    assert isinstance(decide(granted, grant=Grant()), Offer)
    assert codes(decide(granted, grant=Grant(NOW))) == ["grant_expired"]
    assert codes(decide(granted)) == ["not_granted"]
    assert isinstance(decide(granted, is_unique=True, unique_of="c-1"), Offer)
    assert codes(decide(granted, is_unique=True, unique_of="c-2")) == ["not_granted"]
    assert codes(decide(granted, is_unique=True, unique_until=NOW)) == ["grant_expired"]
    assert codes(decide(TEN_PERCENT, is_unique=True, unique_uses=1)) == ["limit_total"]


def test_exposure_is_uses_left_times_the_largest_discount() -> None:
    fixed = Coupon("X", "fixed", 500, limit_total=10)
    open_to_all: dict[str, Any] = {"redemptions": 0, "can_end": False, "uses_left": None}
    assert exposure(fixed, **open_to_all | {"redemptions": 4}) == 3_000
    assert exposure(fixed, **open_to_all | {"redemptions": 12}) == 0
    assert exposure(TEN_PERCENT, **open_to_all) == UNBOUNDED
    assert exposure(replace(TEN_PERCENT, limit_total=10), **open_to_all) == UNBOUNDED
    assert exposure(replace(TEN_PERCENT, limit_total=10, maximum_discount=300), **open_to_all) == 3_000
    granted = replace(fixed, limit_total=None, limit_per_customer=2, grants_only=True)
    assert exposure(granted, **open_to_all | {"uses_left": 6}) == 3_000
    assert exposure(granted, **open_to_all | {"can_end": True}) == 0
