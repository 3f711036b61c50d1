"""Coupons as decisions without I/O: what a basket gets off by which coupon, or every reason why it does not."""

from shared.domain.coupons.basket import Basket, Line
from shared.domain.coupons.decision import Offer, Refused, judge
from shared.domain.coupons.exposure import UNBOUNDED, exposure
from shared.domain.coupons.facts import Facts, Grant
from shared.domain.coupons.reasons import Reason, ReasonCode
from shared.domain.coupons.rules import Coupon, Hours

__all__ = [
    "UNBOUNDED",
    "Basket",
    "Coupon",
    "Facts",
    "Grant",
    "Hours",
    "Line",
    "Offer",
    "Reason",
    "ReasonCode",
    "Refused",
    "exposure",
    "judge",
]
