"""What the `data` of each event may hold; `event_models` puts it into envelopes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

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
    Flag,
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
    RegisteredAt,
    Tags,
    TimeZone,
    VerifiedEmail,
)


class Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class Line(Part):
    """One line of a receipt."""

    product_id: Identifier
    category: Identifier | None = None
    quantity: Quantity
    unit_price: Money | None = None
    total: Money


Lines = Annotated[list[Line], Field(max_length=MAX_LINES, description="a list of up to 2,000 lines")]
CouponCodes = Annotated[list[CouponCode], Field(max_length=100, description="a list of up to 100 coupon codes")]


class TillData(Part):
    """What every event of a till says about where it comes from."""

    organization_id: OrganizationId
    store_id: Identifier | None = None
    terminal_id: Identifier | None = None


class SaleCompletedData(TillData):
    store_id: Identifier
    sale_id: Identifier
    customer_id: CustomerId | None = None
    currency: Currency
    total: Money
    discount: Money = 0
    coupon_codes: CouponCodes = []
    lines: Lines = []


class SaleRefundedData(TillData):
    refund_id: Identifier
    sale_id: Identifier
    customer_id: CustomerId | None = None
    currency: Currency | None = None
    total: Money
    lines: Lines = []


class SaleVoidedData(TillData):
    sale_id: Identifier
    customer_id: CustomerId | None = None


class CouponRedeemedData(TillData):
    coupon_code: CouponCode
    sale_id: Identifier
    customer_id: CustomerId | None = None
    currency: Currency | None = None
    discount: Money


class CouponRedemptionReversedData(TillData):
    coupon_code: CouponCode
    sale_id: Identifier
    customer_id: CustomerId | None = None


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class CustomerUpsertedData(TillData):
    """What is absent stays, null clears."""

    # Absent is not null here, so the schema must not call null the default.
    model_config = ConfigDict(json_schema_extra=_without_defaults)

    customer_id: CustomerId
    name: Name | None = None
    email: Email | None = None
    email_verified: Flag | None = None
    verified_email: VerifiedEmail | None = None
    phone: Phone | None = None
    birthday: CalendarDay | None = None
    anniversary: CalendarDay | None = None
    tags: Tags | None = None
    preferred_contact_time: ContactTime | None = None
    email_frequency: EmailFrequency | None = None
    time_zone: TimeZone | None = None
    locale: Locale | None = None
    registered_at: RegisteredAt | None = None


class CustomerConsentChangedData(TillData):
    customer_id: CustomerId
    marketing_consent: Flag
    where: FreeText | None = None
    wording: FreeText | None = None


class CustomerMergedData(TillData):
    customer_id: CustomerId
    into_customer_id: CustomerId


class CustomerErasedData(TillData):
    customer_id: CustomerId


class SegmentChangeData(Part):
    """One real change of one membership; `at` is the instant from which it holds."""

    organization_id: OrganizationId
    customer_id: CustomerId
    segment_id: Identifier
    segment_name: Name
    cause: Cause
    at: Instant


class MailData(Part):
    """`message_id` is ours, `email_id` the provider's (SMTP gives none)."""

    organization_id: OrganizationId
    message_id: Identifier
    campaign_id: Identifier
    customer_id: CustomerId
    email_id: EventIdentity | None = None


class MailOpenedData(MailData):
    machine: Flag = False


class MailClickedData(MailOpenedData):
    link: Link
