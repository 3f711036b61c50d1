"""Leaves over what a customer did: spend, visits and units in the last N days, bought, redeemed.

"Last N days" is the half-open span (now - N x 24 h, now]; what lies in the future of `now` counts as now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, func, not_, select

from shared.domain.coupons.codes import normalise
from shared.domain.criteria.columns import DAY, MISSING, NEVER, Bools, Columns, Entries, Integers
from shared.domain.criteria.history import UNIT, Series, entries
from shared.domain.criteria.leaf import Leaf, Money, Reader, Tables
from shared.domain.criteria.numbers import LIMIT, OPERATORS, Comparison
from shared.wording import counted, shown

BY = ("product_id", "category", "store_id")


@dataclass(frozen=True)
class Window:
    """What the entries of the last `days` add up to."""

    series: Series
    comparison: Comparison
    days: int

    columns: frozenset[str] = frozenset()

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        found = entries(tables.ledger, tables.organization_id, self.series, now - timedelta(days=self.days)).subquery()
        customer_id = tables.customer.c.customer_id
        # Set by set: one pass over the window; whoever has nothing in it has 0.
        summed = select(found.c.customer_id).group_by(found.c.customer_id)
        holds = self.comparison.sql(func.sum(found.c.value))
        if not self.comparison.array(np.zeros(1, np.int64))[0]:
            return customer_id.in_(summed.having(holds))
        return customer_id.not_in(summed.having(not_(holds)))

    def holds(self, columns: Columns, now: int) -> Bools:
        return self.comparison.array(columns.series[self.series].sums(now - self.days * DAY))

    def flips(self, columns: Columns, now: int) -> Integers | None:
        return _next_to_leave(columns.series[self.series], self.days, now)

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        return _sql_next_to_leave(tables, self.series, self.days, now)

    def sentence(self, money: Money) -> str:
        of = _of(self.series)
        days = f"in the last {counted(self.days, 'day')}"
        if self.series.measure == "spend":
            return f"spent {self.comparison.sentence(money)}{of} {days}"
        if self.series.measure == "units":
            return f"bought {self.comparison.of('unit', _units, UNIT)}{of} {days}"
        return f"has {self.comparison.of('visit')}{of} {days}"


@dataclass(frozen=True)
class Happened:
    """`bought` or `redeemed`: whether there is any entry, ever or in the last `days`."""

    series: Series
    is_any: bool
    days: int | None

    columns: frozenset[str] = frozenset()

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        since = None if self.days is None else now - timedelta(days=self.days)
        found = entries(tables.ledger, tables.organization_id, self.series, since).subquery()
        customer_id, these = tables.customer.c.customer_id, select(found.c.customer_id)
        return customer_id.in_(these) if self.is_any else customer_id.not_in(these)

    def holds(self, columns: Columns, now: int) -> Bools:
        edge = MISSING if self.days is None else now - self.days * DAY
        happened: Bools = columns.series[self.series].sums(edge) > 0
        return happened if self.is_any else ~happened

    def flips(self, columns: Columns, now: int) -> Integers | None:
        if self.days is None:
            return None
        return _next_to_leave(columns.series[self.series], self.days, now)

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        return None if self.days is None else _sql_next_to_leave(tables, self.series, self.days, now)

    def sentence(self, money: Money) -> str:
        del money
        verb = "redeemed" if self.series.measure == "redeemed" else "bought"
        what = _of(self.series).removeprefix(" of")
        span = "" if self.days is None else f" in the last {counted(self.days, 'day')}"
        return f"has {'' if self.is_any else 'not '}{verb}{what}{span}"


def _next_to_leave(found: Entries, days: int, now: int) -> Integers:
    """When the earliest entry leaves the window."""
    earliest = found.earliest(now - days * DAY)
    return np.where(earliest == NEVER, NEVER, earliest + days * DAY)


def _sql_next_to_leave(tables: Tables, series: Series, days: int, now: datetime) -> ColumnElement[Any]:
    span = timedelta(days=days)
    found = entries(tables.ledger, tables.organization_id, series, now - span).subquery()
    mine = found.c.customer_id == tables.customer.c.customer_id
    return select(func.min(found.c.at) + span).where(mine).scalar_subquery()


def _of(series: Series) -> str:
    if not series.values:
        return ""
    named = ", ".join(series.values)
    return f" at {named}" if series.by == "store_id" else f" {named}" if series.by == "coupon_code" else f" of {named}"


def _units(value: int) -> str:
    return f"{(Decimal(value) / UNIT).normalize():f}"


def read_window(reader: Reader) -> Window:
    field = reader.leaf["field"]
    comparison = _read_units(reader) if field == "units" else Comparison.read(reader)
    named = [by for by in BY if reader.has(by)]
    if len(named) > 1:
        raise reader.fail(f"stands beside {named[0]}; give one of {', '.join(BY)}", named[1])
    series = Series(field, named[0], (reader.string(named[0]),)) if named else Series(field)
    return Window(series, comparison, reader.days("last_days"))


def read_bought(reader: Reader) -> Happened:
    is_any = reader.op(("has_any", "has_none")) == "has_any"
    named = [by for by in ("product_ids", "categories", "store_ids") if reader.has(by)]
    if len(named) != 1:
        raise reader.fail("needs exactly one of product_ids, categories, store_ids")
    by = {"product_ids": "product_id", "categories": "category", "store_ids": "store_id"}[named[0]]
    return Happened(Series("visits", by, reader.strings(named[0])), is_any, _read_days(reader))


def read_redeemed(reader: Reader) -> Happened:
    is_any = reader.op(("has_any", "has_none")) == "has_any"
    given = reader.strings("coupon_codes")
    codes = tuple(sorted({normalise(code) for code in given}))
    if "" in codes:
        blank = next(code for code in given if not normalise(code))
        raise reader.fail(f"must hold letters and digits, got {shown(blank)}", "coupon_codes")
    return Happened(Series("redeemed", "coupon_code", codes), is_any, _read_days(reader))


def _read_days(reader: Reader) -> int | None:
    return reader.days("last_days") if reader.has("last_days") else None


def _read_units(reader: Reader) -> Comparison:
    """A comparison with decimal numbers, in millionths."""
    op = reader.op(OPERATORS)
    value = reader.take("value")
    numbers = value if op == "between" and isinstance(value, list) and len(value) == 2 else [value]  # noqa: PLR2004
    if op == "between" and len(numbers) != 2:  # noqa: PLR2004
        raise reader.fail("must be a list of two numbers, the lower first", "value")
    low, high = (_micro(reader, numbers[0]), _micro(reader, numbers[-1]))
    if low > high:
        raise reader.fail(f"is upside down: {numbers[0]} is more than {numbers[1]}; put the lower first", "value")
    return Comparison(op, low, high)


def _micro(reader: Reader, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LIMIT // UNIT:
        raise reader.fail(f"must be a number of units, got {shown(value)}", "value")
    millionths = int((Decimal(str(value)) * UNIT).to_integral_value())
    if value and not millionths:  # "at least" nothing would mean everybody
        raise reader.fail(f"must be 0 or at least a millionth, got {shown(value)}", "value")
    return millionths


FIELDS: dict[str, Callable[[Reader], Leaf]] = {
    "spend": read_window,
    "visits": read_window,
    "units": read_window,
    "bought": read_bought,
    "redeemed": read_redeemed,
}


def series_of(leaves: frozenset[Leaf]) -> dict[Series, int | None]:
    """What of the history the leaves look at, and how many days of it; None for all."""
    found: dict[Series, int | None] = {}
    for leaf in leaves:
        if isinstance(leaf, Window | Happened):
            known = found.get(leaf.series, 0)
            found[leaf.series] = None if known is None or leaf.days is None else max(known, leaf.days)
    return found
