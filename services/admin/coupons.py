"""Coupons: made, changed and copied here; held and redeemed at the till; redemptions counted by the segmenter too."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, update

from services.admin import audit, coupon_counts, segments
from services.admin.coupon_models import Coupon, NewCoupon, Rules, check, columns, fields
from services.admin.paging import Page, cut, read_cursor
from services.admin.patches import laid_over, refuse_unknown
from services.admin.versions import check_match
from shared.database.coupons import coupon_of
from shared.database.locks import ALONE
from shared.database.tables import coupon, coupon_code, coupon_use
from shared.domain.coupons.codes import generate, normalise, warnings
from shared.domain.coupons.exposure import exposure
from shared.errors import ConflictError, InvalidError, NotFoundError
from shared.keys import Key

FIXED_ONCE_USED = ("type", "value")


def page(connection: Connection, organization_id: str, limit: int, cursor: str | None, now: datetime) -> Page[Coupon]:
    """By code."""
    wanted = select(coupon).where(coupon.c.organization_id == organization_id).order_by(coupon.c.code)
    if cursor is not None:
        (last,) = read_cursor(cursor, str)
        wanted = wanted.where(coupon.c.code > last)
    rows = connection.execute(wanted.limit(limit + 1)).all()
    return cut(_shown(connection, organization_id, rows, now), limit, lambda item: (item.code,))


def offered(connection: Connection, organization_id: str, text: str, most: int, now: datetime) -> list[Coupon]:
    """Those that are not archived with `text` in code or name, by code."""
    fits = or_(coupon.c.code.icontains(text, autoescape=True), coupon.c.name.icontains(text, autoescape=True))
    own = (coupon.c.organization_id == organization_id, coupon.c.state != "archived")
    rows = connection.execute(select(coupon).where(*own, fits).order_by(coupon.c.code).limit(most)).all()
    return _shown(connection, organization_id, rows, now)


def exists(connection: Connection, organization_id: str, code: str) -> bool:
    """Whether there is such a coupon."""
    return connection.execute(select(coupon.c.code).where(*_is(organization_id, code))).first() is not None


def read(connection: Connection, organization_id: str, code: str, now: datetime) -> Coupon:
    """Raises NotFoundError."""
    return _shown(connection, organization_id, [row_of(connection, organization_id, code)], now)[0]


def row_of(connection: Connection, organization_id: str, code: str, *, locked: bool = False) -> Row[Any]:
    """Raises NotFoundError."""
    wanted = select(coupon).where(*_is(organization_id, code))
    row = connection.execute(wanted.with_for_update() if locked else wanted).first()
    if row is None:
        raise NotFoundError(f"There is no coupon {code!r}.")
    return row


def create(connection: Connection, key: Key, wanted: NewCoupon, now: datetime) -> str:
    """Its code. Raises ConflictError where the code is taken, InvalidError for a segment that does not exist."""
    _check(connection, key.organization_id, wanted)
    # No redemption slips in between while uses of before are counted.
    connection.exec_driver_sql(ALONE, (key.organization_id,))
    code = wanted.code or _free(connection, key.organization_id)
    if _is_taken(connection, key.organization_id, code):
        raise ConflictError(f"The code {code} is taken. Choose another, or leave it out to get a new one.")
    stamps = {"created_at": now, "updated_at": now}
    connection.execute(
        insert(coupon).values(organization_id=key.organization_id, code=code, **columns(wanted), **stamps)
    )
    _count_earlier(connection, key.organization_id, code)
    audit.record(connection, key, "coupon.created", f"coupon:{code}")
    return code


def change(
    connection: Connection, key: Key, code: str, given: dict[str, Any], *, now: datetime, if_match: str | None = None
) -> Coupon:
    """Change what is given. Raises NotFoundError, InvalidError, ConflictError, and 412 by `if_match`."""
    code = normalise(code)
    before = row_of(connection, key.organization_id, code, locked=True)
    check_match(if_match, before.version)
    refuse_unknown(given, Rules.model_fields)
    wanted = laid_over(Rules, fields(before), given)
    _check(connection, key.organization_id, wanted)
    values = columns(wanted)
    if any(values[name] != getattr(before, name) for name in FIXED_ONCE_USED) and _is_used(connection, key, code):
        raise ConflictError(
            f"{code} was used already, so its type and value stay as they are: what was promised is kept. "
            "Copy it: the copy can be changed."
        )
    if given:
        statement = update(coupon).where(*_is(key.organization_id, code))
        connection.execute(statement.values(**values, version=coupon.c.version + 1, updated_at=now))
        audit.record(connection, key, "coupon.changed", f"coupon:{code}", fields=sorted(given))
    return read(connection, key.organization_id, code, now)


def copy(connection: Connection, key: Key, code: str, to: str | None, now: datetime) -> str:
    """The code of a paused coupon with the same rules. Raises NotFoundError and ConflictError."""
    before = row_of(connection, key.organization_id, normalise(code))
    rules = fields(before) | {"state": "paused"}
    return create(connection, key, NewCoupon.model_validate(rules | {"code": to}), now)


def _is(organization_id: str, code: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return coupon.c.organization_id == organization_id, coupon.c.code == normalise(code)


def _check(connection: Connection, organization_id: str, wanted: Rules) -> None:
    check(wanted)
    if wanted.segment_id is None:
        return
    try:
        segments.slot_of(connection, organization_id, wanted.segment_id)
    except NotFoundError as error:
        raise InvalidError(str(error), "segment_id") from None


def _is_taken(connection: Connection, organization_id: str, code: str) -> bool:
    shared = select(coupon.c.code).where(*_is(organization_id, code))
    unique = select(coupon_code.c.code).where(
        coupon_code.c.organization_id == organization_id, coupon_code.c.code == code
    )
    return connection.execute(shared.union_all(unique)).first() is not None


def _free(connection: Connection, organization_id: str) -> str:
    while _is_taken(connection, organization_id, code := generate()):
        continue
    return code


def _is_used(connection: Connection, key: Key, code: str) -> bool:
    used = select(coupon_use.c.code).where(
        coupon_use.c.organization_id == key.organization_id,
        coupon_use.c.coupon_code == code,
        coupon_use.c.state.in_(("held", "redeemed", "given_back")),
    )
    return connection.execute(used.limit(1)).first() is not None


def _count_earlier(connection: Connection, organization_id: str, code: str) -> None:
    """Redemptions that tills told of before the coupon was known here."""
    redeemed = coupon_use.c.state == "redeemed"
    counted = (
        select(func.count(), func.coalesce(func.sum(coupon_use.c.discount), 0))
        .where(coupon_use.c.organization_id == organization_id, coupon_use.c.coupon_code == code, redeemed)
        .select_from(coupon_use)
    )
    redemptions, discount = connection.execute(counted).one()
    if redemptions:
        connection.execute(
            update(coupon).where(*_is(organization_id, code)).values(redemptions=redemptions, discount_given=discount)
        )


def _shown(connection: Connection, organization_id: str, rows: Any, now: datetime) -> list[Coupon]:
    codes = [row.code for row in rows]
    counts = coupon_counts.of(connection, organization_id, codes, now)
    shown = []
    for row in rows:
        count = counts[row.code]
        is_over = row.state == "archived" or (row.valid_until is not None and row.valid_until <= now)
        shown.append(
            Coupon(
                code=row.code,
                **fields(row),
                redemptions=row.redemptions,
                held=count.held,
                over_limit=row.over_limit,
                discount_given=row.discount_given,
                revenue=count.revenue,
                exposure=exposure(
                    coupon_of(row), redemptions=row.redemptions, can_end=is_over, uses_left=_uses_left(row, count)
                ),
                warnings=warnings(row.code),
                version=row.version,
                created_at=row.created_at,
                updated_at=row.updated_at,
            )
        )
    return shown


def _uses_left(row: Any, count: coupon_counts.Counts) -> int | None:
    """By grants and unique codes, where only these count."""
    if row.unique_only:
        return count.unique_codes
    if row.grants_only and row.limit_per_customer is not None:
        return count.granted_uses + count.unique_codes
    return None
