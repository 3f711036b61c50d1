"""What the live tills know of the shop: kept in the data directory, so that they start without the data set.

The file is written when the year is in and its mails are out. From then on the tills sell.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import numpy as np

from services.installation import write_private
from services.local.demo.households import customer_id
from services.local.demo.year import Year

FILE = "demo-tills.json"
STORES, PRODUCTS, COUPONS = 12, 400, 8


class Product(msgspec.Struct, frozen=True):
    """Sold often; `price` in minor units."""

    product_id: str
    category: str
    price: int


class Catalog(msgspec.Struct, frozen=True):
    """The busiest stores, the products bought most, the coupons used most, everybody who ever came."""

    currency: str
    sales: int  # of the year
    stores: list[str]
    products: list[Product]
    coupons: list[str]
    customers: list[str]


def read(data_dir: Path) -> Catalog | None:
    """None until the year is in."""
    try:
        return msgspec.json.decode((data_dir / FILE).read_bytes(), type=Catalog)
    except FileNotFoundError:
        return None


def write(data_dir: Path, catalog: Catalog) -> None:
    """Keep it; the tills open."""
    write_private(data_dir / FILE, msgspec.json.encode(catalog).decode())


def of(year: Year) -> Catalog:
    """The catalog that a year of purchases shows."""
    baskets = year.baskets
    coupons = Counter(code for codes in year.redemptions.values() for code in codes)
    return Catalog(
        currency=year.currency,
        sales=year.sales,
        stores=[f"s{store}" for store, _ in Counter(baskets.store_id).most_common(STORES)],
        products=_products(year),
        coupons=[code for code, _ in coupons.most_common(COUPONS)],
        customers=[customer_id(household) for household in year.profiles],
    )


def _products(year: Year) -> list[Product]:
    lines = year.baskets
    single = np.flatnonzero((lines.quantity == 1) & (lines.total > 0))
    ids, first, count = np.unique(lines.product_id[single], return_index=True, return_counts=True)
    busiest = np.argsort(-count, kind="stable")[:PRODUCTS]
    return [
        Product(f"p{ids[index]}", str(lines.category[single[first[index]]]), int(lines.total[single[first[index]]]))
        for index in busiest
    ]
