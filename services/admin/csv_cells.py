"""Cells of CSV files, out and in.

A spreadsheet runs a cell that starts with one of `=+-@` as a formula (OWASP, CSV injection). Free text that does so
leaves with an apostrophe in front, which an import takes away again; ids and numbers are never touched.
"""

from __future__ import annotations

import re
from datetime import datetime

from services.admin.instants import written

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_PHONE = re.compile(r"\+?[0-9 ()./-]+")
SEPARATOR = ";"


def cell(value: object) -> str:
    """A value as text: instants in UTC, booleans as true and false, nothing for null, lists joined by `;`."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return written(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return SEPARATOR.join(value)
    return str(value)


def guarded(text: str) -> str:
    """Free text that no spreadsheet runs. A telephone number may start with +: it computes nothing."""
    return f"'{text}" if text.startswith(_FORMULA) and not _PHONE.fullmatch(text) else text


def unguarded(text: str) -> str:
    """What `guarded` was given."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text
