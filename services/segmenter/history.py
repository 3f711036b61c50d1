"""Reads what customers did, for criteria that add it up; organizations without such criteria read nothing.

A statement a batch for all that was bought, and one for what was redeemed, whatever the number of series: the sales of
its customers in the longest window. What each series counts of them is found in memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
from psycopg import sql

from services.segmenter import parameters
from services.segmenter.arrays import TO_UNIX
from services.segmenter.program import Program
from services.segmenter.receipts import Receipts
from services.segmenter.staging import Connection
from shared.domain.criteria import Entries
from shared.domain.criteria.history import IN_LINES, Series

# Sales that are not voided, less what was given back; a row's number is its customer's, from 0.
BOUGHT = sql.SQL("""
SELECT array_agg(n - 1), array_agg(at), array_agg(amount), {aggregates} FROM (
    SELECT b.n, own.occurred_at AS at, own.amount - a.given_back AS amount, {values}
    FROM unnest(string_to_array(%(ids)s, E'\\x1f')) WITH ORDINALITY AS b (customer_id, n)
    JOIN ledger own ON own.organization_id = %(organization_id)s AND own.customer_id = b.customer_id
        AND own.occurred_at > %(since)s AND own.type = 'sale.completed'
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(other.amount) FILTER (WHERE other.type = 'sale.refunded'), 0)::bigint AS given_back,
               coalesce(bool_or(other.type = 'sale.voided'), false) AS is_voided {returned}
        FROM ledger other WHERE other.organization_id = %(organization_id)s AND other.sale_id = own.sale_id
            AND other.type IN ('sale.refunded', 'sale.voided', 'coupon.redemption_reversed')) AS a
    WHERE NOT a.is_voided ORDER BY b.n, own.occurred_at) AS these
""")
# Optional parts of it: what they hold, by column.
STORES = (sql.SQL("array_agg(store)"), sql.SQL("coalesce(own.store_id, '') AS store"))
LINES = (
    sql.SQL("array_agg(lines), array_agg(returned)"),
    sql.SQL("coalesce(own.lines, '') AS lines, a.returned"),
)
RETURNED = sql.SQL(
    ", coalesce(string_agg(other.lines, E'\\x1f') FILTER (WHERE other.type = 'sale.refunded'), '') AS returned"
)
NOTHING = (sql.SQL("null"), sql.SQL("null"))
# Redemptions that were not given back, by their codes.
REDEEMED = """
SELECT array_agg(n - 1), array_agg(at), array_agg(code) FROM (
    SELECT b.n, own.occurred_at AS at, substr(own.entry, length('redeem:') + 1) AS code
    FROM unnest(string_to_array(%(ids)s, E'\\x1f')) WITH ORDINALITY AS b (customer_id, n)
    JOIN ledger own ON own.organization_id = %(organization_id)s AND own.customer_id = b.customer_id
        AND own.occurred_at > %(since)s AND own.type = 'coupon.redeemed'
    WHERE NOT EXISTS (
        SELECT FROM ledger other WHERE other.organization_id = %(organization_id)s AND other.sale_id = own.sale_id
        AND other.type IN ('sale.refunded', 'sale.voided', 'coupon.redemption_reversed')
        AND (other.type <> 'coupon.redemption_reversed'
             OR other.entry = 'reverse:' || substr(own.entry, length('redeem:') + 1)))
    ORDER BY b.n, own.occurred_at) AS these
"""
EVER = "-infinity"


def read(connection: Connection, program: Program, ids: Sequence[str], now: datetime) -> dict[Hashable, Entries]:
    """The entries of customers; row i is that of `ids[i]`."""
    found: dict[Hashable, Entries] = {}
    joined = parameters.texts(ids)
    # What reaches back for ever is asked apart, so that windows stay as short as they are.
    for is_bounded in (True, False):
        mine = {series: days for series, days in program.series.items() if (days is not None) == is_bounded}
        for is_redeemed in (False, True):
            series = {each: days for each, days in mine.items() if (each.measure == "redeemed") == is_redeemed}
            if series:
                longest = max(days or 0 for days in series.values())
                since = now - timedelta(days=longest) if is_bounded else EVER
                known = {"organization_id": program.organization_id, "ids": joined, "since": since}
                reading = _redeemed if is_redeemed else _bought
                found |= reading(connection, list(series), len(ids), known)
    return found


def _bought(
    connection: Connection, series: Sequence[Series], size: int, known: Mapping[str, object]
) -> dict[Hashable, Entries]:
    has_stores = any(each.by == "store_id" for each in series)
    has_lines = any(each.measure == "units" or each.by in IN_LINES for each in series)
    parts = [STORES if has_stores else NOTHING, LINES if has_lines else (sql.SQL("null, null"), sql.SQL("null"))]
    statement = BOUGHT.format(
        aggregates=sql.SQL(", ").join(part[0] for part in parts),
        values=sql.SQL(", ").join(part[1] for part in parts),
        returned=RETURNED if has_lines else sql.SQL(""),
    )
    row = connection.execute(statement, known, binary=True).fetchone()
    if row is None or row[0] is None:
        return dict.fromkeys(series, _nothing(size))
    rows, at, amounts = row[0].astype(np.intp), row[1].astype(np.int64) + TO_UNIX, row[2].astype(np.int64)
    receipts = Receipts(amounts, row[3] or [], row[4] or [], row[5] or [])
    found: dict[Hashable, Entries] = {}
    for each in series:
        counts, values = receipts.count(each)
        found[each] = Entries(size, rows[counts], at[counts], values[counts])
    return found


def _redeemed(
    connection: Connection, series: Sequence[Series], size: int, known: Mapping[str, object]
) -> dict[Hashable, Entries]:
    row = connection.execute(REDEEMED, known, binary=True).fetchone()
    if row is None or row[0] is None:
        return dict.fromkeys(series, _nothing(size))
    rows, at, codes = row[0].astype(np.intp), row[1].astype(np.int64) + TO_UNIX, np.array(row[2])
    found: dict[Hashable, Entries] = {}
    for each in series:
        counts = np.isin(codes, each.values) if each.values else np.ones(len(codes), np.bool_)
        found[each] = Entries(size, rows[counts], at[counts], np.ones(int(counts.sum()), np.int64))
    return found


def _nothing(size: int) -> Entries:
    return Entries(size, np.zeros(0, np.intp), np.zeros(0, np.int64), np.zeros(0, np.int64))
