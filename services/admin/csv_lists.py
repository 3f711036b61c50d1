"""Lists that come as CSV: rows by the one column that must be there."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Any, TextIO

from shared.errors import InvalidError


def text_of(file: bytes) -> TextIO:
    """A file that was sent, with or without a byte order mark. Raises InvalidError."""
    try:
        return StringIO(file.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        raise InvalidError(f"must be UTF-8; byte {error.start} is not", "file") from None


def rows_with(column: str, text: TextIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row that says something in the column, with its line in the file, where the header is line 1.

    Raises InvalidError for what is no CSV, or has no such column.
    """
    try:
        rows = csv.DictReader(text, strict=True)
        if column not in (rows.fieldnames or []):
            columns = ", ".join(rows.fieldnames or []) or "nothing"
            raise InvalidError(f"must have a header with the column {column}; it has {columns[:200]}", "file")
        for row in rows:
            if (row[column] or "").strip():
                yield rows.line_num, row
    except csv.Error as error:
        raise InvalidError(f"is no CSV: {error}", "file") from None
