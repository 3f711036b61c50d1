"""Customers by when they came last, and by segment: how many, what they spent, what they will."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field
from sqlalchemy import Connection, case, func, literal, null, select

from services.admin import memberships
from services.admin.lifetime_values import History
from services.admin.overview import ACTIVE, COOLING
from shared.database.tables import customer
from shared.domain.lifetime_value import Habits

NAMES: Final = ("active", "cooling", "asleep", "none yet")
SUMS: Final = ("customers", "buyers", "regulars", "active", "spent", "discount_given", "predicted")

Buyers = Annotated[int, Field(description="With a visit or more.")]
RepeatRate = Annotated[float | None, Field(description="With two visits or more, of the buyers.")]
Spent = Annotated[int, Field(description="So far, net of refunds, in minor units.")]
PerCustomer = Annotated[int, Field(description="Lifetime value so far: that, by buyers.")]
Discount = Annotated[int, Field(description="By coupons, in minor units.")]
Predicted = Annotated[
    int | None, Field(description="About what they will spend in twelve months; null while too few came again.")
]
PredictedEach = Annotated[int | None, Field(description="Lifetime value predicted: that, by buyers.")]


class Engagement(BaseModel):
    """Customers by their last visit: active within 30 days, cooling within 90, asleep before, none yet."""

    engagement: str
    customers: int
    repeat_rate: RepeatRate
    spent: Spent
    per_customer: PerCustomer
    discount_given: Discount
    predicted_12_months: Predicted
    predicted_per_customer: PredictedEach


class SegmentValue(BaseModel):
    """A segment's members. One customer may be in several segments."""

    segment_id: str
    name: str
    customers: int
    buyers: Buyers
    active: int = Field(description="Last visit within 30 days.")
    repeat_rate: RepeatRate
    spent: Spent
    per_customer: PerCustomer
    discount_given: Discount
    predicted_12_months: Predicted
    predicted_per_customer: PredictedEach


@dataclass(frozen=True, slots=True)
class Groups:
    """All customers, added up by their last visit and by which segments they are in together: one pass for both."""

    rows: Sequence[Mapping[str, Any]]
    habits: Habits | None

    def by_engagement(self) -> list[Engagement]:
        """Groups without anybody are left out."""
        sums = _Sums()
        for row in self.rows:
            sums.add(row["engagement"], row)
        return [Engagement(engagement=name, **_told(sums[name], self.habits)) for name in NAMES if name in sums]

    def by_segment(self, connection: Connection, organization_id: str) -> list[SegmentValue]:
        """By name."""
        sums, slots = _Sums(), memberships.slots(connection, organization_id)
        for row in self.rows:
            for segment_id in memberships.ids(row["memberships"], slots):
                sums.add(segment_id, row)
        labels = memberships.labels(connection, organization_id)
        return [
            SegmentValue(segment_id=segment_id, name=label.name, **_told(sums[segment_id], self.habits))
            for segment_id, label in labels.items()
        ]


class _Sums(dict[str, dict[str, float]]):
    """By name; nothing at all for a name that is not in it."""

    def __missing__(self, name: str) -> dict[str, float]:
        return dict.fromkeys(SUMS, 0)

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        sums = self.setdefault(name, self[name])
        for each in SUMS:
            sums[each] += row[each] or 0


def read(connection: Connection, organization_id: str, habits: Habits | None, now: datetime) -> Groups:
    """In one pass over the customers."""
    last = customer.c.last_visit_at
    engagement = case(
        (last > now - ACTIVE, literal("active")),
        (last > now - COOLING, literal("cooling")),
        (last.is_not(None), literal("asleep")),
        else_=literal("none yet"),
    )
    came = customer.c.visit_count > 0
    number = func.count()
    predicted = null() if habits is None else func.sum(History.until(now).predicted(habits)).filter(came)
    wanted = (
        select(
            engagement.label("engagement"),
            customer.c.memberships,
            number.label("customers"),
            number.filter(came).label("buyers"),
            number.filter(customer.c.visit_count > 1).label("regulars"),
            number.filter(customer.c.last_visit_at > now - ACTIVE).label("active"),
            func.sum(customer.c.total_spent).label("spent"),
            func.sum(customer.c.discount_received).label("discount_given"),
            predicted.label("predicted"),
        )
        .where(customer.c.organization_id == organization_id)
        .group_by("engagement", customer.c.memberships)
    )
    return Groups([dict(row) for row in connection.execute(wanted).mappings()], habits)


def _told(sums: Mapping[str, Any], habits: Habits | None) -> dict[str, Any]:
    """The fields that both tables can take."""
    buyers, predicted = sums["buyers"], None if habits is None else float(sums["predicted"] or 0)
    return {
        "customers": sums["customers"],
        "buyers": buyers,
        "active": sums["active"],
        "repeat_rate": round(sums["regulars"] / buyers, 4) if buyers else None,
        "spent": int(sums["spent"]),
        "per_customer": round(sums["spent"] / buyers) if buyers else 0,
        "discount_given": int(sums["discount_given"]),
        "predicted_12_months": None if predicted is None else round(predicted),
        "predicted_per_customer": None if predicted is None else round(predicted / buyers) if buyers else 0,
    }
