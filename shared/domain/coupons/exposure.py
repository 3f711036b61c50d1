"""What a coupon can still cost: uses left times the largest discount of one use."""

from __future__ import annotations

from typing import Final, Literal

from shared.domain.coupons.rules import Coupon

Exposure = int | Literal["unbounded"]
"""In minor units."""
UNBOUNDED: Final = "unbounded"


def exposure(coupon: Coupon, *, redemptions: int, can_end: bool, uses_left: int | None) -> Exposure:
    """In minor units, or "unbounded".

    `can_end` tells that it is archived or over. `uses_left` are those that its grants and unused unique codes leave,
    where only these can use it and each only so often; else None.
    """
    if can_end:
        return 0
    left = [] if coupon.limit_total is None else [max(0, coupon.limit_total - redemptions)]
    if uses_left is not None:
        left.append(uses_left)
    if left and min(left) == 0:
        return 0
    largest = largest_discount(coupon)
    return UNBOUNDED if largest is None or not left else min(left) * largest


def uses_of_recipients(coupon: Coupon, recipients: int, *, unique_codes: bool, grants: bool) -> int | None:
    """How often those who get it by mail can use it at most; None where the mail does not bound that: anybody who hears
    of a shared code without grants can use it, and one without a limit per customer any number of times.
    """
    if unique_codes:
        return recipients
    if grants and coupon.limit_per_customer is not None:
        return recipients * coupon.limit_per_customer
    return None


def largest_discount(coupon: Coupon) -> int | None:
    """Of one use, in minor units; None where only the basket bounds it."""
    return coupon.value if coupon.type == "fixed" else coupon.maximum_discount
