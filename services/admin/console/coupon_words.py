"""Coupons in words."""

from __future__ import annotations

from typing import Final

from services.admin.coupon_models import Coupon
from shared.domain.coupons.rules import WEEKDAYS
from shared.domain.money import format_money

WORKING_DAYS: Final = WEEKDAYS[:5]
WEEKEND: Final = WEEKDAYS[5:]


def value(coupon: Coupon, currency: str) -> str:
    """Such as "10% off, up to ₹500.00"."""
    if coupon.type == "fixed":
        return f"{format_money(int(coupon.value), currency)} off"
    most = coupon.maximum_discount
    return f"{coupon.value:g}% off" + (f", up to {format_money(most, currency)}" if most is not None else "")


def weekdays(coupon: Coupon) -> str:
    """On which it counts."""
    days = tuple(coupon.valid_weekdays or ())
    if not days or len(days) == len(WEEKDAYS):
        return "every day"
    if days == WORKING_DAYS:
        return "Monday to Friday"
    if days == WEEKEND:
        return "Saturday and Sunday"
    return ", ".join(day.capitalize() for day in days)


def uses(coupon: Coupon) -> str:
    """Such as "12 of 50"."""
    return f"{coupon.redemptions:,} of {coupon.limit_total:,}" if coupon.limit_total else f"{coupon.redemptions:,}"
