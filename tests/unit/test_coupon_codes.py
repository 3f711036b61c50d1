"""Codes: a slip of the hand is caught, and what people put between characters is forgiven."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.coupons.codes import (
    ALPHABET,
    UNIQUE_LENGTH,
    check_character,
    check_shape,
    generate,
    generate_many,
    is_well_formed,
    normalise,
    warnings,
)
from shared.errors import InvalidError

bodies = st.text(ALPHABET, min_size=3, max_size=19)


@given(bodies, st.data())
def test_any_one_wrong_character_is_caught(body: str, data: st.DataObject) -> None:
    code = body + check_character(body)
    place = data.draw(st.integers(0, len(code) - 1))
    other = data.draw(st.sampled_from([each for each in ALPHABET if each != code[place]]))
    assert is_well_formed(code)
    assert not is_well_formed(code[:place] + other + code[place + 1 :])


@given(bodies, st.data())
def test_any_swap_of_neighbours_is_caught(body: str, data: st.DataObject) -> None:
    code = body + check_character(body)
    place = data.draw(st.integers(0, len(code) - 2))
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert is_well_formed(swapped) == (swapped == code)


def test_generated_codes_hold_nothing_confusing_and_fit_the_shape() -> None:
    code = generate()
    assert check_shape(code) == code
    assert is_well_formed(code)
    assert not warnings(code)
    assert not set("0O1I") & set(ALPHABET)


def test_many_codes_are_different_and_well_formed() -> None:
    codes = generate_many(20_000)
    assert len(codes) == 20_000
    assert all(len(code) == UNIQUE_LENGTH and is_well_formed(code) for code in codes)


def test_lower_case_blanks_and_dashes_are_forgiven() -> None:
    assert normalise(" vip-500 ") == normalise("VIP\u2013500") == normalise("v i p_500") == "VIP500"


def test_what_may_be_misread_is_told() -> None:
    assert warnings("VIP5") == ["I is easily taken for 1"]
    assert warnings("CO0L") == ["0 is easily taken for O", "O is easily taken for 0"]
    assert warnings("WELCME2") == []


@pytest.mark.parametrize("typed", ["abc", "A" * 21, "ÄPFEL", "A+B=C", ""])
def test_a_code_that_is_none_is_refused(typed: str) -> None:
    with pytest.raises(InvalidError, match="4 to 20 letters"):
        check_shape(typed)
