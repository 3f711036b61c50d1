"""Why an event is refused: few and stable codes, since they label a metric and file the dead letters."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """A code and, for a person, its meaning. The first eight come from `decode`, the rest from who knows more."""

    sentence: str

    def __new__(cls, code: str, sentence: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    TOO_LARGE = "too_large", "The event is larger than 1,000,000 bytes."
    INVALID_UTF8 = "invalid_utf8", "The bytes are not UTF-8."
    INVALID_JSON = "invalid_json", "The text is not one JSON object."
    UNSUPPORTED_SPECVERSION = "unsupported_specversion", "The event is not CloudEvents 1.0."
    UNKNOWN_TYPE = "unknown_type", "The type is none that Regulars knows."
    INVALID_FIELD = "invalid_field", "A field is missing or holds what it must not."
    FUTURE_TIME = "future_time", "The event's time lies more than 24 hours ahead."
    LINES_TOTAL = "lines_total", "The lines' totals less the discount are not the total."
    UNKNOWN_ORGANIZATION = "unknown_organization", "No such organization exists."
    WRONG_ORGANIZATION = "wrong_organization", "The key belongs to another organization than the event."
    WRONG_CURRENCY = "wrong_currency", "The currency is not the organization's."
    DUPLICATE_SALE = "duplicate_sale", "The sale is known already from another event."
    NOT_STORABLE = "not_storable", "PostgreSQL itself refused it."
