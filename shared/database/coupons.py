"""A coupon's row as the rules it stands for."""

from __future__ import annotations

from typing import Any

from shared.domain.coupons import Coupon, Hours


def coupon_of(row: Any) -> Coupon:
    """The rules of a row of `coupon`, whose columns are attributes."""
    hours = Hours(row.hours_from, row.hours_until) if row.hours_from is not None else None
    return Coupon(
        code=row.code,
        type=row.type,
        value=row.value,
        state=row.state,
        minimum_purchase=row.minimum_purchase,
        maximum_discount=row.maximum_discount,
        limit_per_customer=row.limit_per_customer,
        limit_total=row.limit_total,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        hours=hours,
        weekdays=frozenset(row.weekdays) if row.weekdays is not None else None,
        include_products=frozenset(row.include_products),
        include_categories=frozenset(row.include_categories),
        exclude_products=frozenset(row.exclude_products),
        exclude_categories=frozenset(row.exclude_categories),
        stores=frozenset(row.stores),
        segment_id=row.segment_id,
        first_purchase_only=row.first_purchase_only,
        grants_only=row.grants_only,
        unique_only=row.unique_only,
    )
