"""Who refers to a segment: campaigns that may still send, coupons on offer, and the criteria of other segments."""

from __future__ import annotations

from typing import Literal, NamedTuple

from sqlalchemy import Connection, or_, select

from shared.database.tables import campaign, coupon, segment
from shared.domain.criteria import references

OVER = ("sent", "cancelled")


class Use(NamedTuple):
    """Something that refers to a segment."""

    kind: Literal["campaign", "coupon", "segment"]
    id: str
    name: str

    def __str__(self) -> str:
        """Such as: campaign 'Spring', coupon VIP500."""
        return f"{self.kind} {self.name if self.kind == 'coupon' else repr(self.name)}"


def of(connection: Connection, organization_id: str, segment_id: str) -> list[Use]:
    """By kind and name."""
    campaigns = select(campaign.c.campaign_id, campaign.c.name).where(
        campaign.c.organization_id == organization_id,
        campaign.c.state.not_in(OVER),
        or_(
            campaign.c.audience["include_segments"].contains([segment_id]),
            campaign.c.audience["exclude_segments"].contains([segment_id]),
            campaign.c.trigger["segment_id"].astext == segment_id,
        ),
    )
    coupons = select(coupon.c.code).where(
        coupon.c.organization_id == organization_id, coupon.c.segment_id == segment_id, coupon.c.state != "archived"
    )
    others = select(segment.c.segment_id, segment.c.name, segment.c.criteria).where(
        segment.c.organization_id == organization_id, segment.c.kind == "dynamic", segment.c.state != "deleting"
    )
    return [
        *(Use("campaign", *row) for row in connection.execute(campaigns.order_by(campaign.c.name))),
        *(Use("coupon", code, code) for code in connection.execute(coupons.order_by(coupon.c.code)).scalars()),
        *(
            Use("segment", row.segment_id, row.name)
            for row in connection.execute(others.order_by(segment.c.name))
            if segment_id in {named for _, named in references(row.criteria)}
        ),
    ]
