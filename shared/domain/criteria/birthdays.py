"""Leaves over days of the year, in the customer's time zone: birthday and anniversary.

Both are kept as month x 100 + day. 29 February is kept on 28 February in other years. Who gave no anniversary has it on
the local day of registering.
"""

from __future__ import annotations

from calendar import isleap
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import ColumnElement, Date, DateTime, Integer, and_, case, cast, func, or_
from sqlalchemy import extract as sql_extract

from shared.domain.criteria.columns import (
    MICROSECOND,
    MISSING,
    NEVER,
    Bools,
    Columns,
    Integers,
    Labels,
    instant_of,
    micros,
)
from shared.domain.criteria.leaf import Leaf, Money, Reader, Tables
from shared.wording import counted

LEAP_DAY = 229


@dataclass(frozen=True)
class DayOfYear:
    """`today`, `this_month` or `in_next` N days (today and the N days after it)."""

    field: str
    op: str
    days: int = 0

    @property
    def columns(self) -> frozenset[str]:
        more = {"registered_at"} if self.field == "anniversary" else set()
        return frozenset({self.field, "time_zone"} | more)

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        zone, day = self._sql(tables)
        today = cast(func.timezone(zone, now), Date)
        if self.op == "this_month":
            return and_(day.is_not(None), day // 100 == cast(sql_extract("month", today), Integer))
        year = cast(sql_extract("year", today), Integer)
        in_span = [_sql_occurrence(day, year + n).between(today, today + self.days) for n in (0, 1)]
        return and_(day.is_not(None), or_(*in_span))

    def holds(self, columns: Columns, now: int) -> Bools:
        pairs = self._pairs(columns)
        return pairs.each(lambda pair: pair[0] != 0 and self._holds(pair[0], _local_day(pair[1], now)))

    def flips(self, columns: Columns, now: int) -> Integers | None:
        pairs = self._pairs(columns)
        return np.array([self._flip(day, zone, now) for day, zone in pairs.values], np.int64)[pairs.codes]

    def _pairs(self, columns: Columns) -> Labels[tuple[int, str]]:
        """Distinct (day, time zone); day 0 stands for none."""
        zones = columns.labels["time_zone"]
        days = columns[self.field].tolist()
        names = [zones.values[code] or "UTC" for code in zones.codes.tolist()]
        if self.field == "anniversary":
            registered = columns["registered_at"].tolist()
            days = [day or _day_of(at, name) for day, at, name in zip(days, registered, names, strict=True)]
        return Labels.of(list(zip(days, names, strict=True)))

    def _holds(self, day: int, today: date) -> bool:
        if self.op == "this_month":
            return day // 100 == today.month
        last = today + timedelta(days=self.days)
        return any(today <= occurrence(day, today.year + n) <= last for n in (0, 1))

    def _flip(self, day: int, zone: str, now: int) -> int:
        """The start of the next local day on which the answer differs; looked for over at most four years and a bit."""
        if day == 0:
            return NEVER
        today = _local_day(zone, now)
        if self.op == "this_month":
            edges = [date(today.year + n, month, 1) for n in (0, 1) for month in (day // 100, day // 100 % 12 + 1)]
        else:
            hits = [occurrence(day, today.year + n) for n in (0, 1, 2)]
            edges = [hit + timedelta(days=n) for hit in hits for n in (-self.days, 1)]
        return min(
            (start for start in (_start_of(zone, edge) for edge in edges if edge > today) if start > now), default=NEVER
        )

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        zone, day = self._sql(tables)
        today = cast(func.timezone(zone, now), Date)
        year = cast(sql_extract("year", today), Integer)
        if self.op == "this_month":
            edges = [func.make_date(year + n, month, 1) for n in (0, 1) for month in (day // 100, day // 100 % 12 + 1)]
        else:
            hits = [_sql_occurrence(day, year + n) for n in (0, 1, 2)]
            edges = [hit + n for hit in hits for n in (-self.days, 1)]
        starts = [(edge, _sql_start(zone, edge)) for edge in edges]
        return func.least(*(case((and_(edge > today, start > now), start)) for edge, start in starts))

    def _sql(self, tables: Tables) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Time zone and day of the year."""
        customer = tables.customer
        zone = func.coalesce(customer.c.time_zone, tables.time_zone)
        day: ColumnElement[Any] = customer.c[self.field]
        if self.field == "anniversary":
            registered = cast(func.timezone(zone, customer.c.registered_at), Date)
            month_day = sql_extract("month", registered) * 100 + sql_extract("day", registered)
            day = func.coalesce(day, cast(month_day, Integer))
        return zone, day

    def sentence(self, money: Money) -> str:
        del money
        when = {"today": "today", "this_month": "this month"}.get(
            self.op, f"within the next {counted(self.days, 'day')}"
        )
        return f"has {'their birthday' if self.field == 'birthday' else 'an anniversary'} {when}"


def occurrence(day: int, year: int) -> date:
    """The date on which a day of the year is kept in `year`."""
    if day == LEAP_DAY and not isleap(year):
        return date(year, 2, 28)
    return date(year, day // 100, day % 100)


def _sql_occurrence(day: Any, year: Any) -> Any:
    leap = or_(and_(year % 4 == 0, year % 100 != 0), year % 400 == 0)
    return func.make_date(year, day // 100, case((and_(day == LEAP_DAY, ~leap), 28), else_=day % 100), type_=Date)


def _sql_start(zone: Any, day: Any) -> Any:
    """As _start_of: just after the last instant of the day before, which no clock change makes ambiguous."""
    last = cast(day, DateTime()) - MICROSECOND
    return func.timezone(zone, last) + MICROSECOND


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _local_day(zone: str, now: int) -> date:
    return instant_of(now).astimezone(_zone(zone)).date()


def _day_of(at: int, zone: str) -> int:
    if at == MISSING:
        return 0
    local = _local_day(zone, at)
    return local.month * 100 + local.day


def _start_of(zone: str, day: date) -> int:
    """The instant at which a local day starts; where a clock change skips midnight, the first instant after it."""
    return micros(datetime.combine(day, time(), _zone(zone)))


def read_day(reader: Reader) -> DayOfYear:
    op = reader.op(("today", "this_month", "in_next"))
    return DayOfYear(reader.leaf["field"], op, reader.integer("days", 0, 365) if op == "in_next" else 0)


FIELDS: dict[str, Callable[[Reader], Leaf]] = {"birthday": read_day, "anniversary": read_day}
