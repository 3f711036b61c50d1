"""What criteria mean of one customer: slow, obvious, and written from the interfaces, not from the services."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

Criteria = Mapping[str, Any]
DAY = timedelta(days=1)
LEAP_DAY = (2, 29)


@dataclass
class Purchase:
    """A sale that was not voided; `returned`: the lines that refunds named."""

    at: datetime
    store_id: str
    total: int
    refunded: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    returned: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Customer:
    """One customer's numbers, profile and history."""

    total_spent: int = 0
    visit_count: int = 0
    first_visit_at: datetime | None = None
    last_visit_at: datetime | None = None
    coupon_redemptions: int = 0
    discount_received: int = 0
    registered_at: datetime | None = None
    last_open_at: datetime | None = None
    last_click_at: datetime | None = None
    profile: dict[str, Any] = field(default_factory=dict)
    purchases: list[Purchase] = field(default_factory=list)
    uses: list[tuple[datetime, str]] = field(default_factory=list)
    """When which coupon was redeemed, of the uses that stand."""
    lists: Collection[str] = ()
    """The static segments in which the customer is."""

    @property
    def average_basket(self) -> int | None:
        """Rounded half up."""
        if not self.visit_count:
            return None
        return (2 * self.total_spent + self.visit_count) // (2 * self.visit_count)


def holds(criteria: Criteria, customer: Customer, now: datetime, zone: str = "UTC") -> bool:
    """Whether a customer meets criteria at `now`; `zone` is the organization's."""
    if "all" in criteria:
        return all(holds(part, customer, now, zone) for part in criteria["all"])
    if "any" in criteria:
        return any(holds(part, customer, now, zone) for part in criteria["any"])
    if "not" in criteria:
        return not holds(criteria["not"], customer, now, zone)
    return _leaf_holds(criteria, customer, now, zone)


def _leaf_holds(leaf: Criteria, customer: Customer, now: datetime, zone: str) -> bool:  # noqa: PLR0911 - one each kind
    name, op = leaf["field"], leaf["op"]
    value: Any = leaf.get("value")
    if name in {"total_spent", "visit_count", "average_basket", "coupon_redemptions"}:
        return compares(getattr(customer, name), op, value)
    if name in {"spend", "visits", "units"}:
        return compares(added_up(leaf, customer, now), op, value)
    if name == "bought":
        return (added_up(leaf, customer, now) > 0) == (op == "has_any")
    if name == "redeemed":
        used = [code for at, code in customer.uses if is_within(at, leaf.get("last_days"), now)]
        return bool(set(used) & set(leaf["coupon_codes"])) == (op == "has_any")
    if name in {"last_visit", "first_visit", "registered", "last_open", "last_click"}:
        return lies(getattr(customer, f"{name}_at"), leaf, now)
    if name in {"birthday", "anniversary"}:
        return is_kept(leaf, customer, now.astimezone(ZoneInfo(customer.profile["time_zone"] or zone)))
    if name == "segment":
        return (value in customer.lists) == (op == "in")
    if name == "tags":
        both = set(customer.profile["tags"]) & set(value)
        return {"has_any": bool(both), "has_all": both == set(value), "has_none": not both}[op]
    if op == "in":
        return customer.profile[name] in value
    return bool(customer.profile[name] == value)


def compares(number: Any, op: str, value: Any) -> bool:
    if number is None:
        return False
    if op == "between":
        return bool(value[0] <= number <= value[1])
    return bool(
        {
            "gte": number >= value,
            "gt": number > value,
            "lte": number <= value,
            "lt": number < value,
            "eq": number == value,
        }[op]
    )


def is_within(at: datetime, days: int | None, now: datetime) -> bool:
    """The last N days are the half-open span (now - N x 24 h, now]; the future counts as now."""
    return days is None or min(at, now) > now - days * DAY


def lies(when: datetime | None, leaf: Criteria, now: datetime) -> bool:
    if leaf["op"] == "never" or when is None:
        return leaf["op"] == "never" and when is None
    if leaf["op"] in {"before", "after"}:
        edge, when = datetime.fromisoformat(leaf["value"]), min(when, now)
        return when < edge if leaf["op"] == "before" else when > edge
    return is_within(when, leaf["days"], now) == (leaf["op"] == "within_last")


def added_up(leaf: Criteria, customer: Customer, now: datetime) -> Decimal:
    """Spend, visits (also for `bought`) or units of the last days, of what the leaf names."""
    products = leaf.get("product_ids") or ([leaf["product_id"]] if "product_id" in leaf else [])
    categories = leaf.get("categories") or ([leaf["category"]] if "category" in leaf else [])
    stores = leaf.get("store_ids") or ([leaf["store_id"]] if "store_id" in leaf else [])
    found = Decimal(0)
    for each in customer.purchases:
        if not is_within(each.at, leaf.get("last_days"), now) or (stores and each.store_id not in stores):
            continue
        lines, back = (
            [
                line
                for line in some
                if (not products or line["product_id"] in products)
                and (not categories or line.get("category") in categories)
            ]
            for some in (each.lines, each.returned)
        )
        is_of_lines = bool(products or categories)
        if leaf["field"] in {"visits", "bought"}:
            found += 1 if lines or not is_of_lines else 0
        elif leaf["field"] == "units":
            found += sum(Decimal(str(line["quantity"])) for line in lines)
            found -= sum(Decimal(str(line["quantity"])) for line in back)
        elif is_of_lines:
            found += sum(line["total"] for line in lines) - sum(line["total"] for line in back)
        else:
            found += each.total - each.refunded
    return found


def is_kept(leaf: Criteria, customer: Customer, local: datetime) -> bool:
    """Whether the birthday or anniversary is kept on one of the days meant; 29 February on the 28th in other years."""
    said = customer.profile[leaf["field"]]
    if said is not None:
        day = int(said[-5:-3]), int(said[-2:])
    elif leaf["field"] == "anniversary" and customer.registered_at is not None:
        registered = customer.registered_at.astimezone(local.tzinfo)
        day = registered.month, registered.day
    else:
        return False
    if leaf["op"] == "this_month":
        return day[0] == local.month
    ahead = range(leaf["days"] + 1 if leaf["op"] == "in_next" else 1)
    return any(_is_day(local.date() + n * DAY, day) for n in ahead)


def _is_day(each: date, day: tuple[int, int]) -> bool:
    return (each.month, each.day) == ((2, 28) if day == LEAP_DAY and not isleap(each.year) else day)
