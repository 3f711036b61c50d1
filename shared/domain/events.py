"""The event contract: what events are, how they are read, where they travel.

Constraints stand in `event_fields`, what an event may hold in `event_data` and `event_models` (the authority), what
services hold in `event_structs` and `event_types`, the reading in `decode`, the codes of refusal in `reasons`.
"""

from __future__ import annotations

from shared.domain.decode import MAX_EVENT_BYTES, TILL_TYPES, decode, decode_till, id_of
from shared.domain.event_structs import Line
from shared.domain.event_types import (
    CouponEvent,
    CouponRedeemed,
    CouponRedemptionReversed,
    CustomerConsentChanged,
    CustomerErased,
    CustomerEvent,
    CustomerMerged,
    CustomerUpserted,
    Event,
    MailBounced,
    MailClicked,
    MailComplained,
    MailDelivered,
    MailEvent,
    MailOpened,
    MailSent,
    MailUnsubscribed,
    SaleCompleted,
    SaleEvent,
    SaleRefunded,
    SaleVoided,
    SegmentEntered,
    SegmentEvent,
    SegmentLeft,
    TillEvent,
)
from shared.domain.reasons import Reason
from shared.domain.split import split_batch

__all__ = [
    "MAX_EVENT_BYTES",
    "TILL_TYPES",
    "TYPES",
    "CouponEvent",
    "CouponRedeemed",
    "CouponRedemptionReversed",
    "CustomerConsentChanged",
    "CustomerErased",
    "CustomerEvent",
    "CustomerMerged",
    "CustomerUpserted",
    "Event",
    "Line",
    "MailBounced",
    "MailClicked",
    "MailComplained",
    "MailDelivered",
    "MailEvent",
    "MailOpened",
    "MailSent",
    "MailUnsubscribed",
    "Reason",
    "SaleCompleted",
    "SaleEvent",
    "SaleRefunded",
    "SaleVoided",
    "SegmentEntered",
    "SegmentEvent",
    "SegmentLeft",
    "TillEvent",
    "decode",
    "decode_till",
    "id_of",
    "kafka_key",
    "split_batch",
    "topic_of",
]

# Topic to the types it carries; an installation may put a prefix before the topic's name.
TYPES: dict[str, tuple[str, ...]] = {
    "pos.sales.v1": ("sale.completed", "sale.refunded", "sale.voided"),
    "pos.coupons.v1": ("coupon.redeemed", "coupon.redemption_reversed"),
    "pos.customers.v1": ("customer.upserted", "customer.consent_changed", "customer.merged", "customer.erased"),
    "crm.segments.v1": ("segment.entered", "segment.left"),
    "crm.mail.v1": (
        "mail.sent",
        "mail.delivered",
        "mail.opened",
        "mail.clicked",
        "mail.bounced",
        "mail.complained",
        "mail.unsubscribed",
    ),
}
_WITHOUT_CUSTOMER = SaleEvent | CouponEvent
_TOPICS = {kind: topic for topic, kinds in TYPES.items() for kind in kinds}


def topic_of(event_type: str) -> str:
    """Name the topic that carries a type, without the installation's prefix: "pos.sales.v1" for "sale.completed"."""
    return _TOPICS[event_type]


def kafka_key(event: Event) -> bytes:
    """Give `organization_id/customer_id`, or `organization_id/sale_id` for a sale without a customer.

    So all that concerns one customer stays in order in one partition.
    """
    subject = event.data.customer_id
    if subject is None and isinstance(event, _WITHOUT_CUSTOMER):
        subject = event.data.sale_id
    return f"{event.data.organization_id}/{subject}".encode()
