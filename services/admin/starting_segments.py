"""What a new organization starts with: segments that work at once. Campaigns and coupons: starting_campaigns.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.domain.money import in_minor_units


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the ready-made segments begin, and what the coupons take off at most. Amounts in minor units."""

    vip_spent: int
    high_spent: int
    vip_discount: int
    vip_visits: int = 10
    at_risk_days: int = 60
    new_visits: int = 3
    new_days: int = 30

    @classmethod
    def of(cls, currency: str) -> Thresholds:
        """The usual ones, in an ISO 4217 currency."""
        return cls(
            vip_spent=in_minor_units(10_000, currency),
            high_spent=in_minor_units(5_000, currency),
            vip_discount=in_minor_units(500, currency),
        )


def segments(thresholds: Thresholds) -> list[dict[str, Any]]:
    """Rows for the table `segment`, without organization_id. They are live at once: there are no customers yet."""
    t = thresholds
    spent, visits = "total_spent", "visit_count"
    return [
        {"slot": slot, "kind": "dynamic", "state": "live", "progress": 1.0} | segment
        for slot, segment in enumerate(
            (
                {
                    "segment_id": "vip-customers",
                    "name": "VIP Customers",
                    "description": "Who spends most and comes often.",
                    "color": "#b8860b",
                    "criteria": {"all": [_leaf(spent, "gte", t.vip_spent), _leaf(visits, "gte", t.vip_visits)]},
                },
                {
                    "segment_id": "at-risk",
                    "name": "At-Risk",
                    "description": f"Who has not come for {t.at_risk_days} days or more.",
                    "color": "#c0392b",
                    "criteria": {"all": [{"field": "last_visit", "op": "more_than_ago", "days": t.at_risk_days}]},
                },
                {
                    "segment_id": "high-spenders",
                    "name": "High Spenders",
                    "description": f"Who spends much in fewer than {t.vip_visits} visits.",
                    "color": "#8e44ad",
                    "criteria": {"all": [_leaf(spent, "gte", t.high_spent), _leaf(visits, "lt", t.vip_visits)]},
                },
                {
                    "segment_id": "new-customers",
                    "name": "New Customers",
                    "description": f"Who registered within {t.new_days} days and came 1 to {t.new_visits} times.",
                    "color": "#27ae60",
                    "criteria": {
                        "all": [
                            _leaf(visits, "between", [1, t.new_visits]),
                            {"field": "registered", "op": "within_last", "days": t.new_days},
                        ]
                    },
                },
            )
        )
    ]


def _leaf(field: str, op: str, value: object) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}
