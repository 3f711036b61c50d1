"""Numbers and values stand in messages as a person writes them, and as JSON does."""

from __future__ import annotations

import re
from typing import Any

import pytest

from shared.domain.criteria import parse
from shared.domain.criteria.tree import FIELDS
from shared.errors import InvalidError
from shared.wording import counted, shown

PYTHON = re.compile(r"\b(None|True|False|nan|inf)\b|'")
JUNK: list[Any] = [None, True, 1.5, -1, 10**30, "x", "", "\x1b\ud800", [], [None], [True, False], {}, {"a": None}]
OPS = ("gte", "between", "within_last", "before", "never", "has_any", "is", "in", "in_next", None, True, [])


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries"), (12_000, "12,000 entries")]
)
def test_one_is_one(number: int, said: str) -> None:
    assert counted(number, "entry", "entries") == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "null"),
        (True, "true"),
        ("Zoë", '"Zoë"'),
        ({"a": [1, None]}, '{"a": [1, null]}'),
        ("\x00\x9b\ud800", '"\\u0000\\u009b\\ud800"'),
        ("x" * 1_000, '"' + "x" * 49 + "... (1,000 characters)"),
    ],
)
def test_a_value_is_shown_as_json_has_it(value: Any, said: str) -> None:
    assert shown(value) == said


def test_criteria_are_refused_in_the_words_of_json() -> None:
    told = set()
    for field in FIELDS:
        for op in OPS:
            for junk in JUNK:
                keys = ("value", "days", "last_days", "category", "product_ids", "coupon_codes")
                for leaf in ({"field": field, "op": op} | {key: junk} for key in keys):
                    told |= refused(leaf)
    for junk in JUNK:
        told |= refused(junk) | refused({"field": junk}) | refused({"all": junk})
    assert len(told) > 50
    assert [message for message in told if PYTHON.search(message)] == []
    assert {'null is not an operator of "tags"; allowed: has_any, has_all, has_none'} < told


def refused(tree: Any) -> set[str]:
    try:
        parse(tree)
    except InvalidError as error:
        error.message.encode()  # half a surrogate would be no answer
        return {error.message}
    return set()


@pytest.mark.parametrize(
    ("leaf", "sentence"),
    [
        ({"field": "visit_count", "op": "eq", "value": 1}, "has exactly 1 visit"),
        ({"field": "visit_count", "op": "between", "value": [1, 3]}, "has between 1 and 3 visits"),
        ({"field": "coupon_redemptions", "op": "gte", "value": 1}, "has at least 1 coupon redemption"),
        ({"field": "units", "op": "gte", "value": 1, "last_days": 1}, "bought at least 1 unit in the last 1 day"),
        ({"field": "units", "op": "gte", "value": 0.5, "last_days": 30}, "bought at least 0.5 units in the last 30 days"),
        ({"field": "visits", "op": "gt", "value": 1, "last_days": 7}, "has more than 1 visit in the last 7 days"),
    ],
)  # fmt: skip
def test_a_sentence_counts_right(leaf: dict[str, Any], sentence: str) -> None:
    assert parse(leaf).sentence(str) == sentence
