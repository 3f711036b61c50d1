"""What a batch of holds, commits and releases decided, written at its end in three statements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from services.ingest.till.asked import Use, Wanted
from services.ingest.till.known import Connection, Key, Known

_HOLD = """
INSERT INTO coupon_use (organization_id, code, sale_id, coupon_code, hold_id, state, customer_id, store_id, terminal_id,
                        discount, total, lines, held_at, expires_at)
SELECT h.organization_id, h.code, h.sale_id, h.coupon_code, h.hold_id, 'held', h.customer_id, h.store_id, h.terminal_id,
       h.discount, h.total, h.lines, h.held_at, h.expires_at
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::uuid[], %s::text[], %s::text[], %s::text[],
            %s::bigint[], %s::bigint[], %s::jsonb[], %s::timestamptz[], %s::timestamptz[])
    AS h (organization_id, code, sale_id, coupon_code, hold_id, customer_id, store_id, terminal_id,
          discount, total, lines, held_at, expires_at)
ON CONFLICT (organization_id, code, sale_id) DO UPDATE SET
    hold_id = excluded.hold_id, state = excluded.state, customer_id = excluded.customer_id,
    store_id = excluded.store_id, terminal_id = excluded.terminal_id, discount = excluded.discount,
    total = excluded.total, lines = excluded.lines, held_at = excluded.held_at, expires_at = excluded.expires_at
"""
_SETTLE = """
UPDATE coupon_use u SET state = s.state, redeemed_at = s.redeemed_at,
                        unpublished = CASE WHEN s.state = 'redeemed' THEN true END
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
    AS s (organization_id, code, sale_id, state, redeemed_at)
WHERE u.organization_id = s.organization_id AND u.code = s.code AND u.sale_id = s.sale_id
"""
# An offline till redeemed it, and asks for a hold all the same: it gets a number.
_NUMBER = """
UPDATE coupon_use u SET hold_id = s.hold_id
FROM unnest(%s::text[], %s::text[], %s::text[], %s::uuid[]) AS s (organization_id, code, sale_id, hold_id)
WHERE u.organization_id = s.organization_id AND u.code = s.code AND u.sale_id = s.sale_id
"""
_COUNT = """
UPDATE coupon c SET held = c.held + d.held, redemptions = c.redemptions + d.redemptions,
                    discount_given = c.discount_given + d.discount
FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS d (organization_id, code, held, redemptions, discount)
WHERE c.organization_id = d.organization_id AND c.code = d.code
"""


@dataclass(slots=True)
class Changes:
    """Gathered decision by decision; each decision sees the ones before it through the counters."""

    held: Counter[Key] = field(default_factory=Counter)
    redemptions: Counter[Key] = field(default_factory=Counter)
    discount: Counter[Key] = field(default_factory=Counter)
    by_customer: Counter[tuple[Key, str | None]] = field(default_factory=Counter)
    by_code: Counter[tuple[str, str]] = field(default_factory=Counter)
    _holds: list[tuple[Any, ...]] = field(default_factory=list)
    _settled: list[tuple[Any, ...]] = field(default_factory=list)
    _numbers: list[tuple[Any, ...]] = field(default_factory=list)

    def hold(self, wanted: Wanted, known: Known, use: Use, now: datetime) -> None:
        """A new hold, or a sale's new one after the last ran out."""
        basket = wanted.basket
        self._holds.append(
            (
                *wanted.place,
                known.key[1],
                use.hold_id,
                known.customer_id,
                basket.store_id,
                wanted.terminal_id,
                use.discount,
                basket.total,
                Jsonb([list(line) for line in use.lines]),
                now,
                use.expires_at,
            )
        )
        self.held[known.key] += 1
        self._count_use(known, wanted.code, 1)

    def redeem(self, known: Known, code: str, sale_id: str, now: datetime) -> None:
        """A hold becomes a redemption."""
        key, was_held = known.key, known.row.state == "held"
        self._settled.append((key[0], code, sale_id, "redeemed", now))
        self.held[key] -= was_held
        self.redemptions[key] += 1
        self.discount[key] += known.row.discount
        if not was_held:
            self._count_use(known, code, 1)

    def release(self, known: Known, code: str, sale_id: str) -> None:
        """A live hold is free."""
        self._settled.append((known.key[0], code, sale_id, "released", None))
        self.held[known.key] -= 1
        self._count_use(known, code, -1)

    def number(self, wanted: Wanted, hold_id: str) -> None:
        """A redemption without a hold gets the number of one."""
        self._numbers.append((*wanted.place, hold_id))

    def write(self, connection: Connection) -> None:
        """All of it, inside the transaction that holds the coupons' rows."""
        counts = [
            (*key, self.held[key], self.redemptions[key], self.discount[key])
            for key in sorted(self.held.keys() | self.redemptions.keys())
        ]
        with connection.pipeline():
            for statement, rows in (
                (_HOLD, self._holds),
                (_SETTLE, self._settled),
                (_NUMBER, self._numbers),
                (_COUNT, counts),
            ):
                if rows:
                    connection.execute(statement, _columns(rows))

    def _count_use(self, known: Known, code: str, difference: int) -> None:
        self.by_customer[known.key, known.customer_id] += difference
        self.by_code[known.key[0], code] += difference


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
