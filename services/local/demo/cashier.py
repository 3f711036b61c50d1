"""What happens at a till while it serves one customer, as the events that it publishes."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace
from datetime import datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

from services.local.demo import households
from services.local.demo.catalog import Catalog
from services.local.demo.coupons import redeemed
from services.local.demo.organization import ORGANIZATION_ID, TIME_ZONE
from shared.domain.event_structs import SaleCompletedData, SaleRefundedData, SaleVoidedData
from shared.domain.events import Event, Line, SaleCompleted, SaleRefunded, SaleVoided

NEWCOMER, REFUND, VOID, COUPON = 0.03, 0.03, 0.015, 0.06  # shares of visits
COUPON_PERCENT = 10
TERMINALS = 4  # a store
MOST_LINES = 12
REMEMBERED = 200  # sales that may still be given back


class Cashier:
    """Serves whoever comes. `chance` decides who and what; `serve` takes the present instant and does no I/O."""

    def __init__(self, shop: Catalog, chance: random.Random) -> None:
        self.chance = chance
        self._shop = shop
        self._customers = list(shop.customers)
        self._sales: deque[SaleCompleted] = deque(maxlen=REMEMBERED)
        self._first: SaleCompleted | None = None  # of who has just registered and is about to pay

    def serve(self, now: datetime) -> list[Event]:
        """The events of one visit: a sale and its coupon, a registration, or the end of an earlier sale."""
        if self._first is not None:
            first, self._first = self._first, None
            return [first]
        kind = self.chance.random()
        if self._sales and kind < REFUND:
            return [self._refund(now)]
        if self._sales and kind < REFUND + VOID:
            return [self._void(now)]
        if kind < REFUND + VOID + NEWCOMER:
            return self._newcomer(now)
        code = self.chance.choice(self._shop.coupons) if self.chance.random() < COUPON else None
        sale = self._sale(self.chance.choice(self._customers), now, code)
        self._sales.append(sale)
        return [sale, *redeemed(sale)]

    def _newcomer(self, now: datetime) -> list[Event]:
        """Somebody registers; the first purchase follows. Topics keep no order, so it comes in a request of its own."""
        customer = f"new-{uuid4().hex[:8]}"
        self._customers.append(customer)
        person = households.make_up(customer, now.astimezone(ZoneInfo(TIME_ZONE)).date(), [])
        # Who registers in front of one's eyes gets a welcome in front of one's eyes.
        person = replace(person, email_verified=True, consent=True, contact_time=None, frequency="daily")
        self._first = self._sale(customer, now)
        return [households.registered(person, self._first), households.consented(person, self._first)]

    def _sale(self, customer: str, now: datetime, code: str | None = None) -> SaleCompleted:
        store, terminal = self.chance.choice(self._shop.stores), f"live-{self.chance.randint(1, TERMINALS)}"
        lines = [self._line() for _ in range(min(MOST_LINES, 1 + int(self.chance.expovariate(0.25))))]
        worth = sum(line.total for line in lines)
        discount = worth * COUPON_PERCENT // 100 if code else 0
        sale_id = f"L-{uuid4().hex[:16]}"
        return SaleCompleted(
            specversion="1.0",
            id=sale_id,
            source=f"/{ORGANIZATION_ID}/stores/{store}/terminals/{terminal}",
            time=now,
            data=SaleCompletedData(
                organization_id=ORGANIZATION_ID,
                store_id=store,
                terminal_id=terminal,
                sale_id=sale_id,
                customer_id=customer,
                currency=self._shop.currency,
                total=worth - discount,
                discount=discount,
                coupon_codes=[code] if code else [],
                lines=lines,
            ),
        )

    def _line(self) -> Line:
        product = self.chance.choice(self._shop.products)
        quantity = 1 if self.chance.random() < 0.8 else self.chance.randint(2, 4)  # noqa: PLR2004 - most buy one
        return Line(
            product_id=product.product_id,
            category=product.category,
            quantity=quantity,
            unit_price=product.price,
            total=product.price * quantity,
        )

    def _refund(self, now: datetime) -> SaleRefunded:
        """A line of an earlier sale is given back, or all of it; each sale at most once."""
        sale = self._take()
        line = self.chance.choice(sale.data.lines)
        whole = self.chance.random() < 0.5 or line.total > sale.data.total  # noqa: PLR2004 - a toss
        return SaleRefunded(
            specversion="1.0",
            id=f"{sale.id}-refund",
            source=sale.source,
            time=now,
            data=SaleRefundedData(
                organization_id=ORGANIZATION_ID,
                store_id=sale.data.store_id,
                terminal_id=sale.data.terminal_id,
                refund_id=f"{sale.id}-refund",
                sale_id=sale.data.sale_id,
                customer_id=sale.data.customer_id,
                currency=sale.data.currency,
                total=sale.data.total if whole else line.total,
                lines=[] if whole else [line],
            ),
        )

    def _void(self, now: datetime) -> SaleVoided:
        sale = self._take()
        return SaleVoided(
            specversion="1.0",
            id=f"{sale.id}-void",
            source=sale.source,
            time=now,
            data=SaleVoidedData(
                organization_id=ORGANIZATION_ID,
                store_id=sale.data.store_id,
                terminal_id=sale.data.terminal_id,
                sale_id=sale.data.sale_id,
                customer_id=sale.data.customer_id,
            ),
        )

    def _take(self) -> SaleCompleted:
        self._sales.rotate(self.chance.randrange(len(self._sales)))
        return self._sales.pop()
