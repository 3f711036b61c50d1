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

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Numeric,
    Select,
    Text,
    case,
    cast,
    column,
    false,
    func,
    literal_column,
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
MOST_SOUGHT = 20  # values for which a receipt's text is searched before it is parsed
ADJUSTMENTS: list[ColumnElement[str]] = [
    literal_column("'sale.refunded'"),
    literal_column("'sale.voided'"),
    literal_column("'coupon.redemption_reversed'"),
]
"""Literally as their index has them."""


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
    own = ledger.alias("own")
    where = [own.c.organization_id == organization_id, own.c.customer_id.is_not(None)]
    if since is not None:
        where.append(own.c.occurred_at > since)
    found = _redemptions if series.measure == "redeemed" else _sales
    return found(ledger, own, organization_id, series, where)


def _redemptions(
    ledger: FromClause, own: FromClause, organization_id: str, series: Series, where: list[ColumnElement[bool]]
) -> Select[Any]:
    other = ledger.alias("other")
    reversal = func.concat("reverse:", func.substr(own.c.entry, len("redeem:") + 1))
    given_back = select(other.c.event_id).where(
        *_adjusts(other, organization_id),
        other.c.sale_id == own.c.sale_id,
        or_(other.c.type != "coupon.redemption_reversed", other.c.entry == reversal),
    )
    if series.values:
        where.append(own.c.entry.in_([f"redeem:{code}" for code in series.values]))
    return _rows(own, cast(1, BigInteger)).where(*where, own.c.type == "coupon.redeemed", not_(given_back.exists()))


def _sales(
    ledger: FromClause, own: FromClause, organization_id: str, series: Series, where: list[ColumnElement[bool]]
) -> Select[Any]:
    if series.by == "store_id":
        where.append(own.c.store_id.in_(series.values))
    elif series.by in IN_LINES:
        lines = _lines(own, "sold")
        where.extend(_mention(own, series.values))
        where.append(select(lines.c.total).where(lines.c[series.by].in_(series.values)).exists())
    # Few sales were adjusted: they are looked through once, not sale by sale.
    other = ledger.alias("other")
    is_refund = other.c.type == "sale.refunded"
    adjusted = (
        select(
            other.c.sale_id,
            func.bool_or(other.c.type == "sale.voided").label("is_voided"),
            cast(func.coalesce(func.sum(other.c.amount).filter(is_refund), 0), BigInteger).label("given_back"),
        )
        .where(*_adjusts(other, organization_id), other.c.type != "coupon.redemption_reversed")
        .group_by(other.c.sale_id)
        .subquery("adjusted")
    )
    if series.measure == "visits":
        value: ColumnElement[Any] = cast(1, BigInteger)
    elif series.measure == "spend" and series.by not in IN_LINES:
        value = own.c.amount - func.coalesce(adjusted.c.given_back, 0)
    else:
        value = _of_lines(own, ledger.alias("refund"), organization_id, series, adjusted.c.sale_id)
    counts = func.coalesce(adjusted.c.is_voided, false()) == false()
    return (
        _rows(own, value)
        .select_from(own.outerjoin(adjusted, adjusted.c.sale_id == own.c.sale_id))
        .where(*where, own.c.type == "sale.completed", counts)
    )


def _rows(own: FromClause, value: ColumnElement[Any]) -> Select[Any]:
    return select(own.c.customer_id, own.c.occurred_at.label("at"), cast(value, BigInteger).label("value"))


def _adjusts(row: FromClause, organization_id: str) -> list[ColumnElement[bool]]:
    """As the index of adjustments has them."""
    return [row.c.organization_id == organization_id, row.c.type.in_(ADJUSTMENTS), row.c.sale_id.is_not(None)]


def _mention(own: FromClause, values: Collection[str]) -> list[ColumnElement[bool]]:
    """Spares most receipts from being parsed: what a text does not hold, its lines do not, escapes aside."""
    if len(values) > MOST_SOUGHT:
        return []
    sought = ["\\u", *(json.dumps(value, ensure_ascii=False) for value in values)]
    return [or_(*(func.strpos(own.c.lines, text) > 0 for text in sought))]


def _of_lines(
    own: FromClause, refund: FromClause, organization_id: str, series: Series, adjusted: ColumnElement[Any]
) -> ColumnElement[Any]:
    """What the lines that count add up to, less the refunded ones, which only an adjusted sale has."""
    sold, returned = _lines(own, "sold"), _lines(refund, "returned")
    mine = [lines.c[series.by].in_(series.values) if series.by in IN_LINES else lines.c.total.is_not(None)
            for lines in (sold, returned)]  # fmt: skip
    name, scale = ("quantity", UNIT) if series.measure == "units" else ("total", 1)
    out = select(func.coalesce(func.sum(sold.c[name]), 0)).where(mine[0]).scalar_subquery()
    back = (
        select(func.coalesce(func.sum(returned.c[name]), 0))
        .select_from(refund.join(returned, true()))
        .where(
            *_adjusts(refund, organization_id),
            refund.c.sale_id == own.c.sale_id,
            refund.c.type == "sale.refunded",
            mine[1],
        )
    )
    return func.round((out - case((adjusted.is_(None), 0), else_=back.scalar_subquery())) * scale)


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
