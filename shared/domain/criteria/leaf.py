"""What every leaf can do, and how it is read from JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import ColumnElement, FromClause

from shared.domain.criteria.columns import Bools, Columns, Integers
from shared.errors import InvalidError
from shared.wording import shown

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
Money = Callable[[int], str]
"""Formats minor units for a sentence: 50000 -> "500.00"."""


@dataclass(frozen=True)
class Tables:
    """What a SQL predicate may look at, all of one organization."""

    customer: FromClause
    static_member: FromClause
    ledger: FromClause
    organization_id: str
    time_zone: str


class Leaf(Protocol):
    """One condition on one customer. Frozen, so that equal leaves of many segments are evaluated once."""

    @property
    def columns(self) -> frozenset[str]:
        """The columns it looks at, named as in the customer table; `segment:ID` for a static segment."""

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        """The SQL predicate; never null."""

    def holds(self, columns: Columns, now: int) -> Bools:
        """The same in memory."""

    def flips(self, columns: Columns, now: int) -> Integers | None:
        """For each customer an instant after `now` until which time alone cannot change `holds`; None: it never can."""

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        """The same as `flips`, in SQL; null: never."""

    def sentence(self, money: Money) -> str:
        """For a screen: "spent at least 500.00 in the last 30 days"."""


class Reader:
    """Takes a leaf's JSON apart; every complaint names the path and what is allowed."""

    def __init__(self, leaf: Mapping[str, Any], path: str) -> None:
        self.leaf = leaf
        self.path = path
        self.taken = {"field"}

    def fail(self, message: str, key: str = "") -> InvalidError:
        return InvalidError(message, field=f"{self.path}.{key}" if key else self.path, code="criteria")

    def take(self, key: str) -> Any:
        self.taken.add(key)
        if key not in self.leaf:
            raise self.fail("is missing", key)
        return self.leaf[key]

    def has(self, key: str) -> bool:
        return self.leaf.get(key) is not None

    def op(self, allowed: Collection[str]) -> str:
        value = self.take("op")
        if not isinstance(value, str) or value not in allowed:
            raise self.fail(
                f"{shown(value)} is not an operator of {shown(self.leaf['field'])}; allowed: {', '.join(allowed)}", "op"
            )
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        return self._integer(self.take(key), key, low, high)

    def _integer(self, value: Any, key: str, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fail(f"must be a whole number, got {shown(value)}", key)
        if not low <= value <= high:
            raise self.fail(f"must be from {low} to {high}, got {shown(value)}", key)
        return value

    def pair(self, key: str, low: int, high: int) -> tuple[int, int]:
        value = self.take(key)
        if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - a pair has two
            raise self.fail("must be a list of two numbers, the lower first", key)
        first, last = (self._integer(each, key, low, high) for each in value)
        if first > last:
            raise self.fail(f"is upside down: {first} is more than {last}; put the lower first", key)
        return first, last

    def days(self, key: str = "days", least: int = 1) -> int:
        return self.integer(key, least, 36_500)

    def boolean(self, key: str = "value") -> bool:
        value = self.take(key)
        if not isinstance(value, bool):
            raise self.fail(f"must be true or false, got {shown(value)}", key)
        return value

    def string(self, key: str = "value", allowed: Collection[str] | None = None) -> str:
        return self._string(self.take(key), key, allowed)

    def _string(self, value: Any, key: str, allowed: Collection[str] | None) -> str:
        if not isinstance(value, str) or not value:
            raise self.fail(f"must be a text, got {shown(value)}", key)
        if _UNPRINTABLE.search(value):  # no event can hold it, and no database a NUL or half a surrogate
            raise self.fail(f"must not hold control characters or half a surrogate pair, got {shown(value)}", key)
        if allowed is not None and value not in allowed:
            raise self.fail(f"{shown(value)} is not one of {', '.join(sorted(allowed))}", key)
        return value

    def strings(self, key: str = "value", allowed: Collection[str] | None = None) -> tuple[str, ...]:
        value = self.take(key)
        if not isinstance(value, list) or not 1 <= len(value) <= 1_000:  # noqa: PLR2004 - a list a person can read
            raise self.fail("must be a list of 1 to 1000 texts", key)
        return tuple(sorted({self._string(each, key, allowed) for each in value}))

    def instant(self, key: str = "value") -> datetime:
        value = self.take(key)
        try:
            instant = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            instant = None
        # Outside of these years some zone or driver overflows.
        if instant is None or instant.tzinfo is None or not 1900 <= instant.year <= 2999:  # noqa: PLR2004 - years
            raise self.fail(
                "must be an instant with its time zone between 1900 and 2999, such as 2026-11-22T10:15:00Z; "
                f"got {shown(value)}",
                key,
            )
        return instant

    def done(self) -> None:
        """Refuse what nobody asked for: a misspelt key would silently widen a segment."""
        unknown = sorted(set(self.leaf) - self.taken)
        if unknown:
            raise self.fail(f"is not a part of this condition; parts: {', '.join(sorted(self.taken))}", unknown[0])
