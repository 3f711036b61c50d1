"""The builder offers what criteria understand, and all of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from services.admin.console import conditions
from services.admin.console.conditions import Field, Input, Operator
from services.admin.memberships import Label
from shared.domain.criteria import parse
from shared.domain.criteria.tree import FIELDS
from shared.errors import InvalidError

OFFERED = {field.field: field for fields in conditions.GROUPS.values() for field in fields}
EACH = [(field, operator) for field in OFFERED.values() for operator in field.operators]
GIVEN: dict[str, Any] = {
    "money": 100, "number": 1, "decimal": 0.5, "days": 7, "texts": ["a"], "flag": True, "segment": "staff",
    "instant": "2026-06-01T10:30:00Z", "text_of": "a", "texts_of": ["a"],
}  # fmt: skip


def parts_of(leaf: dict[str, Any], inputs: tuple[Input, ...]) -> list[dict[str, Any]]:
    """The leaf with its inputs filled in: once for each of the keys that one of them may have."""
    filled = [leaf]
    for each in inputs:
        value = each.options[0][0] if each.kind == "choice" else GIVEN.get(each.kind)
        value = [value for value, _ in each.options] if each.kind == "choices" else value
        keys = [each.key] if each.key else [key for key, _ in each.options]
        filled = [one | {key: [value, value] if each.pair else value} for one in filled for key in keys]
    return filled


def test_every_field_is_offered_once() -> None:
    assert OFFERED.keys() == FIELDS.keys()
    assert sum(map(len, conditions.GROUPS.values())) == len(FIELDS)


@pytest.mark.parametrize("field", OFFERED.values(), ids=OFFERED)
def test_a_field_is_offered_with_all_its_operators(field: Field) -> None:
    with pytest.raises(InvalidError) as refused:
        parse({"field": field.field, "op": "?"})
    allowed = re.findall(r"allowed: (.*)", refused.value.message)[0].split(", ")
    assert [operator.op for operator in field.operators] == allowed


@pytest.mark.parametrize(("field", "operator"), EACH, ids=[f"{field.field}-{each.op}" for field, each in EACH])
def test_what_an_operator_asks_for_is_what_a_condition_takes(field: Field, operator: Operator) -> None:
    leaf = {"field": field.field, "op": operator.op}
    needed = tuple(each for each in operator.inputs if not each.optional)
    for one in (*parts_of(leaf, operator.inputs), *parts_of(leaf, needed)):
        parse({"all": [one]})
    for left_out in needed:
        with pytest.raises(InvalidError):
            parse(parts_of(leaf, tuple(each for each in needed if each != left_out))[0])


@pytest.mark.parametrize("bound", ["least", "most"])
def test_the_days_that_are_offered_are_those_that_are_allowed(bound: str) -> None:
    bounded = [(f, o, i) for f, o in EACH for i in o.inputs if i.kind == "days"]
    assert bounded
    for field, operator, asked in bounded:
        (leaf, *_) = parts_of({"field": field.field, "op": operator.op}, operator.inputs)
        edge = getattr(asked, bound)
        parse(leaf | {asked.key: edge})
        with pytest.raises(InvalidError):
            parse(leaf | {asked.key: edge + (1 if bound == "most" else -1)})


def test_the_description_is_json_with_the_organizations_money_clock_and_lists() -> None:
    told = conditions.described("KWD", 3, "Asia/Kuwait", {"staff": Label("Staff", "#000000")})
    read = json.loads(json.dumps(told))
    assert read["money"] == {"currency": "KWD", "decimals": 3}
    assert read["segments"] == [["staff", "Staff"]]
    parse(conditions.START)
