"""What the builder of criteria offers: each field with its operators, and for each the inputs that it takes.

It says how the leaves of `shared/domain/criteria` are asked for, not what they mean: their parser judges. A test holds
the two to the same fields, operators and parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from services.admin.memberships import Label
from shared.domain.criteria.labels import CHOICES
from shared.domain.criteria.numbers import OPERATORS

Kind = Literal[
    "money", "number", "decimal", "days", "texts", "choice", "choices", "flag", "instant", "segment",
    "text_of", "texts_of",
]  # fmt: skip
LONGEST_DAYS: Final = 36_500


@dataclass(frozen=True)
class Input:
    """One part of a condition. `key` names it in JSON; `*_of` has one of several keys, which `options` name."""

    key: str
    kind: Kind
    label: str
    """For who does not see `before` and `after` around it."""
    before: str = ""
    after: str = ""
    options: tuple[tuple[str, str], ...] = ()
    pair: bool = False
    optional: bool = False
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True)
class Operator:
    """One thing that may be asked of a field."""

    op: str
    words: str
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True)
class Field:
    """What may be asked of a customer."""

    field: str
    words: str
    operators: tuple[Operator, ...]


def _days(key: str = "days", least: int = 1, most: int = LONGEST_DAYS, **more: Any) -> Input:
    return replace(Input(key, "days", "Days", after="days", least=least, most=most), **more)


def _compared(kind: Kind, *also: Input) -> tuple[Operator, ...]:
    value = Input("value", kind, "Amount" if kind == "money" else "Number")
    return tuple(
        Operator(op, words, (replace(value, pair=op == "between"), *also)) for op, (_, words) in OPERATORS.items()
    )


def _chosen(field: str) -> tuple[Operator, ...]:
    options = tuple((value, value) for value in CHOICES[field])
    return (
        Operator("is", "is", (Input("value", "choice", "Value", options=options),)),
        Operator("in", "is one of", (Input("value", "choices", "Values", options=options),)),
    )


_VALUE: Final = "Value"
_IN_LAST: Final = _days("last_days", before="in the last")
_EVER: Final = _days("last_days", before="in the last", after="days (empty: ever)", optional=True)
_OF: Final = Input(
    "", "text_of", "Of which", optional=True,
    options=(("product_id", "of the product"), ("category", "of the category"), ("store_id", "at the store")),
)  # fmt: skip
_WHAT: Final = Input(
    "", "texts_of", "What",
    options=(("product_ids", "one of the products"), ("categories", "of one of the categories"),
             ("store_ids", "at one of the stores")),
)  # fmt: skip
_LIST: Final = "one a line"
_WINDOWED: Final = (_OF, _IN_LAST)
_FLAG: Final = (
    Operator("is", "is", (Input("value", "flag", _VALUE, options=(("true", "true"), ("false", "false"))),)),
)
_AT: Final = (
    Operator("within_last", "within the last", (_days(),)),
    Operator("more_than_ago", "longer ago than", (_days(),)),
    Operator("before", "before", (Input("value", "instant", "Date and time"),)),
    Operator("after", "after", (Input("value", "instant", "Date and time"),)),
    Operator("never", "never"),
)
_DAY: Final = (
    Operator("today", "is today"),
    Operator("this_month", "is this month"),
    Operator("in_next", "is within the next", (_days(least=0, most=365),)),
)
_TAGS: Final = (Input("value", "texts", "Tags", after=_LIST),)
_CODES: Final = (Input("coupon_codes", "texts", "Coupon codes", after=_LIST), _EVER)
_SEGMENT: Final = (Input("value", "segment", "Segment"),)

GROUPS: Final[dict[str, tuple[Field, ...]]] = {
    "Purchases, ever": (
        Field("total_spent", "Total spent", _compared("money")),
        Field("visit_count", "Visits", _compared("number")),
        Field("average_basket", "Average basket", _compared("money")),
        Field("coupon_redemptions", "Coupons redeemed", _compared("number")),
    ),
    "Purchases, lately": (
        Field("spend", "Spent lately", _compared("money", *_WINDOWED)),
        Field("visits", "Visits lately", _compared("number", *_WINDOWED)),
        Field("units", "Units lately", _compared("decimal", *_WINDOWED)),
        Field(
            "bought",
            "Bought",
            (Operator("has_any", "has", (_WHAT, _EVER)), Operator("has_none", "has not", (_WHAT, _EVER))),
        ),
        Field(
            "redeemed",
            "Redeemed a coupon",
            (Operator("has_any", "has", _CODES), Operator("has_none", "has not", _CODES)),
        ),
    ),
    "When": (
        Field("last_visit", "Last visit", _AT),
        Field("first_visit", "First visit", _AT),
        Field("registered", "Registered", _AT),
        Field("birthday", "Birthday", _DAY),
        Field("anniversary", "Anniversary", _DAY),
    ),
    "Mail": (
        Field("marketing_consent", "Consent to marketing mail", _FLAG),
        Field("email_verified", "Email verified", _FLAG),
        Field("last_open", "Last opened a mail", _AT),
        Field("last_click", "Last clicked in a mail", _AT),
        Field("preferred_contact_time", "Preferred contact time", _chosen("preferred_contact_time")),
        Field("email_frequency", "Wants mail", _chosen("email_frequency")),
    ),
    "Profile": (
        Field(
            "tags",
            "Tags",
            (
                Operator("has_any", "has any of", _TAGS),
                Operator("has_all", "has all of", _TAGS),
                Operator("has_none", "has none of", _TAGS),
            ),
        ),
        Field("segment", "List", (Operator("in", "is in", _SEGMENT), Operator("not_in", "is not in", _SEGMENT))),
    ),
}  # fmt: skip
START: Final[dict[str, Any]] = {"all": [{"field": "visit_count", "op": "gte", "value": 2}]}
"""What a new segment begins with: something that counts, to be changed."""


def described(currency: str, decimals: int, time_zone: str, lists: Mapping[str, Label]) -> dict[str, Any]:
    """All of it as the builder takes it. `lists`: the static segments."""
    groups = [{"words": words, "fields": [asdict(each) for each in fields]} for words, fields in GROUPS.items()]
    money = {"currency": currency, "decimals": decimals}
    return {
        "groups": groups,
        "money": money,
        "time_zone": time_zone,
        "segments": [(each, lists[each].name) for each in lists],
    }
