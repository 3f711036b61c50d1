"""What a customer is about to pay, and how much of it a coupon takes off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.coupons.rules import Coupon

WHOLE = 10_000  # 100 % in hundredths of a percent


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the basket; `total` in minor units."""

    total: int
    product_id: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Basket:
    """A basket before the coupon; `total` in minor units. Without lines only the total is known."""

    sale_id: str
    total: int
    lines: tuple[Line, ...] = ()
    customer_id: str | None = None
    store_id: str | None = None


def covered(coupon: Coupon, basket: Basket) -> list[int]:
    """The indexes of the lines that the coupon takes something off."""
    return [
        index
        for index, line in enumerate(basket.lines)
        if line.total > 0 and coupon.covers(line.product_id, line.category)
    ]


def discount_of(coupon: Coupon, base: int) -> int:
    """What it takes off `base`, in minor units: rounded half up, within its cap, never more than `base`."""
    discount = coupon.value if coupon.type == "fixed" else (base * coupon.value + WHOLE // 2) // WHOLE
    if coupon.maximum_discount is not None:
        discount = min(discount, coupon.maximum_discount)
    return min(discount, base)


def spread(discount: int, totals: Sequence[int]) -> list[int]:
    """`discount` over lines in proportion to their `totals`, adding up to the minor unit.

    By largest remainder; of equal ones the earlier line. `discount` is at most the sum of the totals, and so is each
    share of its line.
    """
    whole = sum(totals)
    if not whole:
        return [0] * len(totals)
    shares = [discount * total // whole for total in totals]
    by_remainder = sorted(range(len(totals)), key=lambda index: (-(discount * totals[index] % whole), index))
    for index in by_remainder[: discount - sum(shares)]:
        shares[index] += 1
    return shares
