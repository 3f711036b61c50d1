"""Reads customers as NumPy arrays: PostgreSQL sends each column as one binary array, which NumPy views as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from services.segmenter.staging import Connection
from shared.domain.criteria import MISSING, NEVER, Columns, Labels

HEADER = 20  # dimensions, flags, element type, length, lower bound: four bytes each
TO_UNIX = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000
SEPARATOR = "\x1f"

INTEGERS = {"total_spent", "visit_count", "coupon_redemptions", "birthday", "anniversary"}
INSTANTS = {"last_visit_at", "first_visit_at", "registered_at", "last_open_at", "last_click_at"}
FLAGS = {"marketing_consent", "email_verified"}
LABELS = {"preferred_contact_time", "email_frequency", "time_zone"}

Bytes = npt.NDArray[np.uint8]


class _Fixed(Loader):
    """An array without nulls whose elements have one size."""

    format = Format.BINARY
    size: str

    def load(self, data: Buffer) -> npt.NDArray[Any]:
        raw = bytes(data)
        if len(raw) < HEADER:
            return np.zeros(0, self.size)
        return np.frombuffer(raw, [("length", ">i4"), ("value", self.size)], offset=HEADER)["value"]


class _Integers(_Fixed):
    size = ">i8"


class _Booleans(_Fixed):
    size = "u1"


def prepare(connection: Connection) -> None:
    """Teach a connection to load int8[], timestamptz[] and boolean[] as arrays."""
    for name, loader in (("int8", _Integers), ("timestamptz", _Integers), ("bool", _Booleans)):
        connection.adapters.register_loader(connection.adapters.types[name].array_oid, loader)


class Customers:
    """Some customers of one organization, in the order of their ids."""

    def __init__(self, row: tuple[Any, ...], names: list[str], time_zone: str, width: int) -> None:
        self.ids: list[str] = row[0]
        size = len(self.ids)
        self.stored: list[bytes] = row[1]
        self.memberships: Bytes = np.frombuffer(
            b"".join(bits[:width].ljust(width, b"\0") for bits in self.stored), np.uint8
        ).reshape(size, width)
        self.scheduled = _instants(row[2], NEVER)
        found = dict(zip(names, row[3:], strict=True))
        labels = {name: Labels.of(found[name]) for name in found if name in LABELS}
        if "time_zone" in found:
            labels["time_zone"] = Labels.of([zone or time_zone for zone in found["time_zone"]])
        self.columns = Columns(
            size,
            numbers={name: found[name].astype(np.int64) for name in found if name in INTEGERS}
            | {name: _instants(found[name], MISSING) for name in found if name in INSTANTS},
            flags={name: found[name].astype(np.bool_) for name in found if name in FLAGS},
            labels=labels,
            tags=Labels.of([tuple(joined.split(SEPARATOR)) if joined else () for joined in found.get("tags", [])]),
        )


def read(
    connection: Connection, organization_id: str, columns: frozenset[str], time_zone: str, width: int, *, lock: bool
) -> Customers | None:
    """The customers of `touched`, with the columns that criteria need; None when there are none."""
    names = sorted(columns & (INTEGERS | INSTANTS | FLAGS | LABELS | {"tags"}))
    statement = sql.SQL(
        "SELECT {aggregates} FROM (SELECT {values} FROM customer c JOIN touched t "
        "USING (organization_id, customer_id) WHERE c.organization_id = %s "
        "ORDER BY c.customer_id {lock}) AS these"
    ).format(
        aggregates=sql.SQL(", ").join(
            sql.SQL("array_agg({})").format(sql.Identifier(name))
            for name in ["customer_id", "memberships", "scheduled_at", *names]
        ),
        values=sql.SQL(", ").join(
            [
                sql.SQL("customer_id, memberships, coalesce(scheduled_at, 'infinity') AS scheduled_at"),
                *map(_value, names),
            ]
        ),
        lock=sql.SQL("FOR UPDATE OF c" if lock else ""),
    )
    row = connection.execute(statement, [organization_id], binary=True).fetchone()
    if row is None or row[0] is None:
        return None
    return Customers(row, names, time_zone, width)


def _value(name: str) -> sql.Composable:
    column = sql.Identifier(name)
    if name in INTEGERS:
        return sql.SQL("coalesce({0}, 0)::bigint AS {0}").format(column)
    if name in INSTANTS:
        return sql.SQL("coalesce({0}, '-infinity') AS {0}").format(column)
    if name == "tags":
        return sql.SQL("array_to_string({0}, {1}) AS {0}").format(column, sql.Literal(SEPARATOR))
    return column


def _instants(values: npt.NDArray[Any], null: int) -> npt.NDArray[np.int64]:
    """From PostgreSQL's epoch to 1970; infinities stay what they are."""
    native = values.astype(np.int64)
    return np.where((native == MISSING) | (native == NEVER), null, native + TO_UNIX)
