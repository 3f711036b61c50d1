"""Who refers to a segment: campaigns that may still send, coupons on offer, and the criteria of other segments."""

from __future__ import annotations

from sqlalchemy import Connection, or_, select

from shared.database.tables import campaign, coupon, segment
from shared.domain.criteria import Criteria, parse

OVER = ("sent", "cancelled")
LEAF = "segment:"  # how a leaf names the static segment that it looks at


def of(connection: Connection, organization_id: str, segment_id: str) -> list[str]:
    """Such as ["campaign 'Spring'", "coupon VIP500", "segment 'Regulars'"]."""
    campaigns = select(campaign.c.name).where(
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
    others = select(segment.c.name, segment.c.criteria).where(
        segment.c.organization_id == organization_id, segment.c.kind == "dynamic", segment.c.state != "deleting"
    )
    return [
        *(f"campaign {name!r}" for name in connection.execute(campaigns.order_by(campaign.c.name)).scalars()),
        *(f"coupon {code}" for code in connection.execute(coupons.order_by(coupon.c.code)).scalars()),
        *(
            f"segment {row.name!r}"
            for row in connection.execute(others.order_by(segment.c.name))
            if segment_id in named_in(parse(row.criteria))
        ),
    ]


def named_in(criteria: Criteria) -> set[str]:
    """The static segments that criteria refer to, by id."""
    return {name.removeprefix(LEAF) for name in criteria.columns if name.startswith(LEAF)}
