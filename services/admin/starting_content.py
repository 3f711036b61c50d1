"""What a new organization starts with: segments that work at once, and campaigns as drafts to read and activate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.domain.money import in_minor_units


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the ready-made segments begin. Amounts in minor units."""

    vip_spent: int
    high_spent: int
    vip_visits: int = 10
    at_risk_days: int = 60
    new_visits: int = 3
    new_days: int = 30

    @classmethod
    def of(cls, currency: str) -> Thresholds:
        """The usual ones, in an ISO 4217 currency."""
        return cls(vip_spent=in_minor_units(10_000, currency), high_spent=in_minor_units(5_000, currency))


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


def campaigns() -> list[dict[str, Any]]:
    """Rows for the table `campaign`, without organization_id: drafts of the three automations that pay soonest."""
    return [
        {
            "campaign_id": "welcome",
            "name": "Welcome",
            "type": "welcome",
            "subject": "Welcome to {organization_name}, {first_name|and thank you}",
            "preview_text": "Thank you for your first visit.",
            "body": _WELCOME,
            "trigger": _on_entering("new-customers", cool_down_days=365),
        },
        {
            "campaign_id": "we-miss-you",
            "name": "We miss you",
            "type": "follow_up",
            "subject": "{first_name|Hello}, we have not seen you for a while",
            "preview_text": "Your favourites are still here.",
            "body": _WE_MISS_YOU,
            "trigger": _on_entering("at-risk", cool_down_days=90),
        },
        {
            "campaign_id": "birthday",
            "name": "Birthday",
            "type": "birthday",
            "subject": "Happy birthday, {first_name|dear customer}!",
            "preview_text": "All the best from all of us.",
            "body": _BIRTHDAY,
            "trigger": {"on": "birthday", "days_before": 0},
        },
    ]


def _leaf(field: str, op: str, value: object) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


def _on_entering(segment_id: str, cool_down_days: int) -> dict[str, Any]:
    return {"on": "segment_entered", "segment_id": segment_id, "cool_down_days": cool_down_days, "delay_hours": 0}


_WELCOME = """\
# Welcome, {first_name|and thank you}!

It was good to have you at **{organization_name}**, and we would like to see you again soon.

We write when there is something worth telling: a new arrival, a good offer, a day to celebrate. How often is up to you:
[choose here]({preferences_url}).

See you soon,\\
{organization_name}
"""

_WE_MISS_YOU = """\
# Hello {first_name|again},

your last visit to **{organization_name}** was on {last_visit_date}, and we have missed you since.

Come by when you are near: your favourites are still here, and some new things too. If something was not as it should
have been, just answer this mail. We read every reply.

Until soon,\\
{organization_name}
"""

_BIRTHDAY = """\
# Happy birthday, {first_name|dear customer}!

All of us at **{organization_name}** wish you a wonderful day and a year full of good things.

Thank you for being our guest. Come by and celebrate with us.

Warmly,\\
{organization_name}
"""
