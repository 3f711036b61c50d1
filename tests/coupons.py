"""Coupons and tills for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
from sqlalchemy import Engine, insert, select

from shared.database.tables import coupon, coupon_use

LINES = [
    {"product_id": "p-1", "category": "Bakery", "quantity": 2, "unit_price": 3_000, "total": 6_000},
    {"product_id": "p-2", "category": "Dairy", "quantity": 1, "total": 4_000},
]


def add_coupon(database: Engine, code: str, organization_id: str = "demo", **rules: Any) -> None:
    """A coupon that takes 500 off, unless `rules` say otherwise."""
    given = {"type": "fixed", "value": 500} | rules
    with database.begin() as connection:
        connection.execute(insert(coupon).values(organization_id=organization_id, code=code, **given))


def counters(database: Engine, code: str) -> dict[str, int]:
    """The counters of a coupon, and the uses they should be the sums of."""
    wanted = select(coupon.c.redemptions, coupon.c.held, coupon.c.over_limit, coupon.c.discount_given)
    with database.connect() as connection:
        row = connection.execute(wanted.where(coupon.c.code == code)).mappings().one()
        return dict(row)


def states(database: Engine, code: str) -> dict[str, str]:
    """What became of the uses of a coupon, by sale."""
    wanted = select(coupon_use.c.sale_id, coupon_use.c.state).where(coupon_use.c.coupon_code == code)
    with database.connect() as connection:
        return {row.sale_id: row.state for row in connection.execute(wanted)}


@dataclass
class Till:
    """Asks ingest as a till does."""

    client: httpx.Client
    token: str
    scheme: str = "Bearer"

    def quote(self, code: str, sale_id: str = "S-1", total: int = 10_000, **basket: Any) -> httpx.Response:
        return self._post(f"/v1/coupons/{code}/quote", {"sale_id": sale_id, "total": total} | basket)

    def hold(self, code: str, sale_id: str = "S-1", total: int = 10_000, **basket: Any) -> httpx.Response:
        return self._post(f"/v1/coupons/{code}/holds", {"sale_id": sale_id, "total": total} | basket)

    def commit(self, hold_id: str) -> httpx.Response:
        return self._post(f"/v1/holds/{hold_id}/commit", None)

    def release(self, hold_id: str) -> httpx.Response:
        return self.client.delete(f"/v1/holds/{hold_id}", headers=self._headers())

    def _post(self, path: str, body: Any) -> httpx.Response:
        return self.client.post(path, json=body, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"{self.scheme} {self.token}"}


def codes(answer: httpx.Response) -> list[str]:
    """The reasons of a refusal."""
    return [reason["code"] for reason in answer.json()["reasons"]]
