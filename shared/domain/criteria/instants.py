"""Leaves over instants: last_visit, first_visit, registered, last_open, last_click.

"Last N days" is the half-open span (now - N x 24 h, now]; what lies in the future of `now` counts as now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, DateTime, and_, case, false, literal

from shared.domain.criteria.columns import DAY, MICROSECOND, MISSING, NEVER, Bools, Columns, Integers, micros
from shared.domain.criteria.leaf import Leaf, Money, Reader, Tables
from shared.wording import counted

COLUMN_OF = {
    "last_visit": "last_visit_at",
    "first_visit": "first_visit_at",
    "registered": "registered_at",
    "last_open": "last_open_at",
    "last_click": "last_click_at",
}
WORDS = {
    "last_visit": "last visited",
    "first_visit": "first visited",
    "registered": "registered",
    "last_open": "last opened a mail",
    "last_click": "last clicked in a mail",
}
NEVER_WORDS = {
    "last_visit": "has never visited",
    "first_visit": "has never visited",
    "registered": "has never registered",
    "last_open": "has never opened a mail",
    "last_click": "has never clicked in a mail",
}


@dataclass(frozen=True)
class Age:
    """`within_last` N days or `more_than_ago` N days."""

    field: str
    within: bool
    days: int

    @property
    def columns(self) -> frozenset[str]:
        return frozenset({COLUMN_OF[self.field]})

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        column = tables.customer.c[COLUMN_OF[self.field]]
        edge = now - timedelta(days=self.days)
        return and_(column.is_not(None), column > edge if self.within else column <= edge)

    def holds(self, columns: Columns, now: int) -> Bools:
        at = columns[COLUMN_OF[self.field]]
        edge = now - self.days * DAY
        return at > edge if self.within else (at <= edge) & (at != MISSING)

    def flips(self, columns: Columns, now: int) -> Integers | None:
        return first_flip(columns[COLUMN_OF[self.field]], np.array([self.days * DAY]), now)

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        span = timedelta(days=self.days)
        column = tables.customer.c[COLUMN_OF[self.field]]
        return case((column > now - span, column + span))

    def sentence(self, money: Money) -> str:
        del money
        days = counted(self.days, "day")
        return (
            f"{WORDS[self.field]} within the last {days}"
            if self.within
            else f"{WORDS[self.field]} {days} ago or longer"
        )


def spans_of(leaves: Iterable[object]) -> dict[str, Integers]:
    """The spans of all ages among some leaves, by column, each once and sorted."""
    days: dict[str, set[int]] = {}
    for leaf in leaves:
        if isinstance(leaf, Age):
            days.setdefault(COLUMN_OF[leaf.field], set()).add(leaf.days)
    return {name: np.array(sorted(found), np.int64) * DAY for name, found in days.items()}


def first_flip(at: Integers, spans: Integers, now: int) -> Integers:
    """The earliest instant after `now` that lies one of these spans, sorted, after `at`; NEVER for none."""
    is_there = at != MISSING
    since = np.where(is_there, at, now)
    place = np.searchsorted(spans, now - since, side="right")
    due = since + spans[np.minimum(place, len(spans) - 1)]
    return np.where(is_there & (place < len(spans)), due, NEVER)


@dataclass(frozen=True)
class Side:
    """`before` or `after` an instant, both strictly."""

    field: str
    before: bool
    instant: datetime

    @property
    def columns(self) -> frozenset[str]:
        return frozenset({COLUMN_OF[self.field]})

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        column = tables.customer.c[COLUMN_OF[self.field]]
        if self.before:
            return column.is_not(None) if now < self.instant else and_(column.is_not(None), column < self.instant)
        return and_(column.is_not(None), column > self.instant) if now > self.instant else false()

    def holds(self, columns: Columns, now: int) -> Bools:
        at = np.minimum(columns[COLUMN_OF[self.field]], now)
        edge = micros(self.instant)
        return (at < edge) & (at != MISSING) if self.before else at > edge

    def flips(self, columns: Columns, now: int) -> Integers | None:
        # Only what lies in the future of `now` moves by time, and then when `now` passes the instant.
        edge = micros(self.instant) if self.before else micros(self.instant) + 1
        at = columns[COLUMN_OF[self.field]]
        return np.where((at >= edge) & (edge > now), edge, NEVER)

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        edge = self.instant if self.before else self.instant + MICROSECOND
        column = tables.customer.c[COLUMN_OF[self.field]]
        return case((column >= edge, literal(edge, DateTime(timezone=True)))) if edge > now else None

    def sentence(self, money: Money) -> str:
        del money
        return f"{WORDS[self.field]} {'before' if self.before else 'after'} {self.instant:%Y-%m-%d %H:%M %Z}"


@dataclass(frozen=True)
class Absent:
    """`never`."""

    field: str

    @property
    def columns(self) -> frozenset[str]:
        return frozenset({COLUMN_OF[self.field]})

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        del now
        return tables.customer.c[COLUMN_OF[self.field]].is_(None)

    def holds(self, columns: Columns, now: int) -> Bools:
        del now
        missing: Bools = columns[COLUMN_OF[self.field]] == MISSING
        return missing

    def flips(self, columns: Columns, now: int) -> Integers | None:
        """Only an event ends it."""

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        """Only an event ends it."""

    def sentence(self, money: Money) -> str:
        del money
        return NEVER_WORDS[self.field]


def read_instant(reader: Reader) -> Age | Side | Absent:
    field = reader.leaf["field"]
    op = reader.op(("within_last", "more_than_ago", "before", "after", "never"))
    if op == "never":
        return Absent(field)
    if op in {"before", "after"}:
        return Side(field, op == "before", reader.instant())
    return Age(field, op == "within_last", reader.days())


FIELDS: dict[str, Callable[[Reader], Leaf]] = dict.fromkeys(COLUMN_OF, read_instant)
