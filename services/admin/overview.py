"""How an organization stands: its customers by what they bought and when they came last."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel, Field, computed_field
from sqlalchemy import Connection, func, select

from shared.database.tables import customer

ACTIVE: Final = timedelta(days=30)
COOLING: Final = timedelta(days=90)


class Customers(BaseModel):
    """Everybody, counted."""

    number: int
    buyers: int = Field(description="With a visit or more.")
    regulars: int = Field(description="With two visits or more; of the buyers they are the repeat rate.")
    spent: int = Field(description="By all of them, net of refunds, in minor units.")
    consented: int = Field(description="To marketing mail.")
    active: int = Field(description="Last visit within 30 days.")
    cooling: int = Field(description="Last visit 30 to 90 days ago.")
    asleep: int = Field(description="Last visit more than 90 days ago.")

    @computed_field(description="Regulars by buyers.")  # type: ignore[prop-decorator]
    @property
    def repeat_rate(self) -> float | None:
        """None while nobody has bought anything."""
        return self.regulars / self.buyers if self.buyers else None


def customers(connection: Connection, organization_id: str, now: datetime) -> Customers:
    """In one pass over the customers."""
    last, visits = customer.c.last_visit_at, customer.c.visit_count
    number = func.count()
    wanted = select(
        number.label("number"),
        number.filter(visits >= 1).label("buyers"),
        number.filter(visits > 1).label("regulars"),
        func.coalesce(func.sum(customer.c.total_spent), 0).label("spent"),
        number.filter(customer.c.marketing_consent).label("consented"),
        number.filter(last > now - ACTIVE).label("active"),
        number.filter(last <= now - ACTIVE, last > now - COOLING).label("cooling"),
        number.filter(last <= now - COOLING).label("asleep"),
    ).where(customer.c.organization_id == organization_id)
    return Customers.model_validate(dict(connection.execute(wanted).mappings().one()))
