"""What Regulars should make of some events: slow, obvious, and written from the interfaces, not from the services.

No SQL, no NumPy, nothing incremental: it keeps the events that count and answers every question by going through them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.criteria_model import Criteria, Customer, Purchase, holds
from tests.model_events import Event, Key, at, entry_of, instant, key, read, use_of

DAY = timedelta(days=1)

PROFILE = (
    "name",
    "email",
    "email_verified",
    "phone",
    "birthday",
    "anniversary",
    "tags",
    "preferred_contact_time",
    "email_frequency",
    "time_zone",
    "locale",
)

CONSENT = ("marketing_consent", "where", "wording")
LAST_OR_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Model:
    """Takes events in the order of their arrival. `currencies`: of each organization that exists."""

    currencies: Mapping[str, str]
    now: datetime
    lists: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Whom static segments name."""
    counted: list[Event] = field(default_factory=list)
    _identities: set[tuple[str, str, str]] = field(default_factory=set)
    _entries: set[tuple[str, ...]] = field(default_factory=set)

    def take_all(self, events: Iterable[Event | bytes]) -> list[str | None]:
        """For each event the code of its dead letter, or None."""
        return [self.take(each) for each in events]

    def take(self, given: Event | bytes) -> str | None:
        event = read(given)
        code = event if isinstance(event, str) else self._why_not(event)
        if isinstance(event, str) or code is not None:
            return code
        data = event["data"]
        identity = (data["organization_id"], event["source"], event["id"])
        entry = entry_of(event)
        if identity in self._identities:
            return None
        if entry in self._entries:
            return "duplicate_sale" if event["type"] == "sale.completed" else None
        self._identities.add(identity)
        if entry:
            self._entries.add(entry)
        self.counted.append(event)
        return None

    def _why_not(self, event: Event) -> str | None:
        if at(event) > self.now + DAY:
            return "future_time"
        data = event["data"]
        if data["organization_id"] not in self.currencies:
            return "unknown_organization"
        if data.get("currency", self.currencies[data["organization_id"]]) != self.currencies[data["organization_id"]]:
            return "wrong_currency"
        return None

    def revenue(self, organization_id: str) -> int:
        """Totals of all sales, whoever bought."""
        return sum(event["data"]["total"] for event in self._of(organization_id) if event["type"] == "sale.completed")

    def redemptions(self, organization_id: str) -> set[tuple[str, str]]:
        """The uses that stand, as (code, sale): a void or a refund of the sale gives a use back, as a reversal does."""
        events = self._of(organization_id)
        back = {event["data"]["sale_id"] for event in events if event["type"] in {"sale.voided", "sale.refunded"}}
        reversed_ = {use_of(event) for event in events if event["type"] == "coupon.redemption_reversed"}
        uses = {use_of(event) for event in events if event["type"] == "coupon.redeemed"}
        return {use for use in uses - reversed_ if use[1] not in back}

    def customers(self, organization_id: str) -> dict[str, Customer]:
        """Everybody of whom an event tells."""
        events = self._of(organization_id)
        who = self._identity(events)
        named: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            customer_id = who(event)
            if customer_id is not None:
                named[customer_id].append(event)
        voided = {event["data"]["sale_id"] for event in events if event["type"] == "sale.voided"}
        refunds: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            if event["type"] == "sale.refunded":
                refunds[event["data"]["sale_id"]].append(event)
        standing = self.redemptions(organization_id)
        found = {}
        for customer_id, own in named.items():
            customer = found[customer_id] = Customer(profile=profile_of(own))
            customer.lists = [name for name, named in self.lists.items() if customer_id in named]
            for event in own:
                data = event["data"]
                if event["type"] == "sale.completed" and data["sale_id"] not in voided:
                    customer.purchases.append(purchase_of(event, refunds[data["sale_id"]]))
                if event["type"] == "coupon.redeemed" and use_of(event) in standing:
                    customer.coupon_redemptions += 1
                    customer.discount_received += data["discount"]
                    customer.uses.append((at(event), data["coupon_code"]))
            bought = customer.purchases
            customer.total_spent = sum(each.total - each.refunded for each in bought)
            customer.visit_count = len(bought)
            customer.first_visit_at = min((each.at for each in bought), default=None)
            customer.last_visit_at = max((each.at for each in bought), default=None)
            customer.last_open_at = max((at(event) for event in own if event["type"] == "mail.opened"), default=None)
            customer.last_click_at = max((at(event) for event in own if event["type"] == "mail.clicked"), default=None)
            said = customer.profile.pop("registered_at", None)
            customer.registered_at = instant(said) if said else min(at(event) for event in own)
        return found

    def members(self, organization_id: str, criteria: Criteria, now: datetime) -> set[str]:
        customers = self.customers(organization_id)
        return {customer_id for customer_id, customer in customers.items() if holds(criteria, customer, now)}

    def _of(self, organization_id: str) -> list[Event]:
        return [event for event in self.counted if event["data"]["organization_id"] == organization_id]

    def _identity(self, events: list[Event]) -> Any:
        """Whom an event counts for, once all merges and erasures are known."""
        into: dict[str, tuple[Key, str]] = {}
        erased: dict[str, datetime] = {}
        for event in events:
            name = event["data"].get("customer_id")
            if event["type"] == "customer.merged":
                into[name] = max(into.get(name, (key(event), "")), (key(event), event["data"]["into_customer_id"]))
            elif event["type"] == "customer.erased":
                erased[name] = max(erased.get(name, LAST_OR_NEVER), at(event))
        while ring := ring_in({name: edge[1] for name, edge in into.items()}):
            del into[min(ring, key=lambda name: into[name])]

        def root(name: str) -> str:
            return root(into[name][1]) if name in into else name

        gone: dict[str, datetime] = {}
        for name, last in erased.items():
            gone[root(name)] = max(gone.get(root(name), LAST_OR_NEVER), last)

        def who(event: Event) -> str | None:
            name = event["data"].get("customer_id")
            if name is None or at(event) <= gone.get(root(name), LAST_OR_NEVER):
                return None
            return root(name)

        return who


