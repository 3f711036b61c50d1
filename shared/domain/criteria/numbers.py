"""Leaves over stats: total_spent, visit_count, average_basket, coupon_redemptions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, and_, case, func, literal
from sqlalchemy.types import BigInteger

from shared.domain.criteria.columns import Bools, Columns, Integers
from shared.domain.criteria.leaf import Leaf, Money, Reader, Tables

Compare = Callable[[Any, Any], Any]
OPERATORS: dict[str, tuple[Compare, str]] = {
    "gte": (operator.ge, "at least"),
    "gt": (operator.gt, "more than"),
    "lte": (operator.le, "at most"),
    "lt": (operator.lt, "less than"),
    "eq": (operator.eq, "exactly"),
    "between": (operator.ge, "between"),
}
LIMIT = 10**15


@dataclass(frozen=True)
class Comparison:
    """`op` with one number, or `between` with two, both ends in."""

    op: str
    low: int
    high: int

    @classmethod
    def read(cls, reader: Reader, limit: int = LIMIT) -> Comparison:
        op = reader.op(OPERATORS)
        if op == "between":
            return cls(op, *reader.pair("value", -limit, limit))
        value = reader.integer("value", -limit, limit)
        return cls(op, value, value)

    def sql(self, value: ColumnElement[Any]) -> ColumnElement[bool]:
        if self.op == "between":
            return value.between(literal(self.low, BigInteger), literal(self.high, BigInteger))
        return OPERATORS[self.op][0](value, literal(self.low, BigInteger))  # type: ignore[no-any-return]

    def array(self, values: Integers) -> Bools:
        if self.op == "between":
            return (values >= self.low) & (values <= self.high)
        return OPERATORS[self.op][0](values, self.low)  # type: ignore[no-any-return]

    def sentence(self, show: Money) -> str:
        words = OPERATORS[self.op][1]
        return (
            f"{words} {show(self.low)} and {show(self.high)}" if self.op == "between" else f"{words} {show(self.low)}"
        )

    def of(self, noun: str, show: Money = "{:,}".format, one: int = 1) -> str:
        """`at least 3 visits`, `exactly 1 visit`. `one`: the number that 1 is kept as."""
        return f"{self.sentence(show)} {noun}{'' if self.low == self.high == one else 's'}"


@dataclass(frozen=True)
class Number:
    """A stat that every customer has, 0 from the start."""

    field: str
    comparison: Comparison

    @property
    def columns(self) -> frozenset[str]:
        return frozenset({self.field})

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        del now
        return self.comparison.sql(tables.customer.c[self.field])

    def holds(self, columns: Columns, now: int) -> Bools:
        del now
        return self.comparison.array(columns[self.field])

    def flips(self, columns: Columns, now: int) -> Integers | None:
        """Time alone never changes a stat."""

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        """Time alone never changes a stat."""

    def sentence(self, money: Money) -> str:
        if self.field == "total_spent":
            return f"has spent {self.comparison.sentence(money)}"
        return f"has {self.comparison.of('visit' if self.field == 'visit_count' else 'coupon redemption')}"


@dataclass(frozen=True)
class AverageBasket:
    """total_spent / visit_count, rounded half up; missing without a visit."""

    comparison: Comparison

    columns = frozenset({"total_spent", "visit_count"})

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        del now
        spent, visits = tables.customer.c.total_spent, tables.customer.c.visit_count
        # Whole numbers divide towards zero in SQL; twice the spend could leave 64 bits, twice the rest cannot.
        over = func.nullif(visits, 0, type_=BigInteger)
        twice_rest = func.mod(spent, over, type_=BigInteger) * 2
        average = spent // over + case((twice_rest >= over, 1), (twice_rest < -over, -1), else_=0)
        return and_(visits > 0, self.comparison.sql(average))

    def holds(self, columns: Columns, now: int) -> Bools:
        del now
        return (columns["visit_count"] > 0) & self.comparison.array(average_basket(columns))

    def flips(self, columns: Columns, now: int) -> Integers | None:
        """Time alone never changes a stat."""

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        """Time alone never changes a stat."""

    def sentence(self, money: Money) -> str:
        return f"has an average basket of {self.comparison.sentence(money)}"


def average_basket(columns: Columns) -> Integers:
    """Rounded half up; 0 where there was no visit."""
    average = columns.derived.get("average_basket")
    if average is None:
        visits = np.maximum(columns["visit_count"], 1)
        average = columns.derived["average_basket"] = (2 * columns["total_spent"] + visits) // (2 * visits)
    return average


def read_number(reader: Reader) -> Number:
    return Number(reader.leaf["field"], Comparison.read(reader))


def read_average(reader: Reader) -> AverageBasket:
    return AverageBasket(Comparison.read(reader))


FIELDS: dict[str, Callable[[Reader], Leaf]] = {
    "total_spent": read_number,
    "visit_count": read_number,
    "coupon_redemptions": read_number,
    "average_basket": read_average,
}
