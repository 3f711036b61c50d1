"""Customers as CSV, streamed: one column for every field of the profile, every stat, and the segments."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import lru_cache

from sqlalchemy import Engine

from services.admin import memberships
from services.admin.csv_cells import cell, guarded
from services.admin.customers import PROFILE, STATS, profile, rows, stats
from shared.database.predicate import inside
from shared.database.tables import customer

FREE_TEXT = {"name", "email", "phone", "tags", "consent_where", "consent_wording"}
HEADER = (*PROFILE, *STATS, "segments")
ROWS_A_CHUNK = 1_000


def stream(engine: Engine, organization_id: str, slot: int | None = None) -> Iterator[bytes]:
    """All customers by id, or one segment's members, as of the moment at which the first chunk is asked for.

    Reads through a server-side cursor, so that memory stays the same for a million.
    """
    wanted = rows(organization_id).order_by(customer.c.customer_id)
    if slot is not None:
        wanted = wanted.where(inside(slot))
    with engine.connect() as connection:
        slots = memberships.slots(connection, organization_id)

        @lru_cache(maxsize=4_096)
        def segments(bits: bytes) -> str:  # many customers are in the same ones
            return cell(memberships.ids(bits, slots))

        yield _lines([HEADER])
        found = connection.execution_options(yield_per=ROWS_A_CHUNK).execute(wanted).mappings()
        for part in found.partitions():
            yield _lines([(*_cells(profile(row) | stats(row)), segments(row["memberships"])) for row in part])


def _cells(fields: dict[str, object]) -> Iterator[str]:
    for name in (*PROFILE, *STATS):
        text = cell(fields[name])
        yield guarded(text) if name in FREE_TEXT else text


def _lines(lines: list[tuple[str, ...]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(lines)
    return buffer.getvalue().encode()
