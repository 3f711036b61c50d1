"""What a till sends with a coupon: the basket before the discount."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from services.ingest.till.asked import Wanted
from shared.domain import coupons
from shared.domain.event_fields import CustomerId, Identifier

Amount = Annotated[int, Field(ge=0, le=10**15, strict=True, description="Minor units.")]


def _something(total: int) -> int:
    if total < 1:
        raise ValueError("must be at least 1: ask when something that costs is in the basket")
    return total


Total = Annotated[
    int, Field(le=10**15, strict=True, description="Minor units, at least 1."), AfterValidator(_something)
]


class BasketLine(BaseModel):
    """A line of the basket."""

    model_config = ConfigDict(extra="ignore")

    product_id: Identifier | None = None
    category: Identifier | None = None
    total: Amount


class BasketBody(BaseModel):
    """A basket. `total` is what would be paid without the coupon; the lines' totals add up to it, or to more where
    something else is taken off already.
    """

    model_config = ConfigDict(extra="ignore")

    sale_id: Identifier
    customer_id: CustomerId | None = None
    store_id: Identifier | None = None
    terminal_id: Identifier | None = None
    total: Total
    lines: Annotated[list[BasketLine], Field(max_length=1_000)] = []

    @model_validator(mode="after")
    def _adds_up(self) -> BasketBody:
        whole = sum(line.total for line in self.lines)
        if self.lines and self.total > whole:
            raise ValueError(f"total must be at most the lines' totals, {whole}; got {self.total}")
        return self

    def wanted(self, organization_id: str, code: str) -> Wanted:
        """The question it asks of a code."""
        lines = tuple(coupons.Line(line.total, line.product_id, line.category) for line in self.lines)
        basket = coupons.Basket(self.sale_id, self.total, lines, self.customer_id, self.store_id)
        return Wanted(organization_id, code, basket, self.terminal_id)
