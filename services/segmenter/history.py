"""Reads what customers did, for criteria that add it up; organizations without such criteria read nothing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from sqlalchemy import and_, bindparam, column, func, select, table

from services.segmenter.arrays import TO_UNIX
from services.segmenter.program import Program
from services.segmenter.staging import Connection
from shared.database.engine import statement
from shared.database.tables import ledger
from shared.database.tables.columns import Instant
from shared.domain.criteria import Entries
from shared.domain.criteria.history import Series, entries

TOUCHED = table("touched", column("organization_id"), column("customer_id"))


def read(connection: Connection, program: Program, ids: Sequence[str], now: datetime) -> dict[Hashable, Entries]:
    """The entries of the customers in `touched`; `ids` says which row is whose."""
    row_of = {customer_id: row for row, customer_id in enumerate(ids)}
    found: dict[Hashable, Entries] = {}
    for series, days in program.series.items():
        text, known = _query(program.organization_id, series, is_bounded=days is not None)
        since = {} if days is None else {"since": now - timedelta(days=days)}
        row = connection.execute(text, known | since, binary=True).fetchone()
        if row is None or row[0] is None:
            found[series] = Entries(np.zeros(0, np.intp), np.zeros(0, np.int64), np.zeros(0, np.int64))
            continue
        rows = np.fromiter((row_of.get(customer_id, -1) for customer_id in row[0]), np.intp, len(row[0]))
        mine = rows >= 0
        at, values = row[1].astype(np.int64) + TO_UNIX, row[2].astype(np.int64)
        found[series] = Entries(rows[mine], at[mine], values[mine])
    return found


@lru_cache(1_000)
def _query(organization_id: str, series: Series, *, is_bounded: bool) -> tuple[str, dict[str, Any]]:
    since = bindparam("since", None, type_=Instant) if is_bounded else None
    rows = entries(ledger, organization_id, series, since).subquery("entries")
    mine = rows.join(
        TOUCHED,
        and_(TOUCHED.c.organization_id == organization_id, TOUCHED.c.customer_id == rows.c.customer_id),
    )
    return statement(
        select(*(func.array_agg(rows.c[name]) for name in ("customer_id", "at", "value"))).select_from(mine)
    )
