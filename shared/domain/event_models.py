"""The authority on what an event may hold: strict pydantic models, from which `schemas/events` is generated.

What a model does not name is tolerated and ignored: CloudEvents extensions, newer tills.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

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


class Envelope(Part):
    """CloudEvents 1.0, structured mode; `(source, id)` is the identity of an event."""

    specversion: Annotated[Literal["1.0"], Field(description='"1.0"')]
    id: EventIdentity
    source: EventIdentity
    time: Instant


class SaleCompleted(Envelope):
    """A sale was paid. `total` is what was paid: the lines' totals less `discount`, unless `lines` is empty."""

    type: Literal["sale.completed"]
    data: SaleCompletedData


class SaleRefunded(Envelope):
    """All or part of a sale was given back."""

    type: Literal["sale.refunded"]
    data: SaleRefundedData


class SaleVoided(Envelope):
    """A sale did not happen after all."""

    type: Literal["sale.voided"]
    data: SaleVoidedData


class CouponRedeemed(Envelope):
    """A coupon was used in a sale; an offline till tells it later."""

    type: Literal["coupon.redeemed"]
    data: CouponRedeemedData


class CouponRedemptionReversed(Envelope):
    """A coupon's use was given back."""

    type: Literal["coupon.redemption_reversed"]
    data: CouponRedemptionReversedData


class CustomerUpserted(Envelope):
    """A customer's profile, whole or in part; the newest `time` wins for each field."""

    type: Literal["customer.upserted"]
    data: CustomerUpsertedData


class CustomerConsentChanged(Envelope):
    """A customer allowed or forbade marketing, with the evidence."""

    type: Literal["customer.consent_changed"]
    data: CustomerConsentChangedData


class CustomerMerged(Envelope):
    """Two ids were one person: `customer_id` becomes part of `into_customer_id`."""

    type: Literal["customer.merged"]
    data: CustomerMergedData


class CustomerErased(Envelope):
    """A customer's personal data must go everywhere."""

    type: Literal["customer.erased"]
    data: CustomerErasedData


class SegmentEntered(Envelope):
    """A customer became a member of a segment."""

    type: Literal["segment.entered"]
    data: SegmentChangeData


class SegmentLeft(Envelope):
    """A customer ceased to be a member of a segment."""

    type: Literal["segment.left"]
    data: SegmentChangeData


class MailSent(Envelope):
    """The provider took a mail."""

    type: Literal["mail.sent"]
    data: MailData


class MailDelivered(Envelope):
    """The recipient's server took a mail."""

    type: Literal["mail.delivered"]
    data: MailData


class MailOpened(Envelope):
    """A mail was opened, by a person or by a machine."""

    type: Literal["mail.opened"]
    data: MailOpenedData


class MailClicked(Envelope):
    """A link in a mail was followed, by a person or by a machine."""

    type: Literal["mail.clicked"]
    data: MailClickedData


class MailBounced(Envelope):
    """A mail came back."""

    type: Literal["mail.bounced"]
    data: MailData


class MailComplained(Envelope):
    """A recipient called a mail spam."""

    type: Literal["mail.complained"]
    data: MailData


class MailUnsubscribed(Envelope):
    """A recipient unsubscribed through a mail."""

    type: Literal["mail.unsubscribed"]
    data: MailData


MODELS: dict[str, type[Envelope]] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in Envelope.__subclasses__()
}
