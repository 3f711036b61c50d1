"""How coupons do: live holds, revenue, and redemptions by day and store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Connection, Date, Select, and_, cast, func, or_, select

from services.admin.instants import Instant
from services.admin.paging import Page, cut, read_cursor
from shared.database.tables import coupon, coupon_code, coupon_grant, coupon_use, ledger, organization


class Counts(NamedTuple):
    """What is counted anew at each look. `granted_uses` are those that live grants leave of a limit per customer;
    `unique_codes` are those that can still be used.
    """

    held: int = 0
    revenue: int = 0
    granted_uses: int = 0
    unique_codes: int = 0


class Redemption(BaseModel):
    """A use that was redeemed; `state` tells whether it was given back."""

    code: str
    sale_id: str
    state: str
    customer_id: str | None
    store_id: str | None
    terminal_id: str | None
    discount: int
    revenue: int | None = Field(description="What the sale was paid; null until it arrives.")
    over_limit: bool
    redeemed_at: Instant


class Day(BaseModel):
    """One store on one day of the organization's calendar."""

    date: date
    store_id: str | None
    redemptions: int
    over_limit: int
    discount_given: int
    revenue: int


class Days(BaseModel):
    """By day, newest first, then by store; days without a redemption are left out."""

    items: list[Day]


SALE = and_(
    ledger.c.organization_id == coupon_use.c.organization_id,
    ledger.c.sale_id == coupon_use.c.sale_id,
    ledger.c.entry == "sale",
)


def of(connection: Connection, organization_id: str, codes: Sequence[str], now: datetime) -> dict[str, Counts]:
    """Of each coupon."""
    uses = coupon_use.c.organization_id == organization_id, coupon_use.c.coupon_code.in_(codes)
    held = (
        select(coupon_use.c.coupon_code, func.count())
        .where(*uses, coupon_use.c.state == "held", coupon_use.c.expires_at > now)
        .group_by(coupon_use.c.coupon_code)
    )
    revenue = (
        select(coupon_use.c.coupon_code, func.sum(ledger.c.amount))
        .join(ledger, SALE)
        .where(*uses, coupon_use.c.state == "redeemed")
        .group_by(coupon_use.c.coupon_code)
    )
    uses_of_each = (
        select(func.count())
        .where(
            coupon_use.c.organization_id == organization_id,
            coupon_use.c.customer_id == coupon_grant.c.customer_id,
            coupon_use.c.coupon_code == coupon_grant.c.coupon_code,
            coupon_use.c.state == "redeemed",
        )
        .scalar_subquery()
    )
    granted_uses = (
        select(coupon_grant.c.coupon_code, func.sum(func.greatest(coupon.c.limit_per_customer - uses_of_each, 0)))
        .join(
            coupon,
            and_(
                coupon.c.organization_id == coupon_grant.c.organization_id,
                coupon.c.code == coupon_grant.c.coupon_code,
            ),
        )
        .where(coupon_grant.c.organization_id == organization_id, coupon_grant.c.coupon_code.in_(codes))
        .where(coupon.c.limit_per_customer.is_not(None), _lasts(coupon_grant.c.expires_at, now))
        .group_by(coupon_grant.c.coupon_code)
    )
    used = select(coupon_use.c.code).where(
        coupon_use.c.organization_id == organization_id,
        coupon_use.c.code == coupon_code.c.code,
        coupon_use.c.state == "redeemed",
    )
    unique_codes = (
        select(coupon_code.c.coupon_code, func.count())
        .where(coupon_code.c.organization_id == organization_id, coupon_code.c.coupon_code.in_(codes))
        .where(_lasts(coupon_code.c.expires_at, now), ~used.exists())
        .group_by(coupon_code.c.coupon_code)
    )
    found: list[dict[str, int]] = [
        {row[0]: row[1] for row in connection.execute(query)} for query in (held, revenue, granted_uses, unique_codes)
    ]
    return {code: Counts(*(int(counted.get(code, 0)) for counted in found)) for code in codes}


def redemptions(
    connection: Connection, organization_id: str, code: str, limit: int, cursor: str | None, *, only_over: bool
) -> Page[Redemption]:
    """Newest first."""
    wanted = _redeemed(organization_id, code)
    if only_over:
        wanted = wanted.where(coupon_use.c.over_limit)
    place = func.row(coupon_use.c.redeemed_at, coupon_use.c.code, coupon_use.c.sale_id)
    if cursor is not None:
        at, its_code, sale_id = read_cursor(cursor, datetime, str, str)
        wanted = wanted.where(place < func.row(at, its_code, sale_id))
    order = (coupon_use.c.redeemed_at.desc(), coupon_use.c.code.desc(), coupon_use.c.sale_id.desc())
    rows = connection.execute(wanted.order_by(*order).limit(limit + 1)).mappings()
    items = [Redemption.model_validate(dict(row)) for row in rows]
    return cut(items, limit, lambda item: (item.redeemed_at, item.code, item.sale_id))


def by_day(connection: Connection, organization_id: str, code: str, days: int, now: datetime) -> Days:
    """Of the last `days` days."""
    zone = select(organization.c.time_zone).where(organization.c.organization_id == organization_id).scalar_subquery()
    day = cast(func.timezone(zone, coupon_use.c.redeemed_at), Date).label("date")
    wanted = (
        select(
            day,
            coupon_use.c.store_id,
            func.count().label("redemptions"),
            func.count().filter(coupon_use.c.over_limit).label("over_limit"),
            func.sum(coupon_use.c.discount).label("discount_given"),
            func.coalesce(func.sum(ledger.c.amount), 0).label("revenue"),
        )
        .select_from(coupon_use.outerjoin(ledger, SALE))
        .where(
            coupon_use.c.organization_id == organization_id,
            coupon_use.c.coupon_code == code,
            coupon_use.c.state == "redeemed",
            coupon_use.c.redeemed_at > now - timedelta(days=days),
        )
        .group_by(day, coupon_use.c.store_id)
        .order_by(day.desc(), coupon_use.c.store_id)
    )
    return Days(items=[Day.model_validate(dict(row)) for row in connection.execute(wanted).mappings()])


def _redeemed(organization_id: str, code: str) -> Select[tuple[object, ...]]:
    names = ("code", "sale_id", "state", "customer_id", "store_id", "terminal_id", "discount", "over_limit")
    return (
        select(*(coupon_use.c[name] for name in (*names, "redeemed_at")), ledger.c.amount.label("revenue"))
        .select_from(coupon_use.outerjoin(ledger, SALE))
        .where(
            coupon_use.c.organization_id == organization_id,
            coupon_use.c.coupon_code == code,
            coupon_use.c.state.in_(("redeemed", "given_back")),
        )
    )


def _lasts(expires_at: ColumnElement[datetime | None], now: datetime) -> ColumnElement[bool]:
    return or_(expires_at.is_(None), expires_at > now)
