"""Rows of a CSV file as customers: the mapping of its columns, and what each cell says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.admin.csv_cells import SEPARATOR, unguarded
from services.admin.customer_csv import FREE_TEXT
from services.admin.customer_edits import ALLOWED
from shared.errors import InvalidError
from shared.wording import shown

FIELDS = ("customer_id", *ALLOWED)
_TRUE, _FALSE = {"true", "yes", "y", "1"}, {"false", "no", "n", "0"}
_FLAGS = {"email_verified", "marketing_consent"}


def columns(header: list[str], mapping: list[str], *, by_name: bool = True) -> dict[str, str]:
    """Field to column: as `field=column` says, else (`by_name`) the column of the field's own name. No other counts.

    Raises InvalidError for fields and columns that do not exist.
    """
    chosen = {field: field for field in FIELDS if by_name and field in header}
    for given in mapping:
        field, equals, column = given.partition("=")
        if not equals or field not in FIELDS:
            raise InvalidError(f"{given!r} is no field=column with one of the fields {', '.join(FIELDS)}", "--map")
        if column not in header:
            raise InvalidError(f"there is no column {column!r}; the file has {', '.join(header)}", "--map")
        chosen[field] = column
    if "customer_id" not in chosen:
        raise InvalidError(
            f"say which column is the customer_id: --map customer_id=COLUMN. The file has {', '.join(header)}", "--map"
        )
    return chosen


def fields(row: Mapping[str, str | None], chosen: Mapping[str, str]) -> dict[str, Any]:
    """The fields that a row gives. An empty cell gives none: an import adds, it does not clear.

    Raises InvalidError whose field is the one in question.
    """
    given: dict[str, Any] = {}
    for field, column in chosen.items():
        text = (row.get(column) or "").strip()
        if not text:
            continue
        if field in FREE_TEXT:
            text = unguarded(text)
        given[field] = _value(field, text)
    if "customer_id" not in given:
        raise InvalidError("is empty: every row needs one", "customer_id")
    return given


def _value(field: str, text: str) -> Any:
    if field == "tags":
        return [tag.strip() for tag in text.split(SEPARATOR) if tag.strip()]
    if field in _FLAGS:
        said = text.lower()
        if said not in _TRUE | _FALSE:
            raise InvalidError(f"must be true or false; got {shown(text)}", field)
        return said in _TRUE
    return text
