"""What a customer did, as entries of (instant, value): what windowed leaves, `bought` and `redeemed` add up.

Here in SQL, for previews, audiences and `verify`; the stream reads the sales of a batch's customers and counts in
memory (`services/segmenter/history.py`, `receipts.py`), and a test holds the two equal.
- spend: a sale's total less its refunds; of a product or category, its lines' totals less those of refunded lines.
- units: the lines' quantities less the refunded ones, in millionths of a unit.
- visits: 1 for each sale; of a product or category, for each sale with such a line, refunded or not.
- redeemed: 1 for each redemption that was not given back.
A voided sale is none. A refund counts at its sale's instant, as it does in the stats.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Numeric,
    Select,
    Text,
    and_,
    cast,
    column,
    func,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import BigInteger

UNIT = 1_000_000
"""Units are counted in millionths: quantities may be decimal numbers."""
IN_LINES = {"product_id", "category"}


@dataclass(frozen=True)
class Series:
    """Which entries: `measure` is spend, visits, units or redeemed; `by` product_id, category, store_id or coupon_code
    with the values that count, or empty for all.
    """

    measure: str
    by: str = ""
    values: tuple[str, ...] = ()


def entries(
    ledger: FromClause, organization_id: str, series: Series, since: datetime | ColumnElement[datetime] | None
) -> Select[Any]:
    """Rows of (customer_id, at, value) of an organization, those after `since`; of everybody with a customer id."""
    own, other = ledger.alias("own"), ledger.alias("other")
    same_sale = and_(other.c.organization_id == own.c.organization_id, other.c.sale_id == own.c.sale_id)
    undone = ["sale.voided"]
    where = [own.c.organization_id == organization_id, own.c.customer_id.is_not(None)]
    if since is not None:
        where.append(own.c.occurred_at > since)
    if series.measure == "redeemed":
        where.append(own.c.type == "coupon.redeemed")
        reversal = func.concat("reverse:", func.substr(own.c.entry, len("redeem:") + 1))
        given_back = or_(other.c.type.in_([*undone, "sale.refunded"]), other.c.entry == reversal)
        if series.values:
            where.append(own.c.entry.in_([f"redeem:{code}" for code in series.values]))
    else:
        where.append(own.c.type == "sale.completed")
        given_back = other.c.type.in_(undone)
        if series.by == "store_id":
            where.append(own.c.store_id.in_(series.values))
        elif series.by in IN_LINES:
            lines = _lines(own, "sold")
            where.append(select(lines.c.total).where(lines.c[series.by].in_(series.values)).exists())
    where.append(not_(select(other.c.event_id).where(same_sale, given_back).exists()))
    return select(
        own.c.customer_id,
        own.c.occurred_at.label("at"),
        cast(_value(own, other, same_sale, series), BigInteger).label("value"),
    ).where(*where)


def _value(own: FromClause, other: FromClause, same_sale: ColumnElement[bool], series: Series) -> ColumnElement[Any]:
    if series.measure in {"visits", "redeemed"}:
        return cast(1, BigInteger)
    refund = and_(same_sale, other.c.type == "sale.refunded")
    if series.measure == "spend" and series.by not in IN_LINES:
        return own.c.amount - select(func.coalesce(func.sum(other.c.amount), 0)).where(refund).scalar_subquery()
    sold, returned = _lines(own, "sold"), _lines(other, "returned")
    mine = [lines.c[series.by].in_(series.values) if series.by in IN_LINES else lines.c.total.is_not(None)
            for lines in (sold, returned)]  # fmt: skip
    name, scale = ("quantity", UNIT) if series.measure == "units" else ("total", 1)
    out = select(func.coalesce(func.sum(sold.c[name]), 0)).where(mine[0]).scalar_subquery()
    refunded = other.join(returned, true())
    back = select(func.coalesce(func.sum(returned.c[name]), 0)).select_from(refunded).where(refund, mine[1])
    return func.round((out - back.scalar_subquery()) * scale)


def _lines(row: FromClause, name: str) -> Any:
    """A receipt's lines as a table."""
    columns = [
        column("product_id", Text),
        column("category", Text),
        column("quantity", Numeric),
        column("total", Numeric),
    ]
    rows = func.jsonb_to_recordset(cast(row.c.lines, JSONB)).table_valued(*columns, name=name)
    return rows.render_derived(name=name, with_types=True).lateral()
