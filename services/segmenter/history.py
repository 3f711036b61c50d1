"""Reads what customers did, for criteria that add it up; organizations without such criteria read nothing.

Windows of sales are on the customers' rows (`recent`). Of whose row does not say, one statement a batch brings the
sales of the longest window; one each is for what was bought ever and for what was redeemed, whatever the number of
series. What each series counts of sales is found in memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
from psycopg import sql

from services.segmenter import parameters, recent
from services.segmenter.arrays import TO_UNIX, Customers, instants
from services.segmenter.intake import Row
from services.segmenter.program import Program
from services.segmenter.receipts import Receipts
from services.segmenter.recent import Bought, Lately, Rows
from services.segmenter.staging import AMOUNT, LINES, OCCURRED_AT, STORE_ID, Connection
from shared.domain.criteria import Entries
from shared.domain.criteria.columns import Bools, Integers, instant_of, micros
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
WITH_STORES = (sql.SQL("array_agg(store)"), sql.SQL("coalesce(own.store_id, '') AS store"))
WITH_LINES = (
    sql.SQL("array_agg(lines), array_agg(returned)"),
    sql.SQL("coalesce(own.lines, '') AS lines, a.returned"),
)
RETURNED = sql.SQL(
    ", coalesce(string_agg(other.lines, E'\\x1f') FILTER (WHERE other.type = 'sale.refunded'), '') AS returned"
)
NO_STORES = (sql.SQL("null"), sql.SQL("null"))
NO_LINES = (sql.SQL("null, null"), sql.SQL("null"))
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

Counted = tuple[Bools, Integers]
"""Which sales count for a series, and what each adds."""


def read(connection: Connection, program: Program, customers: Customers, now: datetime) -> dict[Hashable, Entries]:
    """The entries of customers, by their rows; leaves in `customers.recent` what their rows are to keep."""
    found: dict[Hashable, Entries] = {}
    if program.lately is not None:
        bought = _lately(connection, program, program.lately, customers, micros(now))
        found |= bought.entries(program.lately, len(customers.ids))
    ids = parameters.texts(customers.ids)
    # What reaches back for ever is asked apart, so that windows stay as short as they are.
    forever = [each for each, days in program.series.items() if days is None and each.measure != "redeemed"]
    if forever:
        known: dict[str, object] = {"organization_id": program.organization_id, "ids": ids, "since": EVER}
        rows, at, counted = _bought(connection, forever, known)
        for each, (counts, values) in zip(forever, counted, strict=True):
            found[each] = Entries(len(customers.ids), rows[counts], at[counts], values[counts])
    redeemed = {each: days for each, days in program.series.items() if each.measure == "redeemed"}
    for is_bounded in (True, False):
        series = {each: days for each, days in redeemed.items() if (days is not None) == is_bounded}
        if series:
            longest = max(days or 0 for days in series.values())
            since = now - timedelta(days=longest) if is_bounded else EVER
            known = {"organization_id": program.organization_id, "ids": ids, "since": since}
            found |= _redeemed(connection, list(series), len(customers.ids), known)
    return found


def from_ledger(  # noqa: PLR0917 - of whom, what, until when
    connection: Connection, organization_id: str, lately: Lately, ids: Sequence[str], rows: Rows, now: int
) -> Bought:
    """What the ledger says of what the rows of customers `ids` are to keep; customer n's row is `rows[n]`."""
    since = instant_of(lately.since(now))
    known = {"organization_id": organization_id, "ids": parameters.texts(ids), "since": since}
    places, at, counted = _bought(connection, lately.series, known)
    return _together(rows[places], at, counted)


def _lately(connection: Connection, program: Program, lately: Lately, customers: Customers, now: int) -> Bought:
    """What rows keep and what is new; of whose row does not say, what the ledger has."""
    size, stored = len(customers.ids), customers.recent
    complete_from = np.full(size, lately.since(now))
    if stored is None:
        is_complete, parts = np.zeros(size, np.bool_), []
    else:
        is_complete, since, kept = recent.unpack(stored, lately, now)
        complete_from = np.where(is_complete, np.maximum(since, complete_from), complete_from)
        if customers.last_visits is not None:  # whose last visit was before all that is kept
            is_complete |= customers.last_visits <= lately.since(now)
        parts = [kept, _new(lately, customers.bought, is_complete)] if customers.bought else [kept]
    unsaid = np.flatnonzero(~is_complete)
    if unsaid.size:
        ids = [customers.ids[row] for row in unsaid.tolist()]
        parts.append(from_ledger(connection, program.organization_id, lately, ids, unsaid, now))
    bought = Bought.together(parts)
    if stored is not None:
        customers.recent = recent.pack(bought, complete_from, lately)
    return bought


def _new(lately: Lately, bought: Sequence[tuple[int, Row]], is_complete: Bools) -> Bought:
    """Sales of this batch, by the rows of their buyers. The ledger has those of the others already."""
    says = is_complete.tolist()
    mine = [each for each in bought if says[each[0]]]
    receipts = Receipts(
        np.array([sale[AMOUNT] for _, sale in mine], np.int64),
        [sale[STORE_ID] or "" for _, sale in mine],
        [sale[LINES] or "" for _, sale in mine] if _has_lines(lately.series) else [],
        [""] * len(mine),
    )
    counted = [receipts.count(each) for each in lately.series]
    rows = np.array([row for row, _ in mine], np.intp)
    return _together(rows, instants([sale[OCCURRED_AT] for _, sale in mine]) + TO_UNIX, counted)


def _together(rows: Rows, at: Integers, counted: Sequence[Counted]) -> Bought:
    """The entries of all series, in the order of the rows, and of time within each."""
    bought = Bought(
        np.concatenate([rows[counts] for counts, _ in counted]),
        np.concatenate([at[counts] for counts, _ in counted]),
        np.concatenate([values[counts] for counts, values in counted]),
        np.concatenate([np.full(int(counts.sum()), n, np.uint16) for n, (counts, _) in enumerate(counted)]),
    )
    return bought.taken(np.lexsort((bought.at, bought.rows)))


def _bought(
    connection: Connection, series: Sequence[Series], known: Mapping[str, object]
) -> tuple[Rows, Integers, list[Counted]]:
    """Sales by the places of their buyers in the ids, and what each series counts of them."""
    has_stores = any(each.by == "store_id" for each in series)
    has_lines = _has_lines(series)
    parts = [WITH_STORES if has_stores else NO_STORES, WITH_LINES if has_lines else NO_LINES]
    statement = BOUGHT.format(
        aggregates=sql.SQL(", ").join(part[0] for part in parts),
        values=sql.SQL(", ").join(part[1] for part in parts),
        returned=RETURNED if has_lines else sql.SQL(""),
    )
    row = connection.execute(statement, known, binary=True).fetchone()
    if row is None or row[0] is None:
        row = (np.zeros(0), np.zeros(0), np.zeros(0), None, None, None)
    receipts = Receipts(row[2].astype(np.int64), row[3] or [], row[4] or [], row[5] or [])
    counted = [receipts.count(each) for each in series]
    return row[0].astype(np.intp), row[1].astype(np.int64) + TO_UNIX, counted


def _has_lines(series: Sequence[Series]) -> bool:
    return any(each.measure == "units" or each.by in IN_LINES for each in series)


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
