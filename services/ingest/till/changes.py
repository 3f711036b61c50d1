"""What a batch of holds, commits and releases decided, written at its end in one statement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from services.ingest.till.asked import Place, Use, Wanted
from services.ingest.till.columns import joined, numbers, texts
from services.ingest.till.known import Known
from services.ingest.till.rules import Connection, Key

_HOLDS = f"""unnest({texts("h_organizations")}, {texts("h_codes")}, {texts("h_sales")}, {texts("h_coupons")},
    {texts("h_customers")}, {texts("h_stores")}, {texts("h_terminals")}, {numbers("h_discounts")},
    {numbers("h_totals")}, {texts("h_lines")})
    AS h (organization_id, code, sale_id, coupon_code, customer_id, store_id, terminal_id, discount, total, lines)"""
_SETTLED = f"""unnest({texts("s_organizations")}, {texts("s_codes")}, {texts("s_sales")}, {texts("s_states")})
    AS s (organization_id, code, sale_id, state)"""
# One statement, because each costs as much as ten uses: first holds of sales, what became of holds, a row that tells of
# redemptions to publish, counters. Not ON CONFLICT, which writes everything twice over: whoever holds the coupon's row
# has seen that the sale has no use.
_WRITE = f"""
WITH held AS (
    INSERT INTO coupon_use (organization_id, code, sale_id, coupon_code, state, customer_id, store_id, terminal_id,
                            discount, total, lines, held_at, expires_at)
    SELECT h.organization_id, h.code, h.sale_id, h.coupon_code, 'held', h.customer_id, h.store_id, h.terminal_id,
           h.discount, h.total, h.lines::jsonb, %(now)s, %(expires_at)s
    FROM {_HOLDS}
), settled AS (
    UPDATE coupon_use u
    SET state = s.state, redeemed_at = CASE s.state WHEN 'redeemed' THEN %(now)s::timestamptz END
    FROM {_SETTLED}
    WHERE u.organization_id = s.organization_id AND u.code = s.code AND u.sale_id = s.sale_id
), told AS (
    INSERT INTO redemption_outbox (organization_id, codes, sales)
    SELECT s.organization_id, array_agg(s.code), array_agg(s.sale_id)
    FROM {_SETTLED} WHERE s.state = 'redeemed' GROUP BY s.organization_id
)
UPDATE coupon c SET held = c.held + d.held, redemptions = c.redemptions + d.redemptions,
                    discount_given = c.discount_given + d.discount
FROM unnest({texts("c_organizations")}, {texts("c_codes")}, {numbers("c_held")}, {numbers("c_redemptions")},
            {numbers("c_discounts")}) AS d (organization_id, code, held, redemptions, discount)
WHERE c.organization_id = d.organization_id AND c.code = d.code
"""
# A sale's new hold, after the last ran out or was released.
_HOLD_ANEW = f"""
UPDATE coupon_use u SET state = 'held', customer_id = h.customer_id, store_id = h.store_id,
    terminal_id = h.terminal_id, discount = h.discount, total = h.total, lines = h.lines::jsonb, held_at = %(now)s,
    expires_at = %(expires_at)s
FROM {_HOLDS}
WHERE u.organization_id = h.organization_id AND u.code = h.code AND u.sale_id = h.sale_id
"""
_HOLD_COLUMNS = (
    "h_organizations",
    "h_codes",
    "h_sales",
    "h_coupons",
    "h_customers",
    "h_stores",
    "h_terminals",
    "h_discounts",
    "h_totals",
    "h_lines",
)
_SETTLED_COLUMNS = ("s_organizations", "s_codes", "s_sales", "s_states")
_COUNT_COLUMNS = ("c_organizations", "c_codes", "c_held", "c_redemptions", "c_discounts")


@dataclass(slots=True)
class Changes:
    """Gathered decision by decision; each decision sees the ones before it through the counters."""

    held: Counter[Key] = field(default_factory=Counter)
    redemptions: Counter[Key] = field(default_factory=Counter)
    discount: Counter[Key] = field(default_factory=Counter)
    by_customer: Counter[tuple[Key, str | None]] = field(default_factory=Counter)
    by_code: Counter[tuple[str, str]] = field(default_factory=Counter)
    _holds: list[tuple[Any, ...]] = field(default_factory=list)
    _holds_anew: list[tuple[Any, ...]] = field(default_factory=list)
    _settled: list[tuple[Any, ...]] = field(default_factory=list)

    def hold(self, wanted: Wanted, known: Known, use: Use) -> None:
        """A new hold, or a sale's new one after the last ran out."""
        basket = wanted.basket
        holds = self._holds if known.use.state is None else self._holds_anew
        holds.append(
            (
                *wanted.place,
                known.key[1],
                known.use.customer_id,
                basket.store_id,
                wanted.terminal_id,
                use.discount,
                basket.total,
                msgspec.json.encode(use.lines).decode() if use.lines else None,
            )
        )
        self.held[known.key] += 1
        self._count_use(known, wanted.code, 1)

    def redeem(self, known: Known, place: Place) -> None:
        """A hold becomes a redemption."""
        key, was_held = known.key, known.use.state == "held"
        self._settled.append((*place, "redeemed"))
        self.held[key] -= was_held
        self.redemptions[key] += 1
        self.discount[key] += known.use.discount
        if not was_held:
            self._count_use(known, place[1], 1)

    def release(self, known: Known, place: Place) -> None:
        """A live hold is free."""
        self._settled.append((*place, "released"))
        self.held[known.key] -= 1
        self._count_use(known, place[1], -1)

    def write(self, connection: Connection, now: datetime, expires_at: datetime) -> None:
        """All of it, inside the transaction that holds the coupons' rows. New holds last until `expires_at`."""
        counts = [
            (*key, self.held[key], self.redemptions[key], self.discount[key])
            for key in sorted(self.held.keys() | self.redemptions.keys())
        ]
        given = {"now": now, "expires_at": expires_at}
        if self._holds_anew:
            connection.execute(_HOLD_ANEW, given | _columns(_HOLD_COLUMNS, self._holds_anew))
        if counts:
            holds, settled = _columns(_HOLD_COLUMNS, self._holds), _columns(_SETTLED_COLUMNS, self._settled)
            connection.execute(_WRITE, given | holds | settled | _columns(_COUNT_COLUMNS, counts))

    def _count_use(self, known: Known, code: str, difference: int) -> None:
        self.by_customer[known.key, known.use.customer_id] += difference
        self.by_code[known.key[0], code] += difference


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    return dict(zip(names, map(joined, zip(*rows, strict=True)), strict=True)) if rows else dict.fromkeys(names, "")
