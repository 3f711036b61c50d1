"""Long lists as parameters: the text of a PostgreSQL array, a tenth of the work that the driver has with a list."""

from __future__ import annotations

from collections.abc import Iterable


def array(values: Iterable[str | None]) -> str:
    """For CAST(:name AS text[]), or whatever else the values are texts of."""
    given = list(values)
    if not given:
        return "{}"
    if None not in given:
        between = '","'.join(given)  # type: ignore[arg-type]
        if "\\" not in between and between.count('"') == 2 * len(given) - 2:
            return f'{{"{between}"}}'
    return f"{{{','.join(['NULL' if value is None else _quoted(value) for value in given])}}}"


def plain_array(values: Iterable[str]) -> str:
    """The same of ids, days and numbers, which need no quotes."""
    return f"{{{','.join(values)}}}"


def _quoted(value: str) -> str:
    if '"' in value or "\\" in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'
