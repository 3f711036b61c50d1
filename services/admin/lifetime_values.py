"""Lifetime value: so far, and predicted for twelve months, of a customer and of many at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Connection, Double, cast, func, select

from shared.database.tables import customer
from shared.domain.lifetime_value import WEEK, YEAR, Functions, Habits, learn

FRESH: Final = timedelta(hours=1)
SAMPLE: Final = 10_000
SQL: Final = Functions(func.exp, func.ln, func.least)


class LifetimeValue(BaseModel):
    """What a customer is worth. A prediction is an expectation over many such customers, never a promise about one."""

    so_far: int = Field(description="Spent, net of refunds, in minor units.")
    predicted_12_months: int | None = Field(
        description="About what they will spend, in minor units; null for who never came, and while too few customers "
        "came again to learn from."
    )
    expected_visits: float | None = Field(description="In these months.")
    still_customer: float | None = Field(description="How likely they have not left for good, from 0 to 1.")


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was learnt of each organization, for an hour: it takes a pass over its customers, and changes slowly."""

    _found: dict[str, tuple[datetime, Habits]] = field(default_factory=dict)

    def of(self, connection: Connection, organization_id: str, now: datetime) -> Habits | None:
        """None where too few came again."""
        known = self._found.get(organization_id)
        if known is not None and abs(now - known[0]) < FRESH:
            return known[1]
        habits = _learn(connection, organization_id, now)
        if habits is not None:
            self._found[organization_id] = (now, habits)
        return habits


@dataclass(frozen=True, slots=True)
class History:
    """Columns that tell how somebody came so far: visits, weeks from the first to the last, weeks since the first."""

    visits: ColumnElement[float]
    recency: ColumnElement[float]
    age: ColumnElement[float]

    @classmethod
    def until(cls, now: datetime) -> History:
        """A till's clock may run ahead: what is to come counts as now."""
        first, last = customer.c.first_visit_at, customer.c.last_visit_at
        recency, age = _weeks(last - first), _weeks(now - first)
        return cls(cast(customer.c.visit_count, Double), recency, func.greatest(age, recency))

    def predicted(self, habits: Habits) -> ColumnElement[float]:
        """Minor units in twelve months."""
        basket = habits.basket_of(self.visits, cast(customer.c.total_spent, Double))
        return func.greatest(self.expected(habits) * basket, 0.0)

    def expected(self, habits: Habits) -> ColumnElement[float]:
        """Visits in twelve months."""
        expected: ColumnElement[float] = habits.visits_within(YEAR, self.visits, self.recency, self.age, SQL)
        return expected

    def still_customer(self, habits: Habits) -> ColumnElement[float]:
        """The probability."""
        still: ColumnElement[float] = habits.still_customer(self.visits, self.recency, self.age, SQL)
        return still


def of_customer(
    connection: Connection, organization_id: str, customer_id: str, habits: Habits | None, now: datetime
) -> LifetimeValue:
    """Of one that exists."""
    history = History.until(now)
    wanted: list[Any] = [customer.c.total_spent.label("so_far")]
    if habits is not None:
        wanted += [
            cast(history.predicted(habits), Double).label("predicted_12_months"),
            history.expected(habits).label("expected_visits"),
            history.still_customer(habits).label("still_customer"),
        ]
    own = (customer.c.organization_id == organization_id, customer.c.customer_id == customer_id)
    came = connection.execute(select(*wanted).where(*own, customer.c.visit_count > 0)).mappings().first()
    found = {"so_far": 0} if came is None else dict(came)
    predicted = found.get("predicted_12_months")
    return LifetimeValue(
        so_far=found["so_far"],
        predicted_12_months=None if predicted is None else round(predicted),
        expected_visits=_rounded(found.get("expected_visits"), 1),
        still_customer=_rounded(found.get("still_customer"), 3),
    )


def _learn(connection: Connection, organization_id: str, now: datetime) -> Habits | None:
    """From ten thousand who came, always the same ones."""
    history = History.until(now)
    wanted = (
        select(history.visits, history.recency, history.age, cast(customer.c.total_spent, Double))
        .where(customer.c.organization_id == organization_id, customer.c.visit_count > 0)
        .order_by(func.hashtext(customer.c.customer_id), customer.c.customer_id)
        .limit(SAMPLE)
    )
    rows = np.array([tuple(row) for row in connection.execute(wanted)], dtype=np.float64)
    return learn(*rows.T) if len(rows) else None


def _weeks(lapse: ColumnElement[Any]) -> ColumnElement[float]:
    """By date_part: with the numerics of EXTRACT a prediction for a million takes twice as long."""
    return cast(func.date_part("epoch", lapse) / WEEK, Double)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
