"""Grants: a coupon tied to customers, each with its own expiry."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from services.admin import audit, customers
from services.admin.coupon_models import until
from services.admin.coupons import row_of
from services.admin.instants import Instant
from services.admin.paging import Page, cut, read_cursor
from shared.database.tables import coupon, coupon_grant
from shared.domain.event_fields import CustomerId
from shared.keys import Key

MOST = 10_000
Expiry = Annotated[AwareDatetime | None, Field(description="The first instant at which it does not count.")]
Days = Annotated[int | None, Field(ge=1, le=3_650, description="Instead of expires_at: so many days from now.")]


class NewGrants(BaseModel):
    """To whom, and until when; without an expiry as long as the coupon."""

    model_config = ConfigDict(extra="forbid")

    customer_id: CustomerId | None = None
    customer_ids: list[CustomerId] = Field([], max_length=MOST)
    expires_at: Expiry = None
    days: Days = None

    @model_validator(mode="after")
    def _has_somebody(self) -> NewGrants:
        if (self.customer_id is None) == (not self.customer_ids):
            raise ValueError("customer_ids must name at least one customer (or customer_id just one)")
        return self

    @property
    def whom(self) -> list[str]:
        return sorted({*self.customer_ids, *([self.customer_id] if self.customer_id else [])})


class GrantsOf(BaseModel):
    """What an idempotency key stands for."""

    coupon_code: str
    wanted: NewGrants


class Granted(BaseModel):
    """How many customers have it now until then."""

    granted: int
    expires_at: Instant | None


class Grant(BaseModel):
    """A coupon given to a customer."""

    customer_id: str
    expires_at: Instant | None
    granted_by: str
    granted_at: Instant


def give(connection: Connection, key: Key, code: str, wanted: NewGrants, now: datetime) -> Granted:
    """Grant it; who had it gets the new expiry. From the first grant on only who has one can use the coupon.

    Raises NotFoundError and InvalidError.
    """
    row = row_of(connection, key.organization_id, code, locked=True)
    expires_at = until(wanted.expires_at, wanted.days, now)
    rows = [
        {
            "organization_id": key.organization_id,
            "coupon_code": row.code,
            "customer_id": customer_id,
            "expires_at": expires_at,
            "granted_by": key.actor,
            "granted_at": now,
        }
        for customer_id in sorted({*customers.present(connection, key.organization_id, wanted.whom)})
    ]
    giving = insert(coupon_grant)
    renewed = {name: giving.excluded[name] for name in ("expires_at", "granted_by", "granted_at")}
    its_key = [coupon_grant.c.organization_id, coupon_grant.c.coupon_code, coupon_grant.c.customer_id]
    connection.execute(giving.on_conflict_do_update(index_elements=its_key, set_=renewed), rows)
    if not row.grants_only:
        own = coupon.c.organization_id == key.organization_id, coupon.c.code == row.code
        connection.execute(
            update(coupon).where(*own).values(grants_only=True, version=coupon.c.version + 1, updated_at=now)
        )
    audit.record(connection, key, "coupon.granted", f"coupon:{row.code}", customers=len(rows))
    return Granted(granted=len(rows), expires_at=expires_at)


def page(connection: Connection, organization_id: str, code: str, limit: int, cursor: str | None) -> Page[Grant]:
    """By customer_id. Raises NotFoundError."""
    row = row_of(connection, organization_id, code)
    wanted = select(coupon_grant).where(
        coupon_grant.c.organization_id == organization_id, coupon_grant.c.coupon_code == row.code
    )
    if cursor is not None:
        (last,) = read_cursor(cursor, str)
        wanted = wanted.where(coupon_grant.c.customer_id > last)
    rows = connection.execute(wanted.order_by(coupon_grant.c.customer_id).limit(limit + 1)).mappings()
    return cut([Grant.model_validate(dict(row)) for row in rows], limit, lambda item: (item.customer_id,))
