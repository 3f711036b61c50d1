"""The `data` of events as the services hold it, in frozen msgspec structs; `event_types` puts it into envelopes.

They mirror `event_data`; a property test holds the two to the same verdicts. No struct can be part of a cycle, so the
garbage collector tracks none (`gc=False`).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from shared.domain.event_fields import (
    MAX_LINES,
    CalendarDay,
    Cause,
    ContactTime,
    CouponCode,
    Currency,
    CustomerId,
    Email,
    EmailFrequency,
    EventIdentity,
    FreeText,
    Identifier,
    Instant,
    Link,
    Locale,
    Money,
    Name,
    OrganizationId,
    Phone,
    Quantity,
    Tags,
    TimeZone,
)


class Line(Struct, frozen=True, gc=False, kw_only=True):
    """One line of a receipt."""

    product_id: Identifier
    category: Identifier | None = None
    quantity: Quantity
    unit_price: Money | None = None
    total: Money


Lines = Annotated[list[Line], Meta(max_length=MAX_LINES)]
CouponCodes = Annotated[list[CouponCode], Meta(max_length=100)]


class TillData(Struct, frozen=True, gc=False, kw_only=True):
    """What every event of a till says about where it comes from."""

    organization_id: OrganizationId
    store_id: Identifier | None = None
    terminal_id: Identifier | None = None


class SaleCompletedData(TillData, frozen=True, gc=False, kw_only=True):
    store_id: Identifier
    sale_id: Identifier
    customer_id: CustomerId | None = None
    currency: Currency
    total: Money
    discount: Money = 0
    coupon_codes: CouponCodes = []
    lines: Lines = []


class SaleRefundedData(TillData, frozen=True, gc=False, kw_only=True):
    refund_id: Identifier
    sale_id: Identifier
    customer_id: CustomerId | None = None
    currency: Currency | None = None
    total: Money
    lines: Lines = []


class SaleVoidedData(TillData, frozen=True, gc=False, kw_only=True):
    sale_id: Identifier
    customer_id: CustomerId | None = None


class CouponRedeemedData(TillData, frozen=True, gc=False, kw_only=True):
    coupon_code: CouponCode
    sale_id: Identifier
    customer_id: CustomerId | None = None
    currency: Currency | None = None
    discount: Money


class CouponRedemptionReversedData(TillData, frozen=True, gc=False, kw_only=True):
    coupon_code: CouponCode
    sale_id: Identifier
    customer_id: CustomerId | None = None


class CustomerUpsertedData(TillData, frozen=True, gc=False, kw_only=True):
    """UNSET stays as it was, None clears."""

    customer_id: CustomerId
    name: Name | UnsetType | None = UNSET
    email: Email | UnsetType | None = UNSET
    email_verified: bool | UnsetType | None = UNSET
    verified_email: Email | UnsetType | None = UNSET
    phone: Phone | UnsetType | None = UNSET
    birthday: CalendarDay | UnsetType | None = UNSET
    anniversary: CalendarDay | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    preferred_contact_time: ContactTime | UnsetType | None = UNSET
    email_frequency: EmailFrequency | UnsetType | None = UNSET
    time_zone: TimeZone | UnsetType | None = UNSET
    locale: Locale | UnsetType | None = UNSET
    registered_at: Instant | UnsetType | None = UNSET


class CustomerConsentChangedData(TillData, frozen=True, gc=False, kw_only=True):
    customer_id: CustomerId
    marketing_consent: bool
    where: FreeText | None = None
    wording: FreeText | None = None


class CustomerMergedData(TillData, frozen=True, gc=False, kw_only=True):
    customer_id: CustomerId
    into_customer_id: CustomerId


class CustomerErasedData(TillData, frozen=True, gc=False, kw_only=True):
    customer_id: CustomerId


class SegmentChangeData(Struct, frozen=True, gc=False, kw_only=True):
    """One real change of one membership; `at` is the instant from which it holds."""

    organization_id: OrganizationId
    customer_id: CustomerId
    segment_id: Identifier
    segment_name: Name
    cause: Cause
    at: Instant


class MailData(Struct, frozen=True, gc=False, kw_only=True):
    """`message_id` is ours, `email_id` the provider's (SMTP gives none)."""

    organization_id: OrganizationId
    message_id: Identifier
    campaign_id: Identifier
    customer_id: CustomerId
    email_id: EventIdentity | None = None


class MailOpenedData(MailData, frozen=True, gc=False, kw_only=True):
    machine: bool = False


class MailClickedData(MailOpenedData, frozen=True, gc=False, kw_only=True):
    link: Link
