"""Whether a coupon counts for a basket: the discount and the lines it covers, or every reason why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from shared.domain.coupons.basket import Basket, covered, discount_of, spread
from shared.domain.coupons.codes import hint
from shared.domain.coupons.facts import Facts
from shared.domain.coupons.reasons import Reason, ReasonCode
from shared.domain.coupons.rules import Coupon, is_open, when
from shared.domain.money import format_money

MOST_NAMED: Final = 3  # products or categories that a cashier would read out


@dataclass(frozen=True, slots=True)
class Offer:
    """What comes off, in minor units; `lines` are (index, discount) and add up to it, empty for a basket without."""

    discount: int
    lines: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Every reason that applies, in the order in which a cashier would look."""

    reasons: tuple[Reason, ...]


def judge(
    coupon: Coupon | None, basket: Basket, facts: Facts, now: datetime, *, currency: str, time_zone: str, code: str
) -> Offer | Refused:
    """Decide at `now`. `code` is what was typed; the organization's `currency` and `time_zone` are for the sentences,
    dates and hours.
    """
    if coupon is None or (coupon.unique_only and not facts.is_unique):
        sentence = f"There is no coupon {code}. {hint(code)}" if code else "No code was read. Please read it again."
        return Refused((Reason(ReasonCode.UNKNOWN_CODE, sentence),))
    base, lines = _base(coupon, basket)
    reasons = (
        *_by_state(coupon),
        *_by_time(coupon, now, time_zone),
        *_by_basket(coupon, basket, base, currency),
        *_by_customer(coupon, basket, facts, now, time_zone),
        *by_limits(coupon, facts, basket.customer_id),
    )
    if reasons:
        return Refused(reasons)
    discount = discount_of(coupon, base)
    shares = spread(discount, [basket.lines[index].total for index in lines])
    return Offer(discount, tuple(zip(lines, shares, strict=True)))


def by_limits(coupon: Coupon, facts: Facts, customer_id: str | None) -> Iterator[Reason]:
    """The limits alone: what a hold that ran out is asked again."""
    if (
        coupon.limit_per_customer is not None
        and customer_id is not None
        and facts.uses_by_customer >= coupon.limit_per_customer
    ):
        times = "once" if coupon.limit_per_customer == 1 else f"{coupon.limit_per_customer:,} times"
        yield Reason(ReasonCode.LIMIT_PER_CUSTOMER, f"Each customer can use this coupon {times}, and this one has.")
    if facts.is_unique and facts.unique_uses:
        yield Reason(ReasonCode.LIMIT_TOTAL, "This code is for one use, and it has been used.")
    elif coupon.limit_total is not None and facts.uses_total >= coupon.limit_total:
        yield Reason(ReasonCode.LIMIT_TOTAL, "This coupon has been used as often as it can be: it is used up.")


def _base(coupon: Coupon, basket: Basket) -> tuple[int, list[int]]:
    """How much of the basket the coupon looks at, and by which lines."""
    lines = covered(coupon, basket)
    if not basket.lines:
        return (0 if coupon.is_product_bound else basket.total), lines
    return min(sum(basket.lines[index].total for index in lines), basket.total), lines


def _by_state(coupon: Coupon) -> Iterator[Reason]:
    if coupon.state == "paused":
        yield Reason(ReasonCode.PAUSED, "This coupon is paused for now.")
    if coupon.state == "archived":
        yield Reason(ReasonCode.ARCHIVED, "This coupon is not offered any more.")


def _by_time(coupon: Coupon, now: datetime, time_zone: str) -> Iterator[Reason]:
    if coupon.valid_from is not None and now < coupon.valid_from:
        yield Reason(ReasonCode.NOT_YET_VALID, f"This coupon begins to count on {_day(coupon.valid_from, time_zone)}.")
    if coupon.valid_until is not None and now >= coupon.valid_until:
        yield Reason(ReasonCode.EXPIRED, f"This coupon ended on {_day(coupon.valid_until, time_zone)}.")
    if not is_open(coupon, now, time_zone):
        yield Reason(ReasonCode.OUTSIDE_HOURS, f"This coupon counts only: {when(coupon)}.")


def _by_basket(coupon: Coupon, basket: Basket, base: int, currency: str) -> Iterator[Reason]:
    if coupon.minimum_purchase is not None and basket.total < coupon.minimum_purchase:
        least, missing = coupon.minimum_purchase, coupon.minimum_purchase - basket.total
        yield Reason(
            ReasonCode.MINIMUM_PURCHASE,
            f"This coupon needs a purchase of at least {format_money(least, currency)}; "
            f"{format_money(missing, currency)} more and it counts.",
        )
    if coupon.is_product_bound and base == 0:
        yield Reason(ReasonCode.NO_MATCHING_PRODUCTS, _no_match(coupon, basket))
    if coupon.stores and basket.store_id not in coupon.stores:
        yield Reason(
            ReasonCode.STORE,
            "This coupon does not count in this store."
            if basket.store_id
            else "This coupon counts in certain stores only, and the till did not say in which one it stands.",
        )


def _no_match(coupon: Coupon, basket: Basket) -> str:
    if not basket.lines:
        return "This coupon is for certain products, and the till did not say what is in the basket."
    named = sorted(coupon.include_categories) + sorted(coupon.include_products)
    what = ", ".join(named[:MOST_NAMED]) + (" and more" if len(named) > MOST_NAMED else "")
    return f"Nothing in the basket is what this coupon is for{f': {what}' if what else ''}."


def _by_customer(coupon: Coupon, basket: Basket, facts: Facts, now: datetime, time_zone: str) -> Iterator[Reason]:
    if facts.is_given_back:
        yield Reason(
            ReasonCode.SALE_GIVEN_BACK, "This sale gave the coupon back already. Begin a new sale to use it again."
        )
    if facts.is_unique and facts.unique_until is not None and now >= facts.unique_until:
        yield Reason(ReasonCode.GRANT_EXPIRED, f"This code ended on {_day(facts.unique_until, time_zone)}.")
    if basket.customer_id is None:
        if coupon.needs_customer or facts.unique_of is not None:
            yield Reason(
                ReasonCode.CUSTOMER_REQUIRED, "This coupon is personal: ask who the customer is before using it."
            )
        return
    if facts.unique_of is not None and facts.unique_of != basket.customer_id:
        yield Reason(ReasonCode.NOT_GRANTED, "This code belongs to another customer.")
    if coupon.segment_id is not None and not facts.is_in_segment:
        yield Reason(ReasonCode.SEGMENT, "This coupon is for a group of customers that this one is not in.")
    # A use in another sale is a purchase too, even if that sale is still on its way.
    if coupon.first_purchase_only and (facts.visit_count or facts.uses_by_customer):
        yield Reason(ReasonCode.FIRST_PURCHASE_ONLY, "This coupon is for a customer's first purchase.")
    if coupon.grants_only and not facts.is_unique and facts.grant is None:
        yield Reason(ReasonCode.NOT_GRANTED, "This coupon was not given to this customer.")
    until = facts.grant.expires_at if facts.grant is not None else None
    if coupon.grants_only and not facts.is_unique and until is not None and now >= until:
        yield Reason(ReasonCode.GRANT_EXPIRED, f"This customer could use the coupon until {_day(until, time_zone)}.")


def _day(instant: datetime, time_zone: str) -> str:
    return f"{instant.astimezone(ZoneInfo(time_zone)):%d %B %Y, %H:%M}"
