"""Reads customers as NumPy arrays: PostgreSQL sends each column as one binary array, which NumPy views as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from services.segmenter import parameters
from services.segmenter.intake import Row
from services.segmenter.staging import Connection
from shared.domain.criteria import MISSING, NEVER, Columns, Labels
from shared.domain.criteria.columns import MICROSECOND, Integers

HEADER = parameters.HEADER.size
FROM_2000 = datetime(2000, 1, 1, tzinfo=UTC)
INFINITY = np.iinfo(np.int64).max
TO_UNIX = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000

INTEGERS = {"total_spent", "visit_count", "coupon_redemptions", "birthday", "anniversary"}
INSTANTS = {"last_visit_at", "first_visit_at", "registered_at", "last_open_at", "last_click_at"}
FLAGS = {"marketing_consent", "email_verified"}
LABELS = {"preferred_contact_time", "email_frequency", "time_zone"}
ALWAYS = ("memberships", "scheduled_at")

PLACE = [("block", ">u4"), ("offset", ">u2")]  # a row's ctid; no row has offset 0

Bytes = npt.NDArray[np.uint8]


class _Fixed(Loader):
    """An array without nulls whose elements have one size."""

    format = Format.BINARY
    size: Any

    def load(self, data: Buffer) -> npt.NDArray[Any]:
        raw = bytes(data)
        if len(raw) < HEADER:
            return np.zeros(0, self.size)
        return np.frombuffer(raw, [("length", ">i4"), ("value", self.size)], offset=HEADER)["value"]


class _Integers(_Fixed):
    size = ">i8"


class _Booleans(_Fixed):
    size = "u1"


class _Places(_Fixed):
    size = PLACE


class _Versions(_Fixed):
    size = ">u4"


def prepare(connection: Connection) -> None:
    """Teach a connection to load arrays of these types as NumPy's, and to take them back as parameters."""
    parameters.prepare(connection)
    loaders = {"int8": _Integers, "timestamptz": _Integers, "bool": _Booleans, "tid": _Places, "xid": _Versions}
    for name, loader in loaders.items():
        connection.adapters.register_loader(connection.adapters.types[name].array_oid, loader)


class Customers:
    """Some customers of one organization, in the order of their ids."""

    def __init__(self, row: Sequence[Any], names: list[str], time_zone: str, width: int) -> None:
        self.ids: Sequence[str] = row[0]
        size = len(self.ids)
        self.stored: list[bytes] = row[1]
        joined = b"".join(self.stored)
        if len(joined) != size * width or set(map(len, self.stored)) != {width}:
            joined = b"".join([bits[:width].ljust(width, b"\0") for bits in self.stored])
        self.memberships: Bytes = np.frombuffer(joined, np.uint8).reshape(size, width)
        self.scheduled = from_postgres(row[2], NEVER)
        found = dict(zip(names, row[3:], strict=True))
        self.recent: list[bytes] | None = found.get("recent")  # what their rows keep of what they bought
        self.bought: Sequence[tuple[int, Row]] = ()  # and what is new: a customer's row here, and the sale
        self.last_visits: Integers | None = None  # before what is new, where it is known
        labels = {name: Labels.of(found[name]) for name in found if name in LABELS}
        if "time_zone" in found:
            labels["time_zone"] = Labels.of([zone or time_zone for zone in found["time_zone"]])
        self.columns = Columns(
            size,
            numbers={name: found[name].astype(np.int64) for name in found if name in INTEGERS}
            | {name: from_postgres(found[name], MISSING) for name in found if name in INSTANTS},
            flags={name: found[name].astype(np.bool_) for name in found if name in FLAGS},
            labels=labels,
            tags=_tags(found.get("tags", [])),
        )


def _tags(joined: Sequence[str]) -> Labels[tuple[str, ...]]:
    """From the texts that array_to_string made."""
    found = Labels.of(joined)
    return Labels([tuple(text.split(parameters.SEPARATOR)) if text else () for text in found.values], found.codes)


# Customers as they are stored.
THESE = """
customer c WHERE c.organization_id = %s AND c.customer_id = ANY(string_to_array(%s, E'\\x1f')) ORDER BY c.customer_id
"""


def read(  # noqa: PLR0917 - who, what of them, how
    connection: Connection,
    organization_id: str,
    ids: Sequence[str],
    columns: frozenset[str],
    time_zone: str,
    width: int,
    *,
    lock: bool,
) -> Customers | None:
    """Those of `ids` who exist, with the columns that criteria need; None when there are none."""
    names = needed(columns)
    statement = sql.SQL("SELECT {} FROM (SELECT customer_id, {} FROM {} {}) AS these").format(
        sql.SQL("array_agg(customer_id), {}").format(aggregates(names)),
        values(names),
        sql.SQL(THESE),
        sql.SQL("FOR UPDATE OF c" if lock else ""),
    )
    row = connection.execute(statement, [organization_id, parameters.texts(ids)], binary=True).fetchone()
    return None if row is None or row[0] is None else Customers(row, names, time_zone, width)


def needed(columns: frozenset[str]) -> list[str]:
    """The columns of the customer table among what criteria need."""
    return sorted(columns & (INTEGERS | INSTANTS | FLAGS | LABELS | {"tags", "recent"}))


def aggregates(names: Iterable[str]) -> sql.Composed:
    """What Customers is made from, after the ids."""
    return sql.SQL(", ").join(sql.SQL("array_agg({})").format(sql.Identifier(name)) for name in [*ALWAYS, *names])


def values(names: Iterable[str]) -> sql.Composed:
    """The values behind the aggregates."""
    stored = {"memberships": "coalesce(c.memberships, '')", "scheduled_at": "coalesce(c.scheduled_at, 'infinity')"}
    always = [sql.SQL(f"{text} AS {name}") for name, text in stored.items()]
    return sql.SQL(", ").join([*always, *(_value(name) for name in names)])


def _value(name: str) -> sql.Composable:
    text = f"c.{name}"
    if name in INTEGERS:
        text = f"coalesce({text}, 0)::bigint"
    elif name in INSTANTS:
        text = f"coalesce({text}, '-infinity')"
    elif name in FLAGS:
        text = f"coalesce({text}, false)"
    elif name == "recent":
        text = f"coalesce({text}, '')"
    elif name == "tags":
        text = f"array_to_string({text}, E'\\x1f')"
    return sql.SQL("{} AS {}").format(sql.SQL(text), sql.Identifier(name))


def instants(column: Sequence[datetime]) -> npt.NDArray[np.int64]:
    """As PostgreSQL counts them."""
    return np.array([(at - FROM_2000) // MICROSECOND for at in column], np.int64)


def to_postgres(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """From 1970 to PostgreSQL's epoch; NEVER is infinity."""
    return np.where(values == NEVER, INFINITY, values - TO_UNIX)


def from_postgres(values: npt.NDArray[Any], null: int) -> npt.NDArray[np.int64]:
    """From PostgreSQL's epoch to 1970; infinities become `null`."""
    native = values.astype(np.int64)
    return np.where((native == MISSING) | (native == NEVER), null, native + TO_UNIX)
