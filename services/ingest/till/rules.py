"""The coupons that a batch asks about: their rules and counters, and their rows' locks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
import psycopg

from services.ingest.till.columns import joined, texts
from shared.database.coupons import coupon_of
from shared.domain.coupons import Coupon

Connection = psycopg.Connection[Any]
Key = tuple[str, str]
"""organization_id, code of a coupon"""
MOST_REMEMBERED: Final = 10_000


class _Written(msgspec.Struct, array_like=True):
    """The rules as PostgreSQL writes them down: columns of `coupon` of the same names, and their organization's."""

    currency: str
    time_zone: str
    code: str
    type: str
    value: int
    state: str
    minimum_purchase: int | None
    maximum_discount: int | None
    limit_per_customer: int | None
    limit_total: int | None
    valid_from: datetime | None
    valid_until: datetime | None
    hours_from: int | None
    hours_until: int | None
    weekdays: list[int] | None
    include_products: list[str]
    include_categories: list[str]
    exclude_products: list[str]
    exclude_categories: list[str]
    stores: list[str]
    segment_id: str | None
    first_purchase_only: bool
    grants_only: bool
    unique_only: bool


# Made here: threads that resolve a struct's types at once crash in msgspec.
_DECODER = msgspec.json.Decoder(_Written)
_RULES = ", ".join(f"{'o' if name in ('currency', 'time_zone') else 'c'}.{name}" for name in _Written.__struct_fields__)
# Each step joins by whole keys of one earlier step, so that the planner can do nothing but look them up.
_ASKED = f"""
WITH asked AS MATERIALIZED (
    SELECT q.organization_id, q.code, coalesce(k.coupon_code, q.code) AS coupon_code
    FROM unnest({texts("organizations")}, {texts("codes")}) AS q (organization_id, code)
    LEFT JOIN coupon_code k ON k.organization_id = q.organization_id AND k.code = q.code
)"""
# The coupons that are asked about, by their own codes or by unique ones.
_LOOK = f"""
{_ASKED}
SELECT a.organization_id, a.code, c.code, c.redemptions, c.held,
       (SELECT json_build_array({_RULES})::text FROM organization o WHERE o.organization_id = c.organization_id),
       EXISTS (SELECT FROM coupon_use u WHERE u.organization_id = c.organization_id AND u.coupon_code = c.code
               AND u.state = 'held' AND u.expires_at <= %(now)s)
FROM asked a JOIN coupon c ON c.organization_id = a.organization_id AND c.code = a.coupon_code
ORDER BY c.organization_id, c.code
"""
# Whoever changes uses holds their coupons' rows, in the order of keys: so a limit is looked at by one at a time, and
# nobody waits in a ring.
_LOCK = f"{_LOOK} FOR UPDATE OF c"
# Holds that ran out free themselves when their coupon is next looked at.
_EXPIRE = f"""
{_ASKED}, due AS MATERIALIZED (
    SELECT a.organization_id, x.code, x.sale_id
    FROM (SELECT DISTINCT organization_id, coupon_code FROM asked) a CROSS JOIN LATERAL (
        SELECT u.code, u.sale_id FROM coupon_use u
        WHERE u.organization_id = a.organization_id AND u.coupon_code = a.coupon_code
          AND u.state = 'held' AND u.expires_at <= %(now)s OFFSET 0) x
), gone AS (
    UPDATE coupon_use u SET state = 'expired' FROM due
    WHERE u.organization_id = due.organization_id AND u.code = due.code AND u.sale_id = due.sale_id
    RETURNING u.organization_id, u.coupon_code
), freed AS (SELECT organization_id, coupon_code, count(*) AS holds FROM gone GROUP BY 1, 2)
UPDATE coupon c SET held = held - freed.holds FROM freed
WHERE c.organization_id = freed.organization_id AND c.code = freed.coupon_code
RETURNING c.organization_id, c.code, c.held
"""


@dataclass(slots=True)
class Rules:
    """A coupon, what its organization counts in, and its uses so far."""

    key: Key
    coupon: Coupon
    currency: str
    time_zone: str
    redemptions: int
    held: int


class Rulebook:
    """The rules that the codes of a batch stand for: asked for when made, read when first needed."""

    def __init__(self, connection: Connection, codes: Collection[Key], now: datetime, *, lock: bool) -> None:
        self._connection = connection
        self._given = {
            "organizations": joined(organization_id for organization_id, _ in codes),
            "codes": joined(code for _, code in codes),
            "now": now,
        }
        self._cursor = connection.execute(_LOCK if lock else _LOOK, self._given)
        self._by_code: dict[Key, Rules] = {}
        self._by_key: dict[Key, Rules] = {}

    def read(self) -> bool:
        """Wait for the rows; returns whether there are holds that ran out."""
        some_ran_out = False
        for organization_id, asked, code, redemptions, held, written, has_run_out in self._cursor:
            key = (organization_id, code)
            rules = self._by_key.get(key) or Rules(key, *_read(written), redemptions, held)
            self._by_key[key] = self._by_code[organization_id, asked] = rules
            some_ran_out |= has_run_out
        return some_ran_out

    def expire(self) -> None:
        """Free what ran out. The coupons' rows are held."""
        for organization_id, code, held in self._connection.execute(_EXPIRE, self._given):
            self._by_key[organization_id, code].held = held

    def of(self, organization_id: str, code: str) -> Rules | None:
        """Of a code as it was asked about; None for one that does not exist."""
        return self._by_code.get((organization_id, code))


@lru_cache(MOST_REMEMBERED)
def _read(written: str) -> tuple[Coupon, str, str]:
    """What is written: the same text means the same, so it is made into rules once."""
    row = _DECODER.decode(written)
    return coupon_of(row), row.currency, row.time_zone
