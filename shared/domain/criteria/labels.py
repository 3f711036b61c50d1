"""Leaves over what is written on a customer: tags, consent, verified mail, contact preferences, static segments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Text, and_, cast, exists, literal, not_
from sqlalchemy.dialects.postgresql import ARRAY, array

from shared.domain.criteria.columns import Bools, Columns, Integers
from shared.domain.criteria.leaf import Leaf, Money, Reader, Tables

CHOICES = {
    "preferred_contact_time": ("morning", "afternoon", "evening"),
    "email_frequency": ("daily", "weekly", "monthly", "never"),
}


@dataclass(frozen=True)
class Tags:
    """`has_any`, `has_all` or `has_none` of some tags."""

    op: str
    tags: tuple[str, ...]

    columns = frozenset({"tags"})

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        del now
        wanted = cast(array(self.tags), ARRAY(Text))
        column: ColumnElement[Any] = tables.customer.c.tags
        if self.op == "has_all":
            return column.op("@>", is_comparison=True)(wanted)
        overlaps = column.op("&&", is_comparison=True)(wanted)
        return overlaps if self.op == "has_any" else not_(overlaps)

    def holds(self, columns: Columns, now: int) -> Bools:
        del now
        wanted = set(self.tags)
        if self.op == "has_all":
            return columns.tags.each(wanted.issubset)
        if self.op == "has_any":
            return columns.tags.each(lambda tags: not wanted.isdisjoint(tags))
        return columns.tags.each(wanted.isdisjoint)

    def flips(self, columns: Columns, now: int) -> Integers | None:
        """Only an event changes it."""

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        """Only an event changes it."""

    def sentence(self, money: Money) -> str:
        del money
        words = {"has_any": "has any of the tags", "has_all": "has all of the tags", "has_none": "has none of the tags"}
        return f"{words[self.op]} {', '.join(self.tags)}"


@dataclass(frozen=True)
class Flag:
    """`marketing_consent` or `email_verified` is true or false."""

    field: str
    value: bool

    @property
    def columns(self) -> frozenset[str]:
        return frozenset({self.field})

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        del now
        column = tables.customer.c[self.field]
        return column.is_(True) if self.value else column.is_(False)

    def holds(self, columns: Columns, now: int) -> Bools:
        del now
        equal: Bools = columns.flags[self.field] == self.value
        return equal

    def flips(self, columns: Columns, now: int) -> Integers | None:
        """Only an event changes it."""

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        """Only an event changes it."""

    def sentence(self, money: Money) -> str:
        del money
        if self.field == "marketing_consent":
            return "has agreed to marketing mail" if self.value else "has not agreed to marketing mail"
        return "has a verified address" if self.value else "has no verified address"


@dataclass(frozen=True)
class Choice:
    """`preferred_contact_time` or `email_frequency` is one of some values; false where the customer chose none."""

    field: str
    values: tuple[str, ...]

    @property
    def columns(self) -> frozenset[str]:
        return frozenset({self.field})

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        del now
        column = tables.customer.c[self.field]
        return and_(column.is_not(None), column.in_(self.values))

    def holds(self, columns: Columns, now: int) -> Bools:
        del now
        return columns.labels[self.field].each(lambda value: value in self.values)

    def flips(self, columns: Columns, now: int) -> Integers | None:
        """Only an event changes it."""

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        """Only an event changes it."""

    def sentence(self, money: Money) -> str:
        del money
        what = "prefers to be contacted in the" if self.field == "preferred_contact_time" else "wants mail"
        return f"{what} {' or '.join(self.values)}"


@dataclass(frozen=True)
class StaticMember:
    """`in` or `not_in` a static segment."""

    inside: bool
    segment_id: str

    @property
    def columns(self) -> frozenset[str]:
        return frozenset({f"segment:{self.segment_id}"})

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        del now
        members = tables.static_member
        found = exists().where(
            members.c.organization_id == literal(tables.organization_id),
            members.c.segment_id == literal(self.segment_id),
            members.c.customer_id == tables.customer.c.customer_id,
        )
        return found if self.inside else not_(found)

    def holds(self, columns: Columns, now: int) -> Bools:
        del now
        members = columns.static.get(self.segment_id)  # a list that is gone has nobody
        if members is None:
            return np.full(columns.size, not self.inside)
        equal: Bools = members == self.inside
        return equal

    def flips(self, columns: Columns, now: int) -> Integers | None:
        """Only an edit of the list changes it."""

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        """Only an edit of the list changes it."""

    def sentence(self, money: Money) -> str:
        del money
        return f"is {'in' if self.inside else 'not in'} the segment {self.segment_id}"


def read_tags(reader: Reader) -> Tags:
    return Tags(reader.op(("has_any", "has_all", "has_none")), reader.strings())


def read_flag(reader: Reader) -> Flag:
    reader.op(("is",))
    return Flag(reader.leaf["field"], reader.boolean())


def read_choice(reader: Reader) -> Choice:
    field = reader.leaf["field"]
    if reader.op(("is", "in")) == "is":
        return Choice(field, (reader.string(allowed=CHOICES[field]),))
    return Choice(field, reader.strings(allowed=CHOICES[field]))


def read_segment(reader: Reader) -> StaticMember:
    return StaticMember(reader.op(("in", "not_in")) == "in", reader.string())


FIELDS: dict[str, Callable[[Reader], Leaf]] = {
    "tags": read_tags,
    "marketing_consent": read_flag,
    "email_verified": read_flag,
    "preferred_contact_time": read_choice,
    "email_frequency": read_choice,
    "segment": read_segment,
}
