"""What a series counts of sales, as `shared.domain.criteria.history` says it in SQL; a test holds the two equal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import ROUND_HALF_UP, Decimal

import msgspec
import numpy as np

from services.segmenter.parameters import SEPARATOR
from shared.domain.criteria.columns import Bools, Integers
from shared.domain.criteria.history import IN_LINES, UNIT, Series


class Line(msgspec.Struct, frozen=True, gc=False):
    """What counts of a receipt's line."""

    product_id: str
    quantity: float
    total: int
    category: str | None = None


Lines = list[Line]
READER = msgspec.json.Decoder(Lines)
ALL_READER = msgspec.json.Decoder(list[Lines])


class Receipts:
    """Some sales: what was paid in the end, where, and their lines with those that were given back, as JSON.

    The latter three are asked for only where a series needs them.
    """

    def __init__(self, amounts: Integers, stores: Sequence[str], sold: Sequence[str], returned: Sequence[str]) -> None:
        self.amounts = amounts
        self.stores = np.array(stores)
        self._sold = ALL_READER.decode(f"[{','.join(lines or '[]' for lines in sold)}]")
        self._returned = [_joined(lines) if lines else [] for lines in returned]

    def count(self, series: Series) -> tuple[Bools, Integers]:
        """Which sales count for a series, and what each adds."""
        counts = np.ones(len(self.amounts), np.bool_)
        if series.by == "store_id":
            counts = np.isin(self.stores, series.values)
        if series.by in IN_LINES:
            return self._of_lines(series)
        if series.measure == "visits":
            return counts, np.ones(len(self.amounts), np.int64)
        if series.measure == "spend":
            return counts, self.amounts
        return counts, self._all_units()

    def _all_units(self) -> Integers:
        """Of all lines. Most sales have whole quantities, and nothing was given back: they are added at once."""
        quantities = np.array([line.quantity for lines in self._sold for line in lines], np.float64)
        ends = np.cumsum([0, *map(len, self._sold)])
        is_whole = np.concatenate([[0], np.cumsum(quantities == np.floor(quantities))])
        totals = np.concatenate([[0], np.cumsum(quantities.astype(np.int64))])
        units: Integers = (totals[ends[1:]] - totals[ends[:-1]]) * UNIT
        is_plain = is_whole[ends[1:]] - is_whole[ends[:-1]] == np.diff(ends)
        is_plain &= np.array([not lines for lines in self._returned], np.bool_)
        for row in np.flatnonzero(~is_plain).tolist():
            units[row] = _units(self._sold[row], self._returned[row])
        return units

    def _of_lines(self, series: Series) -> tuple[Bools, Integers]:
        values = set(series.values)
        counts, numbers = np.zeros(len(self.amounts), np.bool_), np.zeros(len(self.amounts), np.int64)
        for row, lines in enumerate(self._sold):
            sold = _among(lines, series.by, values)
            if sold:
                counts[row] = True
                returned = _among(self._returned[row], series.by, values) if self._returned[row] else []
                numbers[row] = _measure(series.measure, sold, returned)
        return counts, numbers


def _joined(texts: str) -> Lines:
    return [line for text in texts.split(SEPARATOR) for line in READER.decode(text)]


def _among(lines: Lines, by: str, values: Collection[str]) -> Lines:
    if by == "product_id":
        return [line for line in lines if line.product_id in values]
    return [line for line in lines if line.category in values]


def _measure(measure: str, sold: Lines, returned: Lines) -> int:
    if measure == "visits":
        return 1
    if measure == "spend":
        return sum(line.total for line in sold) - sum(line.total for line in returned)
    return _units(sold, returned)


def _units(sold: Lines, returned: Lines) -> int:
    """Units in millionths; most quantities are whole numbers."""
    if all(line.quantity.is_integer() for lines in (sold, returned) for line in lines):
        whole = sum(int(line.quantity) for line in sold) - sum(int(line.quantity) for line in returned)
        return whole * UNIT
    # As they are written: PostgreSQL reads the same digits.
    exact = sum((Decimal(repr(line.quantity)) for line in sold), Decimal(0))
    exact -= sum((Decimal(repr(line.quantity)) for line in returned), Decimal(0))
    return int((exact * UNIT).to_integral_value(ROUND_HALF_UP))
