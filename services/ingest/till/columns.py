"""Columns of a batch as one text each: psycopg would spend more time on writing arrays than PostgreSQL on the batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# Unit separator: no code and no id holds control characters (asked.hold_at, event_fields.PRINTABLE).
SEPARATOR: Final = "\x1f"


def joined(values: Iterable[object]) -> str:
    """The parameter for `texts` or `numbers`; None is an empty text, which is no id."""
    return SEPARATOR.join(["" if value is None else str(value) for value in values])


def texts(name: str) -> str:
    """The SQL of a text[] from the parameter of that name."""
    return f"string_to_array(%({name})s, chr(31), '')"


def numbers(name: str) -> str:
    """The SQL of a bigint[]."""
    return f"{texts(name)}::bigint[]"
