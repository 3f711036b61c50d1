"""What a coupon can still cost: uses left times the largest discount of one use."""

from __future__ import annotations

from shared.domain.coupons.rules import Coupon

UNBOUNDED = "unbounded"


def exposure(coupon: Coupon, *, redemptions: int, can_end: bool, recipients: int | None) -> int | str:
    """In minor units, or "unbounded".

    `can_end` tells that it is archived or over. `recipients` are the customers it was granted to or the unused unique
    codes, where only these can use it; each uses it as often as a customer may.
    """
    if can_end:
        return 0
    left = [] if coupon.limit_total is None else [max(0, coupon.limit_total - redemptions)]
    if recipients is not None:
        if coupon.unique_only:
            left.append(recipients)
        elif coupon.limit_per_customer is not None:
            left.append(recipients * coupon.limit_per_customer)
    if left and min(left) == 0:
        return 0
    largest = largest_discount(coupon)
    return UNBOUNDED if largest is None or not left else min(left) * largest


def largest_discount(coupon: Coupon) -> int | None:
    """Of one use, in minor units; None where only the basket bounds it."""
    return coupon.value if coupon.type == "fixed" else coupon.maximum_discount
