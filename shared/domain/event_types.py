"""Events as the services hold them: envelopes of `event_structs`, and what they are called together.

They mirror `event_models`; a property test holds the two to the same verdicts.
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from msgspec import Struct

from shared.domain.event_fields import EventIdentity, Instant
from shared.domain.event_structs import (
    CouponRedeemedData,
    CouponRedemptionReversedData,
    CustomerConsentChangedData,
    CustomerErasedData,
    CustomerMergedData,
    CustomerUpsertedData,
    MailClickedData,
    MailData,
    MailOpenedData,
    SaleCompletedData,
    SaleRefundedData,
    SaleVoidedData,
    SegmentChangeData,
)


class Envelope(Struct, frozen=True, gc=False, kw_only=True, tag_field="type"):
    """CloudEvents 1.0; `(source, id)` is the identity of an event."""

    specversion: Literal["1.0"]
    id: EventIdentity
    source: EventIdentity
    time: Instant

    type: ClassVar[str]
    """Such as "sale.completed"."""


class SaleCompleted(Envelope, frozen=True, gc=False, kw_only=True, tag="sale.completed"):
    data: SaleCompletedData


class SaleRefunded(Envelope, frozen=True, gc=False, kw_only=True, tag="sale.refunded"):
    data: SaleRefundedData


class SaleVoided(Envelope, frozen=True, gc=False, kw_only=True, tag="sale.voided"):
    data: SaleVoidedData


class CouponRedeemed(Envelope, frozen=True, gc=False, kw_only=True, tag="coupon.redeemed"):
    data: CouponRedeemedData


class CouponRedemptionReversed(Envelope, frozen=True, gc=False, kw_only=True, tag="coupon.redemption_reversed"):
    data: CouponRedemptionReversedData


class CustomerUpserted(Envelope, frozen=True, gc=False, kw_only=True, tag="customer.upserted"):
    data: CustomerUpsertedData


class CustomerConsentChanged(Envelope, frozen=True, gc=False, kw_only=True, tag="customer.consent_changed"):
    data: CustomerConsentChangedData


class CustomerMerged(Envelope, frozen=True, gc=False, kw_only=True, tag="customer.merged"):
    data: CustomerMergedData


class CustomerErased(Envelope, frozen=True, gc=False, kw_only=True, tag="customer.erased"):
    data: CustomerErasedData


class SegmentEntered(Envelope, frozen=True, gc=False, kw_only=True, tag="segment.entered"):
    data: SegmentChangeData


class SegmentLeft(Envelope, frozen=True, gc=False, kw_only=True, tag="segment.left"):
    data: SegmentChangeData


class MailSent(Envelope, frozen=True, gc=False, kw_only=True, tag="mail.sent"):
    data: MailData


class MailDelivered(Envelope, frozen=True, gc=False, kw_only=True, tag="mail.delivered"):
    data: MailData


class MailOpened(Envelope, frozen=True, gc=False, kw_only=True, tag="mail.opened"):
    data: MailOpenedData


class MailClicked(Envelope, frozen=True, gc=False, kw_only=True, tag="mail.clicked"):
    data: MailClickedData


class MailBounced(Envelope, frozen=True, gc=False, kw_only=True, tag="mail.bounced"):
    data: MailData


class MailComplained(Envelope, frozen=True, gc=False, kw_only=True, tag="mail.complained"):
    data: MailData


class MailUnsubscribed(Envelope, frozen=True, gc=False, kw_only=True, tag="mail.unsubscribed"):
    data: MailData


SaleEvent = SaleCompleted | SaleRefunded | SaleVoided
CouponEvent = CouponRedeemed | CouponRedemptionReversed
CustomerEvent = CustomerUpserted | CustomerConsentChanged | CustomerMerged | CustomerErased
TillEvent = SaleEvent | CouponEvent | CustomerEvent
SegmentEvent = SegmentEntered | SegmentLeft
MailEvent = MailSent | MailDelivered | MailOpened | MailClicked | MailBounced | MailComplained | MailUnsubscribed
Event = TillEvent | SegmentEvent | MailEvent

for _struct in get_args(Event):
    _struct.type = str(_struct.__struct_config__.tag)