def purchase_of(sale: Event, refunds: Iterable[Event]) -> Purchase:
    """A sale with what its refunds gave back, at the sale's instant."""
    data, back = sale["data"], [event["data"] for event in refunds]
    returned = [line for each in back for line in each.get("lines", [])]
    refunded = sum(each["total"] for each in back)
    return Purchase(at(sale), data["store_id"], data["total"], refunded, data.get("lines", []), returned)


def ring_in(into: Mapping[str, str]) -> list[str]:
    """The customers of some ring of merges; nobody when there is none."""
    for start in into:
        path = [start]
        while path[-1] in into:
            step = into[path[-1]]
            if step in path:
                return path[path.index(step) :]
            path.append(step)
    return []


def profile_of(events: list[Event]) -> dict[str, Any]:
    """For each field what the newest event says that mentions it."""
    profile: dict[str, Any] = {}
    for name in (*PROFILE, "registered_at"):
        said = [event for event in events if event["type"] == "customer.upserted" and name in event["data"]]
        profile[name] = max(said, key=key)["data"][name] if said else None
    profile["tags"] = sorted(set(profile["tags"] or []))
    profile["email_verified"] = is_verified(events)
    consents = [event for event in events if event["type"] == "customer.consent_changed"]
    newest = max(consents, key=key) if consents else None
    for name in CONSENT:
        profile[name] = newest["data"].get(name) if newest else None
    profile["marketing_consent"] = bool(profile["marketing_consent"])
    profile["consent_at"] = at(newest) if newest else None
    return profile


def is_verified(events: list[Event]) -> bool:
    """What was said last of the address that there is now, unless another address came after it."""
    address, verified = None, False
    for event in sorted(events, key=key):
        data = event["data"] if event["type"] == "customer.upserted" else {}
        if "email" in data:
            replaced = address is not None and address.lower() != (data["email"] or "").lower()
            address, verified = data["email"], verified and not replaced
        about = data.get("verified_email")
        if "email_verified" in data and (about is None or about.lower() == (address or "").lower()):
            verified = bool(data["email_verified"])
    return verified
