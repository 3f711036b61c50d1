"""The rules of a coupon, and when its hours and dates let it count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Hours:
    """A span of every day, in minutes after midnight; over midnight where it ends before it begins."""

    begin: int
    end: int

    def __str__(self) -> str:
        return f"{_clock(self.begin)}-{_clock(self.end)}"


@dataclass(frozen=True, slots=True)
class Coupon:
    """What a coupon takes off, from what, for whom and when. Money in minor units.

    `value` is hundredths of a percent for type percentage (1250 is 12.5 %), minor units for type fixed. Empty
    collections and None do not restrict.
    """

    code: str
    type: str
    value: int
    state: str = "active"
    minimum_purchase: int | None = None
    maximum_discount: int | None = None
    limit_per_customer: int | None = None
    limit_total: int | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    hours: Hours | None = None
    weekdays: frozenset[int] | None = None
    include_products: frozenset[str] = frozenset()
    include_categories: frozenset[str] = frozenset()
    exclude_products: frozenset[str] = frozenset()
    exclude_categories: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    segment_id: str | None = None
    first_purchase_only: bool = False
    grants_only: bool = False
    unique_only: bool = False

    @property
    def is_product_bound(self) -> bool:
        """Whether it matters what is in the basket."""
        return bool(
            self.include_products or self.include_categories or self.exclude_products or self.exclude_categories
        )

    @property
    def needs_customer(self) -> bool:
        """Whether it can only be decided for a known customer."""
        return (
            self.limit_per_customer is not None
            or self.segment_id is not None
            or self.first_purchase_only
            or self.grants_only
        )

    def covers(self, product_id: str | None, category: str | None) -> bool:
        """Whether it takes something off such a line. Exclusion beats inclusion."""
        if product_id in self.exclude_products or category in self.exclude_categories:
            return False
        if not self.include_products and not self.include_categories:
            return True
        return product_id in self.include_products or category in self.include_categories


def is_open(coupon: Coupon, now: datetime, time_zone: str) -> bool:
    """Whether its weekdays and hours, by the clock of `time_zone`, let it count at `now`.

    What goes over midnight belongs to the day on which it began.
    """
    local = now.astimezone(ZoneInfo(time_zone))
    minute, today = local.hour * 60 + local.minute, local.isoweekday()
    hours = coupon.hours
    if hours is None:
        return _on(coupon, today)
    if hours.begin < hours.end:
        return hours.begin <= minute < hours.end and _on(coupon, today)
    yesterday = (local - timedelta(days=1)).isoweekday()
    return (minute >= hours.begin and _on(coupon, today)) or (minute < hours.end and _on(coupon, yesterday))


def when(coupon: Coupon) -> str:
    """Its hours and weekdays for people: "Monday, Friday 09:00-12:00"."""
    days = ", ".join(WEEKDAYS[day - 1].capitalize() for day in sorted(coupon.weekdays)) if coupon.weekdays else ""
    return " ".join(part for part in (days, str(coupon.hours) if coupon.hours else "") if part)


def _on(coupon: Coupon, day: int) -> bool:
    return coupon.weekdays is None or day in coupon.weekdays


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
