"""What rows keep of recent sales comes back as it was, and says when it is not enough."""

from __future__ import annotations

import numpy as np
import pytest

from services.segmenter.recent import LONGER, MOST, Bought, Lately, pack, unpack
from shared.domain.criteria.columns import DAY
from shared.domain.criteria.history import Series

SPEND, VISITS, UNITS = Series("spend"), Series("visits"), Series("units", "product_id", ("bread",))
LATELY = Lately((SPEND, UNITS), 30)
NOW = 1_000 * DAY


def bought(*entries: tuple[int, int, int, int]) -> Bought:
    """Of (row, at, value, series)."""
    columns = np.array(entries, np.int64).reshape(-1, 4).T
    return Bought(columns[0], columns[1], columns[2], columns[3].astype(np.uint16))


def since(size: int) -> np.ndarray:
    return np.full(size, LATELY.since(NOW))


def test_entries_come_back_as_they_were() -> None:
    given = bought((0, NOW - DAY, 500, 0), (0, NOW - DAY, 2_000_000, 1), (2, NOW - 3 * DAY, -7, 0), (2, NOW, 5, 0))
    stored = pack(given, since(3), LATELY)
    is_complete, from_when, found = unpack(stored, LATELY, NOW)
    assert is_complete.all()
    assert from_when.tolist() == since(3).tolist()
    for name in ("rows", "at", "values", "series"):
        assert getattr(found, name).tolist() == getattr(given, name).tolist(), name


def test_a_late_sale_takes_its_place_in_time() -> None:
    kept, late = bought((0, NOW - 9, 1, 0), (0, NOW - 2, 2, 0), (1, NOW - 8, 4, 0)), bought((0, NOW - 5, 3, 0))
    both = Bought.together([kept, late])
    assert both.values.tolist() == [1, 3, 2, 4]
    entries = both.entries(LATELY, 2)[SPEND]
    assert entries.sums(NOW - 6).tolist() == [5, 0]
    assert entries.earliest(NOW - 6)[0] == NOW - 5


def test_spend_says_the_visits() -> None:
    entries = bought((0, NOW - 2, 0, 0), (0, NOW - 2, 10, 1), (0, NOW - 1, 300, 0)).entries(LATELY, 1)
    assert entries[VISITS].sums(NOW - 3).tolist() == [2]
    assert entries[UNITS].sums(NOW - 3).tolist() == [10]


def test_a_row_is_no_answer_for_a_window_that_reaches_back_before_it() -> None:
    (row,) = pack(bought((0, NOW, 1, 0)), since(1), LATELY)
    complete_at = {NOW: True, NOW - LONGER: True, NOW - LONGER - 1: False}
    assert {now: bool(unpack([row], LATELY, now)[0][0]) for now in complete_at} == complete_at


@pytest.mark.parametrize("other", [Lately((SPEND, UNITS), 31), Lately((SPEND,), 30)])
def test_a_row_is_no_answer_for_what_it_does_not_keep(other: Lately) -> None:
    stored = [*pack(bought((0, NOW, 1, 0)), since(1), LATELY), b""]
    assert unpack(stored, other, NOW)[0].tolist() == [False, False]


def test_what_is_too_old_is_let_go_and_what_is_too_much_or_too_large_is_not_kept() -> None:
    many = [(1, NOW - DAY + n, 1, 0) for n in range(MOST + 1)]
    given = bought((0, LATELY.since(NOW), 1, 0), (0, LATELY.since(NOW) + 1, 2, 0), *many, (2, NOW, 2**31, 0))
    stored = pack(given, since(3), LATELY)
    assert unpack(stored, LATELY, NOW)[2].values.tolist() == [2]
    assert stored[1:] == [b"", b""]


def test_windows_alone_are_kept() -> None:
    redeemed = Series("redeemed", "coupon_code", ("TEN",))
    assert Lately.of({VISITS: None, redeemed: 7}) is None
    assert Lately.of({SPEND: 7, VISITS: 30, UNITS: None, redeemed: 90}) == Lately((SPEND,), 30)
