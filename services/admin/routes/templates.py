"""/templates: campaigns to begin with."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.admin import organizations
from services.admin.access import Parts, Viewer
from services.admin.starting_campaigns import templates
from services.admin.starting_segments import Thresholds

router = APIRouter(tags=["campaigns"])


class Template(BaseModel):
    """A starting template."""

    id: str
    name: str
    description: str
    segment_id: str | None = Field(description="Whose entering sends it; null for everybody.")
    campaign: dict[str, Any] = Field(description="What POST /v1/campaigns takes.")
    coupon: dict[str, Any] | None = Field(description="What POST /v1/coupons takes.")


class Templates(BaseModel):
    """All of them."""

    items: list[Template]
    next_cursor: str | None = None


@router.get("/templates")
def entries(key: Viewer, parts: Parts) -> Templates:
    """Welcome, we miss you, VIP thanks, birthday, anniversary, newsletter, with amounts in your currency."""
    with parts.engine.connect() as connection:
        currency = organizations.read(connection, key.organization_id).currency
    return Templates(
        items=[
            Template(
                id=each.id,
                name=each.campaign["name"],
                description=each.description,
                segment_id=(each.campaign.get("trigger") or {}).get("segment_id"),
                campaign=each.campaign,
                coupon=each.coupon,
            )
            for each in templates(Thresholds.of(currency))
        ]
    )
