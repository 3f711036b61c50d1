"""The authority on what an event may hold: strict pydantic models, from which `schemas/events` is generated.

What a model does not name is tolerated and ignored: CloudEvents extensions, newer tills.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from shared.domain.event_data import (
    CouponRedeemedData,
    CouponRedemptionReversedData,
    CustomerConsentChangedData,
    CustomerErasedData,
    CustomerMergedData,
    CustomerUpsertedData,
    MailClickedData,
    MailData,
    MailOpenedData,
    Part,
    SaleCompletedData,
    SaleRefundedData,
    SaleVoidedData,
    SegmentChangeData,
)
from shared.domain.event_fields import EventIdentity, Instant


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
