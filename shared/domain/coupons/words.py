"""What a coupon is worth and how long it lasts, as a customer reads it in a mail."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from shared.domain.coupons.rules import Coupon
from shared.domain.money import format_money


def discount_in_words(coupon: Coupon, currency: str) -> str:
    """12.5% or ₹500.00."""
    if coupon.type == "fixed":
        return format_money(coupon.value, currency)
    whole, part = divmod(coupon.value, 100)
    return f"{whole}.{part:02d}".rstrip("0").rstrip(".") + "%"


def expiry_in_words(expires_at: datetime | None, time_zone: str) -> str:
    """26 December 2026, 14:05; at midnight the day before, which is the last one on which it counts. Empty for never.

    `expires_at` is the first instant at which the coupon does not count.
    """
    if expires_at is None:
        return ""
    local = expires_at.astimezone(ZoneInfo(time_zone))
    if (local.hour, local.minute) != (0, 0):
        return f"{local.day} {local:%B %Y, %H:%M}"
    last = local - timedelta(days=1)
    return f"{last.day} {last:%B %Y}"


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """Of two ends; None is no end."""
    return min((at for at in (one, other) if at is not None), default=None)
