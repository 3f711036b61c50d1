"""What customers bought lately, packed on their rows, so that windows need not look into the ledger.

A row keeps an entry for each sale and each series that counts it, as long as the longest window and an hour more. Its
heading says what is counted and from when on it is complete; whoever finds another heading, or none, asks the ledger.
An express batch adds its sales. Whatever else changes what somebody bought (a refund, a void, a merge, an erasure, a
batch that goes the plain way) empties the column, as it recomputes or adds to the stats: where they are right, so is
this.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from shared.domain.criteria import Entries
from shared.domain.criteria.columns import DAY, Bools, Integers, instant_of
from shared.domain.criteria.history import Series

HEADING = np.dtype([("tag", "<u8"), ("since", "<i8")])
ENTRY = np.dtype([("at", "<i8"), ("value", "<i4"), ("series", "<u2")])
MOST = 100  # entries: 1.4 kB, so that a row and its next version fit a page
LONGER = 3_600_000_000  # microseconds that entries are kept beyond their window: machines' clocks differ
LARGEST = np.iinfo(np.int32).max
SPEND, VISITS = Series("spend"), Series("visits")

Rows = npt.NDArray[np.intp]
Numbers = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Lately:
    """What rows keep: entries of these series, of so many days."""

    series: tuple[Series, ...]
    days: int

    @classmethod
    def of(cls, wanted: Mapping[Series, int | None]) -> Lately | None:
        """Of all that windows add up; None where there are none. What reaches back for ever is the ledger's."""
        found = {each: days for each, days in wanted.items() if days is not None and each.measure != "redeemed"}
        if not found:
            return None
        # Each sale is one entry of spend: it says the visits, too.
        kept = [each for each in found if each != VISITS or SPEND not in found]
        return cls(tuple(sorted(kept, key=repr)), max(found.values()))

    @cached_property
    def tag(self) -> int:
        """Another one wherever anything else is kept."""
        return int.from_bytes(hashlib.sha256(repr((ENTRY, self.series, self.days)).encode()).digest()[:8], "little")

    def edge(self, now: int) -> int:
        """What is later counts in some window."""
        return now - self.days * DAY

    def since(self, now: int) -> int:
        """What is later is kept."""
        return self.edge(now) - LONGER


class Bought:
    """Entries of several customers: of the one in row `rows[i]`, at `at[i]`, adding `values[i]` to `series[i]`."""

    def __init__(self, rows: Rows, at: Integers, values: Integers, series: Numbers) -> None:
        self.rows = rows
        self.at = at
        self.values = values
        self.series = series

    @classmethod
    def together(cls, parts: Collection[Bought]) -> Bought:
        """Of parts that are in the order of the rows, and of time within each, one that is."""
        both = cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.at for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.series for part in parts]),
        )
        # What is new is nearly always the latest.
        order = np.argsort(both.rows.astype(np.uint16) if _is_short(both.rows) else both.rows, kind="stable")
        rows, at = both.rows[order], both.at[order]
        if ((at[1:] < at[:-1]) & (rows[1:] == rows[:-1])).any():
            order = np.lexsort((both.at, both.rows))
        return both.taken(order)

    def in_order(self) -> Bought:
        """The same, so that equal entries stand at equal places."""
        return self.taken(np.lexsort((self.values, self.series, self.at, self.rows)))

    def taken(self, order: Rows) -> Bought:
        """These entries, in this order."""
        return Bought(self.rows[order], self.at[order], self.values[order], self.series[order])

    def entries(self, lately: Lately, size: int) -> dict[Hashable, Entries]:
        """By series, of `size` customers."""
        found: dict[Hashable, Entries] = {}
        for number, series in enumerate(lately.series):
            mine = self.series == number
            rows, at, values = self.rows[mine], self.at[mine], self.values[mine]
            found[series] = Entries(size, rows, at, values)
            if series == SPEND:
                found[VISITS] = Entries(size, rows, at, np.ones_like(values))
        return found


def unpack(stored: Sequence[bytes], lately: Lately, now: int) -> tuple[Bools, Integers, Bought]:
    """Whose rows are complete for windows that end at `now`; from when on each is; what these keep."""
    length = HEADING.itemsize
    headings = np.frombuffer(b"".join([kept[:length].ljust(length, b"\0") for kept in stored]), HEADING)
    is_complete: Bools = (headings["tag"] == lately.tag) & (headings["since"] <= lately.edge(now))
    lengths = np.fromiter(map(len, stored), np.int64, len(stored)) - length
    numbers = np.where(is_complete, lengths // ENTRY.itemsize, 0)
    chosen = np.flatnonzero(numbers)
    entries = np.frombuffer(b"".join([stored[row][length:] for row in chosen.tolist()]), ENTRY)
    rows = np.repeat(chosen, numbers[chosen])
    at, values = (entries[name].astype(np.int64) for name in ("at", "value"))
    bought = Bought(rows, at, values, entries["series"].astype(np.uint16))
    return is_complete, headings["since"].astype(np.int64), bought


def pack(bought: Bought, since: Integers, lately: Lately) -> list[bytes]:
    """For each customer what their row is to keep, complete from `since` on; nothing where it would be too much."""
    kept = bought.at > since[bought.rows]
    rows, values = bought.rows[kept], bought.values[kept]
    entries = np.empty(len(rows), ENTRY)
    entries["at"], entries["value"], entries["series"] = bought.at[kept], values, bought.series[kept]
    headings = np.empty(len(since), HEADING)
    headings["tag"], headings["since"] = lately.tag, since
    bounds = np.searchsorted(rows, np.arange(len(since) + 1))
    heads, data = headings.tobytes(), entries.tobytes()
    starts = range(0, len(heads), HEADING.itemsize)
    found = [
        heads[start : start + HEADING.itemsize] + data[first:end]
        for start, (first, end) in zip(starts, itertools.pairwise((bounds * ENTRY.itemsize).tolist()), strict=True)
    ]
    too_large = np.zeros(len(since), np.bool_)
    too_large[rows[np.abs(values) > LARGEST]] = True
    for row in np.flatnonzero(too_large | (np.diff(bounds) > MOST)).tolist():
        found[row] = b""
    return found


def shown(kept: bytes, lately: Lately) -> list[str]:
    """The entries of a row, for people."""
    entries = np.frombuffer(kept[HEADING.itemsize :], ENTRY).tolist()
    return [f"{instant_of(at).isoformat()} {lately.series[series]} {value}" for at, value, series in entries]


def _is_short(rows: Rows) -> bool:
    """So few that they are sorted by their digits."""
    return not rows.size or int(rows.max()) <= np.iinfo(np.uint16).max
