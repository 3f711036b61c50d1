"""Why a coupon does not count, each with a sentence that a cashier can read out."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class ReasonCode(StrEnum):
    """Stable names; tills choose by them what to show."""

    UNKNOWN_CODE = "unknown_code"
    PAUSED = "paused"
    ARCHIVED = "archived"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    OUTSIDE_HOURS = "outside_hours"
    MINIMUM_PURCHASE = "minimum_purchase"
    NO_MATCHING_PRODUCTS = "no_matching_products"
    STORE = "store"
    SEGMENT = "segment"
    FIRST_PURCHASE_ONLY = "first_purchase_only"
    NOT_GRANTED = "not_granted"
    GRANT_EXPIRED = "grant_expired"
    CUSTOMER_REQUIRED = "customer_required"
    LIMIT_PER_CUSTOMER = "limit_per_customer"
    LIMIT_TOTAL = "limit_total"
    SALE_GIVEN_BACK = "sale_given_back"
    RELEASED = "released"


class Reason(NamedTuple):
    """A code, and what to tell the customer."""

    code: ReasonCode
    message: str
