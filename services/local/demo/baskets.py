"""The data set's tables as baskets in time order, all moved to end yesterday, and the coupons that each one used.

- The data set counts as `sales_value` what the shop earned: after the loyalty price and its own match of a coupon,
  before the maker's coupon, which the maker pays back. So a line's total, before any coupon, is
  `sales_value + coupon_match_disc`; the discount is `coupon_disc + coupon_match_disc`; and what the customer paid is
  `sales_value - coupon_disc`. Where coupons were worth more than the goods (19 baskets) the sale was free.
- A coupon redemption names a household, a coupon of a campaign and a day: it belongs to that household's basket of that
  day with the largest discount.
- Instants are UTC in the data set and days are New York's (all 2,102 redemptions find a basket so). Everything moves by
  the same number of days (give or take the hour of summer time), so that the last sale was yesterday.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from services.local.demo.organization import TIME_ZONE

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


def baskets_of(bought: Any, products: Any, today: date) -> Baskets:
    """All of them. `bought` holds COLUMNS."""
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


def redemptions_of(redeemed: Any, bought: Any) -> dict[int, list[str]]:
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
