"""Customers as columns: what leaves look at in memory.

Instants are microseconds since 1970 (int64). MISSING stands for null, NEVER for "time alone changes nothing".
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

MISSING = np.iinfo(np.int64).min
NEVER = np.iinfo(np.int64).max
DAY = 86_400_000_000  # microseconds
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

T = TypeVar("T", bound=Hashable)
R = TypeVar("R", bound=np.generic)


@dataclass(frozen=True)
class Labels(Generic[T]):
    """A column of few distinct values: `values[codes[i]]` is the value of row i."""

    values: Sequence[T]
    codes: npt.NDArray[np.intp]

    @classmethod
    def of(cls, column: Sequence[T]) -> Labels[T]:
        known: dict[T, int] = {}
        codes = np.fromiter((known.setdefault(value, len(known)) for value in column), np.intp, len(column))
        return cls(list(known), codes)

    def each(self, decide: Callable[[T], bool]) -> Bools:
        """Decide once for each distinct value and spread the answer over the rows."""
        return np.array([decide(value) for value in self.values], np.bool_)[self.codes]


class Entries:
    """What `size` customers did: entry i is of the customer in row `rows[i]`, at `at[i]`, and adds `values[i]`.

    In the order of the rows, and of time within each: what a window holds of a customer is then one run, its end fixed,
    its beginning the same for whatever is asked of windows of that length.
    """

    def __init__(self, size: int, rows: npt.NDArray[np.intp], at: Integers, values: Integers) -> None:
        self.at = at
        self.values = values
        self._bounds = np.searchsorted(rows, np.arange(size + 1))
        self._totals = _cumulated(values)
        self._firsts: dict[int, npt.NDArray[np.intp]] = {}

    def sums(self, edge: int) -> Integers:
        """Of each customer's values after `edge`."""
        sums: Integers = self._totals[self._bounds[1:]] - self._totals[self._first(edge)]
        return sums

    def earliest(self, edge: int) -> Integers:
        """The first instant after `edge` at which each customer did something; NEVER for none."""
        first = self._first(edge)
        found = np.full(len(first), NEVER, np.int64)
        has_any = first < self._bounds[1:]
        found[has_any] = self.at[first[has_any]]
        return found

    def _first(self, edge: int) -> npt.NDArray[np.intp]:
        known = self._firsts.get(edge)
        if known is None:
            before = _cumulated(self.at <= edge)
            begins = self._bounds[:-1]
            known = self._firsts[edge] = begins + before[self._bounds[1:]] - before[begins]
        return known


def _cumulated(values: npt.NDArray[Any]) -> Integers:
    """Element i is the sum of the first i values."""
    sums = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


@dataclass
class Columns:
    """`size` customers. A column is there only when some leaf needs it (`Leaf.columns` names them)."""

    size: int
    numbers: Mapping[str, Integers] = field(default_factory=dict)
    """total_spent, visit_count, coupon_redemptions; instants; birthday and anniversary as month x 100 + day."""
    flags: Mapping[str, Bools] = field(default_factory=dict)
    """marketing_consent, email_verified"""
    labels: Mapping[str, Labels[str | None]] = field(default_factory=dict)
    """preferred_contact_time, email_frequency, time_zone (the organization's where the customer has none)"""
    tags: Labels[tuple[str, ...]] = field(default_factory=lambda: Labels([], np.zeros(0, np.intp)))
    static: Mapping[str, Bools] = field(default_factory=dict)
    """static segment's id -> who is in it"""
    series: Mapping[Hashable, Entries] = field(default_factory=dict)
    """history.Series -> what of the history counts for it"""
    derived: dict[str, Integers] = field(default_factory=dict)
    """What leaves computed of these, for each other"""

    def __getitem__(self, name: str) -> Integers:
        return self.numbers[name]


def micros(instant: datetime) -> int:
    """Microseconds since 1970, exactly (no floats)."""
    return (instant - EPOCH) // MICROSECOND


def instant_of(value: int) -> datetime:
    """The inverse of micros."""
    return EPOCH + timedelta(microseconds=int(value))
