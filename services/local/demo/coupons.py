"""Coupons at the tills of the demo."""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain.event_structs import CouponRedeemedData
from shared.domain.events import CouponRedeemed, SaleCompleted


def redeemed(sale: SaleCompleted) -> Iterator[CouponRedeemed]:
    """What the till tells of the coupons of a sale; each took off an equal share."""
    codes = sale.data.coupon_codes
    for number, code in enumerate(codes):
        share, rest = divmod(sale.data.discount, len(codes))
        yield CouponRedeemed(
            specversion="1.0",
            id=f"{sale.id}-{code}",
            source=sale.source,
            time=sale.time,
            data=CouponRedeemedData(
                organization_id=sale.data.organization_id,
                store_id=sale.data.store_id,
                terminal_id=sale.data.terminal_id,
                coupon_code=code,
                sale_id=sale.data.sale_id,
                customer_id=sale.data.customer_id,
                currency=sale.data.currency,
                discount=share + (number < rest),
            ),
        )
