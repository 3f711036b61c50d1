from __future__ import annotations

from fractions import Fraction

from shared.domain.roi import Costs, half_up


def test_roi_is_exact_and_of_what_was_spent() -> None:
    costs = Costs(margin=40_00, per_thousand=900)
    assert costs.sending(2_500) == 2_250
    assert costs.roi(100_000, 5_000, 2_500) == Fraction(40_000 - 7_250, 7_250)
    assert costs.roi(0, 5_000, 0) == -1
    assert Costs(margin=33_33, per_thousand=1).roi(1, 0, 1) == (Fraction(3333, 10_000) - Fraction(1, 1000)) * 1000


def test_where_nothing_was_spent_there_is_none_and_what_was_not_told_is_assumed() -> None:
    assert Costs(margin=None, per_thousand=None).roi(100_000, 0, 2_500) is None
    assert Costs(margin=None, per_thousand=None).roi(100_000, 1_000, 2_500) == 29
    assert Costs(margin=0, per_thousand=None).roi(100_000, 1_000, 0) == -1


def test_amounts_are_rounded_half_up() -> None:
    assert [half_up(Fraction(n, 4)) for n in (1, 2, 3, -2, -3)] == [0, 1, 1, 0, -1]
