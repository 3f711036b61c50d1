"""Unique codes of a coupon: for one use each, made in bulk, nobody's to guess."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Connection, Engine, Select, and_, select

from services.admin import audit, idempotency
from services.admin.coupon_grants import Days, Expiry
from services.admin.coupon_models import until
from services.admin.coupons import row_of
from services.admin.csv_cells import guarded
from services.admin.instants import Instant, written
from services.admin.paging import Page, cut, read_cursor
from shared.database.tables import coupon_code, coupon_use
from shared.domain.coupons.codes import generate_many
from shared.domain.event_fields import CustomerId
from shared.keys import Key

MOST = 1_000_000
MOST_SHOWN = 10_000  # in the answer; all of them are in the CSV
AT_ONCE = 50_000
COPY = "COPY coupon_code (organization_id, code, coupon_code, customer_id, expires_at, created_at) FROM STDIN"


class NewCodes(BaseModel):
    """How many for whoever has them, or one for each of some customers."""

    model_config = ConfigDict(extra="forbid")

    count: int | None = Field(None, ge=1, le=MOST, strict=True)
    customer_ids: list[CustomerId] = Field([], max_length=100_000)
    expires_at: Expiry = None
    days: Days = None

    @model_validator(mode="after")
    def _says_how_many(self) -> NewCodes:
        if (self.count is None) == (not self.customer_ids):
            raise ValueError("give either count or customer_ids")
        if len(set(self.customer_ids)) < len(self.customer_ids):
            raise ValueError("customer_ids must name each customer once")
        return self


class UniqueCode(BaseModel):
    """A code, whose it is (null: whoever has it), and what became of it."""

    code: str
    customer_id: str | None
    expires_at: Instant | None
    sale_id: str | None = Field(None, description="The sale in which it was redeemed.")
    created_at: Instant


class Made(BaseModel):
    """The new codes; up to 10,000 of them here, all of them in unique-codes.csv."""

    created: int
    items: list[UniqueCode]


class Request(BaseModel):
    """What an idempotency key stands for."""

    coupon_code: str
    wanted: NewCodes


def make_once(
    connection: Connection, key: Key, request_key: str | None, code: str, wanted: NewCodes, *, now: datetime
) -> Made:
    """Make them, or find those that the same request made. Raises NotFoundError and InvalidError."""
    made: list[Made] = []

    def first() -> str:
        made.append(make(connection, key, code, wanted, now))
        return now.isoformat()

    row = row_of(connection, key.organization_id, code)
    at = idempotency.once(connection, key, request_key, Request(coupon_code=row.code, wanted=wanted), first)
    return made[0] if made else _made_at(connection, key.organization_id, row.code, wanted, datetime.fromisoformat(at))


def make(connection: Connection, key: Key, code: str, wanted: NewCodes, now: datetime) -> Made:
    """Raises NotFoundError and InvalidError. A million take some ten seconds."""
    row = row_of(connection, key.organization_id, code)
    expires_at = until(wanted.expires_at, wanted.days, now)
    whose: Sequence[str | None] = wanted.customer_ids or [None] * (wanted.count or 0)
    shown: list[UniqueCode] = []
    for start in range(0, len(whose), AT_ONCE):
        part = whose[start : start + AT_ONCE]
        made = list(zip(sorted(generate_many(len(part))), part, strict=True))
        _store(connection, [(key.organization_id, new, row.code, who, expires_at, now) for new, who in made])
        shown += [
            UniqueCode(code=new, customer_id=who, expires_at=expires_at, created_at=now)
            for new, who in made[: MOST_SHOWN - len(shown)]
        ]
    audit.record(connection, key, "coupon.codes_made", f"coupon:{row.code}", codes=len(whose))
    return Made(created=len(whose), items=shown)


def page(connection: Connection, organization_id: str, code: str, limit: int, cursor: str | None) -> Page[UniqueCode]:
    """By code. Raises NotFoundError."""
    wanted = _rows(organization_id, row_of(connection, organization_id, code).code)
    if cursor is not None:
        (last,) = read_cursor(cursor, str)
        wanted = wanted.where(coupon_code.c.code > last)
    rows = connection.execute(wanted.limit(limit + 1)).mappings()
    return cut([UniqueCode.model_validate(dict(row)) for row in rows], limit, lambda item: (item.code,))


def stream(engine: Engine, organization_id: str, code: str) -> Iterator[bytes]:
    """All of them as CSV, through a server-side cursor. Raises NotFoundError at the first chunk."""
    with engine.connect() as connection:
        wanted = _rows(organization_id, row_of(connection, organization_id, code).code)
        yield b"code,customer_id,expires_at,sale_id,created_at\r\n"
        found = connection.execution_options(yield_per=AT_ONCE // 10).execute(wanted).mappings()
        for part in found.partitions():
            buffer = io.StringIO()
            csv.writer(buffer).writerows(
                [
                    row["code"],
                    guarded(row["customer_id"] or ""),
                    written(row["expires_at"]) if row["expires_at"] else "",
                    guarded(row["sale_id"] or ""),
                    written(row["created_at"]),
                ]
                for row in part
            )
            yield buffer.getvalue().encode()


def _made_at(connection: Connection, organization_id: str, code: str, wanted: NewCodes, at: datetime) -> Made:
    own = _rows(organization_id, code).where(coupon_code.c.created_at == at, coupon_code.c.message_id.is_(None))
    rows = connection.execute(own.limit(MOST_SHOWN)).mappings()
    items = [UniqueCode.model_validate(dict(row)) for row in rows]
    return Made(created=wanted.count or len(wanted.customer_ids), items=items)


def _rows(organization_id: str, code: str) -> Select[tuple[object, ...]]:
    its_use = and_(
        coupon_use.c.organization_id == coupon_code.c.organization_id,
        coupon_use.c.code == coupon_code.c.code,
        coupon_use.c.state == "redeemed",
    )
    names = ("code", "customer_id", "expires_at", "created_at")
    return (
        select(*(coupon_code.c[name] for name in names), coupon_use.c.sale_id)
        .select_from(coupon_code.outerjoin(coupon_use, its_use))
        .where(coupon_code.c.organization_id == organization_id, coupon_code.c.coupon_code == code)
        .order_by(coupon_code.c.code)
    )


def _store(connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    raw = connection.connection.driver_connection
    assert raw is not None  # noqa: S101 - it is connected
    with raw.cursor() as cursor, cursor.copy(COPY) as sink:
        for row in rows:
            sink.write_row(row)
