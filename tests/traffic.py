"""A seeded stream of everything that tills send: sales and what is wrong with them, people, doubles, rubbish."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from tests.model_events import Event, entry_of

DAY = timedelta(days=1)
TRICKY = ['it\'s "a\\b"', "ü" * 64, "a/b/../c", "%s {x} \\N \\.", "💸🥐", " ", "c" * 64]
RUBBISH: list[bytes | None] = [
    b"{",
    b"",
    None,
    b"\xff\xfe",
    b"[1, 2]",
    b"null",
    b'{"specversion":"0.3"}',
    b'{"specversion":"1.0","type":"sale.invented"}',
    b'{"specversion":"1.0","type":"mail.opened"}',
    b"\x00" * 20,
    b"x" * 1_000_001,
]
NAMES = ("Ann", "Bé 'x' \\ \"y\"", None)
TAGS: tuple[list[str] | None, ...] = (["VIP"], ["VIP", "x"], [], None, ["Ünï'code\\"])


class Traffic:
    """Makes up to about `size` events of one organization around `now`, in the order in which they are published."""

    def __init__(self, seed: int, size: int, now: datetime, organization_id: str = "demo") -> None:
        self.chance = random.Random(seed)
        self.now = now
        self.organization_id = organization_id
        self.customers = [*TRICKY, *(f"c-{n}" for n in range(size // 25))]
        self.sales = [f"R-{n}" for n in range(size)]
        self._unsold = self.chance.sample(self.sales, len(self.sales))
        self._buyers: dict[str, str | None] = {}
        self._first: dict[Any, Event] = {}
        self._number = 0

    def events(self, size: int) -> list[Event | bytes | None]:
        made: list[Event | bytes | None] = [self._any() for _ in range(size)]
        made += self._people()
        doubles: list[Any] = [each for each in self.chance.choices(made, k=size // 20) if isinstance(each, dict)]
        made += doubles + [each | {"id": self._new_id()} for each in doubles if entry_of(each)]
        made += [*(self._wrong() for _ in range(size // 100)), *RUBBISH]
        self.chance.shuffle(made)
        return made

    def _any(self) -> Event:
        kinds = {
            self._sale: 10,
            self._refund: 1,
            self._void: 0.5,
            self._use: 2,
            self._reversal: 0.3,
            self._profile: 3,
            self._consent: 1,
        }
        return self.chance.choices(list(kinds), list(kinds.values()))[0]()

    def _sale(self, sale_id: str | None = None) -> Event:
        sale_id = sale_id or self._unsold.pop()
        total = self.chance.randrange(0, 5_000)
        lines = [{"product_id": "p", "category": "Bread", "quantity": 1.5, "total": total}]
        more = {"lines": lines} if self.chance.random() < 0.2 else {}
        data = self._whose(self._buyer(sale_id)) | more
        return self._event("sale.completed", sale_id=sale_id, currency="USD", total=total, **data)

    def _refund(self) -> Event:
        sale_id = self.chance.choice(self.sales)
        refund_id, total = f"F-{self.chance.randrange(3)}", self.chance.randrange(0, 500)
        return self._event("sale.refunded", sale_id=sale_id, refund_id=refund_id, total=total, **self._perhaps(sale_id))

    def _void(self) -> Event:
        sale_id = self.chance.choice(self.sales)
        return self._event("sale.voided", sale_id=sale_id, **self._perhaps(sale_id))

    def _use(self) -> Event:
        sale_id = self.chance.choice(self.sales)
        code, discount = self.chance.choice(["TEN", "FIVE"]), self.chance.randrange(0, 300)
        return self._event(
            "coupon.redeemed", coupon_code=code, sale_id=sale_id, discount=discount, **self._perhaps(sale_id)
        )

    def _reversal(self) -> Event:
        sale_id, code = self.chance.choice(self.sales), self.chance.choice(["TEN", "FIVE"])
        return self._event("coupon.redemption_reversed", coupon_code=code, sale_id=sale_id, **self._perhaps(sale_id))

    def _profile(self) -> Event:
        fields = {
            "name": self.chance.choice(NAMES),
            "tags": self.chance.choice(TAGS),
            "email_verified": self.chance.choice([True, False, None]),
            "email_frequency": self.chance.choice(["daily", "weekly", None]),
            "time_zone": self.chance.choice(["Asia/Kolkata", "Pacific/Kiritimati", None]),
            "registered_at": self.chance.choice([(self.now - 10.5 * DAY).isoformat(), None]),
        }
        said = {name: value for name, value in fields.items() if self.chance.random() < 0.5}
        return self._event("customer.upserted", customer_id=self.chance.choice(self.customers), **said)

    def _consent(self) -> Event:
        data = {"marketing_consent": self.chance.random() < 0.7, "where": "till\nthree", "wording": "May we?"}
        return self._event("customer.consent_changed", customer_id=self.chance.choice(self.customers), **data)

    def _people(self) -> list[Event]:
        """Merges, also in chains and rings, and erasures of others: both of one customer have no one right order."""
        merged, erased = self.customers[10:30], self.customers[30:36]
        pairs = [self.chance.sample(merged, 2) for _ in range(20)]
        return [
            *(self._event("customer.merged", customer_id=one, into_customer_id=two) for one, two in pairs),
            *(self._event("customer.erased", customer_id=each) for each in erased),
        ]

    def _wrong(self) -> Event:
        """A sale that may not count, by the field that is wrong."""
        sale = self._sale(f"W-{self._number}")
        wrong: dict[str, Any] = self.chance.choice(
            [
                {"total": -1},
                {"total": 1.5},
                {"total": "12"},
                {"currency": "EUR"},
                {"organization_id": "nobody"},
                {"lines": [{"product_id": "p", "quantity": 1, "total": 1_000_000}]},
            ]
        )
        return sale | {"data": sale["data"] | wrong}

    def _buyer(self, sale_id: str) -> str | None:
        if sale_id not in self._buyers:
            self._buyers[sale_id] = self.chance.choice([*self.customers, None])
        return self._buyers[sale_id]

    def _perhaps(self, sale_id: str) -> dict[str, str]:
        """Whom an adjustment names: mostly the buyer."""
        return self._whose(self.chance.choice([self._buyer(sale_id)] * 6 + [None, self.chance.choice(self.customers)]))

    @staticmethod
    def _whose(customer_id: str | None) -> dict[str, str]:
        return {} if customer_id is None else {"customer_id": customer_id}

    def _new_id(self) -> str:
        self._number += 1
        return f"e-{self._number}"

    def _event(self, kind: str, **data: Any) -> Event:
        """An event; of the same sale, refund, void or use it always says the same."""
        # Half a day off every edge, so that time moves nobody while a test runs.
        days = self.chance.choice([0.5, 1.5, 29.5, 30.5, 59.5, 60.5, 200.5])
        time = self.now - days * DAY - timedelta(seconds=self.chance.randrange(3600))
        made = {
            "specversion": "1.0",
            "id": self._new_id(),
            "source": f"/stores/s{self.chance.randrange(3)}",
            "type": kind,
            "time": time.isoformat(),
            "data": {"organization_id": self.organization_id, "store_id": "s1"} | data,
        }
        return self._first.setdefault(entry_of(made) or made["id"], made) | {"id": made["id"]}
