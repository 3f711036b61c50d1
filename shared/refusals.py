"""What pydantic refuses, in words that say what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared.domain.event_fields import EMAIL, PRINTABLE, PRINTABLE_LINES
from shared.wording import counted

COLOR = r"^#[0-9a-fA-F]{6}$"
TIME_OF_DAY = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"

_INSTANT = 'must be an instant with its time zone, such as "2026-11-22T10:15:00Z"'
_DAY = 'must be a day, such as "2026-11-22"'
_TIME = 'must be a time of day, such as "17:30"'
_WHOLE = "must be a whole number"
_NUMBER = "must be a number"
_OBJECT = "must be an object"
_ID = "must be an id such as 0b5b1f1e-3c60-4c1c-9d8d-2f5a3a0e8c11"
_PRINTABLE = "must not hold control characters: take them out"
_FIXED = {
    "missing": "is missing",
    "extra_forbidden": "is not known here: take it out",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "has too many digits",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "decimal_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text",
    "string_unicode": "must not hold half a surrogate pair: take it out",
    "list_type": "must be a list",
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "timezone_aware": _INSTANT,
    "datetime_type": _INSTANT,
    "datetime_parsing": _INSTANT,
    "datetime_object_invalid": _INSTANT,
    "datetime_from_date_parsing": _INSTANT,
    "date_type": _DAY,
    "date_parsing": _DAY,
    "date_from_datetime_parsing": _DAY,
    "date_from_datetime_inexact": _DAY,
    "time_type": _TIME,
    "time_parsing": _TIME,
    "uuid_type": _ID,
    "uuid_parsing": _ID,
}


_LOOKS = {
    PRINTABLE: _PRINTABLE,
    PRINTABLE_LINES: _PRINTABLE,
    EMAIL: 'must be one address, such as "asha@example.com"',
    COLOR: "must be # and six hexadecimal digits, such as #4f7cac",
    TIME_OF_DAY: 'must be a time of day from "00:00" to "24:00"',
}


def _quoted(text: str) -> str:
    """As JSON quotes; pydantic quotes as Python does."""
    return text.replace("'", '"')


def _expected(given: Mapping[str, Any]) -> str:
    return _quoted(f"must be {given['expected']}")


_COUNTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda given: f"must be more than {given['gt']}",
    "greater_than_equal": lambda given: f"must be at least {given['ge']}",
    "less_than": lambda given: f"must be less than {given['lt']}",
    "less_than_equal": lambda given: f"must be at most {given['le']}",
    "multiple_of": lambda given: f"must be a multiple of {given['multiple_of']}",
    "decimal_max_digits": lambda given: f"must have at most {given['max_digits']} digits",
    "decimal_max_places": lambda given: f"must have at most {given['decimal_places']} digits after the point",
    "decimal_whole_digits": lambda given: f"must have at most {given['whole_digits']} digits before the point",
    "literal_error": _expected,
    "enum": _expected,
    "too_short": lambda given: f"must hold at least {counted(given['min_length'], 'entry', 'entries')}",
    "too_long": lambda given: f"must hold at most {counted(given['max_length'], 'entry', 'entries')}",
    "string_too_short": lambda given: f"must hold at least {counted(given['min_length'], 'character')}",
    "string_too_long": lambda given: f"must be at most {counted(given['max_length'], 'character')} long",
    "string_pattern_mismatch": lambda given: _LOOKS.get(given["pattern"], f"must look like {given['pattern']}"),
    "union_tag_not_found": lambda given: f"must say which kind it is in {_quoted(given['discriminator'])}",
    "union_tag_invalid": lambda given: _quoted(f"must have {given['expected_tags']} as its {given['discriminator']}"),
}


def said(error: Mapping[str, Any]) -> str:
    """The message of one of pydantic's errors, without the field's name; ours stay as they are."""
    kind = error["type"]
    counted = _COUNTED.get(kind)
    if counted is not None:
        return counted(error["ctx"])
    return _FIXED.get(kind) or str(error["msg"]).removeprefix("Value error, ")
